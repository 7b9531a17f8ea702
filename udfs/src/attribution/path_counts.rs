//! Journeys counted by their path: the channels of their touches, in order.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{HashMap, Result, internal_err};

use super::booked_range::BookedRange;
use super::columns::{ChannelCodes, UNATTRIBUTED};
use super::held::Held;
use super::inputs::{OrderBatch, RefundRows};
use super::path_table::PathTable;
use super::rows::{Entry, Reason, Shares, Sink, Wanted};
use super::totals::{MONEY_SUM, paid_currency};
use super::touch_runs::TouchRuns;
use super::touches::Place;
use super::weights::Weights;
use crate::calendar::LocalDays;

/// What stands between the channels of a path.
const ARROW: &str = " > ";
const SECOND_US: i128 = 1_000_000;

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
    /// A currency's number, then the numbers of the channels.
    paths: PathTable,
    /// By path and currency.
    counts: Vec<PathCount>,
    /// Names of channels by their numbers, in lower case; known when the range has finished.
    names: Vec<String>,
    /// The path that is being looked at, after room for a currency.
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
            paths: PathTable::default(),
            counts: Vec::new(),
            names: Vec::new(),
            codes: vec![0],
        }
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.paths.size() + self.counts.capacity() * size_of::<PathCount>()
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
        let currencies: Vec<u32> =
            other.currencies.iter().map(|currency| self.currency(currency.as_deref())).collect();
        for (place, count) in other.counts.iter().enumerate() {
            let [currency, path @ ..] = other.paths.get(place) else { continue };
            self.begin_path();
            self.codes.extend(path.iter().map(|&code| codes[code as usize]));
            self.count(currencies[*currency as usize]).merge(*count);
        }
    }

    fn begin_path(&mut self) {
        self.codes.truncate(1);
    }

    fn currency(&mut self, currency: Option<&str>) -> u32 {
        let known = self.currencies.iter().position(|name| name.as_deref() == currency);
        let at = known.unwrap_or_else(|| {
            self.currencies.push(currency.map(str::to_owned));
            self.currencies.len() - 1
        });
        at as u32
    }

    /// The counts of the path that is being looked at.
    fn count(&mut self, currency: u32) -> &mut PathCount {
        self.codes[0] = currency;
        let place = self.paths.place(&self.codes);
        if place == self.counts.len() {
            self.counts.push(PathCount::default());
        }
        &mut self.counts[place]
    }

    /// The places of what was counted, by the names of the channels and of the currency.
    fn sorted(&self) -> Vec<usize> {
        let mut names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        // One more than a name's place: 0 is the end of a path.
        let rank = |name: &String| names.binary_search(&name.as_str()).map_or(0, |at| at as u32 + 1);
        let ranks: Vec<u32> = self.names.iter().map(rank).collect();
        let rank_bits = usize::BITS - names.len().leading_zeros();
        // As many of a path's first ranks as there is room for decide most comparisons at once.
        let rank_count = u128::BITS / rank_bits.max(1);
        let of_path = |place: usize| self.paths.get(place)[1..].iter().map(|&code| ranks[code as usize]);
        let first_ranks = |place: usize| {
            let ranks = of_path(place).chain(std::iter::repeat(0)).take(rank_count as usize);
            ranks.fold(0_u128, |key, rank| key << rank_bits | u128::from(rank))
        };
        let is_counted = |place: &usize| self.counts[*place] != PathCount::default();
        let places = (0..self.counts.len()).filter(is_counted);
        let mut keyed: Vec<(u128, usize)> = places.map(|place| (first_ranks(place), place)).collect();
        keyed.sort_unstable_by(|(a_key, a), (b_key, b)| {
            a_key
                .cmp(b_key)
                .then_with(|| of_path(*a).cmp(of_path(*b)))
                .then_with(|| self.currency_of(*a).cmp(&self.currency_of(*b)))
        });
        keyed.into_iter().map(|(_, place)| place).collect()
    }

    fn currency_of(&self, place: usize) -> Option<&str> {
        self.currencies[self.paths.get(place)[0] as usize].as_deref()
    }

    /// Builds a batch of the schema's columns, ordered by path and currency.
    pub fn build(&self, schema: &SchemaRef, store: &str) -> Result<RecordBatch> {
        let places = self.sorted();
        let names =
            |place: usize| self.paths.get(place)[1..].iter().map(|&code| self.names[code as usize].as_str());
        let integers = |of: &dyn Fn(&PathCount) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(places.iter().map(|&place| of(&self.counts[place]))))
        };
        let column = |name: &str| -> Result<ArrayRef> {
            Ok(match name {
                "store_id" => Arc::new(StringArray::from_iter_values(places.iter().map(|_| store))),
                "path" => {
                    let mut paths = StringBuilder::new();
                    for &place in &places {
                        let mut text = names(place);
                        // Appending never fails.
                        let _ = paths.write_str(text.next().unwrap_or(UNATTRIBUTED));
                        for name in text {
                            let _ = paths.write_str(ARROW).and_then(|()| paths.write_str(name));
                        }
                        paths.append_value("");
                    }
                    Arc::new(paths.finish())
                }
                "channels" => {
                    let mut lists = ListBuilder::new(StringBuilder::new());
                    for &place in &places {
                        names(place).for_each(|name| lists.values().append_value(name));
                        lists.append(true);
                    }
                    Arc::new(lists.finish())
                }
                "touch_count" => {
                    let counts = places.iter().map(|&place| names(place).len() as i64);
                    Arc::new(Int64Array::from_iter_values(counts))
                }
                "currency" => {
                    Arc::new(places.iter().map(|&place| self.currency_of(place)).collect::<StringArray>())
                }
                "conversions" => integers(&|count| count.conversions),
                "non_conversions" => integers(&|count| count.non_conversions),
                "seconds_to_convert" => integers(&|count| (count.to_convert_us / SECOND_US) as i64),
                "revenue" => {
                    let sums = places.iter().map(|&place| self.counts[place].revenue);
                    Arc::new(Decimal128Array::from_iter_values(sums).with_data_type(MONEY_SUM))
                }
                _ => return internal_err!("journey_paths has no column {name}"),
            })
        };
        let columns = schema.fields().iter().map(|field| column(field.name())).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
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
        self.paths.begin_path();
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
