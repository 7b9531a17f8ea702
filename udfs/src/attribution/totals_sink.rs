//! Adds credits up as the kernel finds them, without ever making rows of them.

use super::held::Held;
use super::inputs::{OrderBatch, RefundRows};
use super::model::MODEL_COUNT;
use super::rows::{Entry, Reason, Shares, Sink, Wanted};
use super::totals::{Total, Totals, total_of};
use super::touch_runs::TouchRuns;
use super::touches::Place;
use super::weights::Weights;

/// The last digit of an added weight.
const WEIGHT_ONE: f64 = 1e15;

/// Adds what the kernel finds out to the totals.
pub struct TotalsSink<'a> {
    pub totals: &'a mut Totals,
    pub wanted: Wanted,
    pub orders: &'a Held<OrderBatch>,
    pub refunds: Option<&'a RefundRows>,
    pub touches: &'a TouchRuns,
}

impl TotalsSink<'_> {
    /// Starts an entry.
    fn begin(&mut self, entry: &Entry) {
        self.totals.current = self.totals.group_of(entry, self.orders, self.refunds);
        self.totals.is_order = entry.refund.is_none();
        self.totals.codes.clear();
    }

    /// Counts a touch of the entry.
    fn count(&mut self, at: i64, code: usize, has_profit: bool) {
        let Totals { sums, current: Some(group), codes, .. } = &mut *self.totals else { return };
        let total = total_of(&mut sums[*group], code);
        total.row_count += 1;
        total.profit_row_count += i64::from(has_profit);
        total.first_touched_at = total.first_touched_at.min(at);
        codes.push(code);
    }

    fn add(&mut self, shares: Shares<'_>, of: impl Fn(&mut Total) -> &mut i128) {
        let Totals { sums, current: Some(group), codes, .. } = &mut *self.totals else { return };
        let sums = &mut sums[*group];
        match shares {
            Shares::One { at, amount } => *of(&mut sums[codes[at]]) += i128::from(amount),
            Shares::Each(amounts) => {
                for (&code, &amount) in codes.iter().zip(amounts) {
                    *of(&mut sums[code]) += i128::from(amount);
                }
            }
        }
    }
}

impl Sink for TotalsSink<'_> {
    fn wanted(&self) -> Wanted {
        self.wanted
    }

    fn push_journey(&mut self, entry: Entry, touches: impl Iterator<Item = Place>) {
        self.begin(&entry);
        if self.totals.current.is_none() {
            return;
        }
        let has_profit = entry.profit.is_some();
        for place in touches {
            let (at, code) = self.touches.instant_and_code(place);
            self.count(at, code, has_profit);
        }
    }

    /// A refund takes money back, not the conversion.
    fn push_weights(&mut self, m: usize, n: usize, weights: Weights<'_>) {
        let Totals { sums, current: Some(group), codes, is_order: true, .. } = &mut *self.totals else {
            return;
        };
        let sums = &mut sums[*group];
        match weights {
            Weights::OneHot(at) => sums[codes[at]].weights[m] += weight_sum(1.0),
            Weights::Equal => {
                let each = weight_sum(1.0 / n as f64);
                for &code in codes.iter() {
                    sums[code].weights[m] += each;
                }
            }
            Weights::Integers(weights, sum) | Weights::Ends(weights, sum) => {
                for (&code, &weight) in codes.iter().zip(weights) {
                    sums[code].weights[m] += weight_sum(weight as f64 / sum as f64);
                }
            }
            Weights::Whole(whole) => {
                for (&code, &whole) in codes.iter().zip(whole) {
                    sums[code].weights[m] += weight_sum(whole as f64);
                }
            }
        }
    }

    fn push_credits(&mut self, m: usize, _: usize, shares: Shares<'_>) {
        self.add(shares, |total| &mut total.credits[m]);
    }

    fn push_profits(&mut self, m: usize, _: usize, shares: Shares<'_>) {
        self.add(shares, |total| &mut total.profits[m]);
    }

    fn push_unattributed(&mut self, entry: Entry, _: Reason) {
        self.begin(&entry);
        self.count(i64::MAX, 0, entry.profit.is_some());
        for m in 0..MODEL_COUNT {
            self.push_weights(m, 1, Weights::OneHot(0));
            self.push_credits(m, 1, Shares::One { at: 0, amount: entry.amount });
            self.push_profits(m, 1, Shares::One { at: 0, amount: entry.profit.unwrap_or(0) });
        }
    }

    fn push_refused_entry(&mut self, _: Entry, _: Reason) {}

    fn push_refused_touch(&mut self, _: Place, _: Reason) {}
}

/// A weight in units of its sum.
fn weight_sum(weight: f64) -> i128 {
    (weight * WEIGHT_ONE).round() as i128
}
