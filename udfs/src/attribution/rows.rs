//! Rows of credits before they become columns: plain lists, filled by the kernel, emptied batch by batch.

use super::booked_range::BookedRange;
use super::exchange::Exchange;
use super::model::{MODEL_COUNT, Model};
use super::touches::Place;
use super::weights::Weights;
use crate::calendar::LocalDays;

/// The place that stands for "no touch": the row of held batch 0.
pub const NO_TOUCH: Place = (0, 0);

/// Why a row has no credit, or why its credit has no touch. A code in `Reasons`.
pub type Reason = u32;

/// The row is a touch with credit.
pub const CREDITED: Reason = 0;
/// The customer has no touch at all.
pub const NO_TOUCHES: Reason = 1;
/// The customer has touches, but none that the order may count.
pub const NO_ELIGIBLE_TOUCH: Reason = 2;
/// A refund names an order that there is not.
pub const UNKNOWN_ORDER: Reason = 3;
/// The touch is before the lookback window.
pub const TOO_OLD: Reason = 4;
/// The touch is after the order.
pub const AFTER_ORDER: Reason = 5;
/// The touch's id came before.
pub const DUPLICATE: Reason = 6;
/// The touch is a view, and a click is eligible.
pub const VIEW_SUPERSEDED: Reason = 7;

/// Views do not count.
pub const VIEW_IGNORED: Reason = 8;
/// The touch's channel or campaign was asked to be left out.
pub const FILTERED_OUT: Reason = 9;
/// The touch belongs to an earlier order of the customer.
pub const EARLIER_ORDER: Reason = 10;
/// The touch is direct, and the journey has another.
pub const DIRECT_IGNORED: Reason = 11;
/// The touch repeats a channel of the journey.
pub const COLLAPSED: Reason = 12;
/// Where the reasons of statuses begin.
const STATUSES: Reason = COLLAPSED + 1;

/// The texts of the reasons; `order_<status>` are added as statuses are met.
#[derive(Debug)]
pub struct Reasons {
    names: Vec<String>,
}

impl Default for Reasons {
    fn default() -> Self {
        let fixed = [
            "",
            "no_touch",
            "no_eligible_touch",
            "unknown_order",
            "too_old",
            "after_order",
            "duplicate",
            "view_superseded",
            "view_ignored",
            "filtered",
            "earlier_order",
            "direct_ignored",
            "collapsed",
        ];
        Self { names: fixed.map(str::to_owned).to_vec() }
    }
}

impl Reasons {
    /// The code of an order's status that gets no credit.
    pub fn of_status(&mut self, status: Option<&str>) -> Reason {
        let status = status.unwrap_or("unknown");
        let statuses = &self.names[STATUSES as usize..];
        let known = statuses.iter().position(|name| name.strip_prefix("order_") == Some(status));
        let index = known.unwrap_or_else(|| {
            self.names.push(format!("order_{status}"));
            self.names.len() - 1 - STATUSES as usize
        });
        STATUSES + index as Reason
    }

    /// The reason's text; none for `CREDITED`.
    pub fn name(&self, reason: Reason) -> Option<&str> {
        (reason != CREDITED).then(|| self.names[reason as usize].as_str())
    }
}

/// An order, or one of its refunds.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Where the order's row is.
    pub order: Place,
    /// The refund's row, where the entry is a refund.
    pub refund: Option<u32>,
    /// Instant in microseconds: the order's, or the refund's.
    pub booked_at: i64,
    /// Ten-thousandths: the order's revenue, or minus the refund's amount, in the currency that is reported.
    pub amount: i64,
    /// Ten-thousandths; none where the cost of goods is not known.
    pub profit: Option<i64>,
    /// Ten-thousandths: the amount in the currency that was paid.
    pub paid: i64,
    /// How the currency that was paid becomes the one that is reported; none where they are the same.
    pub exchange: Option<Exchange>,
    /// Touches with credit.
    pub journey_length: i64,
}

