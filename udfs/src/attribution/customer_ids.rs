//! Customers of sorted rows: where each one's rows begin, and ids that compare as numbers.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;

use super::columns::name_of;

/// Bytes of an id that its code holds.
const CODE_BYTES: usize = 15;
/// The last byte of the code of a longer id.
const LONGER: u8 = CODE_BYTES as u8 + 2;

/// A number of the same order as the id, in the order of bytes; none comes first. Two longer ids that begin alike have
/// the same.
fn code(id: Option<&str>) -> u128 {
    let Some(id) = id.map(str::as_bytes) else { return 0 };
    let mut bytes = [0; 16];
    let held = id.len().min(CODE_BYTES);
    bytes[..held].copy_from_slice(&id[..held]);
    // Of ids that are alike but for zero bytes at the end, the shorter comes first.
    bytes[CODE_BYTES] = if id.len() > CODE_BYTES { LONGER } else { id.len() as u8 + 1 };
    u128::from_be_bytes(bytes)
}

/// The code of a row's id: the same as `code`, by sixteen bytes at once where so many follow its beginning.
#[inline]
fn code_of_row(ids: &DictionaryArray<Int32Type>, values: &StringArray, row: usize) -> u128 {
    let Some(key) = ids.key(row).filter(|&key| values.is_valid(key)) else { return 0 };
    let offsets = values.value_offsets();
    let (start, length) = (offsets[key] as usize, (offsets[key + 1] - offsets[key]) as usize);
    let window = values.value_data().get(start..start + 16).and_then(|bytes| bytes.try_into().ok());
    let Some(window) = window.map(u128::from_be_bytes) else { return code(Some(values.value(key))) };
    if length > CODE_BYTES {
        return window & !0xff | u128::from(LONGER);
    }
    let held = !(u128::MAX >> (8 * length));
    window & held | (length as u128 + 1)
}

fn is_longer(code: u128) -> bool {
    code as u8 == LONGER
}

/// The first row of each group of rows with equal keys.
fn starts_of_groups<K: PartialEq>(keys: &[K]) -> Vec<u32> {
    let mut starts = vec![0; keys.len()];
    let mut count = usize::from(!keys.is_empty());
    // Groups are short, and a branch would be guessed wrong at most of their ends: what begins none is overwritten.
    for (row, pair) in (1..).zip(keys.windows(2)) {
        starts[count] = row;
        count += usize::from(pair[0] != pair[1]);
    }
    starts.truncate(count);
    starts
}

/// The customers of a batch of sorted rows, one group of rows each.
#[derive(Debug)]
pub struct CustomerGroups {
    ids: DictionaryArray<Int32Type>,
    /// The first row of each group, and the number of rows.
    starts: Vec<u32>,
    codes: Vec<u128>,
}

impl CustomerGroups {
    pub fn new(ids: DictionaryArray<Int32Type>) -> Self {
        let keys = ids.keys();
        let mut starts = if keys.null_count() == 0 {
            starts_of_groups(keys.values())
        } else {
            starts_of_groups(&(0..keys.len()).map(|row| ids.key(row)).collect::<Vec<_>>())
        };
        let values = ids.values().as_string::<i32>();
        let codes = starts.iter().map(|&row| code_of_row(&ids, values, row as usize)).collect();
        starts.push(ids.len() as u32);
        Self { ids, starts, codes }
    }

    /// How many groups there are. A customer may have several, one after the other.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    pub fn rows(&self, group: usize) -> Range<usize> {
        self.starts[group] as usize..self.starts[group + 1] as usize
    }

    pub fn id(&self, group: usize) -> Option<&str> {
        name_of(&self.ids, self.starts[group] as usize)
    }

    /// A number that is smaller where the customer of the group comes before; alike for one customer, and for some whose
    /// ids are long.
    pub fn code(&self, group: usize) -> u128 {
        self.codes[group]
    }

    /// How the customers of two groups compare.
    pub fn cmp(&self, group: usize, other: &Self, other_group: usize) -> Ordering {
        let (own, others) = (self.codes[group], other.codes[other_group]);
        own.cmp(&others).then_with(|| {
            if is_longer(own) { self.id(group).cmp(&other.id(other_group)) } else { Ordering::Equal }
        })
    }
}

/// A customer's id, or none, which comes before all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerKey {
    code: u128,
    /// The id, where its code does not hold all of it.
    longer: String,
}

impl CustomerKey {
    pub fn new(id: Option<&str>) -> Self {
        let code = code(id);
        let longer = id.filter(|_| is_longer(code)).unwrap_or_default().to_owned();
        Self { code, longer }
    }

    /// Takes the customer of a group.
    pub fn set(&mut self, groups: &CustomerGroups, group: usize) {
        self.code = groups.codes[group];
        if is_longer(self.code) {
            self.longer.clear();
            self.longer.push_str(groups.id(group).unwrap_or_default());
        }
    }

    /// The same number as of a group of the customer's rows.
    pub fn code(&self) -> u128 {
        self.code
    }

    /// Whether there is no id.
    pub fn is_none(&self) -> bool {
        self.code == 0
    }

    /// How the customer of a group compares with this one.
    #[inline]
    pub fn group_cmp(&self, groups: &CustomerGroups, group: usize) -> Ordering {
        groups.codes[group].cmp(&self.code).then_with(|| {
            if is_longer(self.code) { groups.id(group).cmp(&Some(&self.longer)) } else { Ordering::Equal }
        })
    }

    /// The first group from `start` on whose customer is not before this one.
    ///
    /// Looks ahead in steps that double, since it is often near.
    pub fn first_group(&self, groups: &CustomerGroups, start: usize) -> usize {
        let is_before = |group: usize| self.group_cmp(groups, group) == Ordering::Less;
        let (mut from, mut step) = (start, 1);
        while from < groups.len() && is_before(from) {
            let next = from + step;
            if next >= groups.len() || !is_before(next) {
                // The group is after `from`, and at `next` at the latest.
                let (mut low, mut high) = (from + 1, next.min(groups.len()));
                while low < high {
                    let middle = low.midpoint(high);
                    if is_before(middle) {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                return low;
            }
            from = next;
            step *= 2;
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_of_every_length_compare_as_bytes(
            id in prop::option::of("[ab\u{0}ä]{0,4}(longer than a code)?[ab]{0,2}"),
            ids in prop::collection::vec(prop::option::of("[ab\u{0}ä]{0,4}(longer than a code)?[ab]{0,2}"), 1..30),
        ) {
            let mut ids = ids;
            ids.sort();
            let key = CustomerKey::new(id.as_deref());
            let groups = CustomerGroups::new(ids.iter().map(Option::as_deref).collect());
            let mut rows = 0..0;
            for group in 0..groups.len() {
                prop_assert_eq!(groups.rows(group).start, rows.end);
                rows = groups.rows(group);
                prop_assert!(ids[rows.clone()].iter().all(|id| id.as_deref() == groups.id(group)));
                prop_assert_eq!(key.group_cmp(&groups, group), groups.id(group).cmp(&id.as_deref()));
                prop_assert_eq!(groups.cmp(group, &groups, 0), groups.id(group).cmp(&groups.id(0)));
            }
            prop_assert_eq!(rows.end, ids.len());
            for start in 0..=groups.len() {
                let first = (start..groups.len()).find(|group| groups.id(*group) >= id.as_deref());
                prop_assert_eq!(key.first_group(&groups, start), first.unwrap_or(groups.len()));
            }
        }
    }
}
