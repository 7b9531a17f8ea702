//! The columns of `journeys`, and how rows become them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
    StringArray, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::{cast, concat_batches, interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_err};

use super::columns::{MONEY, instant_type, name_type};
use super::held::Held;
use super::inputs::{OrderBatch, RefundRows, TouchBatch};
use super::model::Model;
use super::rates::RATE;
use super::rows::{Entry, NO_TOUCH, Reasons, Rows, Wanted};
use super::touches::Place;

/// The columns that an entry's rows have under every model.
fn entry_fields() -> Vec<Field> {
    vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("entry_id", DataType::Utf8, false),
        Field::new("entry_kind", DataType::Utf8, false),
        Field::new("order_id", DataType::Utf8, false),
        Field::new("touch_id", DataType::Utf8, false),
        Field::new("customer_id", DataType::Utf8, true),
        Field::new("ordered_at", instant_type(), true),
        Field::new("booked_at", instant_type(), false),
        Field::new("touched_at", instant_type(), true),
        Field::new("channel", DataType::Utf8, false),
        Field::new("source", DataType::Utf8, true),
        Field::new("campaign", DataType::Utf8, true),
        Field::new("position", DataType::Int64, false),
        Field::new("journey_length", DataType::Int64, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("amount", MONEY, false),
        Field::new("profit", MONEY, true),
        Field::new("paid_currency", DataType::Utf8, true),
        Field::new("paid_amount", MONEY, false),
        Field::new("exchange_rate", RATE, true),
        Field::new("reason", DataType::Utf8, true),
    ]
}

/// Returns the columns of `journeys`.
pub fn journeys_schema() -> SchemaRef {
    let mut fields = entry_fields();
    for model in Model::ALL {
        fields.push(Field::new(format!("{}_weight", model.name()), DataType::Float64, true));
        fields.push(Field::new(format!("{}_credit", model.name()), MONEY, true));
        fields.push(Field::new(format!("{}_profit", model.name()), MONEY, true));
    }
    Arc::new(Schema::new(fields))
}

/// Returns the columns of `journey_credits`.
pub fn credits_schema() -> SchemaRef {
    let mut fields = entry_fields();
    fields.push(Field::new("model", DataType::Utf8, false));
    fields.push(Field::new("model_order", DataType::Int64, false));
    fields.push(Field::new("weight", DataType::Float64, true));
    fields.push(Field::new("credit", MONEY, true));
    fields.push(Field::new("credited_profit", MONEY, true));
    Arc::new(Schema::new(fields))
}

/// Returns what to compute for a schema of `journey_credits`, of some models.
pub fn wanted_credits(schema: &Schema, models: &[Model]) -> Wanted {
    let of_models = |column: &str| {
        let is_wanted = schema.index_of(column).is_ok();
        Model::ALL.map(|model| is_wanted && models.contains(&model))
    };
    Wanted {
        weights: of_models("weight"),
        credits: of_models("credit"),
        profits: of_models("credited_profit"),
    }
}

/// Returns which models' columns a schema of `journeys` has.
pub fn wanted(schema: &Schema) -> Wanted {
    let has = |model: Model, what: &str| schema.index_of(&format!("{}_{what}", model.name())).is_ok();
    Wanted {
        weights: Model::ALL.map(|model| has(model, "weight")),
        credits: Model::ALL.map(|model| has(model, "credit")),
        profits: Model::ALL.map(|model| has(model, "profit")),
    }
}

type Names = DictionaryArray<Int32Type>;

/// Rows, and the held batches that they point into.
pub struct Source<'a> {
    pub store: &'a str,
    /// The currency that converted amounts are in.
    pub currency: Option<&'a str>,
    pub rows: &'a Rows,
    pub reasons: &'a Reasons,
    pub touches: &'a Held<TouchBatch>,
    pub orders: &'a Held<OrderBatch>,
    pub refunds: Option<&'a RefundRows>,
}

/// Builds a batch of the schema's columns: a row of `journeys` for each of the rows, or one of `journey_credits` for each of
/// them and of some models.
pub fn build(schema: &SchemaRef, source: &Source<'_>, models: Option<&[Model]>) -> Result<RecordBatch> {
    let entry = UInt32Array::from(source.rows.entry.clone());
    let batch = |model: Option<Model>| -> Result<RecordBatch> {
        let column = |field: &FieldRef| source.column(field.name(), model, &entry);
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(source.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    };
    let Some(models) = models else { return batch(None) };
    let of_models = models.iter().map(|&model| batch(Some(model))).collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(schema, &of_models)?)
}

