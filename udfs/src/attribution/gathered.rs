//! What ranges of customers add up, instead of giving rows out.

use super::path_runs::PathRuns;
use super::totals::Totals;

/// The sums of one range, or of several.
#[derive(Debug, Default)]
pub enum Gathered {
    /// Rows were given out.
    #[default]
    Nothing,
    Totals(Box<Totals>),
    Paths(PathRuns),
}

impl Gathered {
    /// Adds what another range found.
    pub fn merge(&mut self, other: Gathered) {
        match (&mut *self, other) {
            (Gathered::Totals(all), Gathered::Totals(found)) => all.merge(*found),
            (Gathered::Paths(all), Gathered::Paths(found)) => all.runs.extend(found.runs),
            (_, found) => *self = found,
        }
    }
}
