//! Exact amounts, for the sums and differences that no query has.

use std::fmt;

/// An amount: `units` divided by ten to the `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    pub units: i128,
    pub scale: u8,
}

impl Money {
    pub const ZERO: Money = Money { units: 0, scale: 4 };

    /// Adds, at the finer of both scales; `None` beyond 38 digits.
    pub fn add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Self { units: self.units_at(scale)?.checked_add(other.units_at(scale)?)?, scale })
    }

    pub fn subtract(self, other: Self) -> Option<Self> {
        self.add(Self { units: other.units.checked_neg()?, ..other })
    }

    /// The nearest float, for ratios only.
    pub fn to_f64(self) -> f64 {
        self.units as f64 / 10_f64.powi(i32::from(self.scale))
    }

    fn units_at(self, scale: u8) -> Option<i128> {
        self.units.checked_mul(10_i128.checked_pow(u32::from(scale - self.scale))?)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = self.units.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_across_scales() {
        let (tenth, fifth) = (Money { units: 1, scale: 1 }, Money { units: 2000, scale: 4 });
        assert_eq!(tenth.add(fifth).unwrap().to_string(), "0.3000");
        assert_eq!(tenth.subtract(fifth).unwrap().to_string(), "-0.1000");
        assert_eq!(Money { units: i128::MAX, scale: 0 }.add(tenth), None);
        assert_eq!(Money { units: -5, scale: 0 }.to_string(), "-5");
    }
}
