//! Weights of a journey's touches under the five rule models, as exact integers (attribution.md, rules 5 to 7).

/// One bit of a time-decay weight is 2^-52 of the newest touch's.
const DECAY_ONE: f64 = (1_u64 << 52) as f64;

/// A rule that says how an order's amount is shared among the touches of its journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// All to the first touch.
    FirstTouch,
    /// All to the last touch.
    LastTouch,
    /// The same to each touch.
    Linear,
    /// Halved for every half-life before the newest touch.
    TimeDecay,
    /// .4 to the first, .4 to the last, .2 to those between.
    PositionBased,
}

impl Model {
    /// Every model, in the order of the columns.
    pub const ALL: [Model; 5] =
        [Model::FirstTouch, Model::LastTouch, Model::Linear, Model::TimeDecay, Model::PositionBased];

    /// The model's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Model::FirstTouch => "first_touch",
            Model::LastTouch => "last_touch",
            Model::Linear => "linear",
            Model::TimeDecay => "time_decay",
            Model::PositionBased => "position_based",
        }
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
}

impl Weights<'_> {
    /// Writes the share of each of `n` touches, between 0 and 1.
    pub fn shares(&self, n: usize, out: &mut Vec<f64>) {
        match *self {
            Weights::OneHot(at) => out.extend((0..n).map(|k| if k == at { 1.0 } else { 0.0 })),
            Weights::Equal => out.extend(std::iter::repeat_n(1.0 / n as f64, n)),
            Weights::Integers(weights, sum) => {
                out.extend(weights.iter().map(|&weight| weight as f64 / sum as f64));
            }
        }
    }
}

/// Writes the position-based weights (.4, .2, .4) of `n` touches as integers of the same ratio.
///
/// n = 1: 1; n = 2: 1, 1; n >= 3: 2(n-2), 1, .., 1, 2(n-2).
pub fn position_weights(n: usize, out: &mut Vec<u64>) {
    out.clear();
    out.resize(n, 1);
    if n >= 3 {
        let end = 2 * (n as u64 - 2);
        out[0] = end;
        out[n - 1] = end;
    }
}

/// Writes the time-decay weights of touches at ascending instants, in microseconds.
///
/// A touch weighs 2^(-(newest - touched_at)/half_life), rounded down to a multiple of 2^-52. Measuring from the
/// newest touch instead of the order leaves the shares as they are and lets nothing underflow: the newest
/// weighs 1. Touches of one instant weigh the same.
pub fn decay_weights(touched_at: &[i64], half_life_us: f64, out: &mut Vec<u64>) {
    out.clear();
    let Some(&newest) = touched_at.last() else { return };
    out.extend(touched_at.iter().map(|&at| {
        let age = newest.saturating_sub(at) as f64;
        ((-age / half_life_us).exp2() * DECAY_ONE) as u64
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn position_weights_are_exact() {
        let mut weights = Vec::new();
        for (n, expected) in
            [(1, vec![1]), (2, vec![1, 1]), (3, vec![2, 1, 2]), (5, vec![6, 1, 1, 1, 6]), (0, vec![])]
        {
            position_weights(n, &mut weights);
            assert_eq!(weights, expected);
        }
    }

    #[test]
    fn a_half_life_halves_and_equal_instants_tie() {
        let mut weights = Vec::new();
        decay_weights(&[0, 7 * DAY, 14 * DAY, 14 * DAY], (7 * DAY) as f64, &mut weights);
        assert_eq!(weights, [1 << 50, 1 << 51, 1 << 52, 1 << 52]);
    }

    #[test]
    fn nothing_underflows_for_the_newest_touch() {
        let mut weights = Vec::new();
        decay_weights(&[0, 40_000 * DAY], 1.0, &mut weights);
        assert_eq!(weights, [0, 1 << 52]);
    }

    #[test]
    fn shares_sum_to_one() {
        for weights in [Weights::OneHot(1), Weights::Equal, Weights::Integers(&[6, 1, 1, 6], 14)] {
            let mut shares = Vec::new();
            weights.shares(4, &mut shares);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
