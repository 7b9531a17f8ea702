//! Splits money by largest remainder: the parts sum to the amount, always (attribution.md, rule 11).

use super::currency::unit_of;
use super::weights::Weights;

/// Counts up to here are exact in an f64 with room for the error of a division.
const EXACT_COUNT: u64 = 1 << 50;
/// Sums up to here leave room for a remainder of either sign in an i64.
const EXACT_SUM: u128 = 1 << 61;

/// Reusable room for the remainders of one split.
#[derive(Debug, Default)]
pub struct Remainders {
    narrow: Vec<(u64, u32)>,
    wide: Vec<(u128, u32)>,
}

/// Splits an amount among `out.len()` touches by their weights.
///
/// The amount and the parts are ten-thousandths; `minor_unit` is the currency's (see `minor_unit`). The amount
/// is split in whole minor units, or in ten-thousandths where it is not a whole number of them. Every part is
/// first rounded towards zero; the units left over go to the largest remainders, ties to the earlier touch.
pub fn split(amount: i64, minor_unit: i64, weights: Weights<'_>, out: &mut [i64], room: &mut Remainders) {
    if out.is_empty() {
        return;
    }
    let unit = unit_of(amount, minor_unit);
    let count = amount.unsigned_abs() / unit.unsigned_abs();
    let one = if amount < 0 { -unit } else { unit };
    match weights {
        Weights::OneHot(at) => {
            out.fill(0);
            out[at] = amount;
        }
        Weights::Equal => split_equally(count, one, out),
        Weights::Whole(whole) => {
            out.iter_mut().zip(whole).for_each(|(part, &whole)| *part = whole as i64 * amount);
        }
        Weights::Ends(weights, sum) if count < EXACT_COUNT && sum < EXACT_SUM && weights.len() > 2 => {
            split_by_ends(count, one, weights, sum as u64, out);
        }
        Weights::Integers(weights, sum) | Weights::Ends(weights, sum)
            if count < EXACT_COUNT && sum < EXACT_SUM =>
        {
            split_narrow(count, one, weights, sum as u64, out, &mut room.narrow);
        }
        Weights::Integers(weights, sum) | Weights::Ends(weights, sum) => {
            split_wide(count, one, weights, sum, out, &mut room.wide);
        }
    }
}

/// Gives each touch the same and the first ones a unit more: all remainders tie.
fn split_equally(count: u64, one: i64, out: &mut [i64]) {
    let touches = out.len() as u64;
    let each = (count / touches) as i64 * one;
    let more = (count % touches) as usize;
    out[..more].fill(each + one);
    out[more..].fill(each);
}

/// Divides shares of one amount in 64-bit arithmetic: a float guesses each quotient, integers correct it.
///
/// Below the two limits the guess is off by at most one, so its remainder lies within one sum of [0, sum) and
/// survives the wrapping product.
#[derive(Clone, Copy)]
struct NarrowShares {
    count: u64,
    sum: u64,
    per_weight: f64,
}

impl NarrowShares {
    fn new(count: u64, sum: u64) -> Self {
        Self { count, sum, per_weight: count as f64 / sum as f64 }
    }

    /// The whole units of a weight's share, and the remainder.
    #[inline]
    fn divide(self, weight: u64) -> (u64, u64) {
        let Self { count, sum, per_weight } = self;
        let quotient = (weight as f64 * per_weight) as u64;
        let remainder = count.wrapping_mul(weight).wrapping_sub(quotient.wrapping_mul(sum)) as i64;
        if remainder < 0 {
            (quotient - 1, (remainder + sum as i64) as u64)
        } else if remainder >= sum as i64 {
            (quotient + 1, (remainder - sum as i64) as u64)
        } else {
            (quotient, remainder as u64)
        }
    }
}

fn split_narrow(
    count: u64,
    one: i64,
    weights: &[u64],
    sum: u64,
    out: &mut [i64],
    room: &mut Vec<(u64, u32)>,
) {
    room.clear();
    let shares = NarrowShares::new(count, sum);
    let mut left = count;
    for (k, (&weight, part)) in weights.iter().zip(out.iter_mut()).enumerate() {
        let (quotient, remainder) = shares.divide(weight);
        left -= quotient;
        *part = quotient as i64 * one;
        room.push((remainder, k as u32));
    }
    give_rest(left as usize, one, out, room);
}

/// Splits among at least three touches of which those between the first and the last weigh the same: three divisions
/// do for all of them.
fn split_by_ends(count: u64, one: i64, weights: &[u64], sum: u64, out: &mut [i64]) {
    let (last, shares) = (out.len() - 1, NarrowShares::new(count, sum));
    let mut left = count;
    let mut blocks = [0..1, 1..last, last..last + 1].map(|block| {
        let (quotient, remainder) = shares.divide(weights[block.start]);
        left -= quotient * block.len() as u64;
        out[block.clone()].fill(quotient as i64 * one);
        (std::cmp::Reverse(remainder), block)
    });
    // The sort is stable: of equal remainders the earlier touch's comes first.
    blocks.sort_by_key(|(remainder, _)| *remainder);
    let mut left = left as usize;
    for (_, block) in blocks {
        let more = left.min(block.len());
        out[block.start..block.start + more].iter_mut().for_each(|part| *part += one);
        left -= more;
    }
}

