//! `rate_metric(value, poor, average, good, excellent, direction)`: a metric against its benchmark.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

#[user_doc(
    doc_section(label = "rating"),
    description = "Rates a metric against its benchmark: the best of the thresholds excellent, good and average that the value reaches names the rating. One that reaches none is poor where average is known, or where it does not even reach poor. A null threshold cannot be reached; where nothing can be said, or there is no value, the answer is 'not rated'.",
    syntax_example = "rate_metric(value, poor, average, good, excellent, direction)",
    sql_example = "select rate_metric(25, 42, 30.4, 22, null, 'lower')",
    argument(name = "value", description = "The metric's value, in the benchmark's unit."),
    argument(name = "poor", description = "What a poor one reaches; null if not known."),
    argument(name = "average", description = "What an average one reaches; null if not known."),
    argument(name = "good", description = "What a good one reaches; null if not known."),
    argument(name = "excellent", description = "What an excellent one reaches; null if not known."),
    argument(name = "direction", description = "'higher' where more is better, 'lower' where less is.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct RateMetric {
    signature: Signature,
}

impl Default for RateMetric {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RateMetric {
    fn name(&self) -> &'static str {
        "rate_metric"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.len() != 6 {
            return plan_err!("rate_metric takes value, poor, average, good, excellent, direction");
        }
        let mut types = vec![DataType::Float64; 5];
        types.push(DataType::Utf8);
        Ok(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (numbers, directions) = (&arrays[..5], arrays[5].as_string::<i32>());
        let number = |k: usize, row: usize| {
            let array = numbers[k].as_primitive::<Float64Type>();
            let row = if array.len() == 1 { 0 } else { row };
            (array.is_valid(row) && !array.value(row).is_nan()).then(|| array.value(row))
        };
        let mut ratings = Vec::with_capacity(rows);
        for row in 0..arrays[0].len().max(directions.len()) {
            let at = if directions.len() == 1 { 0 } else { row };
            let lower = match directions.is_valid(at).then(|| directions.value(at)) {
                Some("higher") => false,
                Some("lower") => true,
                None => {
                    ratings.push("not rated");
                    continue;
                }
                Some(_) => return exec_err!("rate_metric: the direction must be 'higher' or 'lower'"),
            };
            let thresholds = [1, 2, 3, 4].map(|k| number(k, row));
            ratings.push(number(0, row).map_or("not rated", |value| rate(value, thresholds, lower)));
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(ratings))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Rates a value by the thresholds poor, average, good and excellent.
fn rate(value: f64, [poor, average, good, excellent]: [Option<f64>; 4], lower: bool) -> &'static str {
    let reaches =
        |threshold: Option<f64>| threshold.is_some_and(|at| if lower { value <= at } else { value >= at });
    if reaches(excellent) {
        "excellent"
    } else if reaches(good) {
        "good"
    } else if reaches(average) {
        "average"
    } else if average.is_some() || (poor.is_some() && !reaches(poor)) {
        "poor"
    } else {
        "not rated"
    }
}
