//! Batches that rows still point to, by number.

use std::sync::Arc;

/// Number 0 is a stand-in whose only row means "nothing".
#[derive(Debug)]
pub struct Held<T> {
    batches: Vec<Arc<T>>,
}

impl<T> Held<T> {
    pub fn new(stand_in: T) -> Self {
        Self { batches: vec![Arc::new(stand_in)] }
    }

    /// Holds a batch and returns its number.
    pub fn push(&mut self, batch: Arc<T>) -> usize {
        self.batches.push(batch);
        self.batches.len() - 1
    }

    /// Lets all batches go that none of these numbers name, and renumbers the rest.
    pub fn keep<'a>(&mut self, numbers: impl Iterator<Item = &'a mut usize>) {
        let mut kept = vec![Arc::clone(&self.batches[0])];
        let mut renumbered: Vec<Option<usize>> = vec![None; self.batches.len()];
        renumbered[0] = Some(0);
        for number in numbers {
            *number = *renumbered[*number].get_or_insert_with(|| {
                kept.push(Arc::clone(&self.batches[*number]));
                kept.len() - 1
            });
        }
        self.batches = kept;
    }

    pub fn len(&self) -> usize {
        self.batches.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.batches.iter()
    }
}

impl<T> std::ops::Index<usize> for Held<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        &self.batches[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pointed_to_stays_under_its_new_number() {
        let mut held = Held::new('-');
        let numbers: Vec<usize> = "abcd".chars().map(|letter| held.push(Arc::new(letter))).collect();
        let mut kept = [numbers[3], 0, numbers[1], numbers[3]];
        held.keep(kept.iter_mut());
        assert_eq!(kept.map(|number| held[number]), ['d', '-', 'b', 'd']);
        assert_eq!(held.len(), 3);
    }
}
