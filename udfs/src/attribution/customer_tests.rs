use proptest::prelude::*;

use super::*;
use crate::attribution::rows::{
    AFTER_ORDER, COLLAPSED, DIRECT_IGNORED, EARLIER_ORDER, FILTERED_OUT, Reasons, Rows, TOO_OLD,
    VIEW_IGNORED, VIEW_SUPERSEDED, Wanted,
};
use crate::attribution::rules::{Collapse, DAY_US, Reuse, Views};
use crate::attribution::touches::{DIRECT, FILTERED, TouchRows, VIEW};

const DAY: i64 = DAY_US as i64;

fn rules() -> Rules {
    Rules::default()
}

fn with_refused() -> Rules {
    Rules { include_refused: true, ..rules() }
}

fn order(at: i64, amount: i64) -> Order {
    Order {
        place: (1, 0),
        at,
        amount,
        profit: Some(amount / 2),
        minor_unit: 100,
        exchange: None,
        refused: CREDITED,
    }
}

fn touches(rows: &[(i64, bool)]) -> Touches {
    let flagged: Vec<_> = rows.iter().map(|&(at, is_view)| (at, u8::from(is_view) * VIEW, 0)).collect();
    of_channels(&flagged)
}

/// Touches with their flags and the numbers of their channels.
fn of_channels(rows: &[(i64, u8, u32)]) -> Touches {
    let mut touches = Touches::default();
    for (k, &(at, flags, channel)) in rows.iter().enumerate() {
        let row = TouchRows { at: &[at], flags: &[flags], channel: &[channel], id_hash: &[k as u64] };
        touches.extend(row, std::iter::once((1, k)));
    }
    touches
}

fn run(order: &Order, refunds: &[Refund], touches: &Touches, rules: &Rules) -> Rows {
    let mut rows = Rows::new(Wanted::ALL, None);
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
    let rows = run(&order(at, 10_000), &[], &touches, &rules());
    assert_eq!(counted(&rows), [1, 2]);
    assert_eq!(rows.position, [1, 2]);
}

#[test]
fn views_count_only_where_no_click_is_eligible_and_for_a_day() {
    let at = 100 * DAY;
    let views = touches(&[(at - DAY - 1, true), (at - DAY, true), (at - 5, true)]);
    assert_eq!(counted(&run(&order(at, 10_000), &[], &views, &rules())), [1, 2]);
    let mixed = touches(&[(at - 29 * DAY / 10, false), (at - 2 * DAY, true), (at - 5, true)]);
    let rows = run(&order(at, 10_000), &[], &mixed, &with_refused());
    assert_eq!(counted(&rows), [0, 1, 2]);
    assert_eq!(rows.reason, [CREDITED, TOO_OLD, VIEW_SUPERSEDED]);
    assert_eq!(rows.credits[2], [10_000, 0, 0]);
}

#[test]
fn an_order_without_eligible_touch_says_why() {
    let none = run(&order(0, 10_000), &[], &touches(&[]), &rules());
    assert_eq!((none.reason[0], none.credits[0][0], none.weights[3][0]), (NO_TOUCHES, 10_000, 1.0));
    let late = run(&order(0, 10_000), &[], &touches(&[(1, false)]), &rules());
    assert_eq!(late.reason, [NO_ELIGIBLE_TOUCH]);
}

#[test]
fn an_order_that_is_not_completed_is_listed_only_on_request() {
    let cancelled = Order { refused: VIEW_SUPERSEDED + 1, ..order(DAY, 10_000) };
    let refund = Refund { row: 0, at: 2 * DAY, amount: 10_000 };
    assert!(run(&cancelled, &[refund], &touches(&[(0, false)]), &rules()).is_empty());
    let rows = run(&cancelled, &[refund], &touches(&[(0, false)]), &with_refused());
    assert_eq!(rows.credited, [false, false]);
    assert_eq!(rows.entries[1].amount, -10_000);
}

