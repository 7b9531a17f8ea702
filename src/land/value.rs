//! One field of any format to one typed cell of a column, or the reason why not.

use std::borrow::Cow;

use arrow::datatypes::TimeUnit;
use chrono_tz::Tz;

use super::money::{Digits, MONEY, RATE, parse_decimal, rescale, rescale_decimal};
use super::time::{EPOCH, date_in_range, date_of_millis, instant_of, parse_date, parse_instant};
use crate::schema::{ColumnKind, ColumnSpec};

/// What is wrong with a value and what would be right; never the value itself.
pub(super) type Reason = Cow<'static, str>;

/// A field as a format has it.
#[derive(Debug, Clone)]
pub(super) enum Raw<'a> {
    Null,
    Text(Cow<'a, str>),
    /// The text of a JSON number.
    Number(&'a str),
    /// A whole number or a decimal of Arrow: digits and scale.
    Decimal(i128, i8),
    /// A timestamp of Arrow, and whether its type has a time zone.
    Timestamp(i64, TimeUnit, bool),
    /// Days since 1970.
    Days(i32),
    /// Milliseconds since 1970, of a date.
    DateMillis(i64),
    /// A value of a kind that no column takes, by what it is.
    Other(&'static str),
}

/// A value that fits its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Instant(i64),
    Date(i32),
    Decimal(i128),
    Count(i64),
}

impl<'a> Raw<'a> {
    /// The field as text, where that is lossless.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Raw::Text(text) => Some(text),
            Raw::Number(digits) => Some(Cow::Borrowed(digits)),
            Raw::Decimal(value, 0) => Some(Cow::Owned(value.to_string())),
            _ => None,
        }
    }
}

/// Types one field. No value, and empty text, take the column's default; a required column has neither.
pub(super) fn convert<'a>(
    column: &'a ColumnSpec,
    raw: Raw<'a>,
    zone: Option<Tz>,
) -> Result<Cell<'a>, Reason> {
    let is_free_text = column.kind == ColumnKind::Text && column.values.is_empty();
    let is_empty = match &raw {
        Raw::Null => true,
        Raw::Text(text) if is_free_text && !column.required => text.is_empty(),
        Raw::Text(text) => text.trim().is_empty(),
        _ => false,
    };
    let raw = match (is_empty, &column.default) {
        (true, Some(default)) => Raw::Text(Cow::Borrowed(default)),
        (true, None) if column.required => return Err("is required and has no value".into()),
        (true, None) => return Ok(Cell::Null),
        (false, _) => raw,
    };
    match column.kind {
        ColumnKind::Text => text(column, raw).map(Cell::Text),
        ColumnKind::Instant => instant(raw, zone).map(Cell::Instant),
        ColumnKind::Date => date(raw).map(Cell::Date),
        ColumnKind::Money => decimal(raw, MONEY).map(Cell::Decimal),
        ColumnKind::Rate => decimal(raw, RATE).map(Cell::Decimal),
        ColumnKind::Count => count(raw).map(Cell::Count),
        ColumnKind::Ratio | ColumnKind::Decimal(..) => Err("is computed, not landed".into()),
    }
}

/// Columns that hold the code of a currency.
const CURRENCY_COLUMNS: [&str; 3] = ["base", "currency", "quote"];

fn text<'a>(column: &ColumnSpec, raw: Raw<'a>) -> Result<Cow<'a, str>, Reason> {
    let text = match raw {
        Raw::Other(what) => return Err(format!("is {what}: send text").into()),
        raw => raw.into_text().ok_or("is not text: send text")?,
    };
    if !column.values.is_empty() {
        let trimmed = trim(text);
        return if column.values.iter().any(|value| *value == *trimmed) {
            Ok(trimmed)
        } else {
            Err(format!("is not one of: {}", column.values.join(", ")).into())
        };
    }
    let is_currency = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if CURRENCY_COLUMNS.contains(&column.name.as_str()) && !is_currency(&text) {
        return Err("is not a currency code: send three capital letters such as EUR".into());
    }
    Ok(text)
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn instant(raw: Raw<'_>, zone: Option<Tz>) -> Result<i64, Reason> {
    match raw {
        Raw::Text(text) => parse_instant(text.trim(), zone),
        Raw::Number(_) | Raw::Decimal(..) => Err(EPOCH.into()),
        Raw::Timestamp(value, unit, has_zone) => instant_of(value, unit, has_zone, zone),
        Raw::Days(_) | Raw::DateMillis(_) => Err("is a date without a time of day: send an instant".into()),
        Raw::Other(what) => Err(format!("is {what}: send RFC 3339 text").into()),
        Raw::Null => Err("has no value".into()),
    }
}

fn date(raw: Raw<'_>) -> Result<i32, Reason> {
    match raw {
        Raw::Text(text) => parse_date(text.trim()),
        Raw::Days(days) => date_in_range(days),
        Raw::DateMillis(millis) => date_of_millis(millis),
        Raw::Other(what) => Err(format!("is {what}: send a date as YYYY-MM-DD").into()),
        _ => Err("is not a date: send YYYY-MM-DD".into()),
    }
}

fn decimal(raw: Raw<'_>, kind: Digits) -> Result<i128, Reason> {
    match raw {
        Raw::Text(text) => parse_decimal(text.trim(), kind),
        Raw::Number(digits) => parse_decimal(digits, kind),
        Raw::Decimal(value, scale) => rescale_decimal(value, scale, kind),
        Raw::Other(what) => Err(format!("is {what}: send a decimal number").into()),
        _ => Err("is not a decimal number: send plain digits such as 1234.50".into()),
    }
}

fn count(raw: Raw<'_>) -> Result<i64, Reason> {
    let value = match raw {
        Raw::Text(text) => parse_count(text.trim())?,
        Raw::Number(digits) => parse_count(digits)?,
        Raw::Decimal(value, scale) => {
            let whole = rescale(value, i32::from(scale), TOO_MANY, NOT_WHOLE)?;
            i64::try_from(whole).map_err(|_| TOO_MANY)?
        }
        Raw::Other(what) => return Err(format!("is {what}: send a whole number").into()),
        _ => return Err(NOT_WHOLE.into()),
    };
    if value < 0 { Err("is negative: a count is 0 or more".into()) } else { Ok(value) }
}

const NOT_WHOLE: &str = "is not a whole number: send digits without a point";
const TOO_MANY: &str = "is too large: a count is at most 9223372036854775807";

fn parse_count(text: &str) -> Result<i64, Reason> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NOT_WHOLE.into());
    }
    text.parse().map_err(|_| {
        if text.starts_with('-') { "is negative: a count is 0 or more" } else { TOO_MANY }.into()
    })
}
