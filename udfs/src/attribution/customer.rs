//! The kernel: one order of one customer, its refunds and the customer's touches become rows of credits.

use super::exchange::Exchange;
use super::model::{MODEL_COUNT, Model};
use super::rows::{CREDITED, DUPLICATE, Entry, NO_ELIGIBLE_TOUCH, NO_TOUCHES, Reason, Shares, Sink};
use super::rules::{RefundView, Rules};
use super::select::{Journey, Selection};
use super::split::{Remainders, split};
use super::touches::{Place, Touches};
use super::weights::{ModelWeights, Weights};

/// An order as the kernel needs it.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub place: Place,
    /// Instant in microseconds.
    pub at: i64,
    /// Ten-thousandths of the order's currency.
    pub amount: i64,
    pub profit: Option<i64>,
    /// Of the currency that the order is reported in, in ten-thousandths.
    pub minor_unit: i64,
    /// How the order's currency becomes another; none where it is reported in its own.
    pub exchange: Option<Exchange>,
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

/// Refunds of one order, or its amount in another currency, are more than money can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Reusable room of the kernel.
#[derive(Debug, Default)]
pub struct Scratch {
    pub selection: Selection,
    weights: [ModelWeights; MODEL_COUNT],
    after: Vec<i64>,
    difference: Vec<i64>,
    /// Per model: what the touches hold after the entries so far.
    credits: [Vec<i64>; MODEL_COUNT],
    profits: [Vec<i64>; MODEL_COUNT],
    remainders: Remainders,
}

/// Writes the rows of one order and of its refunds, which are in the order they were booked.
pub fn attribute_order<S: Sink>(
    order: &Order,
    refunds: &[Refund],
    touches: &Touches,
    rules: &Rules,
    scratch: &mut Scratch,
    sink: &mut S,
) -> Result<(), Overflow> {
    if order.refused != CREDITED {
        if rules.include_refused {
            list_refused_entries(order, refunds, sink);
        }
        return Ok(());
    }
    let journey = scratch.selection.choose(order.at, touches, rules);
    let n = scratch.selection.len(journey);
    if n > 0 {
        weigh(order.at, journey, touches, rules, scratch, sink);
    }
    let mut net = Net::of(order.amount, order.exchange)?;
    let mut net_profit = order.profit.map(|profit| Net::of(profit, order.exchange)).transpose()?;
    let mut post = |refund: Option<&Refund>, net: Net, net_profit: Option<Net>, sink: &mut S| {
        let entry = entry(order, refund, net, net_profit, n, rules.refunds);
        if n == 0 {
            let knows_any = scratch.selection.knows_any(touches, rules);
            let reason = if knows_any { NO_ELIGIBLE_TOUCH } else { NO_TOUCHES };
            sink.push_unattributed(entry, reason);
        } else {
            push_journey(entry, journey, touches, scratch, sink);
            book(net, net_profit, order.minor_unit, n, scratch, sink);
        }
        if refund.is_none() && rules.include_refused {
            list_refused_touches(touches, scratch, sink);
        }
    };
    post(None, net, net_profit, sink);
    for refund in refunds {
        net = net.less(refund.amount, order.exchange)?;
        net_profit = net_profit.map(|profit| profit.less(refund.amount, order.exchange)).transpose()?;
        post(Some(refund), net, net_profit, sink);
    }
    Ok(())
}

/// What is left of an order after some entries: as it was paid, and what was credited before and after the last one.
#[derive(Debug, Clone, Copy)]
struct Net {
    paid: i64,
    before: i64,
    after: i64,
}

impl Net {
    fn of(paid: i64, exchange: Option<Exchange>) -> Result<Self, Overflow> {
        Ok(Self { paid, before: 0, after: converted(paid, exchange)? })
    }

    fn less(self, amount: i64, exchange: Option<Exchange>) -> Result<Self, Overflow> {
        let paid = self.paid.checked_sub(amount).ok_or(Overflow)?;
        let after = converted(paid, exchange)?;
        // The difference of any two is an entry's amount.
        after.checked_sub(self.after).ok_or(Overflow)?;
        Ok(Self { paid, before: self.after, after })
    }

    fn change(self) -> i64 {
        self.after - self.before
    }
}

fn converted(amount: i64, exchange: Option<Exchange>) -> Result<i64, Overflow> {
    exchange.map_or(Some(amount), |exchange| exchange.convert(amount)).ok_or(Overflow)
}

