use proptest::prelude::*;

use super::*;
use crate::attribution::rows::{Reasons, Rows};

const DAY: i64 = DAY_US as i64;
const RULES: Rules = Rules {
    lookback_us: 30 * DAY,
    view_lookback_us: DAY,
    half_life_us: 7.0 * DAY_US,
    include_refused: false,
};

fn order(at: i64, amount: i64) -> Order {
    Order { place: (1, 0), at, amount, profit: Some(amount / 2), minor_unit: 100, refused: CREDITED }
}

fn touches(rows: &[(i64, bool)]) -> Touches {
    let mut touches = Touches::default();
    for (k, &(at, is_view)) in rows.iter().enumerate() {
        touches.extend(&[at], &[is_view], &[k as u64], std::iter::once((1, k)));
    }
    touches
}

fn run(order: &Order, refunds: &[Refund], touches: &Touches, rules: &Rules) -> Rows {
    let mut rows = Rows::new(Wanted::ALL);
    attribute_order(order, refunds, touches, rules, &mut Scratch::default(), &mut rows).unwrap();
    rows
}

fn counted(rows: &Rows) -> Vec<usize> {
    rows.touch.iter().map(|place| place.1).collect()
}

#[test]
fn both_ends_of_the_lookback_are_included() {
    let at = 100 * DAY;
    let touches =
        touches(&[(at - 30 * DAY - 1, false), (at - 30 * DAY, false), (at, false), (at + 1, false)]);
    let rows = run(&order(at, 10_000), &[], &touches, &RULES);
    assert_eq!(counted(&rows), [1, 2]);
    assert_eq!(rows.position, [1, 2]);
}

#[test]
fn views_count_only_where_no_click_is_eligible_and_for_a_day() {
    let at = 100 * DAY;
    let views = touches(&[(at - DAY - 1, true), (at - DAY, true), (at - 5, true)]);
    assert_eq!(counted(&run(&order(at, 10_000), &[], &views, &RULES)), [1, 2]);
    let mixed = touches(&[(at - 29 * DAY / 10, false), (at - 2 * DAY, true), (at - 5, true)]);
    let rows = run(&order(at, 10_000), &[], &mixed, &Rules { include_refused: true, ..RULES });
    assert_eq!(counted(&rows), [0, 1, 2]);
    assert_eq!(rows.reason, [CREDITED, TOO_OLD, VIEW_SUPERSEDED]);
    assert_eq!(rows.credits[2], [10_000, 0, 0]);
}

#[test]
fn an_order_without_eligible_touch_says_why() {
    let none = run(&order(0, 10_000), &[], &touches(&[]), &RULES);
    assert_eq!((none.reason[0], none.credits[0][0], none.weights[3][0]), (NO_TOUCHES, 10_000, 1.0));
    let late = run(&order(0, 10_000), &[], &touches(&[(1, false)]), &RULES);
    assert_eq!(late.reason, [NO_ELIGIBLE_TOUCH]);
}

#[test]
fn an_order_that_is_not_completed_is_listed_only_on_request() {
    let cancelled = Order { refused: VIEW_SUPERSEDED + 1, ..order(DAY, 10_000) };
    let refund = Refund { row: 0, at: 2 * DAY, amount: 10_000 };
    assert!(run(&cancelled, &[refund], &touches(&[(0, false)]), &RULES).is_empty());
    let rows = run(&cancelled, &[refund], &touches(&[(0, false)]), &Rules { include_refused: true, ..RULES });
    assert_eq!(rows.credited, [false, false]);
    assert_eq!(rows.entries[1].amount, -10_000);
}

#[test]
fn only_wanted_lists_are_filled() {
    let mut wanted = Wanted::default();
    wanted.credits[3] = true;
    let mut rows = Rows::new(wanted);
    let touches = touches(&[(0, false), (1, false)]);
    attribute_order(&order(2, 10_000), &[], &touches, &RULES, &mut Scratch::default(), &mut rows).unwrap();
    assert_eq!(rows.credits[3].len(), 2);
    assert!(rows.credits[2].is_empty() && rows.weights[3].is_empty() && rows.profits[3].is_empty());
}

#[test]
fn refunds_beyond_what_money_holds_are_an_error() {
    let refunds = [Refund { row: 0, at: 1, amount: i64::MIN }];
    let mut rows = Rows::new(Wanted::ALL);
    let touches = touches(&[(0, false)]);
    let result =
        attribute_order(&order(0, 1), &refunds, &touches, &RULES, &mut Scratch::default(), &mut rows);
    assert_eq!(result, Err(Overflow));
}

proptest! {
    #[test]
    fn credits_sum_to_amounts_and_full_refunds_to_zero(
        amount in 0_i64..=999_999_999_999_999,
        cost in 0_i64..1_000_000_000,
        minor_unit in prop::sample::select(vec![10_i64, 100, 10_000]),
        ages in prop::collection::vec((0_i64..40 * DAY, any::<bool>()), 0..40),
        cuts in prop::collection::vec(0_i64..=1000, 0..4),
    ) {
        let at = 400 * DAY;
        let mut ages = ages;
        ages.sort_by_key(|age| std::cmp::Reverse(age.0));
        let touches = touches(&ages.iter().map(|&(age, view)| (at - age, view)).collect::<Vec<_>>());
        let order = Order { minor_unit, profit: Some(amount - cost), ..order(at, amount) };
        let mut refunds: Vec<Refund> = Vec::new();
        let mut left = amount;
        for cut in &cuts {
            let part = left / 1000 * cut;
            refunds.push(Refund { row: refunds.len() as u32, at, amount: part });
            left -= part;
        }
        refunds.push(Refund { row: refunds.len() as u32, at, amount: left });
        let rows = run(&order, &refunds, &touches, &RULES);
        for m in 0..5 {
            for (index, entry) in rows.entries.iter().enumerate() {
                let of_entry = |list: &[i64]| -> i64 {
                    (0..rows.len()).filter(|&row| rows.entry[row] as usize == index).map(|row| list[row]).sum()
                };
                prop_assert_eq!(of_entry(&rows.credits[m]), entry.amount);
                prop_assert_eq!(of_entry(&rows.profits[m]), entry.profit.unwrap());
            }
            let mut by_touch = std::collections::HashMap::new();
            for (place, credit) in rows.touch.iter().zip(&rows.credits[m]) {
                *by_touch.entry(*place).or_insert(0) += credit;
            }
            prop_assert!(by_touch.values().all(|&credit: &i64| credit == 0));
        }
    }
}

#[test]
fn reasons_start_with_the_fixed_ones() {
    let reasons = Reasons::default();
    for (reason, name) in [
        (NO_TOUCHES, "no_touch"),
        (NO_ELIGIBLE_TOUCH, "no_eligible_touch"),
        (TOO_OLD, "too_old"),
        (AFTER_ORDER, "after_order"),
        (DUPLICATE, "duplicate"),
    ] {
        assert_eq!(reasons.name(reason), Some(name));
    }
}
