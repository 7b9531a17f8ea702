//! Attribution by lift: what channels add to a journey's chance of conversion, over what would have come anyway.

use faer::Mat;

use super::error::ModelError;
use super::lift_fit::{Fit, fit};
use super::noisy_or::{Decomposition, Quadrature};
use super::normal::normal_deviation;
use super::paths::Paths;

/// What the noisy-or model says of a set of journeys.
#[derive(Debug, Clone, PartialEq)]
pub struct Lift {
    /// P(conversion) of a journey without any touch, 0 to 1.
    pub baseline: Estimate,
    /// Conversions that would have come anyway: journeys * baseline.
    pub baseline_expected: Estimate,
    /// The part of the observed conversions that goes to the baseline.
    pub baseline_conversions: f64,
    /// The part of the observed value that goes to the baseline.
    pub baseline_value: f64,
    /// By channel number.
    pub channels: Vec<LiftChannel>,
    /// The log-likelihood at its maximum, without the binomial coefficients.
    pub log_likelihood: f64,
    /// Newton steps to the maximum.
    pub iterations: usize,
}

/// What the noisy-or model says of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiftChannel {
    /// The chance that a touch of this channel turns a journey that would not have converted otherwise, 0 to 1.
    /// Without a standard error and with the interval [0, 1] where the channel is in no path.
    pub lift: Estimate,
    /// Conversions added: the sum over all journeys of the channel's Shapley value in the journey's own game.
    pub expected: Estimate,
    /// `expected` over the sum of all channels', 0 to 1; 0 with the interval [0, 1] where no channel adds any.
    pub share: Estimate,
    /// The part of the observed conversions that goes to the channel.
    pub conversions: f64,
    /// The part of the observed value that goes to the channel, in the unit of the paths' values.
    pub value: f64,
}

/// A number with what is known of its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub estimate: f64,
    /// None where the journeys say nothing.
    pub standard_error: Option<f64>,
    /// The lower end of the confidence interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Fits P(conversion | S) = 1 - (1 - b) prod over c in S of (1 - lift_c), S being a journey's distinct channels, by
/// maximum likelihood over the journeys with and without conversion.
///
/// Each journey's chance is then shared out: b to the baseline, the rest to its channels by their Shapley values in
/// the game f(S) - f({}). Summed over all journeys this gives `expected`. Observed conversions and their value are
/// divided in the ratio b : phi_1 : phi_2 .. of their journey, so that baseline and channels sum to the conversions
/// and to the value exactly (to rounding).
///
/// Errors come from the Fisher information, for the journeys as they are. Intervals of baseline and lifts are
/// symmetric in h = -ln(1 - p) and cut at 0, so that they lie within [0, 1]; at the edge of what is possible
/// (a lift of 0) they are as wide as if there were no edge. Intervals of `expected` and `share` follow by the delta
/// method. `level` is the confidence level, say 0.95.
///
/// This is a model, not an experiment. It takes journeys as independent, channels as acting independently of each
/// other, of order and of repetition, and every difference between journeys with and without a channel as the
/// channel's doing: where customers who would have bought anyway attract more touches (retargeting, brand
/// search), their conversions count as lift.
///
/// Refuses levels outside (0, 1), journeys that all converted or none, and journeys that cannot tell a channel's
/// lift from that of others or from the baseline.
pub fn lift(paths: &Paths, level: f64) -> Result<Lift, ModelError> {
    let deviation = normal_deviation(level)?;
    let sets = paths.channel_sets();
    let fit = fit(&sets)?;
    let credit = Credit::of(&sets, &fit);

    let p = |h: f64| -(-h).exp_m1();
    let fitted = |k: usize| {
        let (h, error) = (fit.h[k], fit.covariance[(k, k)].sqrt());
        Estimate {
            estimate: p(h),
            standard_error: Some(error * (-h).exp()),
            low: p((h - deviation * error).max(0.0)),
            high: p(h + deviation * error),
        }
    };
    let baseline = fitted(0);
    let journeys = sets.journeys() as f64;
    let total: f64 = credit.expected.iter().sum();
    let errors = credit.errors(&fit.covariance);
    let nothing = Estimate { estimate: 0.0, standard_error: None, low: 0.0, high: 0.0 };
    let unknown = Estimate { high: 1.0, ..nothing };
    let absent =
        LiftChannel { lift: unknown, expected: nothing, share: nothing, conversions: 0.0, value: 0.0 };
    let mut channels = vec![absent; sets.channel_count()];
    for (k, &channel) in fit.channels.iter().enumerate() {
        let expected = credit.expected[k];
        let (expected_error, share_error) = errors[k];
        channels[channel as usize] = LiftChannel {
            lift: fitted(k + 1),
            expected: estimate(expected, expected_error, deviation, f64::INFINITY),
            share: if total > 0.0 {
                estimate(expected / total, share_error, deviation, 1.0)
            } else {
                unknown
            },
            conversions: credit.conversions[k],
            value: credit.value[k],
        };
    }
    Ok(Lift {
        baseline,
        baseline_expected: Estimate {
            estimate: journeys * baseline.estimate,
            standard_error: baseline.standard_error.map(|error| journeys * error),
            low: journeys * baseline.low,
            high: journeys * baseline.high,
        },
        baseline_conversions: credit.baseline_conversions,
        baseline_value: credit.baseline_value,
        channels,
        log_likelihood: fit.log_likelihood,
        iterations: fit.iterations,
    })
}

