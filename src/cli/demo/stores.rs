//! The demo's stores: their currencies, time zones and sizes.

use chrono::{DateTime, Days, NaiveDate, TimeZone as _, Utc};
use chrono_tz::Tz;

/// One store of the demo.
#[derive(Debug)]
pub struct DemoStore {
    pub id: &'static str,
    pub name: &'static str,
    pub industry: &'static str,
    pub currency: &'static str,
    pub time_zone: Tz,
    /// Digits after the point of the currency.
    pub digits: u32,
    /// Minor units of the currency that a US cent is worth.
    pub minor_per_cent: f64,
    /// Its share of the demo's journeys.
    pub share: f64,
}

pub const STORES: [DemoStore; 3] = [
    DemoStore {
        id: "demo",
        name: "Demo Outfitters",
        industry: "ecommerce",
        currency: "USD",
        time_zone: Tz::America__New_York,
        digits: 2,
        minor_per_cent: 1.0,
        share: 0.80,
    },
    DemoStore {
        id: "demo-eu",
        name: "Demo Outfitters Europe",
        industry: "ecommerce",
        currency: "EUR",
        time_zone: Tz::Europe__Berlin,
        digits: 2,
        minor_per_cent: 0.92,
        share: 0.14,
    },
    DemoStore {
        id: "demo-jp",
        name: "Demo Outfitters Japan",
        industry: "ecommerce",
        currency: "JPY",
        time_zone: Tz::Asia__Tokyo,
        digits: 0,
        minor_per_cent: 1.5,
        share: 0.06,
    },
];

/// The demo's time: `[start, end)` in a store's own days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub first_day: NaiveDate,
    pub days: u32,
    pub start_us: i64,
    pub end_us: i64,
}

impl Period {
    /// The days before `end`, which is not among them: nothing of the demo lies in the future.
    pub fn before(end: NaiveDate, days: u32, time_zone: Tz) -> Self {
        let first_day = end.checked_sub_days(Days::new(u64::from(days))).unwrap_or(end);
        Self {
            first_day,
            days,
            start_us: day_start_us(first_day, time_zone),
            end_us: day_start_us(end, time_zone),
        }
    }
}

/// The first instant of a local day; where clocks skip midnight, the first instant after it.
fn day_start_us(day: NaiveDate, time_zone: Tz) -> i64 {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    let local = (0..4).find_map(|hours| {
        time_zone.from_local_datetime(&(midnight + chrono::TimeDelta::hours(hours))).earliest()
    });
    local.map_or_else(|| midnight.and_utc().timestamp_micros(), |instant| instant.timestamp_micros())
}

/// The instant, as UTC.
pub fn instant(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or_default()
}
