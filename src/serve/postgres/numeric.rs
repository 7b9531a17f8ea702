//! Exact numbers as Postgres writes them: text, or digits to the base of ten thousand.

use bytes::{BufMut, BytesMut};

/// Decimal digits of one of Postgres's digits.
const DIGITS: usize = 4;
const NEGATIVE: u16 = 0x4000;

/// The text of a decimal: its unscaled value and the digits after its point.
pub fn text(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    if scale <= 0 {
        let zeros = if value == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let scale = scale as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// Writes a decimal's text in the binary form.
pub fn write_binary(text: &str, out: &mut BytesMut) {
    let (sign, unsigned) = text.strip_prefix('-').map_or((0, text), |rest| (NEGATIVE, rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole_groups = whole.len().div_ceil(DIGITS);
    let padded = format!(
        "{whole:0>width$}{fraction}{}",
        "0".repeat(fraction.len().next_multiple_of(DIGITS) - fraction.len()),
        width = whole_groups * DIGITS
    );
    let digit = |group: &[u8]| group.iter().fold(0_i16, |value, byte| value * 10 + i16::from(byte - b'0'));
    let mut digits: Vec<i16> = padded.as_bytes().chunks(DIGITS).map(digit).collect();
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let weight = if digits.is_empty() { 0 } else { whole_groups as i16 - 1 - leading as i16 };
    out.put_i16(digits.len() as i16);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_i16(fraction.len() as i16);
    for digit in digits {
        out.put_i16(digit);
    }
}

/// Reads the binary form; none where it is not a finite number, or damaged.
pub fn read_binary(bytes: &[u8]) -> Option<String> {
    let field = |at: usize| Some(i16::from_be_bytes(bytes.get(2 * at..2 * at + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (field(0)?, field(1)?, field(2)?.cast_unsigned(), field(3)?);
    let count = usize::try_from(count).ok()?;
    let scale = usize::try_from(scale).ok()?;
    if bytes.len() != 8 + 2 * count || ![0, NEGATIVE].contains(&sign) || scale > 1_000 || weight > 250 {
        return None;
    }
    let groups: Vec<i16> = (4..4 + count).map(field).collect::<Option<_>>()?;
    if groups.iter().any(|digit| !(0..10_000).contains(digit)) {
        return None;
    }
    // The digit that stands `place` above the point; zero where none was sent.
    let at = |place: i32| {
        let index = i32::from(weight) - place;
        usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let whole: String =
        (0..=i32::from(weight).max(0)).rev().map(|place| format!("{:04}", at(place))).collect();
    let places = scale.div_ceil(DIGITS) as i32;
    let mut fraction: String = (1..=places).map(|place| format!("{:04}", at(-place))).collect();
    fraction.truncate(scale);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if sign == NEGATIVE { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_written_exactly() {
        assert_eq!(text(1_000_100, 4), "100.0100");
        assert_eq!(text(-1, 2), "-0.01");
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(12, -2), "1200");
        assert_eq!(text(i128::MAX, 38), "1.70141183460469231731687303715884105727");
    }

    /// What Postgres 15 sends for these: `select numeric_send(...)`.
    #[test]
    fn the_binary_form_is_postgress_own() {
        let hex = |text: &str| {
            let mut out = BytesMut::new();
            write_binary(text, &mut out);
            hex::encode(out)
        };
        assert_eq!(hex("0"), "0000000000000000");
        assert_eq!(hex("0.00"), "0000000000000002");
        assert_eq!(hex("1"), "00010000000000000001");
        assert_eq!(hex("-12345.678"), "000300014000000300010929".to_owned() + "1a7c");
        assert_eq!(hex("0.0001"), "0001ffff000000040001");
        assert_eq!(hex("10000"), "00010001000000000001");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in
            ["0", "0.00", "1", "-12345.678", "0.0001", "10000", "99999999999999999999.9999999999", "-0.01"]
        {
            let mut out = BytesMut::new();
            write_binary(text, &mut out);
            assert_eq!(read_binary(&out).as_deref(), Some(text));
        }
        for damaged in [&b""[..], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0xC0, 0, 0, 0]] {
            assert_eq!(read_binary(damaged), None);
        }
    }
}
