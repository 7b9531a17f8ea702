//! Credits added up by day, channel and currency, without ever becoming rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use chrono_tz::Tz;
use datafusion::common::{HashMap, Result, internal_err};

use super::columns::{ChannelCodes, instant_type, name_of};
use super::held::Held;
use super::inputs::{OrderBatch, RefundRows};
use super::rows::{Entry, NO_TOUCH, Reason, Shares, Sink, Wanted};
use super::touch_runs::TouchRuns;
use super::touches::Place;
use super::weights::{Model, Weights};
use crate::calendar::LocalDays;

/// The type of added money.
pub const MONEY_SUM: DataType = DataType::Decimal128(38, 4);
/// The type of added weights: their fifteenth digit is the last that a float has.
pub const WEIGHT_SUM: DataType = DataType::Decimal128(38, 15);
const WEIGHT_ONE: f64 = 1e15;
const DAY_US: i64 = 86_400_000_000;

/// Returns the columns of `journey_totals`.
pub fn totals_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("date", DataType::Date32, false),
        Field::new("channel", DataType::Utf8, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("first_touched_at", instant_type(), true),
        Field::new("row_count", DataType::Int64, false),
        Field::new("profit_row_count", DataType::Int64, false),
    ];
    for model in Model::ALL {
        fields.push(Field::new(format!("{}_conversions", model.name()), WEIGHT_SUM, false));
        fields.push(Field::new(format!("{}_credit", model.name()), MONEY_SUM, false));
        fields.push(Field::new(format!("{}_profit", model.name()), MONEY_SUM, false));
    }
    Arc::new(Schema::new(fields))
}

/// Returns which models' columns a schema of totals has.
pub fn wanted_totals(schema: &Schema) -> Wanted {
    let has = |model: Model, what: &str| schema.index_of(&format!("{}_{what}", model.name())).is_ok();
    Wanted {
        weights: Model::ALL.map(|model| has(model, "conversions")),
        credits: Model::ALL.map(|model| has(model, "credit")),
        profits: Model::ALL.map(|model| has(model, "profit")),
    }
}

/// Which entries are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TotalsRange {
    /// The zone in which days begin.
    pub zone: Tz,
    /// Days since 1970: the first, and the one after the last.
    pub days: (i32, i32),
}

impl TotalsRange {
    /// Instants between which all entries of the range were booked; none where it is without end on both sides.
    pub fn booked_us(&self) -> Option<(i64, i64)> {
        // A local day begins and ends less than a day away from the UTC day of its date.
        let (start, end) = self.days;
        let from = if start == i32::MIN { i64::MIN } else { (i64::from(start) - 1).saturating_mul(DAY_US) };
        let to = if end == i32::MAX { i64::MAX } else { (i64::from(end) + 1).saturating_mul(DAY_US) };
        ((from, to) != (i64::MIN, i64::MAX)).then_some((from, to))
    }
}

/// The sums of one day, channel and currency.
#[derive(Debug, Clone, Copy)]
struct Total {
    row_count: i64,
    profit_row_count: i64,
    first_touched_at: i64,
    weights: [i128; 5],
    credits: [i128; 5],
    profits: [i128; 5],
}

const NOTHING: Total = Total {
    row_count: 0,
    profit_row_count: 0,
    first_touched_at: i64::MAX,
    weights: [0; 5],
    credits: [0; 5],
    profits: [0; 5],
};

/// Sums under construction.
pub struct Totals {
    store: String,
    range: TotalsRange,
    /// Days are told apart, or only looked at.
    by_day: bool,
    days: LocalDays,
    currencies: Vec<Option<String>>,
    /// By day and currency: the sums of each channel, by its number.
    groups: HashMap<(i32, usize), usize>,
    sums: Vec<Vec<Total>>,
    /// The last entry: the place of its sums, and the numbers of its touches' channels. None where it is outside the range.
    current: Option<usize>,
    is_order: bool,
    codes: Vec<usize>,
}

