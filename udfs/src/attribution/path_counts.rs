//! Journeys counted by their path, or by the links of their paths: what one range of customers finds.

use super::booked_range::BookedRange;
use super::columns::ChannelCodes;
use super::path_table::PathTable;
use crate::calendar::LocalDays;

/// Stands for the beginning of a journey among the numbers of channels.
pub const START: u32 = u32::MAX;
/// Stands for an order at a journey's end.
pub const CONVERSION: u32 = u32::MAX - 1;
/// Stands for the end of a journey without order.
pub const NO_CONVERSION: u32 = u32::MAX - 2;

/// What journeys are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathGrain {
    /// The channels of their touches, in order.
    Path,
    /// Each step from one touch to the next; `by_step` tells the first step from the second.
    Link { by_step: bool },
}

/// What is counted, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PathOptions {
    pub grain: PathGrain,
    pub range: BookedRange,
    /// Whether journeys without conversion are counted too.
    pub idle: bool,
    /// The currency that converted amounts are in.
    pub currency: Option<String>,
}

/// What came of the journeys of one path or link, in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathCount {
    pub conversions: i64,
    /// Ten-thousandths: what orders paid, less what refunds took back.
    pub revenue: i128,
    /// Microseconds from the first touch to the order, added.
    pub to_convert_us: i128,
    pub non_conversions: i64,
}

impl PathCount {
    pub fn merge(&mut self, other: PathCount) {
        self.conversions += other.conversions;
        self.revenue += other.revenue;
        self.to_convert_us += other.to_convert_us;
        self.non_conversions += other.non_conversions;
    }
}

/// Counts under construction.
#[derive(Debug)]
pub struct PathCounts {
    pub options: PathOptions,
    pub days: LocalDays,
    currencies: Vec<Option<String>>,
    /// A currency's number, then the numbers of the channels; of a link its step, its source and its target.
    pub keys: PathTable,
    /// By key.
    pub counts: Vec<PathCount>,
    /// Names of channels by their numbers, in lower case; known when the range has finished.
    pub names: Vec<String>,
    /// The key of the path that is being looked at.
    key: Vec<u32>,
}

impl PathCounts {
    /// Starts at nothing.
    pub fn new(options: PathOptions) -> Self {
        Self {
            days: LocalDays::new(options.range.zone),
            options,
            // Journeys without conversion have no currency.
            currencies: vec![None],
            keys: PathTable::default(),
            counts: Vec::new(),
            names: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.keys.size() + self.counts.capacity() * size_of::<PathCount>()
    }

    /// Notes what the channels' numbers mean.
    pub fn finish(&mut self, codes: &ChannelCodes) {
        self.names = codes.names.iter().map(|name| name.to_lowercase()).collect();
    }

    /// The number of a currency.
    pub fn currency(&mut self, currency: Option<&str>) -> u32 {
        let known = self.currencies.iter().position(|name| name.as_deref() == currency);
        let at = known.unwrap_or_else(|| {
            self.currencies.push(currency.map(str::to_owned));
            self.currencies.len() - 1
        });
        at as u32
    }

    /// The currency of a key.
    pub fn currency_of(&self, place: usize) -> Option<&str> {
        self.currencies[self.keys.get(place)[0] as usize].as_deref()
    }

    /// Begins with a journey.
    pub fn begin_path(&mut self) {
        self.key.clear();
        self.key.push(0);
    }

    /// Adds a touch to the journey, by the number of its channel.
    pub fn push_touch(&mut self, code: u32) {
        self.key.push(code);
    }

    /// Counts the journey, and forgets it.
    pub fn count_path(&mut self, currency: u32, found: PathCount) {
        let mut key = std::mem::take(&mut self.key);
        match self.options.grain {
            PathGrain::Path => {
                key[0] = currency;
                self.count(&key, found);
            }
            PathGrain::Link { by_step } => {
                let is_idle = found.non_conversions > 0;
                let mut source = START;
                let end = if is_idle { NO_CONVERSION } else { CONVERSION };
                for (step, &target) in (0..).zip(key[1..].iter().chain(&[end])) {
                    self.count(&[currency, if by_step { step } else { 0 }, source, target], found);
                    source = target;
                }
            }
        }
        self.key = key;
    }

    fn count(&mut self, key: &[u32], found: PathCount) {
        let place = self.keys.place(key);
        if place == self.counts.len() {
            self.counts.push(PathCount::default());
        }
        self.counts[place].merge(found);
    }
}
