//! What the ranges of one run share: the refunds, and what they add up together.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::gathered::Gathered;
use super::refunds::SharedRefunds;

/// One run of the operator: every range joins it once.
#[derive(Debug)]
pub struct Run {
    pub refunds: SharedRefunds,
    left: Mutex<Left>,
}

/// What is left to do.
#[derive(Debug)]
struct Left {
    /// Ranges that have not finished yet.
    ranges: usize,
    gathered: Gathered,
}

impl Run {
    fn new(ranges: usize) -> Self {
        let left = Mutex::new(Left { ranges, gathered: Gathered::Nothing });
        Self { refunds: SharedRefunds::default(), left }
    }

    /// Adds what a range found to what others did. The last range to finish gets all of it; it is the one that knows
    /// which refunds nobody met an order of.
    pub fn finish_range(&self, found: Gathered) -> Option<Gathered> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.gathered.merge(found);
        left.ranges -= 1;
        (left.ranges == 0).then(|| std::mem::take(&mut left.gathered))
    }
}

/// The runs of one plan, which may be executed more than once.
#[derive(Debug)]
pub struct Runs {
    ranges: usize,
    current: Mutex<(Arc<Run>, HashSet<usize>)>,
}

impl Runs {
    pub fn new(ranges: usize) -> Self {
        Self { ranges, current: Mutex::new((Arc::new(Run::new(ranges)), HashSet::new())) }
    }

    /// Joins a range to the current run, or to a new one where it has joined that before.
    pub fn join(&self, range: usize) -> Arc<Run> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.1.insert(range) {
            *current = (Arc::new(Run::new(self.ranges)), HashSet::from([range]));
        }
        Arc::clone(&current.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_comes_again_begins_another_run() {
        let runs = Runs::new(2);
        let first = runs.join(0);
        assert!(Arc::ptr_eq(&first, &runs.join(1)));
        let second = runs.join(1);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &runs.join(0)));
    }

    #[test]
    fn the_last_range_to_finish_knows() {
        let run = Run::new(2);
        assert!(run.finish_range(Gathered::Nothing).is_none());
        assert!(run.finish_range(Gathered::Nothing).is_some());
    }
}