impl Source<'_> {
    fn column(&self, name: &str, model: Option<Model>, entry: &UInt32Array) -> Result<ArrayRef> {
        let rows = self.rows;
        if let Some(model) = model {
            let m = model as usize;
            match name {
                "model" => return Ok(Arc::new(repeated(model.name(), rows.len()))),
                "model_order" => return Ok(Arc::new(Int64Array::from(vec![m as i64 + 1; rows.len()]))),
                "weight" | "credit" => return Ok(self.model(m, name)),
                "credited_profit" => return Ok(self.model(m, "profit")),
                _ => {}
            }
        }
        match name {
            "store_id" => Ok(Arc::new(repeated(self.store, rows.len()))),
            "touch_id" => self.touch_ids(),
            "touched_at" => self.of_touch(|batch| batch.touched_at.as_ref()),
            "channel" => self.of_touch(|batch| &batch.channel),
            "source" => self.of_touch_names(|batch| batch.source.as_ref()),
            "campaign" => self.of_touch_names(|batch| batch.campaign.as_ref()),
            "position" => Ok(Arc::new(Int64Array::from(rows.position.clone()))),
            "reason" => {
                let names = rows.reason.iter().map(|&reason| self.reasons.name(reason));
                Ok(Arc::new(names.collect::<StringArray>()))
            }
            _ => match model_column(name) {
                Some((m, what)) => Ok(self.model(m, what)),
                None => Ok(take(&self.entry_column(name)?, entry, None)?),
            },
        }
    }

    /// Gathers a touch's column over the rows.
    fn of_touch(&self, column: impl Fn(&TouchBatch) -> &dyn Array) -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.touches.iter().map(|batch| column(batch)).collect();
        gather(&arrays, &self.rows.touch)
    }

    fn touch_ids(&self) -> Result<ArrayRef> {
        let ids = self.touches.iter().map(|batch| batch.id.as_ref().map(|ids| ids as &dyn Array));
        match ids.collect::<Option<Vec<_>>>() {
            Some(ids) => gather(&ids, &self.rows.touch),
            None => internal_err!("journeys: touch_id is asked for and was not read"),
        }
    }

    /// Gathers a touch's names over the rows; all null where the input does not have them.
    fn of_touch_names(&self, column: impl Fn(&TouchBatch) -> Option<&Names>) -> Result<ArrayRef> {
        if self.touches.iter().all(|batch| column(batch).is_none()) {
            return Ok(new_null_array(&DataType::Utf8, self.rows.len()));
        }
        // Only the stand-in has none where the others do.
        let no_name = new_null_array(&name_type(), 1);
        let names =
            self.touches.iter().map(|batch| column(batch).map_or(&*no_name, |names| names as &dyn Array));
        gather(&names.collect::<Vec<_>>(), &self.rows.touch)
    }

    /// Builds a column with one element an entry.
    fn entry_column(&self, name: &str) -> Result<ArrayRef> {
        let entries = &self.rows.entries;
        Ok(match name {
            "entry_id" => {
                self.of_entry(|order| &order.id, |refunds| &refunds.id, |entry| entry.refund.is_some())?
            }
            "order_id" => self.of_entry(
                |order| &order.id,
                |refunds| &refunds.order_id,
                |entry| entry.order == NO_TOUCH,
            )?,
            "paid_currency" => self.paid_currency()?,
            "currency" => match self.currency {
                None => self.paid_currency()?,
                Some(reported) => {
                    let paid = self.paid_currency()?;
                    let of_entry =
                        entries.iter().zip(paid.as_string::<i32>()).map(|(entry, paid)| {
                            match entry.exchange {
                                Some(_) => Some(reported),
                                None => paid,
                            }
                        });
                    Arc::new(of_entry.collect::<StringArray>())
                }
            },
            "paid_amount" => money(entries.iter().map(|entry| Some(entry.paid))),
            "exchange_rate" => {
                let rates = entries.iter().map(|entry| entry.exchange.map(|exchange| exchange.rate));
                Arc::new(rates.collect::<Decimal128Array>().with_data_type(RATE))
            }
            "customer_id" => {
                self.of_entry(|order| &order.customer, |refunds| &refunds.currency, |_| false)?
            }
            "ordered_at" => {
                let arrays: Vec<&dyn Array> =
                    self.orders.iter().map(|order| order.ordered_at.as_ref()).collect();
                interleave(&arrays, &entries.iter().map(|entry| entry.order).collect::<Vec<_>>())?
            }
            "entry_kind" => Arc::new(StringArray::from_iter_values(
                entries.iter().map(|entry| if entry.refund.is_some() { "refund" } else { "order" }),
            )),
            "booked_at" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(entries.iter().map(|entry| entry.booked_at))
                    .with_timezone("UTC"),
            ),
            "journey_length" => {
                Arc::new(Int64Array::from_iter_values(entries.iter().map(|entry| entry.journey_length)))
            }
            "amount" => money(entries.iter().map(|entry| Some(entry.amount))),
            "profit" => money(entries.iter().map(|entry| entry.profit)),
            _ => return internal_err!("journeys has no column {name}"),
        })
    }

    fn paid_currency(&self) -> Result<ArrayRef> {
        self.of_entry(|order| &order.currency, |refunds| &refunds.currency, |entry| entry.order == NO_TOUCH)
    }

    /// Gathers an order's column over the entries, or a refund's where the entry says so.
    fn of_entry(
        &self,
        of_order: impl Fn(&OrderBatch) -> &dyn Array,
        of_refund: impl Fn(&RefundRows) -> &dyn Array,
        is_refund: impl Fn(&Entry) -> bool,
    ) -> Result<ArrayRef> {
        let mut arrays: Vec<&dyn Array> = self.orders.iter().map(|batch| of_order(batch)).collect();
        let refund_slot = arrays.len();
        arrays.extend(self.refunds.map(of_refund));
        let place = |entry: &Entry| -> Place {
            match entry.refund {
                Some(row) if is_refund(entry) => (refund_slot, row as usize),
                _ => entry.order,
            }
        };
        gather(&arrays, &self.rows.entries.iter().map(place).collect::<Vec<_>>())
    }

    fn model(&self, m: usize, what: &str) -> ArrayRef {
        let rows = self.rows;
        let credited = NullBuffer::from(BooleanArray::from(rows.credited.clone()).values().clone());
        match what {
            "weight" => Arc::new(Float64Array::new(rows.weights[m].clone().into(), Some(credited))),
            "credit" => {
                Arc::new(Decimal128Array::new(wide(&rows.credits[m]), Some(credited)).with_data_type(MONEY))
            }
            _ => {
                let has_profit = |&entry: &u32| rows.entries[entry as usize].profit.is_some();
                let known: NullBuffer = rows.entry.iter().map(has_profit).collect::<Vec<bool>>().into();
                let nulls = NullBuffer::union(Some(&credited), Some(&known));
                Arc::new(Decimal128Array::new(wide(&rows.profits[m]), nulls).with_data_type(MONEY))
            }
        }
    }
}

fn money(amounts: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let amounts: Decimal128Array = amounts.map(|amount| amount.map(i128::from)).collect();
    Arc::new(amounts.with_data_type(MONEY))
}

fn repeated(text: &str, rows: usize) -> StringArray {
    StringArray::from_iter_values(std::iter::repeat_n(text, rows))
}

/// Amounts in the width of a decimal column.
fn wide(amounts: &[i64]) -> ScalarBuffer<i128> {
    amounts.iter().map(|&amount| i128::from(amount)).collect()
}

/// Gathers values from several arrays of one type; text comes out as plain text.
fn gather(arrays: &[&dyn Array], places: &[Place]) -> Result<ArrayRef> {
    let gathered = interleave(arrays, places)?;
    Ok(match gathered.data_type() {
        DataType::Utf8View | DataType::Dictionary(..) => cast(&gathered, &DataType::Utf8)?,
        _ => gathered,
    })
}

/// Returns the model's number and what of it a column shows.
fn model_column(name: &str) -> Option<(usize, &str)> {
    let (model, what) = name.rsplit_once('_')?;
    let m = Model::ALL.iter().position(|known| known.name() == model)?;
    matches!(what, "weight" | "credit" | "profit").then_some((m, what))
}
