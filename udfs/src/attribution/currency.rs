//! The smallest part that an amount is split into: a currency's minor unit.

/// Currencies without minor digits, ISO 4217.
const WHOLE: [&str; 16] = [
    "JPY", "KRW", "VND", "CLP", "ISK", "UGX", "XAF", "XOF", "XPF", "PYG", "RWF", "GNF", "KMF", "DJF", "BIF",
    "VUV",
];

/// Currencies with three minor digits, ISO 4217.
const THOUSANDTHS: [&str; 7] = ["KWD", "BHD", "OMR", "JOD", "TND", "IQD", "LYD"];

/// Returns a currency's minor unit in ten-thousandths: JPY 10,000, USD 100, KWD 10.
///
/// A currency that is not in the tables, or not given, has two digits.
pub fn minor_unit(currency: Option<&str>) -> i64 {
    let Some(code) = currency.map(str::trim) else { return 100 };
    let is = |name: &&str| name.eq_ignore_ascii_case(code);
    if WHOLE.iter().any(&is) {
        10_000
    } else if THOUSANDTHS.iter().any(is) {
        10
    } else {
        100
    }
}

/// Returns the unit that an amount is split in: the minor unit, or one ten-thousandth where the amount is not a
/// whole number of minor units.
pub fn unit_of(amount: i64, minor_unit: i64) -> i64 {
    if amount % minor_unit == 0 { minor_unit } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_has_its_iso_digits() {
        assert_eq!(minor_unit(Some("JPY")), 10_000);
        assert_eq!(minor_unit(Some("jpy ")), 10_000);
        assert_eq!(minor_unit(Some("USD")), 100);
        assert_eq!(minor_unit(Some("KWD")), 10);
        assert_eq!(minor_unit(Some("???")), 100);
        assert_eq!(minor_unit(None), 100);
    }

    #[test]
    fn an_amount_below_the_minor_unit_is_split_in_ten_thousandths() {
        assert_eq!(unit_of(10_001, 100), 1);
        assert_eq!(unit_of(-10_000, 100), 100);
        assert_eq!(unit_of(0, 10_000), 10_000);
        assert_eq!(unit_of(55_000, 10_000), 1);
    }
}
