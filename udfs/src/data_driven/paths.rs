//! Journeys grouped by path: the input of every data-driven model.

use super::error::ModelError;

/// Integers up to here are exact in an f64.
const MOST_JOURNEYS: u64 = 1 << 53;

/// One distinct path, with what came of the journeys that took it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path<'a> {
    /// The channels touched, oldest first, each below the channel count; empty for journeys without a touch.
    pub channels: &'a [u32],
    /// Journeys that took this path and converted.
    pub conversions: u64,
    /// What the conversions were worth together, in the caller's unit.
    pub value: f64,
    /// Journeys that took this path and did not convert.
    pub non_conversions: u64,
}

impl Path<'_> {
    /// Journeys that took this path.
    pub fn journeys(&self) -> u64 {
        self.conversions + self.non_conversions
    }
}

/// Distinct paths in lexicographic order of their channels.
///
/// The order and the sums depend on the multiset of what was pushed, never on the order of pushing, so that every
/// model that walks the paths in turn is deterministic to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    channel_count: usize,
    touches: Vec<u32>,
    /// Path `k` touches `touches[offsets[k]..offsets[k + 1]]`.
    offsets: Vec<usize>,
    conversions: Vec<u64>,
    values: Vec<f64>,
    non_conversions: Vec<u64>,
}

impl Paths {
    /// Starts a collection of paths over the channels `0..channel_count`.
    pub fn builder(channel_count: usize) -> PathsBuilder {
        PathsBuilder { journeys: 0, pushed: Self::empty(channel_count) }
    }

    /// Channels are numbered `0..channel_count()`; some of them may be in no path.
    pub fn channel_count(&self) -> usize {
        self.channel_count
    }

    /// The number of distinct paths.
    pub fn len(&self) -> usize {
        self.conversions.len()
    }

    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.conversions.is_empty()
    }

    /// The distinct paths, in lexicographic order of their channels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Path<'_>> + Clone {
        (0..self.len()).map(|k| self.path(k))
    }

    /// Journeys that converted.
    pub fn conversions(&self) -> u64 {
        self.conversions.iter().sum()
    }

    /// Journeys, converted or not.
    pub fn journeys(&self) -> u64 {
        self.conversions() + self.non_conversions.iter().sum::<u64>()
    }

    /// The worth of all conversions.
    #[cfg(test)]
    pub fn value(&self) -> f64 {
        self.values.iter().sum()
    }

    /// Refuses paths without a journey or without a conversion.
    pub(super) fn require_conversions(&self) -> Result<(), ModelError> {
        match (self.journeys(), self.conversions()) {
            (0, _) => Err(ModelError::NoJourneys),
            (_, 0) => Err(ModelError::NoConversions),
            _ => Ok(()),
        }
    }

    /// The same journeys grouped by the set of channels they touched: each path is ascending and without repeats.
    #[must_use]
    pub fn channel_sets(&self) -> Paths {
        let mut sets = PathsBuilder { journeys: 0, pushed: Self::empty(self.channel_count) };
        let mut set = Vec::new();
        for path in self.iter() {
            set.clear();
            set.extend_from_slice(path.channels);
            set.sort_unstable();
            set.dedup();
            sets.append(Path { channels: &set, ..path });
        }
        sets.finish()
    }

    /// Overwrites the counts with others of the same paths: `recount(k, path) -> (conversions, non_conversions)`.
    ///
    /// `original` has the same paths as `self`. A path keeps its value per conversion. Paths left without a journey
    /// stay, with counts of 0.
    pub(super) fn recount(
        &mut self,
        original: &Paths,
        mut recount: impl FnMut(usize, Path<'_>) -> (u64, u64),
    ) {
        for (k, path) in original.iter().enumerate() {
            let (conversions, non_conversions) = recount(k, path);
            if path.conversions > 0 {
                self.values[k] = path.value * (conversions as f64 / path.conversions as f64);
            }
            self.conversions[k] = conversions;
            self.non_conversions[k] = non_conversions;
        }
    }

    fn empty(channel_count: usize) -> Self {
        Self {
            channel_count,
            touches: Vec::new(),
            offsets: vec![0],
            conversions: Vec::new(),
            values: Vec::new(),
            non_conversions: Vec::new(),
        }
    }

    fn path(&self, k: usize) -> Path<'_> {
        Path {
            channels: &self.touches[self.offsets[k]..self.offsets[k + 1]],
            conversions: self.conversions[k],
            value: self.values[k],
            non_conversions: self.non_conversions[k],
        }
    }

    fn push(&mut self, path: Path<'_>) {
        self.touches.extend_from_slice(path.channels);
        self.offsets.push(self.touches.len());
        self.conversions.push(path.conversions);
        self.values.push(path.value);
        self.non_conversions.push(path.non_conversions);
    }
}

