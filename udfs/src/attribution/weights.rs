//! Weights of a journey's touches under the rule models, as exact integers (attribution.md, rules 5 to 8).

use super::model::Model;
use super::rules::{EndWeights, Rules, Stepping};
use super::touches::{DIRECT, MILESTONE};

/// Tenths of W-shaped weights: of each role, and of all touches without one together.
const ROLE: u64 = 3;
const OTHERS: u64 = 1;
/// One bit of a time-decay weight is 2^-52 of the newest touch's.
const DECAY_ONE: u64 = 1 << 52;

/// What a journey's touches are weighed by, in their order.
#[derive(Debug, Clone, Copy)]
pub struct JourneyFacts<'a> {
    pub ordered_at: i64,
    /// Instants in microseconds, ascending.
    pub at: &'a [i64],
    /// The touches' channels; empty where no model needs them.
    pub channel: &'a [u32],
    /// What is known of each touch, of `DIRECT` and `MILESTONE`; empty where nothing is.
    pub flags: &'a [u8],
}

impl JourneyFacts<'_> {
    fn is(&self, k: usize, flag: u8) -> bool {
        self.flags.get(k).is_some_and(|flags| flags & flag != 0)
    }
}

/// Weights of one journey; the share of touch `k` is its weight over the sum of all.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// One touch takes all.
    OneHot(usize),
    /// Every touch weighs the same.
    Equal,
    /// Any integers, with their sum, which is not 0.
    Integers(&'a [u64], u128),
    /// The same, where all touches between the first and the last weigh alike.
    Ends(&'a [u64], u128),
    /// Every touch with a 1 takes all, those with a 0 nothing.
    Whole(&'a [u64]),
}

impl Weights<'_> {
    /// Writes the share of each of `n` touches, between 0 and 1.
    pub fn shares(&self, n: usize, out: &mut Vec<f64>) {
        match *self {
            Weights::OneHot(at) => out.extend((0..n).map(|k| if k == at { 1.0 } else { 0.0 })),
            Weights::Equal => out.extend(std::iter::repeat_n(1.0 / n as f64, n)),
            Weights::Integers(weights, sum) | Weights::Ends(weights, sum) => {
                out.extend(weights.iter().map(|&weight| weight as f64 / sum as f64));
            }
            Weights::Whole(weights) => out.extend(weights.iter().map(|&weight| weight as f64)),
        }
    }
}

/// The weights of one journey under one model: reusable room.
#[derive(Debug, Default)]
pub struct ModelWeights {
    integers: Vec<u64>,
    shape: Shape,
}

#[derive(Debug, Default, Clone, Copy)]
enum Shape {
    OneHot(usize),
    #[default]
    Equal,
    Integers(u128),
    Ends(u128),
    Whole,
}

impl ModelWeights {
    /// Weighs a journey of at least one touch.
    pub fn weigh(&mut self, model: Model, facts: &JourneyFacts<'_>, rules: &Rules) {
        let (n, integers) = (facts.at.len(), &mut self.integers);
        self.shape = match model {
            Model::FirstTouch => Shape::OneHot(0),
            Model::LastTouch => Shape::OneHot(n - 1),
            Model::Linear => Shape::Equal,
            Model::LastNonDirect => {
                Shape::OneHot((0..n).rev().find(|&k| !facts.is(k, DIRECT)).unwrap_or(n - 1))
            }
            Model::TimeDecay => {
                match rules.stepping {
                    Stepping::Continuous => decay_weights(facts.at, rules.half_life_us, integers),
                    Stepping::Whole => {
                        stepped_decay_weights(facts.at, facts.ordered_at, rules.half_life_us, integers);
                    }
                }
                Shape::Integers(integers.iter().map(|&weight| u128::from(weight)).sum())
            }
            Model::PositionBased => end_weights(n, EndWeights::POSITION_BASED, integers),
            Model::JShaped => end_weights(n, EndWeights::J_SHAPED, integers),
            Model::InverseJ => end_weights(n, EndWeights::INVERSE_J, integers),
            Model::Custom => end_weights(n, rules.custom, integers),
            Model::WShaped => milestone_weights(facts, integers),
            Model::PositionDecay => {
                integers.clear();
                integers.extend(1..=n as u64);
                Shape::Integers(n as u128 * (n as u128 + 1) / 2)
            }
            Model::Participation => {
                integers.clear();
                let is_first = |k: usize| !facts.channel[..k].contains(&facts.channel[k]);
                integers.extend((0..n).map(|k| u64::from(is_first(k))));
                Shape::Whole
            }
        };
    }

    /// The weights.
    pub fn get(&self) -> Weights<'_> {
        match self.shape {
            Shape::OneHot(at) => Weights::OneHot(at),
            Shape::Equal => Weights::Equal,
            Shape::Integers(sum) => Weights::Integers(&self.integers, sum),
            Shape::Ends(sum) => Weights::Ends(&self.integers, sum),
            Shape::Whole => Weights::Whole(&self.integers),
        }
    }
}

