//! `lift_credits(channels, known_channels, known_lifts)`: a journey's chance of conversion, shared out by known lifts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::{HashMap, Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::answers::BASELINE;
use super::noisy_or::{Decomposition, Quadrature};

#[user_doc(
    doc_section(label = "data-driven"),
    description = "Shares a journey's chance of conversion out by lifts that are known, say from experiments: P = 1 - (1 - baseline) * product of (1 - lift), of which the baseline keeps its own and each of the journey's channels gets its Shapley value. Returns a list of (channel, expected). A channel without a known lift adds nothing.",
    syntax_example = "lift_credits(channels, known_channels, known_lifts)",
    sql_example = "select unnest(lift_credits(make_array('email', 'search', 'email'), make_array('(baseline)', 'email', 'search'), make_array(0.25, 0.12, 0.08))) as credit",
    argument(
        name = "channels",
        description = "The channels of the journey's touches; repeats do not matter."
    ),
    argument(
        name = "known_channels",
        description = "The channels whose lifts are known; (baseline) for none."
    ),
    argument(name = "known_lifts", description = "Their lifts, from 0 to 1, in the same order.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LiftCredits {
    signature: Signature,
}

impl Default for LiftCredits {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn credit_fields() -> Fields {
    vec![Field::new("channel", DataType::Utf8, false), Field::new("expected", DataType::Float64, false)]
        .into()
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(data_type, true)))
}

impl ScalarUDFImpl for LiftCredits {
    fn name(&self) -> &'static str {
        "lift_credits"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Struct(credit_fields())))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.len() != 3 {
            return plan_err!("lift_credits takes channels, known_channels, known_lifts");
        }
        Ok(vec![list_of(DataType::Utf8), list_of(DataType::Utf8), list_of(DataType::Float64)])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [channels, names, lifts] = [0, 1, 2].map(|at| arrays[at].as_list::<i32>());
        let (mut credited, mut expected, mut lengths, mut valid) = (vec![], vec![], vec![], vec![]);
        for row in 0..channels.len() {
            let is_known = [channels, names, lifts].iter().all(|list| list.is_valid(row));
            valid.push(is_known);
            let before = credited.len();
            if is_known {
                for (channel, value) in credits(&channels.value(row), &names.value(row), &lifts.value(row))? {
                    credited.push(channel);
                    expected.push(value);
                }
            }
            lengths.push(credited.len() - before);
        }
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(credited)), Arc::new(Float64Array::from(expected))];
        let credits = StructArray::new(credit_fields(), columns, None);
        let item = Arc::new(Field::new_list_field(DataType::Struct(credit_fields()), true));
        let nulls = Some(NullBuffer::from(valid));
        let rows = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(credits), nulls);
        Ok(ColumnarValue::Array(Arc::new(rows)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The baseline's part of one journey, then each distinct channel's, in the order of bytes.
fn credits(channels: &ArrayRef, names: &ArrayRef, lifts: &ArrayRef) -> Result<Vec<(String, f64)>> {
    let (names, lifts) = (names.as_string::<i32>(), lifts.as_primitive::<Float64Type>());
    if names.len() != lifts.len() || lifts.iter().flatten().any(|lift| !(0.0..=1.0).contains(&lift)) {
        return exec_err!("lift_credits: every known channel has one lift, from 0 to 1");
    }
    let known: HashMap<&str, f64> =
        names.iter().zip(lifts.iter()).filter_map(|(name, lift)| Some((name?, lift?))).collect();
    let mut met: Vec<&str> = channels.as_string::<i32>().iter().flatten().collect();
    met.sort_unstable();
    met.dedup();
    let lift = |name: &&str| known.get(*name).copied().unwrap_or(0.0);
    let met_lifts: Vec<f64> = met.iter().map(lift).collect();
    let baseline = lift(&BASELINE);
    let mut journey = Decomposition::new(Quadrature::for_sets_of(met.len()));
    journey.decompose(baseline, &met_lifts);
    let credits = met.into_iter().map(str::to_owned).zip(journey.phi.iter().copied());
    Ok(std::iter::once((BASELINE.to_owned(), baseline)).chain(credits).collect())
}
