use chrono_tz::Europe::Berlin;
use proptest::prelude::*;

use crate::land::money::{Digits, MONEY, RATE, parse_decimal, rescale_decimal};
use crate::land::time::{parse_date, parse_instant};

fn parse_money(text: &str) -> Result<i128, String> {
    parse(text, MONEY)
}

fn parse(text: &str, kind: Digits) -> Result<i128, String> {
    parse_decimal(text, kind).map_err(String::from)
}

#[test]
fn rates_have_twelve_digits_after_the_point() {
    assert_eq!(parse("1.0876", RATE), Ok(1_087_600_000_000));
    assert_eq!(parse("0.000000000001", RATE), Ok(1));
    assert!(parse("1e-13", RATE).unwrap_err().contains("more than 12 digits after"));
    assert!(parse("1e12", RATE).unwrap_err().contains("more than 12 digits before"));
}

#[test]
fn money_is_exact_or_refused() {
    for (text, units) in [
        ("0", 0),
        ("-0.00", 0),
        ("1", 10_000),
        ("+.5", 5_000),
        ("12.", 120_000),
        ("0.1", 1_000),
        ("1e3", 10_000_000),
        ("1.25E-2", 125),
        ("99999999999999.9999", 999_999_999_999_999_999),
        ("-99999999999999.9999", -999_999_999_999_999_999),
        ("0.10000000000000000000000000", 1_000),
        ("0e999999999999999999999", 0),
    ] {
        assert_eq!(parse_money(text), Ok(units), "{text}");
    }
    for text in ["", "-", ".", "e3", "1e", "NaN", "inf", "1,5", "$1", "1 2", "--1", "0x1", "1.2.3"] {
        assert!(parse_money(text).unwrap_err().contains("not a decimal number"), "{text}");
    }
    for text in ["100000000000000", "1e14", &"9".repeat(10_000), "1e99999999999999999999"] {
        assert!(parse_money(text).unwrap_err().contains("more than 14 digits"));
    }
    for text in ["0.00001", "1e-5", "1e-99999999999999999999"] {
        assert!(parse_money(text).unwrap_err().contains("more than 4 digits"));
    }
}

#[test]
fn instants_need_an_offset_or_a_zone() {
    let at = |text: &str| parse_instant(text, None);
    assert_eq!(at("1970-01-01T00:00:00.000001Z"), Ok(1));
    assert_eq!(at("1970-01-01 02:00:00+02:00"), Ok(0));
    assert_eq!(at("1969-12-31T23:59:59.5-00:00"), Ok(-500_000));
    assert_eq!(at("1970-01-01T00:00:00.1234560Z"), Ok(123_456));
    for (text, reason) in [
        ("1970-01-01T00:00:00.1234567Z", "finer than a microsecond"),
        ("1970-01-01T00:00:00", "has no offset"),
        ("1700000000", "whose unit is unknown"),
        ("2026-02-30T00:00:00Z", "day that the calendar lacks"),
        ("2026-02-03T24:00:00Z", "outside 00:00:00"),
        ("2026-02-03", "date without a time"),
        ("0001-01-01T00:00:00Z", "outside the years"),
        ("yesterday", "not an instant"),
        ("2026-02-03T10:00:00é", "not an instant"),
    ] {
        assert!(at(text).unwrap_err().contains(reason), "{text}: {:?}", at(text));
    }
}

#[test]
fn a_local_hour_that_is_skipped_or_repeated_is_refused() {
    let at = |text: &str| parse_instant(text, Some(Berlin));
    assert_eq!(at("1970-01-01T01:00:00"), Ok(0));
    assert!(at("2026-03-29T02:30:00").unwrap_err().contains("skips"));
    assert!(at("2026-10-25T02:30:00").unwrap_err().contains("twice"));
    assert_eq!(at("2026-10-25T02:30:00Z"), parse_instant("2026-10-25T02:30:00Z", None));
}

#[test]
fn dates_are_calendar_days() {
    assert_eq!(parse_date("1970-01-02"), Ok(1));
    assert_eq!(parse_date("9999-12-31"), Ok(2_932_896));
    for text in ["2026-1-2", "2026-02-30", "20260102", "2026-01-02T00:00:00Z", "1899-12-31"] {
        assert!(parse_date(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn decimal_text_equals_integer_arithmetic(units in -999_999_999_999_999_999_i128..=999_999_999_999_999_999, exponent in -20_i32..20) {
        let (sign, size) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
        let text = format!("{sign}{}.{:04}", size / 10_000, size % 10_000);
        prop_assert_eq!(parse_money(&text), Ok(units));
        prop_assert_eq!(parse_money(&format!("{sign}{size}e-4")), Ok(units));
        prop_assert_eq!(rescale_decimal(units, 4, MONEY), Ok(units));
        // The same number, its point moved and moved back.
        let moved = format!("{sign}{size}{}e{}", "0".repeat(exponent.unsigned_abs() as usize), -4 - exponent.abs());
        prop_assert_eq!(parse_money(&moved), Ok(units));
    }
}
