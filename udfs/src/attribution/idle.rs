//! Journeys that led to no order: touches that no completed order of the customer could reach.

use super::customer::Order;
use super::path_sink::PathsSink;
use super::rows::CREDITED;
use super::rules::{Reuse, Rules};
use super::select::{Journey, Selection};
use super::touches::Touches;

/// Finds a customer's journeys without conversion.
///
/// Such a journey ends at a touch that no completed order can count, and reaches back from there as an order's
/// does, but never past the customer's order before it. The touches before it end journeys of their own.
#[derive(Debug)]
pub struct IdleJourneys {
    rules: Rules,
    /// The customer's completed orders, ascending.
    ordered_at: Vec<i64>,
    selection: Selection,
}

impl IdleJourneys {
    pub fn new(rules: &Rules) -> Self {
        let rules = Rules { reuse: Reuse::ResetAtConversion, include_refused: false, ..rules.clone() };
        Self { rules, ordered_at: Vec::new(), selection: Selection::default() }
    }

    /// Notes an order of the customer.
    pub fn note_order(&mut self, order: &Order) {
        if order.refused == CREDITED {
            self.ordered_at.push(order.at);
        }
    }

    /// Counts the customer's journeys without conversion, and forgets the customer.
    pub fn finish_customer(&mut self, touches: &Touches, sink: &mut PathsSink<'_>) {
        let mut end = touches.at.len();
        while let Some(last) = end.checked_sub(1) {
            let at = touches.at[last];
            let order_after = self.ordered_at.partition_point(|&ordered_at| ordered_at < at);
            let is_reached = self
                .ordered_at
                .get(order_after)
                .is_some_and(|ordered_at| ordered_at.saturating_sub(at) <= self.rules.longest_lookback_us());
            if is_reached {
                end = last;
                continue;
            }
            let before = order_after.checked_sub(1).map(|before| self.ordered_at[before]);
            self.selection.begin_after(before);
            let journey = self.selection.choose(at, touches, &self.rules);
            if matches!(journey, Journey::Chosen) {
                let chosen = self.selection.chosen();
                sink.push_idle(at, chosen.iter().map(|&k| touches.place[k as usize]));
            }
            let earliest = at.saturating_sub(self.rules.longest_lookback_us());
            let from = before.map_or(earliest, |before| earliest.max(before.saturating_add(1)));
            end = touches.at[..end].partition_point(|&at| at < from);
        }
        self.ordered_at.clear();
    }
}