/// Splits in 128-bit arithmetic, for amounts and journeys of any size.
fn split_wide(
    count: u64,
    one: i64,
    weights: &[u64],
    sum: u128,
    out: &mut [i64],
    room: &mut Vec<(u128, u32)>,
) {
    room.clear();
    let mut left = count;
    for (k, (&weight, part)) in weights.iter().zip(out.iter_mut()).enumerate() {
        let product = u128::from(count) * u128::from(weight);
        let quotient = (product / sum) as u64;
        left -= quotient;
        *part = quotient as i64 * one;
        room.push((product % sum, k as u32));
    }
    give_rest(left as usize, one, out, room);
}

/// Adds one unit to each of the `left` largest remainders; the earlier touch wins a tie.
fn give_rest<R: Ord + Copy>(left: usize, one: i64, out: &mut [i64], remainders: &mut [(R, u32)]) {
    if left == 0 {
        return;
    }
    let larger_first = |a: &(R, u32), b: &(R, u32)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
    if left < remainders.len() {
        remainders.select_nth_unstable_by(left - 1, larger_first);
    }
    for &(_, k) in &remainders[..left] {
        out[k as usize] += one;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(amount: i64, minor_unit: i64, weights: Weights<'_>, n: usize) -> Vec<i64> {
        let mut out = vec![0; n];
        split(amount, minor_unit, weights, &mut out, &mut Remainders::default());
        out
    }

    fn integers(amount: i64, minor_unit: i64, weights: &[u64]) -> Vec<i64> {
        let sum = weights.iter().map(|&weight| u128::from(weight)).sum();
        parts(amount, minor_unit, Weights::Integers(weights, sum), weights.len())
    }

    #[test]
    fn one_cent_goes_to_the_earliest_of_equals() {
        assert_eq!(parts(100, 100, Weights::Equal, 3), [100, 0, 0]);
        assert_eq!(integers(100, 100, &[1, 1, 1]), [100, 0, 0]);
        assert_eq!(integers(100, 100, &[2, 1, 2]), [100, 0, 0]);
    }

    #[test]
    fn the_sign_is_restored() {
        assert_eq!(integers(-1_000_000, 100, &[1, 1, 1]), [-333_400, -333_300, -333_300]);
        assert_eq!(parts(-1_000_000, 100, Weights::Equal, 3), [-333_400, -333_300, -333_300]);
    }

    #[test]
    fn yen_stay_whole_and_odd_amounts_are_split_finer() {
        assert_eq!(parts(10_000_000, 10_000, Weights::Equal, 3), [3_340_000, 3_330_000, 3_330_000]);
        assert_eq!(parts(10_001, 100, Weights::Equal, 2), [5_001, 5_000]);
    }

    #[test]
    fn a_touch_without_weight_gets_nothing() {
        assert_eq!(integers(999_999_999_999_999_900, 100, &[0, 3, 0, 4])[2], 0);
        assert_eq!(integers(700, 100, &[0, 3, 4]), [0, 300, 400]);
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_amount(
            amount in -999_999_999_999_999_999_i64..=999_999_999_999_999_999,
            unit in prop::sample::select(vec![10_i64, 100, 10_000]),
            weights in prop::collection::vec(0_u64..=1 << 52, 1..600),
        ) {
            prop_assume!(weights.iter().any(|&weight| weight > 0));
            let whole = amount / unit * unit;
            for amount in [amount, whole, amount % 1_000_000] {
                let parts = integers(amount, unit, &weights);
                prop_assert_eq!(parts.iter().sum::<i64>(), amount);
                prop_assert!(parts.iter().all(|part| part.signum() * amount.signum() >= 0));
            }
        }

        #[test]
        fn every_width_of_arithmetic_agrees(
            count in 0_u64..EXACT_COUNT,
            shift in 0_u32..40,
            weights in prop::collection::vec(0_u64..=1 << 52, 1..40),
        ) {
            let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
            prop_assume!(sum > 0);
            let count = count >> shift;
            let (mut narrow, mut wide) = (vec![0; weights.len()], vec![0; weights.len()]);
            split_narrow(count, 100, &weights, sum as u64, &mut narrow, &mut Vec::new());
            split_wide(count, 100, &weights, sum, &mut wide, &mut Vec::new());
            prop_assert_eq!(narrow, wide);
        }

        #[test]
        fn ends_are_split_as_any_integers_are(
            amount in -10_000_000_000_i64..10_000_000_000,
            n in 1_usize..40,
            (first, between, last) in (0_u64..50, 0_u64..50, 1_u64..50),
        ) {
            let mut weights = vec![between; n];
            weights[0] = first;
            weights[n - 1] = last;
            let sum = weights.iter().map(|&weight| u128::from(weight)).sum();
            let by_ends = parts(amount, 100, Weights::Ends(&weights, sum), n);
            prop_assert_eq!(by_ends, integers(amount, 100, &weights));
        }

        #[test]
        fn equal_shares_agree_with_equal_integers(amount in -10_000_000_000_i64..10_000_000_000, n in 1_usize..60) {
            prop_assert_eq!(parts(amount, 100, Weights::Equal, n), integers(amount, 100, &vec![1; n]));
        }
    }
}
