//! Decimal text to exact decimals, without floats and without allocating: money, and rates between currencies.

use super::value::Reason;

/// How many digits a decimal has, and what is said where a value has more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits {
    integer: i64,
    fraction: i64,
    too_big: &'static str,
    too_fine: &'static str,
}

/// `Decimal128(18, 4)`.
pub(super) const MONEY: Digits = Digits {
    integer: 14,
    fraction: 4,
    too_big: "has more than 14 digits before the point",
    too_fine: "has more than 4 digits after the point",
};

/// `Decimal128(24, 12)`.
pub(super) const RATE: Digits = Digits {
    integer: 12,
    fraction: 12,
    too_big: "has more than 12 digits before the point",
    too_fine: "has more than 12 digits after the point",
};

const NOT_A_NUMBER: &str = "is not a decimal number: send plain digits such as 1234.50";

/// Parses decimal text, exponents too, to units of the last digit. Linear in the text's length.
pub(super) fn parse_decimal(text: &str, kind: Digits) -> Result<i128, Reason> {
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
    if highest >= kind.integer {
        return Err(kind.too_big.into());
    }
    if lowest < -kind.fraction {
        return Err(kind.too_fine.into());
    }
    let significant = digits()
        .skip(first)
        .take(last - first + 1)
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let scaled = significant * 10_i128.pow((lowest + kind.fraction) as u32);
    Ok(if negative { -scaled } else { scaled })
}

/// Takes a decimal of any scale to units of the last digit, exactly or not at all.
pub(super) fn rescale_decimal(value: i128, scale: i8, kind: Digits) -> Result<i128, Reason> {
    let scaled = rescale(value, i32::from(scale) - kind.fraction as i32, kind.too_big, kind.too_fine)?;
    if scaled.unsigned_abs() >= 10_u128.pow((kind.integer + kind.fraction) as u32) {
        return Err(kind.too_big.into());
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