/// Which of the models' columns are asked for; the others are not computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    pub weights: [bool; MODEL_COUNT],
    pub credits: [bool; MODEL_COUNT],
    pub profits: [bool; MODEL_COUNT],
}

impl Wanted {
    /// Every column of every model.
    #[cfg(test)]
    pub const ALL: Wanted =
        Wanted { weights: [true; MODEL_COUNT], credits: [true; MODEL_COUNT], profits: [true; MODEL_COUNT] };

    /// The models of which anything is asked for.
    pub fn models(&self) -> Vec<Model> {
        Model::ALL.into_iter().filter(|model| self.model(*model as usize)).collect()
    }

    /// Whether anything of a model is asked for.
    pub fn model(&self, m: usize) -> bool {
        self.weights[m] || self.credits[m] || self.profits[m]
    }
}

/// The shares of one entry's amount under one model, one a touch.
#[derive(Debug, Clone, Copy)]
pub enum Shares<'a> {
    /// One touch has all.
    One {
        at: usize,
        amount: i64,
    },
    Each(&'a [i64]),
}

/// Takes what the kernel finds out, entry by entry.
pub trait Sink {
    /// Which models' values are to be given.
    fn wanted(&self) -> Wanted;

    /// Starts an entry with credit: its touches, in order. The wanted weights, credits and profits follow.
    fn push_journey(&mut self, entry: Entry, touches: impl Iterator<Item = Place>);

