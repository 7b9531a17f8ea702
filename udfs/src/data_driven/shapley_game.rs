//! The rate game of channels, and its Shapley values: exact up to 20 players, sampled above.

use super::error::ModelError;
use super::paths::Paths;
use super::random::Random;
use super::shapley::{Sampling, Worth};

/// v(S) = worth of the journeys whose channels are all within S, per such journey.
pub struct Game {
    /// The channels that occur, ascending; player `k` is channel `players[k]`.
    players: Vec<u32>,
    /// Sets of players, without empty ones; they may come more than once and with repeats: set `k` has `members[offsets[k]..offsets[k + 1]]`.
    members: Vec<u32>,
    offsets: Vec<usize>,
    journeys: Vec<u64>,
    worth: Vec<f64>,
}

impl Game {
    /// The game of journeys grouped by path or by channel set; journeys without a touch are left out.
    pub fn of(sets: &Paths, worth: Worth) -> Self {
        let mut player_of = vec![u32::MAX; sets.channel_count()];
        sets.iter().flat_map(|set| set.channels).for_each(|&channel| player_of[channel as usize] = 0);
        let players: Vec<u32> =
            (0..sets.channel_count() as u32).filter(|&c| player_of[c as usize] == 0).collect();
        players.iter().enumerate().for_each(|(player, &channel)| player_of[channel as usize] = player as u32);

        let mut game =
            Self { players, members: Vec::new(), offsets: vec![0], journeys: Vec::new(), worth: Vec::new() };
        for set in sets.iter().filter(|set| !set.channels.is_empty()) {
            game.members.extend(set.channels.iter().map(|&channel| player_of[channel as usize]));
            game.offsets.push(game.members.len());
            game.journeys.push(set.journeys());
            game.worth.push(match worth {
                Worth::ConversionRate => set.conversions as f64,
                Worth::ValueRate => set.value,
            });
        }
        game
    }

    /// The channels that play, ascending.
    pub fn players(&self) -> &[u32] {
        &self.players
    }

    /// The Shapley value of each player, in time and memory of n 2^n and 2^n for n players (16 MB at 20).
    ///
    /// The worth of every coalition is a sum over its subsets, by the zeta transform (Yates's method); the values are
    /// then the weighted sums of all marginal worths.
    pub fn exact(&self) -> Vec<f64> {
        let n = self.players.len();
        let mut journeys = vec![0_u64; 1 << n];
        let mut worth = vec![0.0; 1 << n];
        for (k, members) in self.sets().enumerate() {
            let set = members.iter().fold(0, |set, &player| set | 1_usize << player);
            journeys[set] += self.journeys[k];
            worth[set] += self.worth[k];
        }
        sum_over_subsets(&mut journeys, n, |sum, more| *sum += more);
        sum_over_subsets(&mut worth, n, |sum, more| *sum += more);
        for (worth, &journeys) in worth.iter_mut().zip(&journeys) {
            *worth = rate(*worth, journeys);
        }
        drop(journeys);

        let weights = weights(n);
        (0..n).map(|player| marginals(&worth, player, &weights)).collect()
    }

    /// Estimates of the Shapley values, each with its standard error.
    ///
    /// In a permutation, a set counts from the moment its last player has come in, so that one pass over the sets
    /// gives the marginal worths of all players. Each pair (an order and its reverse) is one observation.
    pub fn sampled(&self, sampling: Sampling) -> Result<Vec<(f64, f64)>, ModelError> {
        if sampling.permutations < 4 {
            return Err(ModelError::CountTooSmall {
                what: "permutations",
                given: sampling.permutations,
                least: 4,
            });
        }
        let n = self.players.len();
        let pairs = sampling.permutations.div_ceil(2);
        // Running means and squared deviations (Welford): the values may be small beside their sum.
        let (mut means, mut squares) = (vec![0.0; n], vec![0.0; n]);
        let mut sum = vec![0.0; n];
        let mut places: Vec<u32> = (0..n as u32).collect();
        let mut arrivals = Arrivals::new(n);
        for pair in 0..pairs {
            sum.fill(0.0);
            Random::stream(sampling.seed, pair as u64, 0).shuffle(&mut places);
            self.add_marginals(&places, &mut arrivals, &mut sum);
            for place in &mut places {
                *place = n as u32 - 1 - *place;
            }
            self.add_marginals(&places, &mut arrivals, &mut sum);
            for player in 0..n {
                let observed = sum[player] / 2.0;
                let deviation = observed - means[player];
                means[player] += deviation / (pair + 1) as f64;
                squares[player] += deviation * (observed - means[player]);
            }
        }
        let error = |squares: f64| (squares / ((pairs - 1) as f64 * pairs as f64)).sqrt();
        Ok(means.into_iter().zip(squares.into_iter().map(error)).collect())
    }

    /// Adds what each player brings when it comes in at its place, 0 to n - 1.
    fn add_marginals(&self, places: &[u32], arrivals: &mut Arrivals, marginals: &mut [f64]) {
        arrivals.journeys.fill(0);
        arrivals.worth.fill(0.0);
        for (k, members) in self.sets().enumerate() {
            let complete = members.iter().fold(0, |last, &player| last.max(places[player as usize])) as usize;
            arrivals.journeys[complete] += self.journeys[k];
            arrivals.worth[complete] += self.worth[k];
        }
        let (mut journeys, mut worth, mut before) = (0, 0.0, 0.0);
        for place in 0..arrivals.journeys.len() {
            journeys += arrivals.journeys[place];
            worth += arrivals.worth[place];
            let now = rate(worth, journeys);
            arrivals.brought[place] = now - before;
            before = now;
        }
        for (marginal, &place) in marginals.iter_mut().zip(places) {
            *marginal += arrivals.brought[place as usize];
        }
    }

    fn sets(&self) -> impl Iterator<Item = &[u32]> {
        self.offsets.windows(2).map(|range| &self.members[range[0]..range[1]])
    }
}

/// Room for one permutation, by place.
struct Arrivals {
    journeys: Vec<u64>,
    worth: Vec<f64>,
    brought: Vec<f64>,
}

impl Arrivals {
    fn new(n: usize) -> Self {
        Self { journeys: vec![0; n], worth: vec![0.0; n], brought: vec![0.0; n] }
    }
}

fn rate(worth: f64, journeys: u64) -> f64 {
    if journeys == 0 { 0.0 } else { worth / journeys as f64 }
}

/// Turns the entry of each set of `n` players into the sum over its subsets.
fn sum_over_subsets<T: Copy>(table: &mut [T], n: usize, add: impl Fn(&mut T, T)) {
    for player in 0..n {
        for half in table.chunks_exact_mut(2 << player) {
            let (without, with) = half.split_at_mut(1 << player);
            with.iter_mut().zip(without).for_each(|(with, without)| add(with, *without));
        }
    }
}

/// s! (n - 1 - s)! / n! for coalitions of s = 0 to n - 1 players.
fn weights(n: usize) -> Vec<f64> {
    let mut weights = vec![1.0 / n as f64; n];
    for s in 1..n {
        weights[s] = weights[s - 1] * s as f64 / (n - s) as f64;
    }
    weights
}

/// The weighted sum of what a player adds to every coalition without it.
fn marginals(worth: &[f64], player: usize, weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (block, half) in worth.chunks_exact(2 << player).enumerate() {
        let (without, with) = half.split_at(1 << player);
        let others = block.count_ones();
        for (low, (without, with)) in without.iter().zip(with).enumerate() {
            sum += weights[(others + low.count_ones()) as usize] * (with - without);
        }
    }
    sum
}
