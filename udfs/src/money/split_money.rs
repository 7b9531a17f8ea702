//! `split_money(amount, weights [, currency])`: parts that sum to the amount.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Builder, Float64Array, ListBuilder};
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::attribution::{Remainders, Weights, minor_unit, split};

const MONEY: DataType = DataType::Decimal128(18, 4);

#[user_doc(
    doc_section(label = "money"),
    description = "Splits an amount by weights into parts that sum to it exactly, by largest remainder in the currency's minor units; ties go to the earlier part. An amount that is not a whole number of minor units is split in ten-thousandths. Null where an argument or a weight is null, or where no weight is above zero.",
    syntax_example = "split_money(amount, weights [, currency])",
    sql_example = "select split_money(100.00, [1.0, 1.0, 1.0])",
    argument(name = "amount", description = "The amount, with at most 4 digits after the point."),
    argument(name = "weights", description = "A list of numbers, none negative; only their ratio counts."),
    argument(
        name = "currency",
        description = "An ISO 4217 code that gives the minor digits; 2 if not given."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SplitMoney {
    signature: Signature,
}

impl Default for SplitMoney {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", MONEY, true))
}

impl ScalarUDFImpl for SplitMoney {
    fn name(&self) -> &'static str {
        "split_money"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=3).contains(&arg_types.len()) {
            return plan_err!("split_money takes an amount, a list of weights and, if wanted, a currency");
        }
        let weights = DataType::List(Arc::new(Field::new("item", DataType::Float64, true)));
        Ok([MONEY, weights, DataType::Utf8][..arg_types.len()].to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let amounts = arrays[0].as_primitive::<Decimal128Type>();
        let lists = arrays[1].as_list::<i32>();
        let currencies = arrays.get(2).map(arrow::array::AsArray::as_string::<i32>);
        let mut out = ListBuilder::new(Decimal128Builder::new().with_data_type(MONEY)).with_field(item());
        let (mut weights, mut parts, mut room) = (Vec::new(), Vec::new(), Remainders::default());
        for row in 0..amounts.len() {
            let is_null = amounts.is_null(row)
                || lists.is_null(row)
                || currencies.is_some_and(|currencies| currencies.is_null(row));
            let list = lists.value(row);
            let sum =
                if is_null { None } else { integers(list.as_primitive::<Float64Type>(), &mut weights)? };
            let (Some(sum), Ok(amount)) = (sum, i64::try_from(amounts.value(row))) else {
                out.append_null();
                continue;
            };
            let unit = minor_unit(currencies.map(|currencies| currencies.value(row)));
            parts.clear();
            parts.resize(weights.len(), 0);
            split(amount, unit, Weights::Integers(&weights, sum), &mut parts, &mut room);
            for part in &parts {
                out.values().append_value(i128::from(*part));
            }
            out.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Writes floats as integers of the same ratio and returns their sum; none where nothing can be shared.
///
/// Exact where the largest is less than 2^10 times the smallest step, as for all weights with a common power of
/// two in 62 bits; the others are rounded down to 2^-62 of the largest.
fn integers(weights: &Float64Array, out: &mut Vec<u64>) -> Result<Option<u128>> {
    out.clear();
    if weights.null_count() > 0 {
        return Ok(None);
    }
    let values = weights.values();
    if values.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
        return exec_err!("split_money: a weight is negative or not finite");
    }
    let largest = values.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return Ok(None);
    }
    // A power of two, so that scaling loses nothing; in two steps, so that it cannot overflow.
    let exponent = 61 - largest.log2().floor() as i32;
    let (half, rest) = (exponent / 2, exponent - exponent / 2);
    out.extend(values.iter().map(|weight| (weight * 2_f64.powi(half) * 2_f64.powi(rest)) as u64));
    Ok(Some(out.iter().map(|&weight| u128::from(weight)).sum()))
}
