//! The aggregate function behind the table functions: it gathers journeys, and answers with a list of rows.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Builder, Int64Builder, ListArray, ListBuilder, StringBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::answers::answer;
use super::model_function::{ModelOptions, PathModel, VALUE};
use super::path_input::PathInput;

/// The types of the four columns: channels, conversions, value, journeys without conversion.
pub fn column_types() -> [DataType; 4] {
    let channel = Field::new_list_field(DataType::Utf8, true);
    [DataType::List(Arc::new(channel)), DataType::Int64, VALUE, DataType::Int64]
}

/// One model with its options.
#[derive(Debug)]
pub struct PathAggregate {
    model: PathModel,
    options: ModelOptions,
    signature: Signature,
}

impl PathAggregate {
    pub fn new(model: PathModel, options: ModelOptions) -> Self {
        let signature = Signature::exact(column_types().to_vec(), Volatility::Immutable);
        Self { model, options, signature }
    }

    /// Numbers as text: equal options, equal texts.
    fn key(&self) -> String {
        format!("{:?}{:?}", self.model, self.options)
    }
}

impl PartialEq for PathAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for PathAggregate {}

impl Hash for PathAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

fn row_type(model: PathModel) -> DataType {
    DataType::Struct(model.fields())
}

impl AggregateUDFImpl for PathAggregate {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(row_type(self.model), true))))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (model, options) = (self.model, self.options);
        Ok(Box::new(PathAccumulator { model, options, input: PathInput::default() }))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |(at, data_type): (usize, DataType)| {
            let item = Field::new_list_field(data_type, true);
            Arc::new(Field::new(format!("{}_{at}", self.name()), DataType::List(Arc::new(item)), false))
        };
        Ok(column_types().into_iter().enumerate().map(list).collect())
    }
}

#[derive(Debug)]
struct PathAccumulator {
    model: PathModel,
    options: ModelOptions,
    input: PathInput,
}

impl Accumulator for PathAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.input.add(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let rows = answer(self.model, &self.options, &self.input)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let item = Arc::new(Field::new_list_field(row_type(self.model), true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths([rows.len()]), Arc::new(rows), None);
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.input.size()
    }

    /// The distinct paths so far, as lists of the four columns.
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut channels = ListBuilder::new(StringBuilder::new());
        let (mut conversions, mut non_conversions) = (Int64Builder::new(), Int64Builder::new());
        let mut values = Decimal128Builder::new().with_data_type(VALUE);
        for (names, count) in self.input.rows() {
            for name in names {
                channels.values().append_value(name);
            }
            channels.append(true);
            conversions.append_value(count.conversions as i64);
            values.append_value(count.value);
            non_conversions.append_value(count.non_conversions as i64);
        }
        let columns: [ArrayRef; 4] = [
            Arc::new(channels.finish()),
            Arc::new(conversions.finish()),
            Arc::new(values.finish()),
            Arc::new(non_conversions.finish()),
        ];
        let list = |(column, data_type): (ArrayRef, DataType)| {
            let item = Arc::new(Field::new_list_field(data_type, true));
            let offsets = OffsetBuffer::from_lengths([column.len()]);
            ScalarValue::List(Arc::new(ListArray::new(item, offsets, column, None)))
        };
        Ok(columns.into_iter().zip(column_types()).map(list).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(first) = states.first() else { return exec_err!("a model of paths has no state") };
        for row in 0..first.len() {
            let columns: Vec<ArrayRef> =
                states.iter().map(|state| state.as_list::<i32>().value(row)).collect();
            self.input.add(&columns)?;
        }
        Ok(())
    }
}
