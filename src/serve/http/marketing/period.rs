//! The period that a request asks about: whole days, half-open, in the store's time zone.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};
use crate::query::Params;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;

const DEFAULT_DAYS: u64 = 30;
const MAX_DAYS: u64 = 3_660;

/// `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub start: NaiveDate,
    pub end: NaiveDate,
}

/// What a request says about its period, before the store's time zone is known.
#[derive(Debug, Default)]
pub struct Asked {
    start: Option<String>,
    end: Option<String>,
    days: Option<u64>,
}

impl Asked {
    /// Takes `start_date`, `end_date` and `days` (`30` or `30d`).
    pub fn take(query: &mut QueryString) -> Result<Self, Problem> {
        let days = query.take("days").map(|text| days(&text)).transpose()?;
        Ok(Self { start: query.take("start_date"), end: query.take("end_date"), days })
    }

    /// Fills in what was not asked: the end is the day after today, the start 30 days before the end.
    pub fn period(&self, zone: Tz, now: DateTime<Utc>) -> Result<Period> {
        if self.days.is_some() && self.start.is_some() && self.end.is_some() {
            return Err(Error::invalid("give two of start_date, end_date and days, not all three"));
        }
        let start = self.start.as_deref().map(|text| day("start_date", text, zone, false)).transpose()?;
        let end = self.end.as_deref().map(|text| day("end_date", text, zone, true)).transpose()?;
        let days = Days::new(self.days.unwrap_or(DEFAULT_DAYS));
        let tomorrow = now.with_timezone(&zone).date_naive() + Days::new(1);
        let period = match (start, end) {
            (Some(start), Some(end)) => Period { start, end },
            (Some(start), None) if self.days.is_some() => Period { start, end: start + days },
            (Some(start), None) => Period { start, end: tomorrow },
            (None, end) => {
                let end = end.unwrap_or(tomorrow);
                Period { start: end - days, end }
            }
        };
        let length = (period.end - period.start).num_days();
        if length < 1 {
            return Err(Error::invalid(
                "start_date has to be before end_date, which is not part of the period",
            ));
        }
        if length > MAX_DAYS as i64 {
            return Err(Error::invalid(format!("a period has at most {MAX_DAYS} days")));
        }
        Ok(period)
    }
}

impl Period {
    /// The parameters that every named query of a period takes.
    pub fn params(self) -> Params {
        Params::from([("start".into(), self.start.to_string()), ("end".into(), self.end.to_string())])
    }

    /// The period of equal length immediately before.
    pub fn previous(self) -> Self {
        Self { start: self.start - (self.end - self.start), end: self.start }
    }

    pub fn json(self) -> serde_json::Value {
        serde_json::json!({ "start": self.start.to_string(), "end": self.end.to_string() })
    }
}

fn days(text: &str) -> Result<u64> {
    let digits = text.strip_suffix('d').unwrap_or(text);
    digits.parse::<u64>().ok().filter(|days| (1..=MAX_DAYS).contains(days)).ok_or_else(|| {
        Error::invalid(format!("days has to be a number from 1 to {MAX_DAYS}, such as 30 or 30d"))
    })
}

/// A date; or an instant, whose day is that of the store's zone. An end within a day includes that day.
fn day(name: &str, text: &str, zone: Tz, is_end: bool) -> Result<NaiveDate> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return in_range(name, date);
    }
    let local: NaiveDateTime = DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.with_timezone(&zone).naive_local())
        .or_else(|_| text.parse::<NaiveDateTime>())
        .map_err(|error| {
            Error::invalid(format!("{name} has to be a date such as 2026-01-31, or an RFC 3339 instant"))
                .with_source(error)
        })?;
    let is_within = is_end && local.time() != NaiveTime::MIN;
    in_range(name, local.date())?;
    Ok(local.date() + Days::new(u64::from(is_within)))
}

/// Keeps dates to years whose arithmetic cannot overflow.
fn in_range(name: &str, date: NaiveDate) -> Result<NaiveDate> {
    use chrono::Datelike;
    if (1900..=9000).contains(&date.year()) {
        return Ok(date);
    }
    Err(Error::invalid(format!("{name} has to be between the years 1900 and 9000")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(
        start: Option<&str>,
        end: Option<&str>,
        days: Option<u64>,
        zone: Tz,
    ) -> Result<(String, String)> {
        let asked = Asked { start: start.map(Into::into), end: end.map(Into::into), days };
        let now = "2026-03-10T20:00:00Z".parse().unwrap();
        asked.period(zone, now).map(|period| (period.start.to_string(), period.end.to_string()))
    }

    fn dates(start: &str, end: &str) -> (String, String) {
        (start.into(), end.into())
    }

    #[test]
    fn the_default_is_thirty_days_that_end_with_the_stores_today() {
        assert_eq!(period(None, None, None, Tz::UTC).unwrap(), dates("2026-02-09", "2026-03-11"));
        // It is the 11th already in Tokyo.
        assert_eq!(period(None, None, Some(1), Tz::Asia__Tokyo).unwrap(), dates("2026-03-11", "2026-03-12"));
    }

    #[test]
    fn the_previous_period_touches_and_does_not_overlap() {
        let end = "2026-03-11".parse().unwrap();
        let period = Period { start: "2026-02-09".parse().unwrap(), end };
        assert_eq!(period.previous().end, period.start);
        assert_eq!(period.previous().start.to_string(), "2026-01-10");
    }

    #[test]
    fn an_instant_is_a_day_of_the_stores_zone_and_an_end_within_a_day_includes_it() {
        let given =
            period(Some("2026-03-01T23:30:00Z"), Some("2026-03-05T12:00:00"), None, Tz::Europe__Berlin);
        assert_eq!(given.unwrap(), dates("2026-03-02", "2026-03-06"));
        let midnight = period(Some("2026-03-01"), Some("2026-03-05T00:00:00"), None, Tz::UTC);
        assert_eq!(midnight.unwrap(), dates("2026-03-01", "2026-03-05"));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(period(Some("2026-03-05"), Some("2026-03-05"), None, Tz::UTC).is_err());
        assert!(period(Some("2026-03-01"), Some("2026-03-05"), Some(3), Tz::UTC).is_err());
        assert!(period(Some("yesterday"), None, None, Tz::UTC).is_err());
        assert!(period(Some("+262000-01-01"), None, Some(3), Tz::UTC).is_err());
        assert!(days("30d").is_ok() && days("0").is_err() && days("d").is_err() && days("-1").is_err());
    }
}