/// Collects journeys, or paths already grouped, into distinct paths.
#[derive(Debug, Clone)]
pub struct PathsBuilder {
    journeys: u64,
    pushed: Paths,
}

impl PathsBuilder {
    /// Adds journeys of one path; equal paths may come any number of times and in any order.
    ///
    /// `value` is the worth of the `conversions` together, of either sign; where there are none it is what was taken back
    /// from earlier ones. Refuses a channel that is not below the
    /// channel count, a value that is not finite, and more than 2^53 journeys.
    pub fn push(
        &mut self,
        channels: &[u32],
        conversions: u64,
        value: f64,
        non_conversions: u64,
    ) -> Result<(), ModelError> {
        let channel_count = self.pushed.channel_count;
        if let Some(&channel) = channels.iter().find(|&&channel| channel as usize >= channel_count) {
            return Err(ModelError::UnknownChannel { channel, channel_count });
        }
        if !value.is_finite() {
            return Err(ModelError::ValueNotFinite);
        }
        self.journeys = [conversions, non_conversions]
            .iter()
            .try_fold(self.journeys, |sum, &count| sum.checked_add(count))
            .filter(|&sum| sum <= MOST_JOURNEYS)
            .ok_or(ModelError::TooManyJourneys)?;
        self.append(Path { channels, conversions, value, non_conversions });
        Ok(())
    }

    /// Groups what was pushed into distinct paths.
    pub fn finish(self) -> Paths {
        let pushed = self.pushed;
        let packing = Packing::new(pushed.channel_count);
        let mut order: Vec<(u64, usize)> =
            (0..pushed.len()).map(|k| (packing.key(pushed.path(k).channels), k)).collect();
        order.sort_unstable_by_key(|&(key, _)| key);

        let mut grouped = Paths::empty(pushed.channel_count);
        let mut values = Vec::new();
        for same_key in order.chunk_by_mut(|a, b| a.0 == b.0) {
            let channels = |k: usize| pushed.path(k).channels;
            if same_key.len() > 1 {
                let tail = |k: usize| channels(k).get(packing.touches..).unwrap_or(&[]);
                same_key.sort_unstable_by(|a, b| tail(a.1).cmp(tail(b.1)));
            }
            for same in same_key.chunk_by(|a, b| channels(a.1) == channels(b.1)) {
                grouped.push(merge(&pushed, same, &mut values));
            }
        }
        grouped
    }

    fn append(&mut self, path: Path<'_>) {
        self.pushed.push(path);
    }
}

/// Adds up entries of one path. Values are added in ascending order: a sum of floats must not depend on the input's.
fn merge<'a>(pushed: &'a Paths, same: &[(u64, usize)], values: &mut Vec<f64>) -> Path<'a> {
    let mut path = pushed.path(same[0].1);
    if same.len() > 1 {
        values.clear();
        values.extend(same.iter().map(|&(_, k)| pushed.values[k]).filter(|&value| value != 0.0));
        values.sort_unstable_by(f64::total_cmp);
        path.value = values.iter().sum();
        path.conversions = same.iter().map(|&(_, k)| pushed.conversions[k]).sum();
        path.non_conversions = same.iter().map(|&(_, k)| pushed.non_conversions[k]).sum();
    }
    // `-0.0` is what an empty sum of floats is.
    path.value += 0.0;
    path
}

/// How many leading touches of a path fit into one integer, so that most comparisons of a sort are of integers.
struct Packing {
    bits: u32,
    touches: usize,
}

impl Packing {
    /// A touch is its channel + 1, so that a path sorts before its own extensions, as slices do.
    fn new(channel_count: usize) -> Self {
        let bits = (usize::BITS - channel_count.leading_zeros()).clamp(1, 33);
        Self { bits, touches: (u64::BITS / bits) as usize }
    }

    fn key(&self, channels: &[u32]) -> u64 {
        let packed = channels.iter().take(self.touches);
        let missing = self.touches - packed.len();
        let key = packed.fold(0, |key, &channel| (key << self.bits) | (u64::from(channel) + 1));
        // Two steps: a single shift by 64 bits would be refused.
        (0..missing).fold(key, |key, _| key << self.bits)
    }
}

#[cfg(test)]
#[path = "paths_tests.rs"]
mod tests;
