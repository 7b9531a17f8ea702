//! `safe_ratio(a, b)`: a divided by b, null where b is zero.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

#[user_doc(
    doc_section(label = "money"),
    description = "Returns a / b as a float; null where b is zero or either is null, so that a channel without cost has no ROI rather than an infinite one.",
    syntax_example = "safe_ratio(a, b)",
    sql_example = "select safe_ratio(120.50, 40)",
    argument(name = "a", description = "The numerator: decimal, integer or float."),
    argument(name = "b", description = "The denominator: decimal, integer or float.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SafeRatio {
    signature: Signature,
}

impl Default for SafeRatio {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SafeRatio {
    fn name(&self) -> &'static str {
        "safe_ratio"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.len() != 2 || arg_types.iter().any(|arg| !arg.is_numeric() && !arg.is_null()) {
            return plan_err!("safe_ratio takes two numbers");
        }
        Ok(vec![DataType::Float64; 2])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numerators = arrays[0].as_primitive::<Float64Type>().iter();
        let denominators = arrays[1].as_primitive::<Float64Type>().iter();
        let ratios = numerators.zip(denominators).map(|pair| match pair {
            (Some(a), Some(b)) if b != 0.0 => Some(a / b),
            _ => None,
        });
        Ok(ColumnarValue::Array(Arc::new(ratios.collect::<Float64Array>())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
