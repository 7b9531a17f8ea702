//! Attribution by removal effects in an absorbing Markov chain of order 1 to 4.

use super::chain::Chain;
use super::error::ModelError;
use super::paths::Paths;
use super::solve::removals;
use super::totals::Totals;

/// What a Markov chain says of a set of journeys.
#[derive(Debug, Clone, PartialEq)]
pub struct Markov {
    /// The last touches that a state remembers, 1 to 4.
    pub order: usize,
    /// States, the start among them, conversion and its absence not.
    pub state_count: usize,
    /// P(conversion) from the start, solved from the chain; it equals conversions / journeys.
    pub p_conversion: f64,
    /// By channel number.
    pub channels: Vec<MarkovChannel>,
    /// Conversions of journeys without a touch, which no channel gets.
    pub unattributed_conversions: f64,
    /// The worth of those conversions.
    pub unattributed_value: f64,
}

/// What a Markov chain says of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarkovChannel {
    /// The fraction of conversions lost when every state that contains the channel leads nowhere, 0 to 1.
    pub removal_effect: f64,
    /// The removal effect over the sum of all channels'; 0 where no journey with a touch converted.
    pub share: f64,
    /// `share` of the conversions of journeys with a touch.
    pub conversions: f64,
    /// `share` of what these conversions were worth, in the unit of the paths' values.
    pub value: f64,
}

/// Attributes conversions and value by removal effects (Anderl et al., "Mapping the customer journey", International
/// Journal of Research in Marketing 33, 2016).
///
/// The linear systems are solved, not simulated. A channel in no path has effect 0; one that is the last touch of
/// every converting path, or the first of every path, has effect 1. A chain mixes journeys that differ only in
/// touches it has forgotten: where paths are longer than the order, a channel in every converting path can have an
/// effect below 1, and one in none an effect above 0.
///
/// Refuses orders outside 1 to 4, no conversions, and more channels than the order can number.
pub fn markov(paths: &Paths, order: usize) -> Result<Markov, ModelError> {
    let chain = Chain::of(paths, order)?;
    paths.require_conversions()?;
    let removals = removals(&chain)?;
    let totals = Totals::of(paths);
    let sum: f64 = removals.effects.iter().sum();
    let channel = |&removal_effect: &f64| {
        let share = if sum > 0.0 { removal_effect / sum } else { 0.0 };
        MarkovChannel {
            removal_effect,
            share,
            conversions: share * totals.conversions,
            value: share * totals.value,
        }
    };
    Ok(Markov {
        order,
        state_count: chain.state_count(),
        p_conversion: removals.p_conversion,
        channels: removals.effects.iter().map(channel).collect(),
        unattributed_conversions: totals.unattributed_conversions,
        unattributed_value: totals.unattributed_value,
    })
}

#[cfg(test)]
#[path = "markov_tests.rs"]
mod tests;
