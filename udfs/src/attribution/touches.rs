//! One customer's touches, in the order of (touched_at, touch_id), each id once.

use std::collections::HashMap;

/// Where a row is: the number of its held batch, and the row in it.
pub type Place = (usize, usize);

/// The touch is a view; a click otherwise.
pub const VIEW: u8 = 1;
/// The touch's channel is direct.
pub const DIRECT: u8 = 2;
/// The touch's channel or campaign was asked to be left out.
pub const FILTERED: u8 = 4;
/// The touch took the customer over a step, such as becoming a lead.
pub const MILESTONE: u8 = 8;

/// Touches up to here are compared pair by pair; more are sorted by hash.
const FEW: usize = 16;

/// What dedupes one customer's touches: their ids, and what else tells two of one id apart.
pub trait TouchText {
    /// The touch's id.
    fn id(&self, place: Place) -> &str;
    /// Orders two touches of one id and instant by what is written in them.
    fn compare(&self, a: Place, b: Place) -> std::cmp::Ordering;
}

/// Rows of touches as they are read, of ascending instants.
#[derive(Debug, Clone, Copy, Default)]
pub struct TouchRows<'a> {
    pub at: &'a [i64],
    /// Empty where no touch has a flag.
    pub flags: &'a [u8],
    /// Empty where no rule needs it.
    pub channel: &'a [u32],
    /// Empty where no id can be there twice.
    pub id_hash: &'a [u64],
}

/// One customer's touches as parallel lists; kept and cleared, never re-allocated.
#[derive(Debug, Default)]
pub struct Touches {
    /// Instants in microseconds, ascending.
    pub at: Vec<i64>,
    /// What is known of each touch: any of the flags above.
    pub flags: Vec<u8>,
    /// The number of each touch's channel, the same in any spelling; empty where no rule needs it.
    pub channel: Vec<u32>,
    /// Where the touch's row is.
    pub place: Vec<Place>,
    /// The flags that any touch has.
    pub any_flags: u8,
    /// Touches whose id came before, with their instants.
    pub duplicates: Vec<(i64, Place)>,
    /// Empty where no id can be there twice.
    id_hash: Vec<u64>,
    sorted: Vec<u64>,
}

impl Touches {
    /// Forgets the customer.
    pub fn clear(&mut self) {
        self.at.clear();
        self.flags.clear();
        self.channel.clear();
        self.place.clear();
        self.any_flags = 0;
        self.duplicates.clear();
        self.id_hash.clear();
    }

    /// Adds rows, with the place of each.
    pub fn extend(&mut self, rows: TouchRows<'_>, place: impl Iterator<Item = Place>) {
        self.at.extend_from_slice(rows.at);
        self.place.extend(place);
        if rows.flags.is_empty() {
            self.flags.resize(self.at.len(), 0);
        } else {
            self.flags.extend_from_slice(rows.flags);
            self.any_flags |= rows.flags.iter().fold(0, |any, flags| any | flags);
        }
        if !rows.channel.is_empty() {
            self.channel.extend_from_slice(rows.channel);
        }
        if !rows.id_hash.is_empty() {
            self.id_hash.extend_from_slice(rows.id_hash);
        }
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.at.len()
            * (size_of::<i64>() + size_of::<u8>() + size_of::<u32>() + size_of::<Place>() + size_of::<u64>())
    }

    /// Whether the customer has no touch at all.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The numbers of the held batches that the touches are in.
    pub fn numbers(&mut self) -> impl Iterator<Item = &mut usize> {
        self.place
            .iter_mut()
            .chain(self.duplicates.iter_mut().map(|(_, place)| place))
            .map(|place| &mut place.0)
    }

    /// Sorts by instant and id, where several runs were gathered and are not in order by themselves.
    pub fn sort(&mut self, text: &impl TouchText) {
        if self.at.windows(2).all(|pair| pair[0] < pair[1]) {
            return;
        }
        let id = |k: u32| text.id(self.place[k as usize]);
        let mut order: Vec<u32> = (0..self.at.len() as u32).collect();
        order.sort_by(|&a, &b| self.at[a as usize].cmp(&self.at[b as usize]).then_with(|| id(a).cmp(id(b))));
        self.reorder(&order);
    }

    fn reorder(&mut self, order: &[u32]) {
        self.at = order.iter().map(|&k| self.at[k as usize]).collect();
        self.flags = order.iter().map(|&k| self.flags[k as usize]).collect();
        if !self.channel.is_empty() {
            self.channel = order.iter().map(|&k| self.channel[k as usize]).collect();
        }
        self.place = order.iter().map(|&k| self.place[k as usize]).collect();
        if !self.id_hash.is_empty() {
            self.id_hash = order.iter().map(|&k| self.id_hash[k as usize]).collect();
        }
    }

