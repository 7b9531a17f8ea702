//! Schedules: whose call goes next.

use std::collections::BTreeMap;
use std::fmt;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::gate::{Call, Gate, Kind};

/// Turns of all tasks of the runtime, after which their actors count as being at rest.
const ROUNDS: usize = 12;

/// The rule by which a schedule chooses. It replays, but for calls that an actor makes at once from several threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The first actor makes so many calls, then the next one, and so on; in the end each goes to its end. An actor is
    /// stopped before a call that counts, never before others.
    Preempting { first: usize, counting: Counting, calls: Vec<usize> },
    /// Another actor may be chosen before every call, in so many of a hundred cases.
    Random { seed: u64, percent: u32 },
}

/// The calls that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Those that write: what an actor has read is old when it goes on.
    Writes,
    /// All but those that read data files.
    Most,
    All,
}

impl Counting {
    fn counts(self, kind: Kind) -> bool {
        match self {
            Counting::Writes => kind == Kind::Writes,
            Counting::Most => kind != Kind::ReadsData,
            Counting::All => true,
        }
    }
}

/// The number of an actor's calls, by what counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Length {
    writes: usize,
    most: usize,
    all: usize,
}

impl Length {
    fn of(self, counting: Counting) -> usize {
        match counting {
            Counting::Writes => self.writes,
            Counting::Most => self.most,
            Counting::All => self.all,
        }
    }
}

/// The calls of a schedule, in their order.
#[derive(Debug, Default)]
pub struct Trace {
    calls: Vec<(usize, String)>,
    lengths: BTreeMap<usize, Length>,
}

impl Trace {
    pub fn length(&self, actor: usize) -> Length {
        self.lengths.get(&actor).copied().unwrap_or_default()
    }

    fn add(&mut self, call: &Call) {
        let length = self.lengths.entry(call.actor).or_default();
        length.writes += usize::from(Counting::Writes.counts(call.kind()));
        length.most += usize::from(Counting::Most.counts(call.kind()));
        length.all += 1;
        self.calls.push((call.actor, call.name.clone()));
    }

    /// Returns true if an actor's last call came before the first call of another one.
    pub fn is_before(&self, actor: usize, other: usize) -> bool {
        let last = self.calls.iter().rposition(|(of, _)| *of == actor);
        let first = self.calls.iter().position(|(of, _)| *of == other);
        first.is_none_or(|first| last.is_none_or(|last| last < first))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (actor, call) in &self.calls {
            writeln!(f, "{actor}{}{call}", " ".repeat(4 + 4 * actor))?;
        }
        Ok(())
    }
}

/// Chooses among actors as a plan says.
struct Chooser {
    plan: Plan,
    current: usize,
    /// Calls that the current actor has left before the next one's turn.
    left: usize,
    turn: usize,
    random: ChaCha8Rng,
}

impl Chooser {
    fn new(plan: &Plan) -> Self {
        let (current, left, seed) = match plan {
            Plan::Preempting { first, calls, .. } => {
                (*first, calls.first().copied().unwrap_or(usize::MAX), 0)
            }
            Plan::Random { seed, .. } => (0, 0, *seed),
        };
        Self { plan: plan.clone(), current, left, turn: 0, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Whose turn it is among those whose calls wait.
    fn next(&mut self, waiting: &[(usize, Kind)]) -> usize {
        let mine = waiting.iter().find(|(actor, _)| *actor == self.current);
        match &self.plan {
            Plan::Preempting { calls, counting, .. } => {
                if mine.is_none_or(|(_, kind)| self.left == 0 && counting.counts(*kind)) {
                    self.turn += 1;
                    self.left = calls.get(self.turn).copied().unwrap_or(usize::MAX);
                    let after = waiting.iter().find(|(actor, _)| *actor > self.current);
                    self.current = after.unwrap_or(&waiting[0]).0;
                }
                let kind = waiting.iter().find(|(actor, _)| *actor == self.current).map(|(_, kind)| *kind);
                self.left -= usize::from(self.left > 0 && kind.is_some_and(|kind| counting.counts(kind)));
            }
            Plan::Random { percent, .. } => {
                if mine.is_none() || self.random.random_ratio(*percent, 100) {
                    self.current = waiting[self.random.random_range(0..waiting.len())].0;
                }
            }
        }
        self.current
    }
}

/// Lets actors go one call at a time, until all have finished.
pub async fn run(gate: &Gate, plan: &Plan, trace: &std::sync::Mutex<Trace>) {
    let mut chooser = Chooser::new(plan);
    loop {
        come_to_rest(gate).await;
        let waiting = gate.waiting();
        if waiting.is_empty() {
            return;
        }
        let Some(call) = gate.take(chooser.next(&waiting)) else { continue };
        trace.lock().unwrap().add(&call);
        call.go();
    }
}

/// Returns when each actor has finished, or waits at the gate with all that it does.
async fn come_to_rest(gate: &Gate) {
    loop {
        let before = gate.arrivals_at_rest();
        if before.is_none() {
            gate.changed.notified().await;
            continue;
        }
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
        if gate.arrivals_at_rest() == before {
            return;
        }
    }
}

/// Plans for actors of these lengths: all of them in turn, then with one preemption before a write, then with two
/// preemptions, and random ones. Where there are more than a third of the count, some are drawn.
pub fn plans(count: usize, lengths: &[Length]) -> Vec<Plan> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let actors = lengths.len();
    let mut plans: Vec<Plan> = (0..actors).map(in_turn).collect();
    let third = count.saturating_sub(actors).div_ceil(3);
    let counting = Counting::Writes;
    let mut once = Vec::new();
    for (first, length) in lengths.iter().enumerate() {
        let mut places: Vec<usize> = (0..length.writes).collect();
        places.shuffle(&mut random);
        // The actors take turns, so that one with few writes is stopped before each of them.
        once.extend(places.into_iter().enumerate().map(|(number, calls)| (number, first, calls)));
    }
    once.sort_unstable();
    let once = once.into_iter().take(third);
    plans.extend(once.map(|(_, first, calls)| Plan::Preempting { first, counting, calls: vec![calls] }));
    for number in 0..third {
        let counting = [Counting::Writes, Counting::Most, Counting::All][number % 3];
        let first = random.random_range(0..actors);
        let mut calls = |actor: usize| random.random_range(0..lengths[actor].of(counting).max(1));
        let calls = vec![calls(first), calls((first + 1) % actors)];
        plans.push(Plan::Preempting { first, counting, calls });
    }
    while plans.len() < count {
        plans.push(Plan::Random { seed: random.random(), percent: random.random_range(3..60) });
    }
    plans.truncate(count.max(actors));
    plans
}

/// One actor after the other.
pub fn in_turn(first: usize) -> Plan {
    Plan::Preempting { first, counting: Counting::Writes, calls: Vec::new() }
}
