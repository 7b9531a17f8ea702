//! Journeys counted by their path: the channels of their touches, in order.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{HashMap, Result, internal_err};

use super::booked_range::BookedRange;
use super::columns::{ChannelCodes, UNATTRIBUTED};
use super::held::Held;
use super::inputs::{OrderBatch, RefundRows};
use super::rows::{Entry, Reason, Shares, Sink, Wanted};
use super::totals::{MONEY_SUM, paid_currency};
use super::touch_runs::TouchRuns;
use super::touches::Place;
use super::weights::Weights;
use crate::calendar::LocalDays;

/// What stands between the channels of a path.
const ARROW: &str = " > ";
const SECOND_US: i128 = 1_000_000;
/// Bytes that a path takes beside its channels, about.
const PATH_BYTES: usize = 120;

/// Returns the columns of `journey_paths`.
pub fn paths_schema() -> SchemaRef {
    let channel = Field::new_list_field(DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("path", DataType::Utf8, false),
        Field::new("channels", DataType::List(Arc::new(channel)), false),
        Field::new("touch_count", DataType::Int64, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("conversions", DataType::Int64, false),
        Field::new("revenue", MONEY_SUM, false),
        Field::new("seconds_to_convert", DataType::Int64, false),
        Field::new("non_conversions", DataType::Int64, false),
    ]))
}

/// What is counted, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PathOptions {
    pub range: BookedRange,
    /// Whether journeys without conversion are counted too.
    pub idle: bool,
    /// The currency that converted amounts are in.
    pub currency: Option<String>,
}

/// What came of the journeys of one path, in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PathCount {
    conversions: i64,
    /// Ten-thousandths: what orders paid, less what refunds took back.
    revenue: i128,
    /// Microseconds from the first touch to the order, added.
    to_convert_us: i128,
    non_conversions: i64,
}

impl PathCount {
    fn merge(&mut self, other: PathCount) {
        self.conversions += other.conversions;
        self.revenue += other.revenue;
        self.to_convert_us += other.to_convert_us;
        self.non_conversions += other.non_conversions;
    }
}

/// Counts under construction.
#[derive(Debug)]
pub struct PathCounts {
    options: PathOptions,
    days: LocalDays,
    currencies: Vec<Option<String>>,
    paths: HashMap<Box<[u32]>, usize>,
    /// By path: the counts of each currency.
    counts: Vec<Vec<PathCount>>,
    /// Names of channels by their numbers, in lower case; known when the range has finished.
    names: Vec<String>,
    /// Bytes that the paths take.
    size: usize,
    /// The path that is being looked at.
    codes: Vec<u32>,
}

impl PathCounts {
    /// Starts at nothing.
    pub fn new(options: PathOptions) -> Self {
        Self {
            days: LocalDays::new(options.range.zone),
            options,
            // Journeys without conversion have no currency.
            currencies: vec![None],
            paths: HashMap::new(),
            counts: Vec::new(),
            names: Vec::new(),
            size: 0,
            codes: Vec::new(),
        }
    }

    /// Bytes of memory held, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Notes what the channels' numbers mean.
    pub fn finish(&mut self, codes: &ChannelCodes) {
        self.names = codes.names.iter().map(|name| name.to_lowercase()).collect();
    }

    /// Adds what another range found; both have finished.
    pub fn merge(&mut self, other: PathCounts) {
        let mut code_of: HashMap<String, u32> = HashMap::new();
        for (code, name) in (0..).zip(&self.names) {
            code_of.entry(name.clone()).or_insert(code);
        }
        let mut codes = Vec::with_capacity(other.names.len());
        for name in other.names {
            codes.push(*code_of.entry(name).or_insert_with_key(|name| {
                self.names.push(name.clone());
                self.names.len() as u32 - 1
            }));
        }
        for (path, at) in other.paths {
            self.codes.clear();
            self.codes.extend(path.iter().map(|&code| codes[code as usize]));
            for (currency, count) in other.counts[at].iter().enumerate() {
                if *count != PathCount::default() {
                    let currency = self.currency(other.currencies[currency].as_deref());
                    self.count(currency).merge(*count);
                }
            }
        }
    }

    fn currency(&mut self, currency: Option<&str>) -> usize {
        let known = self.currencies.iter().position(|name| name.as_deref() == currency);
        known.unwrap_or_else(|| {
            self.currencies.push(currency.map(str::to_owned));
            self.currencies.len() - 1
        })
    }

    /// The counts of the path that is being looked at.
    fn count(&mut self, currency: usize) -> &mut PathCount {
        let at = match self.paths.get(&*self.codes) {
            Some(&at) => at,
            None => {
                self.size += self.codes.len() * size_of::<u32>() + PATH_BYTES;
                self.paths.insert(self.codes.as_slice().into(), self.counts.len());
                self.counts.push(Vec::new());
                self.counts.len() - 1
            }
        };
        let counts = &mut self.counts[at];
        if counts.len() <= currency {
            counts.resize(currency + 1, PathCount::default());
        }
        &mut counts[currency]
    }

