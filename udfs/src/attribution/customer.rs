//! The kernel: one order of one customer, its refunds and the customer's touches become rows of credits.

use super::rows::{
    AFTER_ORDER, CREDITED, DUPLICATE, Entry, NO_ELIGIBLE_TOUCH, NO_TOUCHES, Reason, Shares, Sink, TOO_OLD,
    VIEW_SUPERSEDED, Wanted,
};
use super::split::{Remainders, split};
use super::touches::{Place, Touches};
use super::weights::{Model, Weights, decay_weights, position_weights};

/// Microseconds of a day of elapsed time.
pub const DAY_US: f64 = 86_400_000_000.0;

/// What decides which touches count, and for how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How long before an order a click counts, in microseconds.
    pub lookback_us: i64,
    /// How long before an order a view counts, in microseconds.
    pub view_lookback_us: i64,
    /// The age at which a touch weighs half under time decay, in microseconds.
    pub half_life_us: f64,
    /// Whether touches and orders without credit are listed, with the reason.
    pub include_refused: bool,
}

/// An order as the kernel needs it.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub place: Place,
    /// Instant in microseconds.
    pub at: i64,
    /// Ten-thousandths.
    pub amount: i64,
    pub profit: Option<i64>,
    /// Of the order's currency, in ten-thousandths.
    pub minor_unit: i64,
    /// Why the order gets no credit; `CREDITED` where it does.
    pub refused: Reason,
}

/// A refund as the kernel needs it.
#[derive(Debug, Clone, Copy)]
pub struct Refund {
    /// The refund's row.
    pub row: u32,
    /// Instant in microseconds.
    pub at: i64,
    /// Ten-thousandths; positive where money goes back to the customer.
    pub amount: i64,
}

/// Refunds of one order are more than money can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Reusable room of the kernel.
#[derive(Debug, Default)]
pub struct Scratch {
    selected: Vec<u32>,
    times: Vec<i64>,
    decay: Vec<u64>,
    position: Vec<u64>,
    after: Vec<i64>,
    difference: Vec<i64>,
    /// Per model: what the touches hold after the entries so far.
    credits: [Vec<i64>; 5],
    profits: [Vec<i64>; 5],
    remainders: Remainders,
}

/// Which of a customer's touches an order counts: a run of them, or chosen ones.
#[derive(Debug, Clone, Copy)]
enum Journey {
    Run { from: usize, to: usize },
    Chosen,
}

