//! The maximum of the noisy-or likelihood, and how sharp it is.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

use super::box_step::box_step;
use super::error::ModelError;
use super::paths::Paths;

/// A step that promises less of log-likelihood than this, or than this part of it, which is what rounding leaves of
/// a sum, is the last: the one after it would promise some square of it.
const ENOUGH: f64 = 1e-8;
const ENOUGH_PART: f64 = 1e-13;
const MOST_ITERATIONS: usize = 100;
/// Smaller eigenvalues of the design, scaled to 1 on the diagonal, are rounding.
const RANK_TOLERANCE: f64 = 1e-10;

/// The fit of h in P(conversion | S) = 1 - exp(-h_0 - sum over c in S of h_c), all h >= 0.
///
/// h_0 = -ln(1 - baseline) and h_c = -ln(1 - lift_c): the log-likelihood is concave in h.
pub struct Fit {
    /// The channels that occur, ascending; `h[k + 1]` belongs to `channels[k]`.
    pub channels: Vec<u32>,
    pub h: Vec<f64>,
    /// The covariance of `h`: the inverse of the expected (Fisher) information, bounds disregarded.
    pub covariance: Mat<f64>,
    pub log_likelihood: f64,
    pub iterations: usize,
}

/// Journeys by channel set, in the numbering of the parameters.
struct Design {
    /// Set `k` has the parameters `members[offsets[k]..offsets[k + 1]]`, ascending from 0, which is in all.
    members: Vec<u32>,
    offsets: Vec<usize>,
    conversions: Vec<f64>,
    non_conversions: Vec<f64>,
    /// The most that each parameter may be.
    caps: Vec<f64>,
}

/// The log-likelihood of an `h`, with its first two derivatives.
struct Point {
    h: Vec<f64>,
    log_likelihood: f64,
    gradient: Vec<f64>,
    curvature: Mat<f64>,
}

/// Fits journeys grouped by channel set.
///
/// Newton's method within bounds, each step shortened until the likelihood gains. Refuses journeys that all converted or none, and sets that leave a
/// channel's lift open.
pub fn fit(sets: &Paths) -> Result<Fit, ModelError> {
    sets.require_conversions()?;
    if sets.conversions() == sets.journeys() {
        return Err(ModelError::NoNonConversions);
    }
    let (design, channels) = Design::of(sets);
    design.require_rank(&channels)?;
    let mut point = design.at(design.start(sets));
    for iterations in 1..=MOST_ITERATIONS {
        let step = design.newton_step(&point)?;
        let promise: f64 = step.iter().zip(&point.gradient).map(|(step, slope)| step * slope).sum();
        if promise <= ENOUGH.max(ENOUGH_PART * point.log_likelihood.abs()) {
            let h = design.moved(&point, &step, 1.0);
            let (covariance, log_likelihood) = (design.covariance(&h)?, design.log_likelihood(&h));
            return Ok(Fit { channels, h, covariance, log_likelihood, iterations });
        }
        point = design
            .search(&point, &step, promise)
            .ok_or(ModelError::DidNotConverge { what: "the lifts", iterations })?;
    }
    Err(ModelError::DidNotConverge { what: "the lifts", iterations: MOST_ITERATIONS })
}

impl Design {
    fn of(sets: &Paths) -> (Self, Vec<u32>) {
        let mut journeys = vec![0_u64; sets.channel_count()];
        for set in sets.iter() {
            set.channels.iter().for_each(|&channel| journeys[channel as usize] += set.journeys());
        }
        let channels: Vec<u32> = (0..journeys.len() as u32).filter(|&c| journeys[c as usize] > 0).collect();
        let mut parameter = vec![0_u32; journeys.len()];
        channels.iter().zip(1..).for_each(|(&channel, k)| parameter[channel as usize] = k);

        // n journeys that all converted do not show a chance above 1 - 1/(2n).
        let cap = |journeys: u64| (2.0 * journeys as f64).ln();
        let caps = channels.iter().map(|&channel| cap(journeys[channel as usize]));
        let mut design = Self {
            members: Vec::new(),
            offsets: vec![0],
            conversions: Vec::new(),
            non_conversions: Vec::new(),
            caps: std::iter::once(cap(sets.journeys())).chain(caps).collect(),
        };
        for set in sets.iter().filter(|set| set.journeys() > 0) {
            design.members.push(0);
            design.members.extend(set.channels.iter().map(|&channel| parameter[channel as usize]));
            design.offsets.push(design.members.len());
            design.conversions.push(set.conversions as f64);
            design.non_conversions.push(set.non_conversions as f64);
        }
        (design, channels)
    }

    /// Equal parts of the hazard of the average journey: inside the bounds, and every conversion is possible.
    fn start(&self, sets: &Paths) -> Vec<f64> {
        let hazard = -(-(sets.conversions() as f64 / sets.journeys() as f64)).ln_1p();
        let parameters = self.members.len() as f64 / self.conversions.len() as f64;
        self.caps.iter().map(|cap| (hazard / parameters).min(cap / 2.0)).collect()
    }

    fn sets(&self) -> impl Iterator<Item = (&[u32], f64, f64)> {
        let counts = self.conversions.iter().zip(&self.non_conversions);
        let members = self.offsets.windows(2).map(|range| &self.members[range[0]..range[1]]);
        members.zip(counts).map(|(members, (&converted, &not))| (members, converted, not))
    }

