//! Counts journeys as the kernel finds them, by their paths.

use super::held::Held;
use super::inputs::{OrderBatch, RefundRows};
use super::path_counts::{PathCount, PathCounts};
use super::rows::{Entry, Reason, Shares, Sink, Wanted};
use super::totals::paid_currency;
use super::touch_runs::TouchRuns;
use super::touches::Place;
use super::weights::Weights;

/// Counts what the kernel finds.
pub struct PathsSink<'a> {
    pub paths: &'a mut PathCounts,
    pub orders: &'a Held<OrderBatch>,
    pub refunds: Option<&'a RefundRows>,
    pub touches: &'a TouchRuns,
}

impl PathsSink<'_> {
    /// Counts a journey that led to no order, by its last instant.
    pub fn push_idle(&mut self, last: i64, touches: impl Iterator<Item = Place>) {
        let day = self.paths.days.day(last);
        if self.paths.options.range.contains(day) && self.take_path(touches).is_some() {
            self.paths.count_path(0, PathCount { non_conversions: 1, ..PathCount::default() });
        }
    }

    /// Notes the path of some touches; returns the first one's instant.
    fn take_path(&mut self, touches: impl Iterator<Item = Place>) -> Option<i64> {
        let mut first = None;
        self.paths.begin_path();
        for place in touches {
            let (at, code) = self.touches.instant_and_code(place);
            first = first.or(Some(at));
            self.paths.push_touch(self.touches.channels.codes.key(code as u32));
        }
        first
    }

    fn push_entry(&mut self, entry: &Entry, touches: impl Iterator<Item = Place>) {
        let day = self.paths.days.day(entry.booked_at);
        if !self.paths.options.range.contains(day) {
            return;
        }
        let first = self.take_path(touches);
        let currency = match (entry.exchange, &self.paths.options.currency) {
            (Some(_), Some(currency)) => {
                let currency = currency.clone();
                self.paths.currency(Some(&currency))
            }
            _ => self.paths.currency(paid_currency(entry, self.orders, self.refunds)),
        };
        let mut found = PathCount { revenue: i128::from(entry.amount), ..PathCount::default() };
        if entry.refund.is_none() {
            found.conversions = 1;
            found.to_convert_us = first.map_or(0, |first| i128::from(entry.booked_at) - i128::from(first));
        }
        self.paths.count_path(currency, found);
    }
}

impl Sink for PathsSink<'_> {
    fn wanted(&self) -> Wanted {
        Wanted::default()
    }

    fn push_journey(&mut self, entry: Entry, touches: impl Iterator<Item = Place>) {
        self.push_entry(&entry, touches);
    }

    fn push_weights(&mut self, _: usize, _: usize, _: Weights<'_>) {}

    fn push_credits(&mut self, _: usize, _: usize, _: Shares<'_>) {}

    fn push_profits(&mut self, _: usize, _: usize, _: Shares<'_>) {}

    fn push_unattributed(&mut self, entry: Entry, _: Reason) {
        self.push_entry(&entry, std::iter::empty());
    }

    fn push_refused_entry(&mut self, _: Entry, _: Reason) {}

    fn push_refused_touch(&mut self, _: Place, _: Reason) {}
}
