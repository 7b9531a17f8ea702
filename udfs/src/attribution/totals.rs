//! Credits added up by day, channel and currency, without ever becoming rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{HashMap, Result, internal_err};

use super::booked_range::BookedRange;
use super::columns::{ChannelCodes, instant_type, name_of};
use super::held::Held;
use super::inputs::{OrderBatch, RefundRows};
use super::model::{MODEL_COUNT, Model};
use super::rows::{Entry, NO_TOUCH, Wanted};
use crate::calendar::LocalDays;

/// The type of added money.
pub const MONEY_SUM: DataType = DataType::Decimal128(38, 4);
/// The type of added weights: their fifteenth digit is the last that a float has.
pub const WEIGHT_SUM: DataType = DataType::Decimal128(38, 15);

/// Returns the columns of `journey_totals`.
pub fn totals_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("date", DataType::Date32, false),
        Field::new("channel", DataType::Utf8, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("model", DataType::Utf8, false),
        Field::new("model_order", DataType::Int64, false),
        Field::new("first_touched_at", instant_type(), true),
        Field::new("row_count", DataType::Int64, false),
        Field::new("profit_row_count", DataType::Int64, false),
        Field::new("conversions", WEIGHT_SUM, false),
        Field::new("credit", MONEY_SUM, false),
        Field::new("profit", MONEY_SUM, false),
    ]))
}

/// Returns what to compute for a schema of totals, of some models.
pub fn wanted_totals(schema: &Schema, models: &[Model]) -> Wanted {
    let of_models = |column: &str| {
        let is_wanted = schema.index_of(column).is_ok();
        Model::ALL.map(|model| is_wanted && models.contains(&model))
    };
    Wanted { weights: of_models("conversions"), credits: of_models("credit"), profits: of_models("profit") }
}

/// The sums of one day, channel and currency, with the models by their numbers.
#[derive(Debug, Clone, Copy)]
pub struct Total {
    pub row_count: i64,
    pub profit_row_count: i64,
    pub first_touched_at: i64,
    pub weights: [i128; MODEL_COUNT],
    pub credits: [i128; MODEL_COUNT],
    pub profits: [i128; MODEL_COUNT],
}

const NOTHING: Total = Total {
    row_count: 0,
    profit_row_count: 0,
    first_touched_at: i64::MAX,
    weights: [0; MODEL_COUNT],
    credits: [0; MODEL_COUNT],
    profits: [0; MODEL_COUNT],
};

impl Total {
    fn merge(&mut self, other: &Total) {
        self.row_count += other.row_count;
        self.profit_row_count += other.profit_row_count;
        self.first_touched_at = self.first_touched_at.min(other.first_touched_at);
        for m in 0..MODEL_COUNT {
            self.weights[m] += other.weights[m];
            self.credits[m] += other.credits[m];
            self.profits[m] += other.profits[m];
        }
    }
}

/// What is added up, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TotalsOptions {
    pub range: BookedRange,
    /// The models that there are rows of, in the order of their numbers.
    pub models: Vec<Model>,
    /// Whether days are told apart, or only looked at.
    pub by_day: bool,
    /// The currency that converted amounts are in.
    pub currency: Option<String>,
}

/// Sums under construction.
#[derive(Debug)]
pub struct Totals {
    options: TotalsOptions,
    days: LocalDays,
    currencies: Vec<Option<String>>,
    /// By day and currency: the sums of each channel, by its number.
    groups: HashMap<(i32, usize), usize>,
    pub sums: Vec<Vec<Total>>,
    /// The channels of those numbers; known when the range has finished.
    names: Vec<String>,
    /// The last entry: the place of its sums, and the numbers of its touches' channels. None where it is outside the range.
    pub current: Option<usize>,
    pub is_order: bool,
    pub codes: Vec<usize>,
}

impl Totals {
    /// Starts at nothing.
    pub fn new(options: TotalsOptions) -> Self {
        Self {
            days: LocalDays::new(options.range.zone),
            options,
            currencies: Vec::new(),
            groups: HashMap::new(),
            sums: Vec::new(),
            names: Vec::new(),
            current: None,
            is_order: false,
            codes: Vec::new(),
        }
    }

    /// Notes what the channels' numbers mean.
    pub fn finish(&mut self, codes: &ChannelCodes) {
        self.names.clone_from(&codes.names);
    }

    /// Adds what another range found; both have finished.
    pub fn merge(&mut self, other: Totals) {
        let mut code_of: HashMap<String, usize> = self.names.iter().cloned().zip(0..).collect();
        let codes: Vec<usize> = other
            .names
            .into_iter()
            .map(|name| {
                *code_of.entry(name).or_insert_with_key(|name| {
                    self.names.push(name.clone());
                    self.names.len() - 1
                })
            })
            .collect();
        for ((day, currency), group) in other.groups {
            let currency = other.currencies[currency].as_deref();
            let own = self.group(day, currency);
            for (code, total) in other.sums[group].iter().enumerate().filter(|(_, total)| total.row_count > 0)
            {
                total_of(&mut self.sums[own], codes[code]).merge(total);
            }
        }
    }

