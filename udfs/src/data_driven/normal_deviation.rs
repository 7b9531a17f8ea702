//! `normal_deviation(level)`: how many standard errors an interval reaches to either side.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::normal::normal_deviation;

#[user_doc(
    doc_section(label = "data-driven"),
    description = "Returns how many standard errors a two-sided interval of a confidence level extends to either side of a normal estimate: 1.96 for 0.95. Null for a level that is not between 0 and 1.",
    syntax_example = "normal_deviation(level)",
    sql_example = "select normal_deviation(0.95)",
    argument(name = "level", description = "The confidence level, between 0 and 1.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NormalDeviation {
    signature: Signature,
}

impl Default for NormalDeviation {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NormalDeviation {
    fn name(&self) -> &'static str {
        "normal_deviation"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let levels = arrays[0].as_primitive::<Float64Type>().iter();
        let deviations = levels.map(|level| level.and_then(|level| normal_deviation(level).ok()));
        Ok(ColumnarValue::Array(Arc::new(deviations.collect::<Float64Array>())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
