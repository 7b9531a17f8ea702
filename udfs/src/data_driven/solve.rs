//! What a chain's journeys come to when a channel is taken away.

use faer::Mat;
use faer::linalg::solvers::{DenseSolveCore, Solve};

use super::chain::Chain;
use super::error::ModelError;

/// Chains of up to this many states are solved by dense LU, larger ones by walking.
const MOST_DENSE_STATES: usize = 600;
/// A walk ends when less than this part of P(conversion) of the whole chain is still on its way: one rounding.
const NEGLIGIBLE: f64 = 1e-16;
/// Enough for journeys of thousands of touches; a walk needs some 20 sweeps per expected touch at most.
const MOST_SWEEPS: usize = 20_000;
/// Channels that are walked side by side: what the widest registers hold.
const LANES: usize = 8;

/// P(conversion) of a chain, and the removal effect of every channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Removals {
    /// P(conversion) from the start.
    pub p_conversion: f64,
    /// Per channel: 1 - P(conversion | states with the channel lead to no conversion) / P(conversion).
    pub effects: Vec<f64>,
}

/// Computes the removal effects by the method that suits the chain's size; both are exact to rounding.
pub fn removals(chain: &Chain) -> Result<Removals, ModelError> {
    let mut removals =
        if chain.state_count() <= MOST_DENSE_STATES { by_lu(chain) } else { by_walking(chain) }?;
    // An effect is a fraction; rounding may carry it over the edge by an ulp.
    removals.effects.iter_mut().for_each(|effect| *effect = effect.clamp(0.0, 1.0));
    Ok(removals)
}

/// For each channel, the states that contain it, ascending.
fn states_with_channel(chain: &Chain) -> Vec<Vec<usize>> {
    let mut states = vec![Vec::new(); chain.channel_count()];
    for state in 0..chain.state_count() {
        for channel in chain.channels(state) {
            let of_channel = &mut states[channel as usize];
            if of_channel.last() != Some(&state) {
                of_channel.push(state);
            }
        }
    }
    states
}

/// One LU of the whole chain, and a small one per channel.
///
/// N = (I - Q)^-1 is the fundamental matrix (Kemeny and Snell, Finite Markov Chains, 3.2): row 0 holds the expected
/// visits n, and x = N r the P(conversion) from each state. Without the states R of a channel, block inversion gives
/// P(conversion) = x_0 - n_R (N_RR)^-1 x_R, so that the effect needs no difference of near-equal numbers.
pub(super) fn by_lu(chain: &Chain) -> Result<Removals, ModelError> {
    let states = chain.state_count();
    let mut system = Mat::<f64>::identity(states, states);
    let mut convert = Mat::<f64>::zeros(states, 1);
    for state in 0..states {
        let visits = chain.visits(state) as f64;
        convert[(state, 0)] = chain.conversions(state) as f64 / visits;
        for (next, count) in chain.successors(state) {
            system[(state, next)] -= count as f64 / visits;
        }
    }
    let visits = system.partial_piv_lu().inverse();
    let p = &visits * &convert;
    let p_conversion = p[(0, 0)];

    let lost = |removed: &Vec<usize>| {
        let among = Mat::from_fn(removed.len(), removed.len(), |i, j| visits[(removed[i], removed[j])]);
        let mut entries = Mat::from_fn(removed.len(), 1, |i, _| p[(removed[i], 0)]);
        among.partial_piv_lu().solve_in_place(entries.as_mut());
        removed.iter().enumerate().map(|(i, &state)| visits[(0, state)] * entries[(i, 0)]).sum::<f64>()
    };
    let effect = |removed: &Vec<usize>| if removed.is_empty() { 0.0 } else { lost(removed) / p_conversion };
    let effects: Vec<f64> = states_with_channel(chain).iter().map(effect).collect();
    if !p_conversion.is_finite() || effects.iter().any(|effect| !effect.is_finite()) {
        return Err(ModelError::Singular { what: "the markov chain" });
    }
    Ok(Removals { p_conversion, effects })
}

