//! Instants and dates: text, or the numbers of Arrow's temporal types, to microseconds in UTC and to days.

use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, TimeZone};
use chrono_tz::Tz;

use super::value::Reason;

const DAY_MICROS: i64 = 86_400_000_000;
const EPOCH_FROM_CE: i32 = 719_163;
const NOT_AN_INSTANT: &str = "is not an instant: send RFC 3339 with an offset such as 2026-11-21T10:00:00Z";
pub(super) const EPOCH: &str =
    "is a bare number, whose unit is unknown: send RFC 3339 with an offset such as 2026-11-21T10:00:00Z";
const NOT_A_DATE: &str = "is not a date: send YYYY-MM-DD";
const TOO_FINE: &str = "has digits finer than a microsecond";
const NO_ZONE: &str = "has no offset: send one such as Z or +02:00, or declare the request's time zone";
const NO_SUCH_DAY: &str = "names a day that the calendar lacks";
const OUT_OF_RANGE: &str = "is outside the years 1900 to 2199";

/// Parses RFC 3339 to microseconds since 1970 in UTC; text without an offset is read in `zone`.
pub(super) fn parse_instant(text: &str, zone: Option<Tz>) -> Result<i64, Reason> {
    let bytes = text.as_bytes();
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if unsigned.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'e' | b'E')) {
        return Err(EPOCH.into());
    }
    if bytes.len() == 10 && is_date_shape(bytes) {
        return Err("is a date without a time of day: send RFC 3339 such as 2026-11-21T10:00:00Z".into());
    }
    if bytes.len() < 19 || !is_date_shape(&bytes[..10]) || !matches!(bytes[10], b'T' | b't' | b' ') {
        return Err(NOT_AN_INSTANT.into());
    }
    let days = i64::from(civil_day(&bytes[..10])?);
    let clock = time_of_day(&bytes[11..19])?;
    let (micros, offset) = split_fraction(&bytes[19..])?;
    let wall = days * DAY_MICROS + clock * 1_000_000 + micros;
    let instant = match parse_offset(offset)? {
        Some(offset_seconds) => wall - offset_seconds * 1_000_000,
        None => local_to_utc(wall, zone)?,
    };
    in_range(instant)
}

/// Parses `YYYY-MM-DD` to days since 1970.
pub(super) fn parse_date(text: &str) -> Result<i32, Reason> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || !is_date_shape(bytes) {
        return Err(NOT_A_DATE.into());
    }
    date_in_range(civil_day(bytes)?)
}

/// Takes an Arrow timestamp to microseconds in UTC, exactly or not at all.
pub(super) fn instant_of(
    value: i64,
    unit: TimeUnit,
    has_zone: bool,
    zone: Option<Tz>,
) -> Result<i64, Reason> {
    let micros = match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond if value % 1_000 != 0 => return Err(TOO_FINE.into()),
        TimeUnit::Nanosecond => Some(value / 1_000),
    };
    let micros = micros.ok_or(OUT_OF_RANGE)?;
    in_range(if has_zone { micros } else { local_to_utc(micros, zone)? })
}

/// Takes Arrow's `Date64` (milliseconds) to days, exactly or not at all.
pub(super) fn date_of_millis(millis: i64) -> Result<i32, Reason> {
    if millis % 86_400_000 != 0 {
        return Err("has a time of day: send a date".into());
    }
    date_in_range(i32::try_from(millis / 86_400_000).map_err(|_| "is outside the years 1900 to 9999")?)
}

pub(super) fn date_in_range(days: i32) -> Result<i32, Reason> {
    match NaiveDate::from_num_days_from_ce_opt(days.saturating_add(EPOCH_FROM_CE)) {
        Some(date) if (1900..=9999).contains(&date.year()) => Ok(days),
        _ => Err("is outside the years 1900 to 9999".into()),
    }
}

fn in_range(micros: i64) -> Result<i64, Reason> {
    match DateTime::from_timestamp_micros(micros) {
        Some(instant) if (1900..=2199).contains(&instant.year()) => Ok(micros),
        _ => Err(OUT_OF_RANGE.into()),
    }
}

fn is_date_shape(bytes: &[u8]) -> bool {
    bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes.iter().enumerate().all(|(at, byte)| matches!(at, 4 | 7) || byte.is_ascii_digit())
}

fn civil_day(bytes: &[u8]) -> Result<i32, Reason> {
    let (year, month, day) = (number(&bytes[..4]), number(&bytes[5..7]), number(&bytes[8..10]));
    let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32).ok_or(NO_SUCH_DAY)?;
    Ok(date.num_days_from_ce() - EPOCH_FROM_CE)
}

fn time_of_day(bytes: &[u8]) -> Result<i64, Reason> {
    let shaped = bytes.iter().enumerate().all(|(at, byte)| match at {
        2 | 5 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    if !shaped {
        return Err(NOT_AN_INSTANT.into());
    }
    let (hour, minute, second) = (number(&bytes[..2]), number(&bytes[3..5]), number(&bytes[6..8]));
    if hour > 23 || minute > 59 || second > 59 {
        return Err("has a time of day outside 00:00:00 to 23:59:59".into());
    }
    Ok(hour * 3_600 + minute * 60 + second)
}

/// Splits `.123456+02:00` into microseconds and the rest.
fn split_fraction(bytes: &[u8]) -> Result<(i64, &[u8]), Reason> {
    let [b'.', rest @ ..] = bytes else { return Ok((0, bytes)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err(NOT_AN_INSTANT.into());
    }
    let (kept, finer) = rest[..count].split_at(count.min(6));
    if finer.iter().any(|digit| *digit != b'0') {
        return Err(TOO_FINE.into());
    }
    Ok((number(kept) * 10_i64.pow(6 - kept.len() as u32), &rest[count..]))
}

/// Seconds east of UTC; `None` where there is no offset.
fn parse_offset(bytes: &[u8]) -> Result<Option<i64>, Reason> {
    let (sign, rest) = match bytes {
        [] => return Ok(None),
        b"Z" | b"z" | b" UTC" => return Ok(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return Err(NOT_AN_INSTANT.into()),
    };
    let (hours, minutes) = match rest {
        [_, _] => (rest, &b"00"[..]),
        [_, _, b':', _, _] => (&rest[..2], &rest[3..]),
        [_, _, _, _] => rest.split_at(2),
        _ => return Err(NOT_AN_INSTANT.into()),
    };
    if !hours.iter().chain(minutes).all(u8::is_ascii_digit) || number(hours) > 23 || number(minutes) > 59 {
        return Err(NOT_AN_INSTANT.into());
    }
    Ok(Some(sign * (number(hours) * 3_600 + number(minutes) * 60)))
}

fn local_to_utc(wall_micros: i64, zone: Option<Tz>) -> Result<i64, Reason> {
    let zone = zone.ok_or(NO_ZONE)?;
    let wall = DateTime::from_timestamp_micros(wall_micros).ok_or(OUT_OF_RANGE)?.naive_utc();
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(instant) => Ok(instant.timestamp_micros()),
        MappedLocalTime::Ambiguous(..) => {
            Err(format!("falls in an hour that the clock of {zone} shows twice: send an offset").into())
        }
        MappedLocalTime::None => {
            Err(format!("falls in an hour that the clock of {zone} skips: send an offset").into())
        }
    }
}

/// The value of digits that were checked to be digits.
fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}
