//! Decimal text to an exact `Decimal128(18, 4)`, without floats and without allocating.

use super::value::Reason;

const INTEGER_DIGITS: i64 = 14;
const FRACTION_DIGITS: i64 = 4;
const NOT_A_NUMBER: &str = "is not a decimal number: send plain digits such as 1234.50";
const TOO_BIG: &str = "has more than 14 digits before the point";
const TOO_FINE: &str = "has more than 4 digits after the point";

/// Parses decimal text, exponents too, to units of 1/10,000. Linear in the text's length.
pub(super) fn parse_money(text: &str) -> Result<i128, Reason> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let fraction = point.map_or(&[][..], |at| &mantissa[at + 1..]);
    let integer = &mantissa[..point.unwrap_or(mantissa.len())];
    let digits = || integer.iter().chain(fraction);
    if digits().next().is_none() || !digits().all(u8::is_ascii_digit) {
        return Err(NOT_A_NUMBER.into());
    }
    let count = integer.len() + fraction.len();
    let nonzero = |digit: &u8| *digit != b'0';
    let (Some(first), Some(from_end)) = (digits().position(nonzero), digits().rev().position(nonzero)) else {
        return Ok(0);
    };
    let last = count - 1 - from_end;
    // Powers of ten of the first and the last significant digit: 0 is the last digit before the point.
    let highest = integer.len() as i64 - 1 - first as i64 + exponent;
    let lowest = integer.len() as i64 - 1 - last as i64 + exponent;
    if highest >= INTEGER_DIGITS {
        return Err(TOO_BIG.into());
    }
    if lowest < -FRACTION_DIGITS {
        return Err(TOO_FINE.into());
    }
    let significant = digits()
        .skip(first)
        .take(last - first + 1)
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let scaled = significant * 10_i128.pow((lowest + FRACTION_DIGITS) as u32);
    Ok(if negative { -scaled } else { scaled })
}

/// Takes a decimal of any scale to units of 1/10,000, exactly or not at all.
pub(super) fn rescale_money(value: i128, scale: i8) -> Result<i128, Reason> {
    let scaled = rescale(value, i32::from(scale) - FRACTION_DIGITS as i32, TOO_BIG, TOO_FINE)?;
    if scaled.unsigned_abs() >= 10_u128.pow((INTEGER_DIGITS + FRACTION_DIGITS) as u32) {
        return Err(TOO_BIG.into());
    }
    Ok(scaled)
}

/// Drops `digits` decimal digits, which must be zeros, or appends as many zeros where it is negative.
pub(super) fn rescale(
    value: i128,
    digits: i32,
    too_big: &'static str,
    too_fine: &'static str,
) -> Result<i128, Reason> {
    if value == 0 {
        return Ok(0);
    }
    let Some(factor) = 10_i128.checked_pow(digits.unsigned_abs()) else {
        return Err(if digits < 0 { too_big } else { too_fine }.into());
    };
    if digits <= 0 {
        return value.checked_mul(factor).ok_or_else(|| too_big.into());
    }
    if value % factor == 0 { Ok(value / factor) } else { Err(too_fine.into()) }
}

/// Saturates: an exponent of many digits is out of range either way.
fn parse_exponent(bytes: &[u8]) -> Result<i64, Reason> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NOT_A_NUMBER.into());
    }
    let size = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 40));
    Ok(if negative { -size } else { size })
}
