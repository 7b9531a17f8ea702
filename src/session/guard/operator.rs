//! Operators as functions, so that they can be bounded as functions are: `||`, and `~` with its kin.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};

use super::growth::Growth;

/// An operator between two values.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OperatorFunction {
    operator: Operator,
    name: String,
    returns: DataType,
    signature: Signature,
}

impl OperatorFunction {
    /// How an operator's result grows; `None` for those that make nothing.
    pub fn growth(operator: Operator) -> Option<Growth> {
        match operator {
            Operator::StringConcat => Some(Growth::Sum),
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch => Some(Growth::Pattern),
            _ => None,
        }
    }

    pub fn of(operator: Operator, returns: DataType) -> ScalarUDF {
        let signature = Signature::any(2, Volatility::Immutable);
        ScalarUDF::from(Self { operator, name: operator.to_string(), returns, signature })
    }
}

impl ScalarUDFImpl for OperatorFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let fields = columns.iter().zip(["left", "right"]);
        let fields: Vec<_> =
            fields.map(|(column, name)| Field::new(name, column.data_type().clone(), true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        let column = |name, place| Arc::new(Column::new(name, place)) as Arc<dyn PhysicalExpr>;
        let result =
            BinaryExpr::new(column("left", 0), self.operator, column("right", 1)).evaluate(&batch)?;
        match result {
            ColumnarValue::Array(array) if is_constant => {
                Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&array, 0)?))
            }
            result => Ok(result),
        }
    }
}
