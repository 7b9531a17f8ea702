//! Amounts of one currency as amounts of another, at a rate that is shown beside them (attribution.md, rule 14).

/// One in the unit of rates: they have twelve decimals.
pub const RATE_ONE: i128 = 1_000_000_000_000;

/// How amounts of one currency become amounts of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// What one unit of the first currency is worth in the second, with twelve decimals.
    pub rate: i128,
    /// The second currency's minor unit, in ten-thousandths.
    pub minor_unit: i64,
}

impl Exchange {
    /// Converts ten-thousandths into whole minor units, in ten-thousandths; halves go away from zero. None where that
    /// is more than money can hold.
    pub fn convert(self, amount: i64) -> Option<i64> {
        let unit = i128::from(self.minor_unit);
        let value = i128::from(amount).checked_mul(self.rate)?;
        let per_unit = RATE_ONE * unit;
        let half = if value < 0 { -per_unit / 2 } else { per_unit / 2 };
        let units = value.checked_add(half)? / per_unit;
        i64::try_from(units * unit).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_rounded_to_the_minor_unit_and_halves_go_away_from_zero() {
        let to_usd = Exchange { rate: RATE_ONE / 2, minor_unit: 100 };
        assert_eq!(to_usd.convert(10_000), Some(5_000));
        assert_eq!(to_usd.convert(300), Some(200));
        assert_eq!(to_usd.convert(-300), Some(-200));
        assert_eq!(to_usd.convert(0), Some(0));
        let to_jpy = Exchange { rate: 163 * RATE_ONE, minor_unit: 10_000 };
        assert_eq!(to_jpy.convert(10_099), Some(1_650_000));
    }

    #[test]
    fn what_money_cannot_hold_is_none() {
        let large = Exchange { rate: 1_000_000 * RATE_ONE, minor_unit: 100 };
        assert_eq!(large.convert(i64::MAX), None);
    }
}