/// Writes the weights (first, between, last) of `n` touches as integers of the same ratio.
///
/// n = 1: 1; n = 2: first, last; n >= 3: first, between/(n-2) each, last. Where all of them are 0, or alike, all touches
/// weigh the same.
fn end_weights(n: usize, weights: EndWeights, out: &mut Vec<u64>) -> Shape {
    let EndWeights { first, between, last } = weights;
    out.clear();
    let (first, between, last) = match n {
        0 | 1 => return Shape::Equal,
        2 => (first, 0, last),
        _ => (first * (n as u64 - 2), between, last * (n as u64 - 2)),
    };
    let sum = u128::from(first) + u128::from(between) * (n as u128 - 2) + u128::from(last);
    if sum == 0 || (first == last && (n == 2 || first == between)) {
        return Shape::Equal;
    }
    out.resize(n, between);
    out[0] = first;
    out[n - 1] = last;
    Shape::Ends(sum)
}

/// Writes W-shaped weights: .3 for being the first, for being the last and for being a milestone, .1 for the
/// others together; what nobody takes is spread over the rest in the same ratio.
fn milestone_weights(facts: &JourneyFacts<'_>, out: &mut Vec<u64>) -> Shape {
    let n = facts.at.len();
    let roles = |k: usize| u64::from(k == 0) + u64::from(k == n - 1) + u64::from(facts.is(k, MILESTONE));
    let other_count = (0..n).filter(|&k| roles(k) == 0).count() as u64;
    out.clear();
    // The others share one tenth: multiplying by their number keeps all weights whole.
    let per_role = ROLE * other_count.max(1);
    out.extend((0..n).map(|k| if roles(k) == 0 { OTHERS } else { per_role * roles(k) }));
    Shape::Integers(out.iter().map(|&weight| u128::from(weight)).sum())
}

/// Writes the time-decay weights of touches at ascending instants, in microseconds.
///
/// A touch weighs 2^(-(newest - touched_at)/half_life), rounded down to a multiple of 2^-52. Measuring from the
/// newest touch instead of the order leaves the shares as they are and lets nothing underflow: the newest
/// weighs 1. Touches of one instant weigh the same.
fn decay_weights(touched_at: &[i64], half_life_us: f64, out: &mut Vec<u64>) {
    out.clear();
    let Some(&newest) = touched_at.last() else { return };
    out.extend(touched_at.iter().map(|&at| {
        let age = newest.saturating_sub(at) as f64;
        ((-age / half_life_us).exp2() * DECAY_ONE as f64) as u64
    }));
}

/// Writes time-decay weights that are halved at once at the end of every half-life before the order.
fn stepped_decay_weights(touched_at: &[i64], ordered_at: i64, half_life_us: f64, out: &mut Vec<u64>) {
    let steps = |at: i64| (ordered_at.saturating_sub(at) as f64 / half_life_us).floor();
    out.clear();
    let Some(&newest) = touched_at.last() else { return };
    let fewest = steps(newest);
    // Past 63 halvings nothing is left of 2^52.
    out.extend(touched_at.iter().map(|&at| DECAY_ONE >> (steps(at) - fewest).min(63.0) as u32));
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