impl Totals {
    /// Starts at nothing; sums are by day where the schema has a date.
    pub fn new(store: String, range: TotalsRange, schema: &Schema) -> Self {
        let days = LocalDays::new(range.zone);
        Self {
            store,
            range,
            by_day: schema.index_of("date").is_ok(),
            days,
            currencies: Vec::new(),
            groups: HashMap::new(),
            sums: Vec::new(),
            current: None,
            is_order: false,
            codes: Vec::new(),
        }
    }

    /// The place of an entry's sums; none where it was booked outside the range.
    fn group(
        &mut self,
        entry: &Entry,
        orders: &Held<OrderBatch>,
        refunds: Option<&RefundRows>,
    ) -> Option<usize> {
        let day = self.days.day(entry.booked_at);
        if !(self.range.days.0..self.range.days.1).contains(&day) {
            return None;
        }
        let day = if self.by_day { day } else { 0 };
        let currency = match (entry.refund, refunds) {
            (Some(row), Some(refunds)) if entry.order == NO_TOUCH => name_of(&refunds.currency, row as usize),
            _ => name_of(&orders[entry.order.0].currency, entry.order.1),
        };
        let known = self.currencies.iter().position(|name| name.as_deref() == currency);
        let currency = known.unwrap_or_else(|| {
            self.currencies.push(currency.map(str::to_owned));
            self.currencies.len() - 1
        });
        let sums = &mut self.sums;
        Some(*self.groups.entry((day, currency)).or_insert_with(|| {
            sums.push(Vec::new());
            sums.len() - 1
        }))
    }

    /// Builds a batch of the schema's columns, ordered by day, currency and channel.
    pub fn build(self, schema: &SchemaRef, codes: &ChannelCodes) -> Result<RecordBatch> {
        let mut found: Vec<(i32, usize, usize, &Total)> = Vec::new();
        for (&(day, currency), &group) in &self.groups {
            let totals = self.sums[group].iter().enumerate().filter(|(_, total)| total.row_count > 0);
            found.extend(totals.map(|(code, total)| (day, currency, code, total)));
        }
        found.sort_by_key(|&(day, currency, code, _)| (day, &self.currencies[currency], &codes.names[code]));
        let columns = schema
            .fields()
            .iter()
            .map(|field| -> Result<ArrayRef> {
                let rows = found.iter();
                Ok(match field.name().as_str() {
                    "store_id" => Arc::new(StringArray::from_iter_values(rows.map(|_| self.store.as_str()))),
                    "date" => Arc::new(Date32Array::from_iter_values(rows.map(|row| row.0))),
                    "channel" => {
                        Arc::new(StringArray::from_iter_values(rows.map(|row| codes.names[row.2].as_str())))
                    }
                    "currency" => {
                        Arc::new(rows.map(|row| self.currencies[row.1].as_deref()).collect::<StringArray>())
                    }
                    "first_touched_at" => {
                        let instants =
                            rows.map(|row| Some(row.3.first_touched_at).filter(|at| *at != i64::MAX));
                        Arc::new(instants.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
                    }
                    "row_count" => Arc::new(Int64Array::from_iter_values(rows.map(|row| row.3.row_count))),
                    "profit_row_count" => {
                        Arc::new(Int64Array::from_iter_values(rows.map(|row| row.3.profit_row_count)))
                    }
                    name => model_column(name, rows.map(|row| row.3))?,
                })
            })
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// Adds what the kernel finds out to the totals.
pub struct TotalsSink<'a> {
    pub totals: &'a mut Totals,
    pub wanted: Wanted,
    pub orders: &'a Held<OrderBatch>,
    pub refunds: Option<&'a RefundRows>,
    pub touches: &'a TouchRuns,
}

impl TotalsSink<'_> {
    /// Starts an entry.
    fn begin(&mut self, entry: &Entry) {
        self.totals.current = self.totals.group(entry, self.orders, self.refunds);
        self.totals.is_order = entry.refund.is_none();
        self.totals.codes.clear();
    }

    /// Counts a touch of the entry.
    fn count(&mut self, at: i64, code: usize, has_profit: bool) {
        let Totals { sums, current: Some(group), codes, .. } = &mut *self.totals else { return };
        let sums = &mut sums[*group];
        if sums.len() <= code {
            sums.resize(code + 1, NOTHING);
        }
        let total = &mut sums[code];
        total.row_count += 1;
        total.profit_row_count += i64::from(has_profit);
        total.first_touched_at = total.first_touched_at.min(at);
        codes.push(code);
    }

    fn add(&mut self, shares: Shares<'_>, of: impl Fn(&mut Total) -> &mut i128) {
        let Totals { sums, current: Some(group), codes, .. } = &mut *self.totals else { return };
        let sums = &mut sums[*group];
        match shares {
            Shares::One { at, amount } => *of(&mut sums[codes[at]]) += i128::from(amount),
            Shares::Each(amounts) => {
                for (&code, &amount) in codes.iter().zip(amounts) {
                    *of(&mut sums[code]) += i128::from(amount);
                }
            }
        }
    }
}

impl Sink for TotalsSink<'_> {
    fn wanted(&self) -> Wanted {
        self.wanted
    }

