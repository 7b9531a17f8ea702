//! `string_agg`, bounded: a text grows by doubling, and the memory pool hears of it only when that is done.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::scalar::ScalarValue;

use crate::error::Error;

/// Bytes that one text may have.
const TEXT_BYTES: usize = 64 << 20;

/// The library's function but for the bound. Groups are left as they are: each of their texts is small beside all.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BoundedStringAgg(Arc<AggregateUDF>);

impl BoundedStringAgg {
    pub fn function() -> AggregateUDF {
        AggregateUDF::from(Self(string_agg_udaf()))
    }
}

impl AggregateUDFImpl for BoundedStringAgg {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(BoundedText(self.0.accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.0.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Reversed(Arc::new(Self::function()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

#[derive(Debug)]
struct BoundedText(Box<dyn Accumulator>);

impl BoundedText {
    fn check(&self) -> Result<()> {
        if self.0.size() > TEXT_BYTES {
            let message = "string_agg makes a text of more than 64 MB: filter its rows, or group them";
            return Err(Error::limit(message).into());
        }
        Ok(())
    }
}

impl Accumulator for BoundedText {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)?;
        self.check()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)?;
        self.check()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }
}
