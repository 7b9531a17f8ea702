//! Days of many instants in one time zone.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::HashMap;

const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;

/// Turns instants into days and remembers the offset of each UTC day, which most days have only one of.
#[derive(Debug)]
pub struct LocalDays {
    zone: Tz,
    /// By UTC day: the offset in microseconds; none where it changes within the day.
    offsets: HashMap<i64, Option<i64>>,
}

impl LocalDays {
    pub fn new(zone: Tz) -> Self {
        Self { zone, offsets: HashMap::new() }
    }

    /// Returns the days since 1970 of an instant in microseconds. An instant outside chrono's calendar is taken as UTC.
    pub fn day(&mut self, instant_us: i64) -> i32 {
        let utc_day = instant_us.div_euclid(DAY_US);
        let zone = self.zone;
        let offset = *self.offsets.entry(utc_day).or_insert_with(|| {
            let start = offset_us(zone, utc_day.saturating_mul(DAY_US));
            let end = offset_us(zone, utc_day.saturating_mul(DAY_US).saturating_add(DAY_US - 1));
            (start == end).then_some(start)
        });
        let offset = offset.unwrap_or_else(|| offset_us(zone, instant_us));
        instant_us.saturating_add(offset).div_euclid(DAY_US) as i32
    }
}

fn offset_us(zone: Tz, instant_us: i64) -> i64 {
    DateTime::from_timestamp_micros(instant_us).map_or(0, |utc| {
        i64::from(zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()) * SECOND_US
    })
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(
            hours in prop::collection::vec(0_i64..24 * 366 * 60, 1..50),
            zone in prop::sample::select(vec![Tz::Europe__Berlin, Tz::America__St_Johns, Tz::Pacific__Apia, Tz::Africa__Casablanca, Tz::UTC]),
        ) {
            let mut days = LocalDays::new(zone);
            for hour in hours {
                let instant_us = hour * 3_600 * SECOND_US + 1_799_999_999;
                let utc = DateTime::from_timestamp_micros(instant_us).unwrap();
                let date = zone.from_utc_datetime(&utc.naive_utc()).date_naive();
                prop_assert_eq!(days.day(instant_us), date.num_days_from_ce() - 719_163);
            }
        }
    }
}