    fn push_journey(&mut self, entry: Entry, touches: impl Iterator<Item = Place>) {
        self.begin(&entry);
        if self.totals.current.is_none() {
            return;
        }
        let has_profit = entry.profit.is_some();
        for place in touches {
            let (at, code) = self.touches.instant_and_code(place);
            self.count(at, code, has_profit);
        }
    }

    /// A refund takes money back, not the conversion.
    fn push_weights(&mut self, m: usize, n: usize, weights: Weights<'_>) {
        let Totals { sums, current: Some(group), codes, is_order: true, .. } = &mut *self.totals else {
            return;
        };
        let sums = &mut sums[*group];
        match weights {
            Weights::OneHot(at) => sums[codes[at]].weights[m] += weight_sum(1.0),
            Weights::Equal => {
                let each = weight_sum(1.0 / n as f64);
                for &code in codes.iter() {
                    sums[code].weights[m] += each;
                }
            }
            Weights::Integers(weights, sum) => {
                for (&code, &weight) in codes.iter().zip(weights) {
                    sums[code].weights[m] += weight_sum(weight as f64 / sum as f64);
                }
            }
        }
    }

    fn push_credits(&mut self, m: usize, _: usize, shares: Shares<'_>) {
        self.add(shares, |total| &mut total.credits[m]);
    }

    fn push_profits(&mut self, m: usize, _: usize, shares: Shares<'_>) {
        self.add(shares, |total| &mut total.profits[m]);
    }

    fn push_unattributed(&mut self, entry: Entry, _: Reason) {
        self.begin(&entry);
        self.count(i64::MAX, 0, entry.profit.is_some());
        for m in 0..Model::ALL.len() {
            self.push_weights(m, 1, Weights::OneHot(0));
            self.push_credits(m, 1, Shares::One { at: 0, amount: entry.amount });
            self.push_profits(m, 1, Shares::One { at: 0, amount: entry.profit.unwrap_or(0) });
        }
    }

    fn push_refused_entry(&mut self, _: Entry, _: Reason) {}

    fn push_refused_touch(&mut self, _: Place, _: Reason) {}
}

/// A weight in units of its sum.
fn weight_sum(weight: f64) -> i128 {
    (weight * WEIGHT_ONE).round() as i128
}

fn model_column<'a>(name: &str, totals: impl Iterator<Item = &'a Total>) -> Result<ArrayRef> {
    for (m, model) in Model::ALL.into_iter().enumerate() {
        let column = match name.strip_prefix(model.name()) {
            Some("_conversions") => decimals(totals.map(|total| total.weights[m]), WEIGHT_SUM),
            Some("_credit") => decimals(totals.map(|total| total.credits[m]), MONEY_SUM),
            Some("_profit") => decimals(totals.map(|total| total.profits[m]), MONEY_SUM),
            _ => continue,
        };
        return Ok(column);
    }
    internal_err!("journey_totals has no column {name}")
}

fn decimals(values: impl Iterator<Item = i128>, data_type: DataType) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter_values(values).with_data_type(data_type))
}
