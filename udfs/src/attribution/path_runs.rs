//! Counted paths of all ranges of customers, merged in the order of their names, a batch at a time.

use std::cmp::Ordering;
use std::iter::repeat;

use super::path_counts::{CONVERSION, NO_CONVERSION, PathCount, PathCounts, PathGrain, START};

const START_NAME: &str = "(start)";
const CONVERSION_NAME: &str = "(conversion)";
const NO_CONVERSION_NAME: &str = "(no conversion)";

/// The name that a channel's number stands for.
pub fn name_of_code(names: &[String], code: u32) -> &str {
    match code {
        START => START_NAME,
        CONVERSION => CONVERSION_NAME,
        NO_CONVERSION => NO_CONVERSION_NAME,
        code => &names[code as usize],
    }
}

/// What one range counted, sorted: by a path's names or a link's step and names, then by currency.
#[derive(Debug)]
pub struct SortedPaths {
    pub counts: PathCounts,
    /// Where each path is, behind as many of its first ranks as there is room for: they decide most comparisons.
    sorted: Vec<(u128, usize)>,
    /// Those before this one were taken.
    next: usize,
    ranks: Ranks,
}

/// Numbers of channels in the order of their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ranks {
    /// By a channel's number: one more than its name's place, since 0 is the end of a path.
    of_channels: Vec<u32>,
    of_start: u32,
    of_conversion: u32,
    of_no_conversion: u32,
    count: usize,
}

impl Ranks {
    /// Ranks the names of some channels among all names.
    fn new(names: &[String], all: &[&str]) -> Self {
        let rank = |name: &str| all.binary_search(&name).map_or(0, |at| at as u32 + 1);
        Self {
            of_channels: names.iter().map(|name| rank(name)).collect(),
            of_start: rank(START_NAME),
            of_conversion: rank(CONVERSION_NAME),
            of_no_conversion: rank(NO_CONVERSION_NAME),
            count: all.len(),
        }
    }

    fn rank(&self, code: u32) -> u32 {
        match code {
            START => self.of_start,
            CONVERSION => self.of_conversion,
            NO_CONVERSION => self.of_no_conversion,
            code => self.of_channels[code as usize],
        }
    }
}

/// All names that several ranges know, sorted, each once.
fn all_names<'a>(ranges: impl Iterator<Item = &'a PathCounts>) -> Vec<&'a str> {
    let mut names = vec![START_NAME, CONVERSION_NAME, NO_CONVERSION_NAME];
    names.extend(ranges.flat_map(|counts| counts.names.iter().map(String::as_str)));
    names.sort_unstable();
    names.dedup();
    names
}

impl SortedPaths {
    /// Sorts what a range that has finished counted.
    pub fn new(counts: PathCounts) -> Self {
        let ranks = Ranks::new(&counts.names, &all_names(std::iter::once(&counts)));
        let mut paths = Self { sorted: Vec::new(), counts, next: 0, ranks };
        let mut sorted: Vec<_> =
            (0..paths.counts.keys.len()).map(|place| (paths.first_ranks(place), place)).collect();
        sorted.sort_unstable_by(|a, b| paths.compare(*a, &paths, *b));
        paths.sorted = sorted;
        paths
    }

    /// Takes other ranks of the same names in the same order.
    fn rank(&mut self, ranks: Ranks) {
        if self.ranks == ranks {
            return;
        }
        self.ranks = ranks;
        let mut sorted = std::mem::take(&mut self.sorted);
        for (first_ranks, place) in &mut sorted {
            *first_ranks = self.first_ranks(*place);
        }
        self.sorted = sorted;
    }

    /// As many of a path's first ranks as there is room for. A link has none: its step is not a rank, and links are few.
    fn first_ranks(&self, place: usize) -> u128 {
        if self.counts.options.grain != PathGrain::Path {
            return 0;
        }
        let rank_bits = usize::BITS - self.ranks.count.leading_zeros();
        let ranks = self.ranks_of(place).chain(repeat(0)).take((u128::BITS / rank_bits) as usize);
        ranks.fold(0, |first_ranks, rank| first_ranks << rank_bits | u128::from(rank))
    }

    /// What a key is sorted by, but for its currency.
    fn ranks_of(&self, place: usize) -> impl Iterator<Item = u32> {
        let (step, codes) = match (self.counts.options.grain, self.counts.keys.get(place)) {
            (PathGrain::Path, [_, codes @ ..]) => (None, codes),
            (PathGrain::Link { .. }, [_, step, codes @ ..]) => (Some(*step), codes),
            (_, _) => (None, &[][..]),
        };
        step.into_iter().chain(codes.iter().map(|&code| self.ranks.rank(code)))
    }

    fn compare(&self, (first_ranks, place): (u128, usize), other: &Self, others: (u128, usize)) -> Ordering {
        let ranks = || self.ranks_of(place).cmp(other.ranks_of(others.1));
        let currencies = || self.counts.currency_of(place).cmp(&other.counts.currency_of(others.1));
        first_ranks.cmp(&others.0).then_with(ranks).then_with(currencies)
    }