    /// Builds a batch of the schema's columns, ordered by path and currency.
    pub fn build(&self, schema: &SchemaRef, store: &str) -> Result<RecordBatch> {
        let mut rows: Vec<(Vec<&str>, Option<&str>, PathCount)> = Vec::new();
        for (path, &at) in &self.paths {
            let names = || path.iter().map(|&code| self.names[code as usize].as_str()).collect();
            let counts = self.counts[at].iter().enumerate();
            let found = counts.filter(|(_, count)| **count != PathCount::default());
            rows.extend(
                found.map(|(currency, count)| (names(), self.currencies[currency].as_deref(), *count)),
            );
        }
        rows.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let integers = |of: &dyn Fn(&PathCount) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| of(&row.2))))
        };
        let column = |name: &str| -> Result<ArrayRef> {
            Ok(match name {
                "store_id" => Arc::new(StringArray::from_iter_values(rows.iter().map(|_| store))),
                "path" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| match &*row.0 {
                    [] => UNATTRIBUTED.to_owned(),
                    names => names.join(ARROW),
                }))),
                "channels" => {
                    let mut lists = ListBuilder::new(StringBuilder::new());
                    for (names, ..) in &rows {
                        for name in names {
                            lists.values().append_value(name);
                        }
                        lists.append(true);
                    }
                    Arc::new(lists.finish())
                }
                "touch_count" => {
                    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0.len() as i64)))
                }
                "currency" => Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
                "conversions" => integers(&|count| count.conversions),
                "non_conversions" => integers(&|count| count.non_conversions),
                "seconds_to_convert" => integers(&|count| (count.to_convert_us / SECOND_US) as i64),
                "revenue" => {
                    let sums = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2.revenue));
                    Arc::new(sums.with_data_type(MONEY_SUM))
                }
                _ => return internal_err!("journey_paths has no column {name}"),
            })
        };
        let columns = schema.fields().iter().map(|field| column(field.name())).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// Counts what the kernel finds.
pub struct PathsSink<'a> {
    pub paths: &'a mut PathCounts,
    pub orders: &'a Held<OrderBatch>,
    pub refunds: Option<&'a RefundRows>,
    pub touches: &'a TouchRuns,
}

impl PathsSink<'_> {
    /// Counts a journey that led to no order, by its last instant.
    pub fn push_idle(&mut self, last: i64, touches: impl Iterator<Item = Place>) {
        let day = self.paths.days.day(last);
        if self.paths.options.range.contains(day) && self.take_path(touches).is_some() {
            self.paths.count(0).non_conversions += 1;
        }
    }

    /// Notes the path of some touches; returns the first one's instant.
    fn take_path(&mut self, touches: impl Iterator<Item = Place>) -> Option<i64> {
        let mut first = None;
        self.paths.codes.clear();
        for place in touches {
            let (at, code) = self.touches.instant_and_code(place);
            first = first.or(Some(at));
            self.paths.codes.push(self.touches.channels.codes.key(code as u32));
        }
        first
    }

    fn push_entry(&mut self, entry: &Entry, touches: impl Iterator<Item = Place>) {
        let day = self.paths.days.day(entry.booked_at);
        if !self.paths.options.range.contains(day) {
            return;
        }
        let first = self.take_path(touches);
        let currency = match (entry.exchange, &self.paths.options.currency) {
            (Some(_), Some(currency)) => {
                let currency = currency.clone();
                self.paths.currency(Some(&currency))
            }
            _ => self.paths.currency(paid_currency(entry, self.orders, self.refunds)),
        };
        let count = self.paths.count(currency);
        count.revenue += i128::from(entry.amount);
        if entry.refund.is_none() {
            count.conversions += 1;
            count.to_convert_us += first.map_or(0, |first| i128::from(entry.booked_at) - i128::from(first));
        }
    }
}

impl Sink for PathsSink<'_> {
    fn wanted(&self) -> Wanted {
        Wanted::default()
    }

    fn push_journey(&mut self, entry: Entry, touches: impl Iterator<Item = Place>) {
        self.push_entry(&entry, touches);
    }

    fn push_weights(&mut self, _: usize, _: usize, _: Weights<'_>) {}

    fn push_credits(&mut self, _: usize, _: usize, _: Shares<'_>) {}

    fn push_profits(&mut self, _: usize, _: usize, _: Shares<'_>) {}

    fn push_unattributed(&mut self, entry: Entry, _: Reason) {
        self.push_entry(&entry, std::iter::empty());
    }

    fn push_refused_entry(&mut self, _: Entry, _: Reason) {}

    fn push_refused_touch(&mut self, _: Place, _: Reason) {}
}