    /// The place of the sums of a day and currency.
    fn group(&mut self, day: i32, currency: Option<&str>) -> usize {
        let known = self.currencies.iter().position(|name| name.as_deref() == currency);
        let currency = known.unwrap_or_else(|| {
            self.currencies.push(currency.map(str::to_owned));
            self.currencies.len() - 1
        });
        let sums = &mut self.sums;
        *self.groups.entry((day, currency)).or_insert_with(|| {
            sums.push(Vec::new());
            sums.len() - 1
        })
    }

    /// The place of an entry's sums; none where it was booked outside the range.
    pub fn group_of(
        &mut self,
        entry: &Entry,
        orders: &Held<OrderBatch>,
        refunds: Option<&RefundRows>,
    ) -> Option<usize> {
        let day = self.days.day(entry.booked_at);
        if !self.options.range.contains(day) {
            return None;
        }
        let day = if self.options.by_day { day } else { 0 };
        if entry.exchange.is_some() {
            let currency = self.options.currency.clone();
            return Some(self.group(day, currency.as_deref()));
        }
        Some(self.group(day, paid_currency(entry, orders, refunds)))
    }

    /// Builds a batch of the schema's columns, ordered by day, currency, channel and model.
    pub fn build(&self, schema: &SchemaRef, store: &str) -> Result<RecordBatch> {
        let mut found: Vec<(i32, usize, usize, &Total)> = Vec::new();
        for (&(day, currency), &group) in &self.groups {
            let totals = self.sums[group].iter().enumerate().filter(|(_, total)| total.row_count > 0);
            found.extend(totals.map(|(code, total)| (day, currency, code, total)));
        }
        found.sort_by_key(|&(day, currency, code, _)| (day, &self.currencies[currency], &self.names[code]));
        let models = &self.options.models;
        let rows: Vec<_> = found
            .into_iter()
            .flat_map(|row| models.iter().map(move |model| (row, *model as usize)))
            .collect();
        let column = |name: &str| -> Result<ArrayRef> {
            let totals = rows.iter().map(|((_, _, _, total), m)| (total, *m));
            Ok(match name {
                "store_id" => Arc::new(StringArray::from_iter_values(rows.iter().map(|_| store))),
                "date" => Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.0.0))),
                "channel" => {
                    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &self.names[row.0.2])))
                }
                "currency" => Arc::new(
                    rows.iter().map(|row| self.currencies[row.0.1].as_deref()).collect::<StringArray>(),
                ),
                "model" => {
                    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| Model::ALL[row.1].name())))
                }
                "model_order" => {
                    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1 as i64 + 1)))
                }
                "first_touched_at" => {
                    let instants =
                        totals.map(|(total, _)| Some(total.first_touched_at).filter(|at| *at != i64::MAX));
                    Arc::new(instants.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
                }
                "row_count" => {
                    Arc::new(Int64Array::from_iter_values(totals.map(|(total, _)| total.row_count)))
                }
                "profit_row_count" => {
                    Arc::new(Int64Array::from_iter_values(totals.map(|(total, _)| total.profit_row_count)))
                }
                "conversions" => decimals(totals.map(|(total, m)| total.weights[m]), WEIGHT_SUM),
                "credit" => decimals(totals.map(|(total, m)| total.credits[m]), MONEY_SUM),
                "profit" => decimals(totals.map(|(total, m)| total.profits[m]), MONEY_SUM),
                _ => return internal_err!("journey_totals has no column {name}"),
            })
        };
        let columns = schema.fields().iter().map(|field| column(field.name())).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// The currency that an entry was paid in.
pub fn paid_currency<'a>(
    entry: &Entry,
    orders: &'a Held<OrderBatch>,
    refunds: Option<&'a RefundRows>,
) -> Option<&'a str> {
    match (entry.refund, refunds) {
        (Some(row), Some(refunds)) if entry.order == NO_TOUCH => name_of(&refunds.currency, row as usize),
        _ => name_of(&orders[entry.order.0].currency, entry.order.1),
    }
}

pub fn total_of(sums: &mut Vec<Total>, code: usize) -> &mut Total {
    if sums.len() <= code {
        sums.resize(code + 1, NOTHING);
    }
    &mut sums[code]
}

fn decimals(values: impl Iterator<Item = i128>, data_type: DataType) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter_values(values).with_data_type(data_type))
}