    fn head(&self) -> Option<(u128, usize)> {
        self.sorted.get(self.next).copied()
    }
}

/// One path or link of all ranges.
#[derive(Debug, Clone, Copy)]
pub struct FoundPath {
    /// A range that has it.
    pub run: usize,
    /// Where that range has it.
    pub place: usize,
    pub count: PathCount,
}

/// What all ranges counted.
#[derive(Debug, Default)]
pub struct PathRuns {
    pub runs: Vec<SortedPaths>,
}

impl PathRuns {
    /// Ranks all ranges' names together, once all have finished.
    pub fn begin(&mut self) {
        let all: Vec<String> =
            all_names(self.runs.iter().map(|run| &run.counts)).into_iter().map(str::to_owned).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        for run in &mut self.runs {
            run.rank(Ranks::new(&run.counts.names, &all));
        }
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.runs
            .iter()
            .map(|run| run.counts.size() + run.sorted.capacity() * size_of::<(u128, usize)>())
            .sum()
    }

    /// The next paths, so many at most, each once; none at the end.
    pub fn take(&mut self, limit: usize) -> Vec<FoundPath> {
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(path) = self.take_one() else { break };
            // Paths of refunds whose orders are outside the range, and of nothing else, may cancel out.
            if path.count != PathCount::default() {
                found.push(path);
            }
        }
        found
    }

    fn take_one(&mut self) -> Option<FoundPath> {
        let heads = self.runs.iter().enumerate().filter_map(|(at, run)| Some((at, run.head()?)));
        let (first, head) =
            heads.min_by(|(a, head), (b, other)| self.runs[*a].compare(*head, &self.runs[*b], *other))?;
        let mut path = FoundPath { run: first, place: head.1, count: PathCount::default() };
        for at in 0..self.runs.len() {
            let is_alike = |other| {
                at == first || self.runs[at].compare(other, &self.runs[first], head) == Ordering::Equal
            };
            if let Some(found) = self.runs[at].head().filter(|other| is_alike(*other)) {
                let run = &mut self.runs[at];
                path.count.merge(run.counts.counts[found.1]);
                run.next += 1;
            }
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::super::booked_range::BookedRange;
    use super::super::path_counts::PathOptions;
    use super::*;

    type Journey = (Vec<u8>, Option<&'static str>);

    fn counted(grain: PathGrain, journeys: &[Journey]) -> SortedPaths {
        let range = BookedRange { zone: Tz::UTC, days: (i32::MIN, i32::MAX) };
        let mut counts = PathCounts::new(PathOptions { grain, range, idle: false, currency: None });
        // Channels get their numbers as they are met, so that ranges differ in them.
        let mut names: Vec<String> = Vec::new();
        for (channels, currency) in journeys {
            counts.begin_path();
            for channel in channels {
                let name = format!("channel {channel}");
                let known = names.iter().position(|known| *known == name);
                counts.push_touch(known.unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                }) as u32);
            }
            let currency = counts.currency(*currency);
            counts.count_path(currency, PathCount { conversions: 1, ..PathCount::default() });
        }
        counts.names = names;
        SortedPaths::new(counts)
    }

    fn all(runs: Vec<SortedPaths>, limit: usize) -> Vec<(Vec<String>, Option<String>, i64)> {
        let mut paths = PathRuns { runs };
        paths.begin();
        let mut all = Vec::new();
        loop {
            let found = paths.take(limit);
            if found.is_empty() {
                return all;
            }
            all.extend(found.iter().map(|path| {
                let counts = &paths.runs[path.run].counts;
                let [_, codes @ ..] = counts.keys.get(path.place) else { return Default::default() };
                let skip = usize::from(counts.options.grain != PathGrain::Path);
                let step = codes[..skip].iter().map(ToString::to_string);
                let names = codes[skip..].iter().map(|&code| name_of_code(&counts.names, code).to_owned());
                let currency = counts.currency_of(path.place).map(str::to_owned);
                (step.chain(names).collect(), currency, path.count.conversions)
            }));
        }
    }

    proptest! {
        #[test]
        fn ranges_together_count_what_one_would(
            journeys in prop::collection::vec(
                (prop::collection::vec(0_u8..9, 0..60), prop::sample::select(vec![None, Some("EUR"), Some("USD")])),
                1..40,
            ),
            cuts in (0_usize..40, 0_usize..40),
            limit in 1_usize..50,
        ) {
            let (a, b) = (cuts.0.min(cuts.1).min(journeys.len()), cuts.0.max(cuts.1).min(journeys.len()));
            let ranges = [&journeys[..a], &journeys[a..b], &journeys[b..]];
            for grain in [PathGrain::Path, PathGrain::Link { by_step: true }, PathGrain::Link { by_step: false }] {
                let found = all(ranges.map(|range| counted(grain, range)).into(), limit);
                prop_assert_eq!(&found, &all(vec![counted(grain, &journeys)], 1_000));
                if grain == PathGrain::Path {
                    prop_assert!(found.is_sorted_by(|a, b| (&a.0, &a.1) < (&b.0, &b.1)));
                }
            }
        }
    }
}