    fn log_likelihood(&self, h: &[f64]) -> f64 {
        let of_set = |(members, converted, not): (&[u32], f64, f64)| {
            let hazard = hazard(h, members);
            let conversions = if converted > 0.0 { converted * (-(-hazard).exp_m1()).ln() } else { 0.0 };
            conversions - not * hazard
        };
        self.sets().map(of_set).sum()
    }

    fn at(&self, h: Vec<f64>) -> Point {
        let n = h.len();
        let (mut gradient, mut curvature) = (vec![0.0; n], Mat::zeros(n, n));
        for (members, converted, not) in self.sets() {
            let odds = if converted > 0.0 { 1.0 / hazard(&h, members).exp_m1() } else { 0.0 };
            for &i in members {
                gradient[i as usize] += converted * odds - not;
            }
            add_outer(&mut curvature, members, converted * odds * (1.0 + odds));
        }
        Point { log_likelihood: self.log_likelihood(&h), h, gradient, curvature }
    }

    /// The step to the maximum of the quadratic model of the likelihood, within the bounds.
    fn newton_step(&self, point: &Point) -> Result<Vec<f64>, ModelError> {
        let low: Vec<f64> = point.h.iter().map(|h| -h).collect();
        let high: Vec<f64> = self.caps.iter().zip(&point.h).map(|(cap, h)| cap - h).collect();
        box_step(&point.gradient, &point.curvature, &low, &high)
    }

    fn moved(&self, point: &Point, step: &[f64], part: f64) -> Vec<f64> {
        let bounded = |i: usize| (point.h[i] + part * step[i]).clamp(0.0, self.caps[i]);
        (0..step.len()).map(bounded).collect()
    }

    /// Shortens a step until the likelihood gains a part of what the slope promises (Armijo's rule).
    fn search(&self, point: &Point, step: &[f64], promise: f64) -> Option<Point> {
        let mut part = 1.0;
        for _ in 0..60 {
            let h = self.moved(point, step, part);
            if self.log_likelihood(&h) >= point.log_likelihood + 1e-4 * part * promise {
                return Some(self.at(h));
            }
            part /= 2.0;
        }
        None
    }

    /// The inverse of the Fisher information, the sum over sets of n / (e^h - 1).
    ///
    /// Where h = 0 the information would be infinite, however few journeys say that nobody converts: there h counts
    /// as if half a conversion had been seen among all of these journeys.
    fn covariance(&self, h: &[f64]) -> Result<Mat<f64>, ModelError> {
        let n = h.len();
        let hopeless = self.sets().filter(|(members, ..)| hazard(h, members) <= 0.0);
        let least = 0.5 / hopeless.map(|(_, _, not)| not).sum::<f64>().max(1.0);
        let mut information = Mat::zeros(n, n);
        for (members, converted, not) in self.sets() {
            let hazard = hazard(h, members);
            let hazard = if hazard > 0.0 { hazard } else { least };
            add_outer(&mut information, members, (converted + not) / hazard.exp_m1());
        }
        let scale: Vec<f64> = (0..n).map(|i| information[(i, i)].sqrt()).collect();
        let scaled = Mat::from_fn(n, n, |i, j| information[(i, j)] / (scale[i] * scale[j]));
        let inverse =
            scaled.llt(Side::Lower).map_err(|_| ModelError::Singular { what: "the lifts" })?.inverse();
        Ok(Mat::from_fn(n, n, |i, j| inverse[(i, j)] / (scale[i] * scale[j])))
    }

    /// Refuses sets that leave a combination of lifts and baseline open; names the channel most involved.
    fn require_rank(&self, channels: &[u32]) -> Result<(), ModelError> {
        let n = self.caps.len();
        let mut design = Mat::zeros(n, n);
        self.sets().for_each(|(members, ..)| add_outer(&mut design, members, 1.0));
        let scaled = Mat::from_fn(n, n, |i, j| {
            let (a, b): (f64, f64) = (design[(i, i)], design[(j, j)]);
            design[(i, j)] / (a * b).sqrt()
        });
        let eigen =
            scaled.self_adjoint_eigen(Side::Lower).map_err(|_| ModelError::Singular { what: "the lifts" })?;
        // Eigenvalues come in ascending order.
        if eigen.S()[0] > RANK_TOLERANCE {
            return Ok(());
        }
        let open = |k: &usize| eigen.U()[(*k, 0)].abs();
        match (1..n).max_by(|a, b| open(a).total_cmp(&open(b))) {
            Some(k) => Err(ModelError::NotIdentifiable { channel: channels[k - 1] }),
            None => Ok(()),
        }
    }
}

fn hazard(h: &[f64], members: &[u32]) -> f64 {
    members.iter().map(|&i| h[i as usize]).sum()
}

/// Adds `weight` at every pair of members.
fn add_outer(matrix: &mut Mat<f64>, members: &[u32], weight: f64) {
    for &i in members {
        for &j in members {
            matrix[(i as usize, j as usize)] += weight;
        }
    }
}

#[cfg(test)]
#[path = "lift_fit_tests.rs"]
mod tests;