/// Writes the rows of one order and of its refunds, which are in the order they were booked.
pub fn attribute_order(
    order: &Order,
    refunds: &[Refund],
    touches: &Touches,
    rules: &Rules,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> Result<(), Overflow> {
    if order.refused != CREDITED {
        if rules.include_refused {
            list_refused_entries(order, refunds, sink);
        }
        return Ok(());
    }
    let journey = select(order.at, touches, rules, &mut scratch.selected);
    let n = match journey {
        Journey::Run { from, to } => to - from,
        Journey::Chosen => scratch.selected.len(),
    };
    if n == 0 {
        let reason = if touches.is_empty() { NO_TOUCHES } else { NO_ELIGIBLE_TOUCH };
        sink.push_unattributed(order_entry(order, 0), reason);
        list_refused_touches(order.at, touches, rules, sink);
        for refund in refunds {
            sink.push_unattributed(refund_entry(order, refund, 0)?, reason);
        }
        return Ok(());
    }
    weigh(journey, n, touches, rules, scratch, sink.wanted());
    let mut net = Change { before: 0, after: order.amount };
    let mut net_profit = order.profit.map(|profit| Change { before: 0, after: profit });
    push_journey(order_entry(order, n), journey, touches, scratch, sink);
    book(net, net_profit, order.minor_unit, n, scratch, sink);
    list_refused_touches(order.at, touches, rules, sink);
    for refund in refunds {
        let entry = refund_entry(order, refund, n)?;
        net = net.less(refund.amount)?;
        net_profit = net_profit.map(|profit| profit.less(refund.amount)).transpose()?;
        push_journey(entry, journey, touches, scratch, sink);
        book(net, net_profit, order.minor_unit, n, scratch, sink);
    }
    Ok(())
}

/// Chooses the eligible touches: clicks in the lookback window or, where there is none, views in theirs.
fn select(ordered_at: i64, touches: &Touches, rules: &Rules, selected: &mut Vec<u32>) -> Journey {
    let earliest = ordered_at.saturating_sub(rules.lookback_us);
    let from = touches.at.partition_point(|&at| at < earliest);
    let to = from + touches.at[from..].partition_point(|&at| at <= ordered_at);
    if !touches.any_view {
        return Journey::Run { from, to };
    }
    selected.clear();
    selected.extend((from..to).filter(|&k| !touches.view[k]).map(|k| k as u32));
    if selected.is_empty() {
        let earliest = ordered_at.saturating_sub(rules.view_lookback_us);
        let from = touches.at.partition_point(|&at| at < earliest);
        selected.extend((from..to).filter(|&k| touches.view[k]).map(|k| k as u32));
    }
    Journey::Chosen
}

/// What was credited before an entry, and what is after it.
#[derive(Debug, Clone, Copy)]
struct Change {
    before: i64,
    after: i64,
}

impl Change {
    fn less(self, amount: i64) -> Result<Self, Overflow> {
        Ok(Self { before: self.after, after: self.after.checked_sub(amount).ok_or(Overflow)? })
    }
}

/// Prepares the integer weights of the models that are wanted, and forgets what was booked before.
fn weigh(
    journey: Journey,
    n: usize,
    touches: &Touches,
    rules: &Rules,
    scratch: &mut Scratch,
    wanted: Wanted,
) {
    if wanted.model(Model::TimeDecay as usize) {
        let times = match journey {
            Journey::Run { from, to } => &touches.at[from..to],
            Journey::Chosen => {
                scratch.times.clear();
                scratch.times.extend(scratch.selected.iter().map(|&k| touches.at[k as usize]));
                &scratch.times
            }
        };
        decay_weights(times, rules.half_life_us, &mut scratch.decay);
    }
    if wanted.model(Model::PositionBased as usize) {
        position_weights(n, &mut scratch.position);
    }
    for held in scratch.credits.iter_mut().chain(&mut scratch.profits) {
        held.clear();
    }
}

fn push_journey(entry: Entry, journey: Journey, touches: &Touches, scratch: &Scratch, sink: &mut impl Sink) {
    match journey {
        Journey::Run { from, to } => sink.push_journey(entry, touches.place[from..to].iter().copied()),
        Journey::Chosen => {
            sink.push_journey(entry, scratch.selected.iter().map(|&k| touches.place[k as usize]));
        }
    }
}

/// Books an entry: every touch gets split(net after) - split(net before), under every model.
fn book(
    net: Change,
    net_profit: Option<Change>,
    minor_unit: i64,
    n: usize,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    let Scratch { decay, position, after, difference, credits, profits, remainders, .. } = scratch;
    let wanted = sink.wanted();
    let decay_sum = decay.iter().map(|&weight| u128::from(weight)).sum();
    for (m, model) in Model::ALL.into_iter().enumerate() {
        if !wanted.model(m) {
            continue;
        }
        let weights = match model {
            Model::FirstTouch => Weights::OneHot(0),
            Model::LastTouch => Weights::OneHot(n - 1),
            Model::TimeDecay => Weights::Integers(decay, decay_sum),
            Model::PositionBased if n >= 3 => Weights::Integers(position, 5 * (n as u128 - 2)),
            Model::Linear | Model::PositionBased => Weights::Equal,
        };
        if wanted.weights[m] {
            sink.push_weights(m, n, weights);
        }
        let mut shares_of = |net: Change, held: &mut Vec<i64>, push: &mut dyn FnMut(Shares<'_>)| {
            if let Weights::OneHot(at) = weights {
                // The amount of the entry itself, which is no further from 0 than money goes.
                return push(Shares::One { at, amount: net.after - net.before });
            }
            after.resize(n, 0);
            split(net.after, minor_unit, weights, after, remainders);
            if held.is_empty() {
                push(Shares::Each(after));
            } else {
                // Both are shares of amounts that lie no further apart than one refund: the difference fits.
                difference.clear();
                difference.extend(after.iter().zip(&*held).map(|(&now, &was)| now - was));
                push(Shares::Each(difference));
            }
            std::mem::swap(held, after);
        };
        if wanted.credits[m] {
            shares_of(net, &mut credits[m], &mut |shares| sink.push_credits(m, n, shares));
        }
        if wanted.profits[m] {
            let net_profit = net_profit.unwrap_or(Change { before: 0, after: 0 });
            shares_of(net_profit, &mut profits[m], &mut |shares| sink.push_profits(m, n, shares));
        }
    }
}

fn order_entry(order: &Order, n: usize) -> Entry {
    Entry {
        order: order.place,
        refund: None,
        booked_at: order.at,
        amount: order.amount,
        profit: order.profit,
        journey_length: n as i64,
    }
}

fn refund_entry(order: &Order, refund: &Refund, n: usize) -> Result<Entry, Overflow> {
    let amount = refund.amount.checked_neg().ok_or(Overflow)?;
    Ok(Entry {
        order: order.place,
        refund: Some(refund.row),
        booked_at: refund.at,
        amount,
        profit: order.profit.map(|_| amount),
        journey_length: n as i64,
    })
}

/// Lists an order that is not completed, and its refunds: money that never was credited is not taken back.
fn list_refused_entries(order: &Order, refunds: &[Refund], sink: &mut impl Sink) {
    sink.push_refused_entry(order_entry(order, 0), order.refused);
    for refund in refunds {
        if let Ok(entry) = refund_entry(order, refund, 0) {
            sink.push_refused_entry(entry, order.refused);
        }
    }
}

/// Lists the touches that the last entry does not count, where asked for.
fn list_refused_touches(ordered_at: i64, touches: &Touches, rules: &Rules, sink: &mut impl Sink) {
    if !rules.include_refused {
        return;
    }
    let click_from = ordered_at.saturating_sub(rules.lookback_us);
    let view_from = ordered_at.saturating_sub(rules.view_lookback_us);
    let has_click =
        (0..touches.at.len()).any(|k| !touches.view[k] && (click_from..=ordered_at).contains(&touches.at[k]));
    for k in 0..touches.at.len() {
        let (at, is_view) = (touches.at[k], touches.view[k]);
        let reason = if at > ordered_at {
            AFTER_ORDER
        } else if at < if is_view { view_from } else { click_from } {
            TOO_OLD
        } else if is_view && has_click {
            VIEW_SUPERSEDED
        } else {
            continue;
        };
        sink.push_refused_touch(touches.place[k], reason);
    }
    for &(_, place) in &touches.duplicates {
        sink.push_refused_touch(place, DUPLICATE);
    }
}

#[cfg(test)]
#[path = "customer_tests.rs"]
mod tests;
