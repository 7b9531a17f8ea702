//! The absorbing Markov chain of a set of paths, of order 1 to 4.

use super::error::ModelError;
use super::paths::Paths;

/// Transition counts are tallied in a table up to this many cells, and sorted beyond.
const MOST_CELLS: u64 = 1 << 22;

/// A chain whose states are the last touches of a journey, up to `order` of them.
///
/// State 0 is the start; the state after touch `t` is the channels of the touches `t - order + 1 ..= t`, fewer where
/// the journey is younger. Where a touch leaves the state as it is (the whole gram is one channel, repeated) the
/// journey stays and no transition is counted. A journey ends in conversion or without one from its last state. All counts are of
/// journeys.
#[derive(Debug, Clone)]
pub struct Chain {
    order: usize,
    channel_count: usize,
    /// The states' grams in base `channel_count + 1`, newest touch last, ascending; the start is 0.
    codes: Vec<u64>,
    /// State `s` leads on by the transitions `offsets[s]..offsets[s + 1]`.
    offsets: Vec<usize>,
    targets: Vec<u32>,
    journeys: Vec<u64>,
    conversions: Vec<u64>,
    non_conversions: Vec<u64>,
}

/// Where a transition leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A touch of this channel.
    Channel(u32),
    /// The journey converts.
    Conversion,
    /// The journey ends without converting.
    NoConversion,
}

/// One row of a chain's transition matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The state left: its channels, oldest first; empty for the start.
    pub from: Vec<u32>,
    /// What happens next.
    pub to: Step,
    /// How often journeys made this transition.
    pub count: u64,
    /// `count` over all transitions from `from`.
    pub probability: f64,
}

impl Chain {
    /// Counts the chain of the given order, 1 to 4.
    ///
    /// Refuses other orders, no journeys, and more channels than grams of this order can number.
    pub fn of(paths: &Paths, order: usize) -> Result<Self, ModelError> {
        let grams = Grams::new(paths.channel_count(), order)?;
        if paths.journeys() == 0 {
            return Err(ModelError::NoJourneys);
        }
        let cells = grams.cells();
        let tally =
            if cells <= MOST_CELLS { tally_in_table(paths, &grams) } else { tally_by_sorting(paths, &grams) };
        Ok(Self::assemble(&grams, &tally))
    }

    /// States, the start among them, the two ends not.
    pub fn state_count(&self) -> usize {
        self.codes.len()
    }

    /// Channels are numbered `0..channel_count()`.
    pub fn channel_count(&self) -> usize {
        self.channel_count
    }

    /// The transition matrix, by state in order of length and then of channels; conversion and its absence last.
    pub fn transitions(&self) -> Vec<Transition> {
        let mut rows = Vec::with_capacity(self.targets.len() + 2 * self.state_count());
        for state in 0..self.state_count() {
            let from: Vec<u32> = self.channels(state).collect();
            let visits = self.visits(state) as f64;
            let mut push = |to: Step, count: u64| {
                if count > 0 {
                    rows.push(Transition {
                        from: from.clone(),
                        to,
                        count,
                        probability: count as f64 / visits,
                    });
                }
            };
            for (target, count) in self.successors(state) {
                // The newest touch is the last digit.
                let newest = (self.codes[target] % self.base()) as u32 - 1;
                push(Step::Channel(newest), count);
            }
            push(Step::Conversion, self.conversions[state]);
            push(Step::NoConversion, self.non_conversions[state]);
        }
        rows
    }

    /// The channels of a state, oldest first, with repeats.
    pub(super) fn channels(&self, state: usize) -> impl Iterator<Item = u32> + use<> {
        let (base, code) = (self.base(), self.codes[state]);
        (0..self.order as u32)
            .rev()
            .map(move |at| (code / base.pow(at) % base) as u32)
            .filter_map(|digit| digit.checked_sub(1))
    }

    /// The states that follow on `state` by a touch, ascending, with the count of each transition.
    pub(super) fn successors(&self, state: usize) -> impl Iterator<Item = (usize, u64)> {
        let range = self.offsets[state]..self.offsets[state + 1];
        range.map(|at| (self.targets[at] as usize, self.journeys[at]))
    }

    /// Transitions between states, that is by a touch.
    pub(super) fn step_count(&self) -> usize {
        self.targets.len()
    }

    /// How often journeys left a state, by a touch or by ending.
    pub(super) fn visits(&self, state: usize) -> u64 {
        self.journeys[self.offsets[state]..self.offsets[state + 1]].iter().sum::<u64>() + self.ends(state)
    }

    /// Journeys that converted from a state.
    pub(super) fn conversions(&self, state: usize) -> u64 {
        self.conversions[state]
    }

