//! Which entries are reported: those booked on some days of the store's time zone.

use chrono_tz::Tz;

const DAY_US: i64 = 86_400_000_000;

/// Days, in a time zone, on which entries are booked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BookedRange {
    /// The zone in which days begin.
    pub zone: Tz,
    /// Days since 1970: the first, and the one after the last.
    pub days: (i32, i32),
}

impl BookedRange {
    /// Whether it is without end on both sides.
    pub fn is_all(&self) -> bool {
        self.days == (i32::MIN, i32::MAX)
    }

    /// Whether a day is in it.
    pub fn contains(&self, day: i32) -> bool {
        (self.days.0..self.days.1).contains(&day)
    }

    /// Instants between which all entries of the range were booked; none where it is without end on both sides.
    pub fn booked_us(&self) -> Option<(i64, i64)> {
        // A local day begins and ends less than a day away from the UTC day of its date.
        let (start, end) = self.days;
        let from = if start == i32::MIN { i64::MIN } else { (i64::from(start) - 1).saturating_mul(DAY_US) };
        let to = if end == i32::MAX { i64::MAX } else { (i64::from(end) + 1).saturating_mul(DAY_US) };
        ((from, to) != (i64::MIN, i64::MAX)).then_some((from, to))
    }
}
