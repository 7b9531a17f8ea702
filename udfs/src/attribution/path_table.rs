//! Distinct lists of numbers, one after the other in memory.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Lists by their places, in the order in which they came.
#[derive(Debug, Default)]
pub struct PathTable {
    numbers: Vec<u32>,
    /// Where each list ends.
    ends: Vec<usize>,
    /// Places with their lists' hashes, so that the lists are not looked at again when the table grows.
    places: HashTable<(u64, usize)>,
    hasher: DefaultHashBuilder,
}

impl PathTable {
    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The list at a place.
    pub fn get(&self, place: usize) -> &[u32] {
        list(&self.numbers, &self.ends, place)
    }

    /// The place of a list, which is the next one where the list is new.
    pub fn place(&mut self, path: &[u32]) -> usize {
        let Self { numbers, ends, places, hasher } = self;
        let hash = hasher.hash_one(path);
        let is_path = |&(other, place): &(u64, usize)| other == hash && list(numbers, ends, place) == path;
        if let Some((_, place)) = places.find(hash, is_path) {
            return *place;
        }
        let place = ends.len();
        numbers.extend_from_slice(path);
        ends.push(numbers.len());
        places.insert_unique(hash, (hash, place), |&(hash, _)| hash);
        place
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>()
            + self.ends.capacity() * size_of::<usize>()
            + self.places.allocation_size()
    }
}

fn list<'a>(numbers: &'a [u32], ends: &[usize], place: usize) -> &'a [u32] {
    let start = place.checked_sub(1).map_or(0, |before| ends[before]);
    &numbers[start..ends[place]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_have_one_place() {
        let mut table = PathTable::default();
        let lists: [&[u32]; 5] = [&[1, 2], &[], &[1, 2], &[1], &[]];
        assert_eq!(lists.map(|list| table.place(list)), [0, 1, 0, 2, 1]);
        assert_eq!(table.len(), 3);
        assert_eq!([0, 1, 2].map(|place| table.get(place)), [&[1, 2][..], &[], &[1]]);
    }
}