    /// Journeys that ended in a state, converted or not.
    pub(super) fn ends(&self, state: usize) -> u64 {
        self.conversions[state] + self.non_conversions[state]
    }

    fn base(&self) -> u64 {
        self.channel_count as u64 + 1
    }

    fn assemble(grams: &Grams, tally: &[(u64, u64)]) -> Self {
        let mut chain = Self {
            order: grams.order,
            channel_count: grams.base as usize - 1,
            codes: Vec::new(),
            offsets: vec![0],
            targets: Vec::with_capacity(tally.len()),
            journeys: Vec::with_capacity(tally.len()),
            conversions: Vec::new(),
            non_conversions: Vec::new(),
        };
        // Every state is left by at least one transition, its end: the tally's states are all there are.
        chain.codes.extend(
            tally.chunk_by(|a, b| grams.state(a.0) == grams.state(b.0)).map(|row| grams.state(row[0].0)),
        );
        for row in tally.chunk_by(|a, b| grams.state(a.0) == grams.state(b.0)) {
            let from = grams.state(row[0].0);
            let (mut converted, mut not_converted) = (0, 0);
            // The successors of a state are neighbours: their codes differ in the last digit.
            let mut target = chain.codes.partition_point(|&code| code < grams.push(from, 0));
            for &(cell, count) in row {
                match cell % grams.symbols() {
                    0 => not_converted = count,
                    symbol if symbol == grams.base => converted = count,
                    symbol => {
                        let code = grams.push(from, symbol);
                        while chain.codes[target] < code {
                            target += 1;
                        }
                        chain.targets.push(target as u32);
                        chain.journeys.push(count);
                    }
                }
            }
            chain.offsets.push(chain.targets.len());
            chain.conversions.push(converted);
            chain.non_conversions.push(not_converted);
        }
        chain
    }
}

/// The numbering of grams and of their transitions.
///
/// A gram is a number in base `channels + 1` whose digits are channels + 1; 0 pads young grams. A cell is a gram and
/// what follows on it: 0 for no conversion, `base` for conversion, else a channel + 1.
struct Grams {
    order: usize,
    base: u64,
    /// `base ^ (order - 1)`: what the oldest digit counts.
    oldest: u64,
}

impl Grams {
    fn new(channel_count: usize, order: usize) -> Result<Self, ModelError> {
        if !(1..=4).contains(&order) {
            return Err(ModelError::OrderOutOfRange { order });
        }
        // Cells must fit into 63 bits: (most + 2)^(order + 1) <= 2^63.
        let most = [u64::from(u32::MAX) - 2, 2_000_000, 50_000, 6_000][order - 1] as usize;
        if channel_count > most {
            return Err(ModelError::TooManyChannels {
                model: "a chain of this order",
                channels: channel_count,
                most,
            });
        }
        let base = channel_count as u64 + 1;
        Ok(Self { order, base, oldest: base.pow(order as u32 - 1) })
    }

    /// The gram after one more touch.
    fn push(&self, gram: u64, symbol: u64) -> u64 {
        gram % self.oldest * self.base + symbol
    }

    fn symbols(&self) -> u64 {
        self.base + 1
    }

    fn state(&self, cell: u64) -> u64 {
        cell / self.symbols()
    }

    fn cells(&self) -> u64 {
        self.oldest * self.base * self.symbols()
    }

    /// Calls `add(cell, journeys)` for every transition of every path.
    fn walk(&self, paths: &Paths, mut add: impl FnMut(u64, u64)) {
        for path in paths.iter().filter(|path| path.journeys() > 0) {
            let mut gram = 0;
            for &channel in path.channels {
                let symbol = u64::from(channel) + 1;
                let next = self.push(gram, symbol);
                if next != gram {
                    add(gram * self.symbols() + symbol, path.journeys());
                }
                gram = next;
            }
            add(gram * self.symbols(), path.non_conversions);
            add(gram * self.symbols() + self.base, path.conversions);
        }
    }
}

/// The counted cells, ascending; cells without a journey are left out.
fn tally_in_table(paths: &Paths, grams: &Grams) -> Vec<(u64, u64)> {
    let mut table = vec![0_u64; grams.cells() as usize];
    grams.walk(paths, |cell, count| table[cell as usize] += count);
    let counted = table.iter().enumerate().filter(|&(_, &count)| count > 0);
    counted.map(|(cell, &count)| (cell as u64, count)).collect()
}

/// The counted cells, ascending, for more cells than a table should have.
fn tally_by_sorting(paths: &Paths, grams: &Grams) -> Vec<(u64, u64)> {
    let mut cells = Vec::new();
    grams.walk(paths, |cell, count| {
        if count > 0 {
            cells.push((cell, count));
        }
    });
    cells.sort_unstable();
    cells.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    cells
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