    /// Weights of the last entry's touches under a model.
    fn push_weights(&mut self, m: usize, n: usize, weights: Weights<'_>);

    /// Credits of the last entry's touches under a model.
    fn push_credits(&mut self, m: usize, n: usize, shares: Shares<'_>);

    /// Profits of the last entry's touches under a model.
    fn push_profits(&mut self, m: usize, n: usize, shares: Shares<'_>);

    /// Gives an entry's whole amount to no touch.
    fn push_unattributed(&mut self, entry: Entry, reason: Reason);

    /// Lists an entry that gets no credit.
    fn push_refused_entry(&mut self, entry: Entry, reason: Reason);

    /// Lists a touch that the last entry pushed does not count.
    fn push_refused_touch(&mut self, touch: Place, reason: Reason);
}

/// Rows as parallel lists: one element an entry in `entries`, one a row in the others.
#[derive(Debug, Default)]
pub struct Rows {
    pub wanted: Wanted,
    pub entries: Vec<Entry>,
    /// The row's entry.
    pub entry: Vec<u32>,
    pub touch: Vec<Place>,
    /// 1 for the first touch of a journey; 0 for a row that is not part of one.
    pub position: Vec<i64>,
    pub reason: Vec<Reason>,
    /// False for rows whose weight and credits are null.
    pub credited: Vec<bool>,
    /// Per model; a list stays empty where it is not wanted.
    pub weights: [Vec<f64>; MODEL_COUNT],
    pub credits: [Vec<i64>; MODEL_COUNT],
    pub profits: [Vec<i64>; MODEL_COUNT],
    /// Entries booked outside it are left out.
    range: Option<(BookedRange, LocalDays)>,
    /// Whether the last entry was.
    is_outside: bool,
}

impl Rows {
    pub fn new(wanted: Wanted, range: Option<BookedRange>) -> Self {
        let range = range.filter(|range| !range.is_all());
        let range = range.map(|range| (range, LocalDays::new(range.zone)));
        Self { wanted, range, ..Self::default() }
    }

    /// Whether an entry is left out, and what is pushed of it.
    fn leaves_out(&mut self, entry: &Entry) -> bool {
        let is_inside =
            |(range, days): &mut (BookedRange, LocalDays)| range.contains(days.day(entry.booked_at));
        self.is_outside = !self.range.as_mut().is_none_or(is_inside);
        self.is_outside
    }

    pub fn len(&self) -> usize {
        self.entry.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entry.is_empty()
    }

    /// Empties the lists and keeps their room.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.entry.clear();
        self.touch.clear();
        self.position.clear();
        self.reason.clear();
        self.credited.clear();
        self.weights.iter_mut().for_each(Vec::clear);
        self.credits.iter_mut().for_each(Vec::clear);
        self.profits.iter_mut().for_each(Vec::clear);
    }

    fn push_entry(&mut self, entry: Entry) -> u32 {
        self.entries.push(entry);
        self.entries.len() as u32 - 1
    }

    fn push_row(&mut self, entry: u32, touch: Place, reason: Reason, credited: bool) {
        self.entry.push(entry);
        self.touch.push(touch);
        self.position.push(0);
        self.reason.push(reason);
        self.credited.push(credited);
    }

    fn push_values(&mut self, weight: f64, credit: i64, profit: i64) {
        for m in 0..MODEL_COUNT {
            if self.wanted.weights[m] {
                self.weights[m].push(weight);
            }
            if self.wanted.credits[m] {
                self.credits[m].push(credit);
            }
            if self.wanted.profits[m] {
                self.profits[m].push(profit);
            }
        }
    }
}

impl Sink for Rows {
    fn wanted(&self) -> Wanted {
        self.wanted
    }

    fn push_journey(&mut self, entry: Entry, touches: impl Iterator<Item = Place>) {
        if self.leaves_out(&entry) {
            return;
        }
        let n = entry.journey_length as usize;
        let index = self.push_entry(entry);
        self.entry.extend(std::iter::repeat_n(index, n));
        self.touch.extend(touches);
        self.position.extend(1..=n as i64);
        self.reason.extend(std::iter::repeat_n(CREDITED, n));
        self.credited.extend(std::iter::repeat_n(true, n));
    }

    fn push_weights(&mut self, m: usize, n: usize, weights: Weights<'_>) {
        if !self.is_outside {
            weights.shares(n, &mut self.weights[m]);
        }
    }

    fn push_credits(&mut self, m: usize, n: usize, shares: Shares<'_>) {
        if !self.is_outside {
            push_shares(&mut self.credits[m], n, shares);
        }
    }

    fn push_profits(&mut self, m: usize, n: usize, shares: Shares<'_>) {
        if !self.is_outside {
            push_shares(&mut self.profits[m], n, shares);
        }
    }

    fn push_unattributed(&mut self, entry: Entry, reason: Reason) {
        if self.leaves_out(&entry) {
            return;
        }
        let index = self.push_entry(entry);
        self.push_row(index, NO_TOUCH, reason, true);
        self.push_values(1.0, entry.amount, entry.profit.unwrap_or(0));
    }

    fn push_refused_entry(&mut self, entry: Entry, reason: Reason) {
        if self.leaves_out(&entry) {
            return;
        }
        let index = self.push_entry(entry);
        self.push_row(index, NO_TOUCH, reason, false);
        self.push_values(0.0, 0, 0);
    }

    fn push_refused_touch(&mut self, touch: Place, reason: Reason) {
        if self.is_outside {
            return;
        }
        let index = self.entries.len() as u32 - 1;
        self.push_row(index, touch, reason, false);
        self.push_values(0.0, 0, 0);
    }
}

fn push_shares(out: &mut Vec<i64>, n: usize, shares: Shares<'_>) {
    match shares {
        Shares::One { at, amount } => {
            let first = out.len();
            out.resize(first + n, 0);
            out[first + at] = amount;
        }
        Shares::Each(amounts) => out.extend_from_slice(amounts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_a_reason_once() {
        let mut reasons = Reasons::default();
        let cancelled = reasons.of_status(Some("cancelled"));
        assert_eq!(reasons.name(cancelled), Some("order_cancelled"));
        assert_eq!(reasons.of_status(Some("cancelled")), cancelled);
        let unknown = reasons.of_status(None);
        assert_eq!(reasons.name(unknown), Some("order_unknown"));
        assert_eq!(reasons.name(VIEW_SUPERSEDED), Some("view_superseded"));
        assert_eq!(reasons.name(CREDITED), None);
    }
}