/// A number at or above 0 with its symmetric interval, cut at 0 and at the most it can be.
fn estimate(estimate: f64, error: f64, deviation: f64, most: f64) -> Estimate {
    Estimate {
        estimate,
        standard_error: Some(error),
        low: (estimate - deviation * error).max(0.0),
        high: (estimate + deviation * error).min(most),
    }
}

/// What goes to each fitted channel.
struct Credit {
    expected: Vec<f64>,
    /// Row `k`: the derivatives of `expected[k]` by each parameter of the fit.
    slopes: Mat<f64>,
    conversions: Vec<f64>,
    value: Vec<f64>,
    baseline_conversions: f64,
    baseline_value: f64,
}

impl Credit {
    fn of(sets: &Paths, fit: &Fit) -> Self {
        let n = fit.channels.len();
        let mut credit = Self {
            expected: vec![0.0; n],
            slopes: Mat::zeros(n, n + 1),
            conversions: vec![0.0; n],
            value: vec![0.0; n],
            baseline_conversions: 0.0,
            baseline_value: 0.0,
        };
        let baseline = -(-fit.h[0]).exp_m1();
        let longest = sets.iter().map(|set| set.channels.len()).max().unwrap_or(0);
        let mut journey = Decomposition::new(Quadrature::for_sets_of(longest));
        let (mut members, mut lifts) = (Vec::new(), Vec::new());
        for set in sets.iter().filter(|set| set.journeys() > 0) {
            members.clear();
            members
                .extend(set.channels.iter().filter_map(|channel| fit.channels.binary_search(channel).ok()));
            lifts.clear();
            lifts.extend(members.iter().map(|&k| -(-fit.h[k + 1]).exp_m1()));
            journey.decompose_with_derivatives(baseline, &lifts);

            let journeys = set.journeys() as f64;
            let chance: f64 = baseline + journey.phi.iter().sum::<f64>();
            // A journey that cannot convert has not.
            let per_chance = if chance > 0.0 { 1.0 / chance } else { 0.0 };
            credit.baseline_conversions += set.conversions as f64 * baseline * per_chance;
            credit.baseline_value += set.value * baseline * per_chance;
            for (at, &k) in members.iter().enumerate() {
                let phi = journey.phi[at];
                credit.expected[k] += journeys * phi;
                credit.conversions[k] += set.conversions as f64 * phi * per_chance;
                credit.value[k] += set.value * phi * per_chance;
                credit.slopes[(k, 0)] -= journeys * phi;
                for (of, &other) in members.iter().enumerate() {
                    credit.slopes[(k, other + 1)] += journeys * journey.by_lift[at * members.len() + of];
                }
            }
        }
        credit
    }

    /// The standard errors of `expected` and of the shares, by the delta method.
    fn errors(&self, covariance: &Mat<f64>) -> Vec<(f64, f64)> {
        let n = self.expected.len();
        let total: f64 = self.expected.iter().sum();
        let spread = &self.slopes * covariance * self.slopes.transpose();
        let of_total: Vec<f64> = (0..n).map(|k| (0..n).map(|j| spread[(k, j)]).sum()).collect();
        let total_variance: f64 = of_total.iter().sum();
        let errors = |k: usize| {
            let share = self.expected[k] / total;
            let variance = spread[(k, k)] - 2.0 * share * of_total[k] + share * share * total_variance;
            (spread[(k, k)].max(0.0).sqrt(), variance.max(0.0).sqrt() / total)
        };
        (0..n).map(errors).collect()
    }
}

#[cfg(test)]
#[path = "lift_tests.rs"]
mod tests;
