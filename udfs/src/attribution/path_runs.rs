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
    places: Vec<usize>,
    /// The places before this one were taken.
    next: usize,
    ranks: Ranks,
}

/// Numbers of channels in the order of their names.
#[derive(Debug, Default)]
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
        let mut sorted = Self { counts, places: Vec::new(), next: 0, ranks };
        let rank_bits = usize::BITS - sorted.ranks.count.leading_zeros();
        // As many of a path's first ranks as there is room for decide most comparisons at once.
        let rank_count = (u128::BITS / rank_bits) as usize;
        let is_path = sorted.counts.options.grain == PathGrain::Path;
        let first_ranks = |place: usize| {
            let ranks = sorted.ranks_of(place).chain(repeat(0)).take(rank_count);
            ranks.fold(0_u128, |key, rank| key << rank_bits | u128::from(rank))
        };
        // A link's step is not a rank, and links are few.
        let key = |place: usize| if is_path { first_ranks(place) } else { 0 };
        let mut keyed: Vec<(u128, usize)> =
            (0..sorted.counts.keys.len()).map(|place| (key(place), place)).collect();
        keyed.sort_unstable_by(|(a_key, a), (b_key, b)| {
            a_key.cmp(b_key).then_with(|| sorted.compare(*a, &sorted, *b))
        });
        sorted.places = keyed.into_iter().map(|(_, place)| place).collect();
        sorted
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

    fn compare(&self, place: usize, other: &Self, other_place: usize) -> Ordering {
        let currencies = || self.counts.currency_of(place).cmp(&other.counts.currency_of(other_place));
        self.ranks_of(place).cmp(other.ranks_of(other_place)).then_with(currencies)
    }

    fn head(&self) -> Option<usize> {
        self.places.get(self.next).copied()
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
            run.ranks = Ranks::new(&run.counts.names, &all);
        }
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.runs.iter().map(|run| run.counts.size() + run.places.capacity() * size_of::<usize>()).sum()
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
        let heads = || self.runs.iter().enumerate().filter_map(|(at, run)| Some((at, run.head()?)));
        let compare = |&(a, place): &(usize, usize), &(b, other): &(usize, usize)| {
            self.runs[a].compare(place, &self.runs[b], other)
        };
        let first = heads().min_by(compare)?;
        let mut path = FoundPath { run: first.0, place: first.1, count: PathCount::default() };
        for at in 0..self.runs.len() {
            let Some(place) = self.runs[at].head() else { continue };
            if self.runs[at].compare(place, &self.runs[first.0], first.1) == Ordering::Equal {
                let run = &mut self.runs[at];
                path.count.merge(run.counts.counts[place]);
                run.next += 1;
            }
        }
        Some(path)
    }
}
