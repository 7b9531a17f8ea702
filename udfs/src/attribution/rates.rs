//! Daily rates between currencies, and the one that an order is converted at.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type};
use arrow::record_batch::RecordBatch;
use chrono_tz::Tz;
use datafusion::common::Result;

use super::columns::without_nulls;
use super::currency::minor_unit;
use super::exchange::{Exchange, RATE_ONE};
use crate::calendar::LocalDays;

/// The type of rates.
pub const RATE: DataType = DataType::Decimal128(24, 12);
/// How old a rate may be, in days: markets close over weekends and holidays.
const MAX_AGE_DAYS: i32 = 7;

/// Rates by pair of currencies: what one of the first buys of the second, by day.
#[derive(Debug, Default)]
pub struct Rates {
    by_pair: BTreeMap<(String, String), Vec<(i32, i128)>>,
}

impl Rates {
    /// Reads rows of (date, base, quote, rate): one `base` buys `rate` of `quote`. A rate that is not above 0 is none.
    pub fn try_new(batches: &[RecordBatch]) -> Result<Self> {
        let mut by_pair: BTreeMap<(String, String), Vec<(i32, i128)>> = BTreeMap::new();
        for batch in batches {
            let days = without_nulls(batch, "date", &DataType::Date32)?;
            let [base, quote] = [
                without_nulls(batch, "base", &DataType::Utf8)?,
                without_nulls(batch, "quote", &DataType::Utf8)?,
            ];
            let rates = without_nulls(batch, "rate", &RATE)?;
            let code =
                |names: &dyn Array, row: usize| names.as_string::<i32>().value(row).trim().to_uppercase();
            for row in 0..batch.num_rows() {
                let rate = rates.as_primitive::<Decimal128Type>().value(row);
                if rate > 0 {
                    let pair = (code(&base, row), code(&quote, row));
                    by_pair
                        .entry(pair)
                        .or_default()
                        .push((days.as_primitive::<Date32Type>().value(row), rate));
                }
            }
        }
        for days in by_pair.values_mut() {
            days.sort_unstable();
        }
        Ok(Self { by_pair })
    }

    /// What one unit of a currency buys of another on a day: by their own rate, by its reverse, or over a third
    /// currency that both have a rate of, the first by name. None where there is none of the last days.
    fn rate(&self, from: &str, to: &str, day: i32) -> Option<i128> {
        if from == to {
            return Some(RATE_ONE);
        }
        let quoted = |base: &str, quote: &str| -> Option<i128> {
            let days = self.by_pair.get(&(base.to_owned(), quote.to_owned()))?;
            let (at, rate) = *days[..days.partition_point(|(at, _)| *at <= day)].last()?;
            (day - at <= MAX_AGE_DAYS).then_some(rate)
        };
        let over = |base: &str| divided(quoted(base, to)?, quoted(base, from)?);
        quoted(from, to).or_else(|| divided(RATE_ONE, quoted(to, from)?)).or_else(|| {
            let mut bases: Vec<&String> = self.by_pair.keys().map(|(base, _)| base).collect();
            bases.dedup();
            bases.into_iter().find_map(|base| over(base))
        })
    }
}

/// A quotient with twelve decimals, rounded; none where nothing is left of it.
fn divided(a: i128, b: i128) -> Option<i128> {
    let quotient = (a.checked_mul(RATE_ONE)? + b / 2) / b;
    (quotient > 0).then_some(quotient)
}

/// The currency that amounts are reported in, and how others become it.
#[derive(Debug)]
pub struct Reporting {
    currency: String,
    rates: Arc<Rates>,
    days: LocalDays,
}

impl Reporting {
    /// Orders are made on days of a zone.
    pub fn new(currency: String, rates: Arc<Rates>, zone: Tz) -> Self {
        Self { currency, rates, days: LocalDays::new(zone) }
    }

    /// How an order's currency becomes the one that is reported; none where it is that one, or where there is no rate.
    pub fn exchange(&mut self, currency: Option<&str>, ordered_at: i64) -> Option<Exchange> {
        let from = currency?.trim().to_uppercase();
        if from == self.currency {
            return None;
        }
        let rate = self.rates.rate(&from, &self.currency, self.days.day(ordered_at))?;
        Some(Exchange { rate, minor_unit: minor_unit(Some(&self.currency)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(rows: &[(&str, &str, i32, i128)]) -> Rates {
        let mut rates = Rates::default();
        for &(base, quote, day, rate) in rows {
            rates.by_pair.entry((base.into(), quote.into())).or_default().push((day, rate));
        }
        rates
    }

    #[test]
    fn a_rate_is_found_by_pair_by_reverse_and_over_a_third_currency() {
        let rates = rates(&[("EUR", "USD", 10, RATE_ONE * 5 / 4), ("EUR", "JPY", 10, 160 * RATE_ONE)]);
        assert_eq!(rates.rate("EUR", "USD", 10), Some(1_250_000_000_000));
        assert_eq!(rates.rate("USD", "EUR", 10), Some(800_000_000_000));
        assert_eq!(rates.rate("USD", "JPY", 10), Some(128 * RATE_ONE));
        assert_eq!(rates.rate("USD", "USD", 0), Some(RATE_ONE));
        assert_eq!(rates.rate("USD", "GBP", 10), None);
    }

    #[test]
    fn the_last_rate_before_counts_for_a_week() {
        let rates = rates(&[("EUR", "USD", 10, 1), ("EUR", "USD", 12, 2)]);
        assert_eq!(rates.rate("EUR", "USD", 9), None);
        assert_eq!(rates.rate("EUR", "USD", 11), Some(1));
        assert_eq!(rates.rate("EUR", "USD", 19), Some(2));
        assert_eq!(rates.rate("EUR", "USD", 20), None);
    }
}