#[test]
fn only_wanted_lists_are_filled() {
    let mut wanted = Wanted::default();
    wanted.credits[3] = true;
    let mut rows = Rows::new(wanted, None);
    let touches = touches(&[(0, false), (1, false)]);
    attribute_order(&order(2, 10_000), &[], &touches, &rules(), &mut Scratch::default(), &mut rows).unwrap();
    assert_eq!(rows.credits[3].len(), 2);
    assert!(rows.credits[2].is_empty() && rows.weights[3].is_empty() && rows.profits[3].is_empty());
}

#[test]
fn refunds_beyond_what_money_holds_are_an_error() {
    let refunds = [Refund { row: 0, at: 1, amount: i64::MIN }];
    let mut rows = Rows::new(Wanted::ALL, None);
    let touches = touches(&[(0, false)]);
    let result =
        attribute_order(&order(0, 1), &refunds, &touches, &rules(), &mut Scratch::default(), &mut rows);
    assert_eq!(result, Err(Overflow));
}

/// Runs the orders of one customer, one after the other; returns which touches each counts.
fn counted_by_orders(orders: &[i64], touches: &Touches, rules: &Rules) -> Vec<Vec<usize>> {
    let mut scratch = Scratch::default();
    let counts = |&at: &i64| {
        let mut rows = Rows::new(Wanted::ALL, None);
        attribute_order(&order(at, 100), &[], touches, rules, &mut scratch, &mut rows).unwrap();
        rows.touch.iter().filter(|place| place.0 == 1).map(|place| place.1).collect()
    };
    orders.iter().map(counts).collect()
}

#[test]
fn every_order_looks_back_unless_touches_belong_to_the_one_before() {
    let touches = of_channels(&[(0, VIEW, 0), (DAY, 0, 0), (2 * DAY, 0, 1), (3 * DAY, 0, 0)]);
    let orders = [DAY, 2 * DAY, 3 * DAY];
    let by = |reuse| counted_by_orders(&orders, &touches, &Rules { reuse, ..rules() });
    assert_eq!(by(Reuse::All), [vec![1], vec![1, 2], vec![1, 2, 3]]);
    assert_eq!(by(Reuse::ResetAtConversion), [vec![1], vec![2], vec![3]]);
    assert_eq!(by(Reuse::NextConversionOnly), [vec![1], vec![2], vec![3]]);
    // A touch that an earlier order could not count still counts under the last rule.
    let late = of_channels(&[(0, VIEW, 0), (DAY, 0, 0)]);
    let views = Rules { view_lookback_us: 30 * DAY, ..rules() };
    let by = |reuse| counted_by_orders(&[DAY, 2 * DAY], &late, &Rules { reuse, ..views.clone() });
    assert_eq!(by(Reuse::ResetAtConversion), [vec![1], vec![]]);
    assert_eq!(by(Reuse::NextConversionOnly), [vec![1], vec![0]]);
}

#[test]
fn repeated_channels_collapse() {
    let touches = of_channels(&[(1, 0, 7), (2, 0, 7), (3, 0, 8), (4, 0, 7)]);
    let by = |collapse| counted_by_orders(&[9], &touches, &Rules { collapse, ..rules() });
    assert_eq!(by(Collapse::None), [vec![0, 1, 2, 3]]);
    assert_eq!(by(Collapse::Consecutive), [vec![0, 2, 3]]);
    assert_eq!(by(Collapse::Unique), [vec![0, 2]]);
}

#[test]
fn direct_counts_only_alone_where_it_is_ignored() {
    let mixed = of_channels(&[(1, 0, 1), (2, DIRECT, 2)]);
    let alone = of_channels(&[(2, DIRECT, 2)]);
    let ignoring = Rules { ignore_direct: true, ..rules() };
    assert_eq!(counted_by_orders(&[9], &mixed, &ignoring), [vec![0]]);
    assert_eq!(counted_by_orders(&[9], &alone, &ignoring), [vec![0]]);
    assert_eq!(counted_by_orders(&[9], &mixed, &rules()), [vec![0, 1]]);
}