/// Lets the journeys walk through the chain until nobody is left, once per channel that is missing and once whole.
///
/// A Gauss-Seidel solve of (I - Q)' n = e_0 in residual form: `walking` is the residual, all of it at or above 0, and
/// what it can still add to P(conversion) is at most its sum, so that the error is known, not estimated.
pub(super) fn by_walking(chain: &Chain) -> Result<Removals, ModelError> {
    let steps = Steps::of(chain);
    let containing = states_with_channel(chain);
    let [p_conversion] = steps.walk([&[]])?;
    let mut effects = Vec::with_capacity(containing.len());
    for block in containing.chunks(LANES) {
        let closed: [&[usize]; LANES] =
            std::array::from_fn(|lane| block.get(lane).map_or(&[][..], Vec::as_slice));
        let left = steps.walk(closed)?;
        effects.extend(left[..block.len()].iter().map(|&p| 1.0 - p / p_conversion));
    }
    Ok(Removals { p_conversion, effects })
}

/// The chain's transitions by a touch, as probabilities in rows one after the other.
struct Steps {
    offsets: Vec<usize>,
    next: Vec<(u32, f64)>,
    convert: Vec<f64>,
    /// How many of one journey may be left out. Measured by the whole chain: where nobody converts without a channel,
    /// a part of what is left would be 0, which repeated products need not reach.
    negligible: f64,
}

impl Steps {
    fn of(chain: &Chain) -> Self {
        let states = 0..chain.state_count();
        let conversions: u64 = states.clone().map(|state| chain.conversions(state)).sum();
        let mut steps = Self {
            offsets: vec![0],
            next: Vec::with_capacity(chain.step_count()),
            convert: Vec::with_capacity(chain.state_count()),
            negligible: NEGLIGIBLE * conversions as f64 / chain.visits(0) as f64,
        };
        for state in states {
            let visits = chain.visits(state) as f64;
            steps
                .next
                .extend(chain.successors(state).map(|(next, count)| (next as u32, count as f64 / visits)));
            steps.offsets.push(steps.next.len());
            steps.convert.push(chain.conversions(state) as f64 / visits);
        }
        steps
    }

    /// P(conversion) where lane `l` loses whoever enters the states `closed[l]`.
    fn walk<const L: usize>(&self, closed: [&[usize]; L]) -> Result<[f64; L], ModelError> {
        let states = self.convert.len();
        let mut open = vec![[1.0; L]; states];
        for (lane, closed) in closed.iter().enumerate() {
            for &state in *closed {
                open[state][lane] = 0.0;
            }
        }
        let mut walking = vec![[0.0; L]; states];
        walking[0] = [1.0; L];
        let mut converted = [0.0; L];
        for _ in 0..MOST_SWEEPS {
            self.sweep(&open, &mut walking, &mut converted);
            let left =
                walking.iter().fold([0.0; L], |sum, at| std::array::from_fn(|lane| sum[lane] + at[lane]));
            if left.iter().all(|&left| left <= self.negligible) {
                return Ok(converted);
            }
        }
        Err(ModelError::DidNotConverge { what: "the markov chain", iterations: MOST_SWEEPS })
    }

    /// Moves everybody on by one touch, state by state, those who arrive in later states more than once.
    fn sweep<const L: usize>(&self, open: &[[f64; L]], walking: &mut [[f64; L]], converted: &mut [f64; L]) {
        for (state, open) in open.iter().enumerate() {
            let at = std::mem::replace(&mut walking[state], [0.0; L]);
            let at: [f64; L] = std::array::from_fn(|lane| at[lane] * open[lane]);
            for lane in 0..L {
                converted[lane] += at[lane] * self.convert[state];
            }
            for &(next, probability) in &self.next[self.offsets[state]..self.offsets[state + 1]] {
                let next = &mut walking[next as usize];
                for lane in 0..L {
                    next[lane] += at[lane] * probability;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;