    /// Leaves each id once, the earliest; the others go to `duplicates`. Called when all are pushed.
    ///
    /// Equal hashes are rare enough that the ids themselves are compared only when some are.
    pub fn dedupe(&mut self, text: &impl TouchText) {
        if self.has_equal_hashes() {
            self.move_duplicates(text);
        }
    }

    fn has_equal_hashes(&mut self) -> bool {
        let hashes = &self.id_hash;
        if hashes.len() <= FEW {
            return (1..hashes.len()).any(|k| hashes[..k].contains(&hashes[k]));
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(hashes);
        self.sorted.sort_unstable();
        self.sorted.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Of two rows with one id and instant, the one that is written smaller stays, so that the order in which
    /// the input came decides nothing.
    fn move_duplicates(&mut self, text: &impl TouchText) {
        let mut first: HashMap<&str, usize> = HashMap::with_capacity(self.at.len());
        let mut kept = 0;
        for k in 0..self.at.len() {
            let (at, place) = (self.at[k], self.place[k]);
            let Some(&earlier) = first.get(text.id(place)) else {
                first.insert(text.id(place), kept);
                self.copy(k, kept);
                kept += 1;
                continue;
            };
            let (flags, earlier_flags) = (self.flags[k], self.flags[earlier]);
            let replaces = self.at[earlier] == at
                && (flags & VIEW)
                    .cmp(&(earlier_flags & VIEW))
                    .then_with(|| text.compare(place, self.place[earlier]))
                    .then_with(|| flags.cmp(&earlier_flags))
                    .is_lt();
            if replaces {
                self.duplicates.push((at, self.place[earlier]));
                self.copy(k, earlier);
            } else {
                self.duplicates.push((at, place));
            }
        }
        self.at.truncate(kept);
        self.flags.truncate(kept);
        self.channel.truncate(kept);
        self.place.truncate(kept);
        self.any_flags = self.flags.iter().fold(0, |any, flags| any | flags);
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.at[to] = self.at[from];
        self.flags[to] = self.flags[from];
        self.place[to] = self.place[from];
        if !self.channel.is_empty() {
            self.channel[to] = self.channel[from];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row k of batch 0 is a touch with id and text `rows[k]`.
    struct Rows(Vec<(String, &'static str)>);

    impl TouchText for Rows {
        fn id(&self, place: Place) -> &str {
            &self.0[place.1].0
        }
        fn compare(&self, a: Place, b: Place) -> std::cmp::Ordering {
            self.0[a.1].1.cmp(self.0[b.1].1)
        }
    }

    fn touches(rows: &[(i64, &str, &'static str)]) -> Touches {
        let text = Rows(rows.iter().map(|(_, id, channel)| ((*id).to_owned(), *channel)).collect());
        let mut touches = Touches::default();
        for (k, (at, id, _)) in rows.iter().enumerate() {
            // The ids' lengths as hashes: some ids collide without being equal.
            let row = TouchRows { at: &[*at], id_hash: &[id.len() as u64], ..TouchRows::default() };
            touches.extend(row, std::iter::once((0, k)));
        }
        touches.dedupe(&text);
        touches
    }

    #[test]
    fn an_id_counts_once_and_the_earliest_stays() {
        let touches = touches(&[(1, "a", "x"), (2, "b", "x"), (3, "a", "y"), (3, "bb", "y")]);
        assert_eq!(touches.at, [1, 2, 3]);
        assert_eq!(touches.duplicates, [(3, (0, 2))]);
    }

    #[test]
    fn of_two_at_one_instant_the_smaller_text_stays_in_any_order() {
        let one = touches(&[(1, "a", "x"), (1, "a", "y")]);
        let other = touches(&[(1, "a", "y"), (1, "a", "x")]);
        assert_eq!((one.place[0].1, other.place[0].1), (0, 1));
        assert_eq!((one.duplicates[0].1.1, other.duplicates[0].1.1), (1, 0));
    }

    #[test]
    fn many_touches_are_checked_too() {
        let ids: Vec<String> = (0..40).map(|k| "i".repeat(k % 39 + 1)).collect();
        let rows: Vec<(i64, &str, &'static str)> =
            ids.iter().enumerate().map(|(k, id)| (k as i64, id.as_str(), "x")).collect();
        assert_eq!(touches(&rows).duplicates, [(39, (0, 39))]);
    }
}