#[test]
fn views_count_beside_clicks_or_never_where_asked() {
    let touches = of_channels(&[(1, 0, 1), (2, VIEW, 2)]);
    let by = |views| counted_by_orders(&[9], &touches, &Rules { views, ..rules() });
    assert_eq!(by(Views::Counted), [vec![0, 1]]);
    assert_eq!(by(Views::Superseded), [vec![0]]);
    let only_view = of_channels(&[(2, VIEW, 2)]);
    let never = Rules { views: Views::Ignored, ..rules() };
    assert_eq!(counted_by_orders(&[9], &only_view, &never), [Vec::<usize>::new()]);
}

#[test]
fn every_refused_touch_has_its_reason() {
    let at = 100 * DAY;
    let touches = of_channels(&[
        (at - 31 * DAY, 0, 1),
        (at - 9, FILTERED, 1),
        (at - 8, VIEW, 1),
        (at - 7, DIRECT, 2),
        (at - 6, 0, 1),
        (at - 5, 0, 1),
        (at + 1, 0, 1),
    ]);
    let rules = Rules { ignore_direct: true, collapse: Collapse::Unique, ..with_refused() };
    let rows = run(&order(at, 100), &[], &touches, &rules);
    assert_eq!(counted(&rows), [4, 0, 1, 2, 3, 5, 6]);
    let reasons = [TOO_OLD, FILTERED_OUT, VIEW_SUPERSEDED, DIRECT_IGNORED, COLLAPSED, AFTER_ORDER];
    assert_eq!(rows.reason[1..], reasons);
    let ignored = run(&order(at, 100), &[], &touches, &Rules { views: Views::Ignored, ..rules.clone() });
    assert!(ignored.reason.contains(&VIEW_IGNORED));
    let mut scratch = Scratch::default();
    let reset = Rules { reuse: Reuse::ResetAtConversion, ..rules };
    for at in [at, at + 2] {
        let mut rows = Rows::new(Wanted::ALL, None);
        attribute_order(&order(at, 100), &[], &touches, &reset, &mut scratch, &mut rows).unwrap();
        assert_eq!(rows.reason.contains(&EARLIER_ORDER), at == 100 * DAY + 2);
    }
}

#[test]
fn a_converted_order_and_its_full_refund_cancel_in_the_other_currency() {
    let exchange = Exchange { rate: 1_087_600_000_000, minor_unit: 100 };
    let euros = Order { exchange: Some(exchange), ..order(9, 333_300) };
    let refunds = [Refund { row: 0, at: 10, amount: 111_100 }, Refund { row: 1, at: 11, amount: 222_200 }];
    let rows = run(&euros, &refunds, &touches(&[(1, false), (2, false)]), &rules());
    let amounts: Vec<(i64, i64)> = rows.entries.iter().map(|entry| (entry.amount, entry.paid)).collect();
    assert_eq!(amounts, [(362_500, 333_300), (-120_800, -111_100), (-241_700, -222_200)]);
    assert_eq!(rows.credits[Model::Linear as usize].iter().sum::<i64>(), 0);
}

#[test]
fn the_cohort_view_books_a_refund_on_its_orders_date() {
    let refunds = [Refund { row: 0, at: 50, amount: 100 }];
    let booked = |view| {
        let rules = Rules { refunds: view, ..rules() };
        run(&order(9, 100), &refunds, &touches(&[(1, false)]), &rules).entries[1].booked_at
    };
    assert_eq!((booked(RefundView::Cash), booked(RefundView::Cohort)), (50, 9));
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
        let rows = run(&order, &refunds, &touches, &rules());
        for m in (0..MODEL_COUNT).filter(|&m| Model::ALL[m].sums_to_amount()) {
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