/// Prepares the weights of the models that are wanted, and forgets what was booked before.
fn weigh(
    ordered_at: i64,
    journey: Journey,
    touches: &Touches,
    rules: &Rules,
    scratch: &mut Scratch,
    sink: &impl Sink,
) {
    let wanted = sink.wanted();
    let facts = scratch.selection.facts(journey, ordered_at, touches);
    for (m, model) in Model::ALL.into_iter().enumerate() {
        if wanted.model(m) {
            scratch.weights[m].weigh(model, &facts, rules);
            scratch.credits[m].clear();
            scratch.profits[m].clear();
        }
    }
}

fn push_journey(entry: Entry, journey: Journey, touches: &Touches, scratch: &Scratch, sink: &mut impl Sink) {
    match journey {
        Journey::Run { from, to } => sink.push_journey(entry, touches.place[from..to].iter().copied()),
        Journey::Chosen => {
            let chosen = scratch.selection.chosen();
            sink.push_journey(entry, chosen.iter().map(|&k| touches.place[k as usize]));
        }
    }
}

/// Books an entry: every touch gets split(net after) - split(net before), under every model.
fn book(
    net: Net,
    net_profit: Option<Net>,
    minor_unit: i64,
    n: usize,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    let Scratch { weights, after, difference, credits, profits, remainders, .. } = scratch;
    let wanted = sink.wanted();
    for (m, weights) in weights.iter().enumerate() {
        if !wanted.model(m) {
            continue;
        }
        let weights = weights.get();
        if wanted.weights[m] {
            sink.push_weights(m, n, weights);
        }
        let mut shares_of = |net: Net, held: &mut Vec<i64>, push: &mut dyn FnMut(Shares<'_>)| {
            match weights {
                // The amount of the entry itself, which is no further from 0 than money goes.
                Weights::OneHot(at) => return push(Shares::One { at, amount: net.change() }),
                Weights::Whole(whole) => {
                    difference.clear();
                    difference.extend(whole.iter().map(|&whole| whole as i64 * net.change()));
                    return push(Shares::Each(difference));
                }
                Weights::Equal | Weights::Integers(..) | Weights::Ends(..) => {}
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
            let net_profit = net_profit.unwrap_or(Net { paid: 0, before: 0, after: 0 });
            shares_of(net_profit, &mut profits[m], &mut |shares| sink.push_profits(m, n, shares));
        }
    }
}

/// The entry of an order, or of one of its refunds.
fn entry(
    order: &Order,
    refund: Option<&Refund>,
    net: Net,
    net_profit: Option<Net>,
    n: usize,
    refunds: RefundView,
) -> Entry {
    Entry {
        order: order.place,
        refund: refund.map(|refund| refund.row),
        booked_at: match (refund, refunds) {
            (Some(refund), RefundView::Cash) => refund.at,
            (Some(_), RefundView::Cohort) | (None, _) => order.at,
        },
        amount: net.change(),
        profit: net_profit.map(Net::change),
        paid: refund.map_or(order.amount, |refund| refund.amount.saturating_neg()),
        exchange: order.exchange,
        journey_length: n as i64,
    }
}

/// Lists an order that is not completed, and its refunds: money that never was credited is not taken back.
fn list_refused_entries(order: &Order, refunds: &[Refund], sink: &mut impl Sink) {
    let whole = Order { exchange: None, ..*order };
    let of = |amount: i64| Net { paid: amount, before: 0, after: amount };
    let refused = |refund: Option<&Refund>, net: Net, net_profit: Option<Net>| {
        entry(&whole, refund, net, net_profit, 0, RefundView::Cash)
    };
    sink.push_refused_entry(refused(None, of(order.amount), order.profit.map(of)), order.refused);
    for refund in refunds {
        let Some(amount) = refund.amount.checked_neg().map(of) else { continue };
        sink.push_refused_entry(refused(Some(refund), amount, order.profit.map(|_| amount)), order.refused);
    }
}

/// Lists the touches that the last entry does not count.
fn list_refused_touches(touches: &Touches, scratch: &Scratch, sink: &mut impl Sink) {
    for (k, reason) in scratch.selection.refused() {
        sink.push_refused_touch(touches.place[k], reason);
    }
    for &(_, place) in &touches.duplicates {
        sink.push_refused_touch(place, DUPLICATE);
    }
}

#[cfg(test)]
#[path = "customer_tests.rs"]
mod tests;
