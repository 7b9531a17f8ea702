//! Attribution by Shapley values: of the conversions within a coalition of channels, or of their rate.

use super::error::ModelError;
use super::paths::Paths;
use super::shapley_game::Game;
use super::totals::Totals;

/// Games of up to this many channels are solved exactly, larger ones sampled.
pub const MOST_EXACT_CHANNELS: usize = 20;

/// What Shapley values say of a set of journeys.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapley {
    /// By channel number.
    pub channels: Vec<ShapleyChannel>,
    /// Conversions of journeys without a touch, which no channel gets.
    pub unattributed_conversions: f64,
    /// The worth of those conversions.
    pub unattributed_value: f64,
}

/// What Shapley values say of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShapleyChannel {
    /// The Shapley value in the unit of the game's worth; may be negative.
    pub raw: f64,
    /// The standard error of `raw` from sampling permutations; none where `raw` is exact. The randomness of the
    /// journeys is not in it.
    pub standard_error: Option<f64>,
    /// `raw` over the sum of all channels', which is the worth of all of them together; may be negative or above 1;
    /// 0 where that worth is 0.
    pub share: f64,
    /// Conversions of journeys with a touch that go to this channel; may be negative.
    pub conversions: f64,
    /// Value that goes to this channel, in the unit of the paths' values; may be negative.
    pub value: f64,
}

/// What a coalition of channels is worth in the rate game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Conversions per journey.
    ConversionRate,
    /// Value per journey.
    ValueRate,
}

/// How a game of more than 20 channels is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Orders of the channels to draw, at least 4; they come in pairs, an order and its reverse.
    pub permutations: usize,
    /// The same seed gives the same numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { permutations: 1_000, seed: 0 }
    }
}

/// Shares out each journey's conversion and value equally among the distinct channels it touched.
///
/// These are the Shapley values of the game v(S) = conversions (value) of journeys whose channels are all within S: a
/// sum of unanimity games, each of which splits equally among its carrier (Shapley, "A value for n-person games",
/// 1953; for attribution Zhao, Mahboobi and Bagheri, arXiv 1804.05327). Exact for any number of channels. `raw` is in
/// conversions and equals `conversions`; journeys that did not convert do not matter.
///
/// Refuses no journeys and no conversions.
pub fn shapley_cumulative(paths: &Paths) -> Result<Shapley, ModelError> {
    paths.require_conversions()?;
    let totals = Totals::of(paths);
    let mut conversions = vec![0.0; paths.channel_count()];
    let mut value = conversions.clone();
    let mut set = Vec::new();
    for path in paths.iter().filter(|path| path.conversions > 0) {
        set.clear();
        set.extend_from_slice(path.channels);
        set.sort_unstable();
        set.dedup();
        let part = 1.0 / set.len() as f64;
        for &channel in &set {
            conversions[channel as usize] += path.conversions as f64 * part;
            value[channel as usize] += path.value * part;
        }
    }
    let channel = |(&conversions, &value): (&f64, &f64)| ShapleyChannel {
        raw: conversions,
        standard_error: None,
        share: ratio(conversions, totals.conversions),
        conversions,
        value,
    };
    Ok(shapley(&totals, conversions.iter().zip(&value).map(channel).collect()))
}

/// Shares out conversions and value by the Shapley values of the rate game.
///
/// v(S) = conversions (or value) per journey, over the journeys with a touch whose channels are all within S; 0 where
/// there is none. Journeys without a touch are no part of the game: v of nobody is 0, and the values sum to the rate
/// of all journeys with a touch. With at most 20 channels in the paths the values are exact; above, they are averages
/// over permutations (Castro, Gómez and Tejada, Computers and Operations Research 36, 2009) drawn in antithetic pairs,
/// with a standard error.
///
/// Refuses no journeys, no conversions, and fewer than 4 permutations where they are needed.
pub fn shapley_rate(paths: &Paths, worth: Worth, sampling: Sampling) -> Result<Shapley, ModelError> {
    paths.require_conversions()?;
    let totals = Totals::of(paths);
    let game = Game::of(paths, worth);
    let mut raw = vec![(0.0, None); paths.channel_count()];
    if game.players().len() <= MOST_EXACT_CHANNELS {
        for (&channel, value) in game.players().iter().zip(game.exact()) {
            raw[channel as usize] = (value, None);
        }
    } else {
        // Every permutation walks all sets: the fewer, the faster.
        let game = Game::of(&paths.channel_sets(), worth);
        for (&channel, (value, error)) in game.players().iter().zip(game.sampled(sampling)?) {
            raw[channel as usize] = (value, Some(error));
        }
    }
    let sum: f64 = raw.iter().map(|&(raw, _)| raw).sum();
    let channel = |&(raw, standard_error): &(f64, Option<f64>)| {
        let share = ratio(raw, sum);
        ShapleyChannel {
            raw,
            standard_error,
            share,
            conversions: share * totals.conversions,
            value: share * totals.value,
        }
    };
    Ok(shapley(&totals, raw.iter().map(channel).collect()))
}

fn shapley(totals: &Totals, channels: Vec<ShapleyChannel>) -> Shapley {
    Shapley {
        channels,
        unattributed_conversions: totals.unattributed_conversions,
        unattributed_value: totals.unattributed_value,
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
#[path = "shapley_tests.rs"]
mod tests;
