//! Writes journeys as rows of the raw tables, one JSON object a line.

use chrono::SecondsFormat;
use serde::Serialize;

use super::journey::{Journey, JourneySource, Order, Touch};
use super::model::CHANNELS;
use super::stores::instant;

#[derive(Serialize)]
struct TouchRow<'a> {
    touch_id: String,
    customer_id: &'a str,
    touched_at: String,
    channel: &'static str,
    source: &'static str,
    medium: &'static str,
    campaign: &'static str,
    kind: &'static str,
    cost: String,
}

#[derive(Serialize)]
struct OrderRow<'a> {
    order_id: String,
    customer_id: &'a str,
    ordered_at: String,
    status: &'static str,
    currency: &'static str,
    revenue: String,
    cost_of_goods: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    utm_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    utm_medium: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    utm_campaign: Option<&'static str>,
}

#[derive(Serialize)]
struct RefundRow {
    refund_id: String,
    order_id: String,
    refunded_at: String,
    amount: String,
}

#[derive(Serialize)]
struct CustomerRow<'a> {
    customer_id: &'a str,
    segment: &'static str,
    first_seen_at: String,
}

#[derive(Serialize)]
struct IdentityRow<'a> {
    anonymous_id: String,
    customer_id: &'a str,
    linked_at: String,
}

#[derive(Serialize)]
struct InviteRow<'a> {
    invite_id: String,
    inviter_id: &'a str,
    invitee_id: String,
    sent_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<String>,
}

/// Touches that are landed before the orders.
pub fn touches(source: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    write_touches(source, journey, out, |touch| !touch.is_late);
}

/// Touches that are landed after them.
pub fn late_touches(source: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    write_touches(source, journey, out, |touch| touch.is_late);
}

fn write_touches(
    source: &JourneySource,
    journey: &Journey,
    out: &mut Vec<u8>,
    is_wanted: impl Fn(&Touch) -> bool,
) {
    let customer_id = customer_id(journey.index);
    for (place, touch) in journey.touches.iter().enumerate().filter(|(_, touch)| is_wanted(touch)) {
        let row = TouchRow {
            touch_id: format!("t{:07}-{place:02}", journey.index),
            customer_id: &customer_id,
            touched_at: rfc3339(touch.at_us),
            channel: CHANNELS[touch.placement.channel].name,
            source: touch.placement.source,
            medium: touch.placement.medium,
            campaign: touch.placement.campaign,
            kind: if touch.is_view { "view" } else { "click" },
            cost: money(touch.cost_minor, source.store.digits),
        };
        push(&row, out);
    }
}

pub fn orders(source: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    let customer_id = customer_id(journey.index);
    for (place, order) in journey.orders.iter().enumerate() {
        let row = OrderRow {
            order_id: order_id(journey.index, place),
            customer_id: &customer_id,
            ordered_at: rfc3339(order.at_us),
            status: order.status,
            currency: source.store.currency,
            revenue: money(order.revenue_minor, source.store.digits),
            cost_of_goods: money(order.cost_of_goods_minor, source.store.digits),
            utm_source: order.last_touch.map(|placement| placement.source),
            utm_medium: order.last_touch.map(|placement| placement.medium),
            utm_campaign: order.last_touch.map(|placement| placement.campaign),
        };
        push(&row, out);
    }
}

pub fn refunds(source: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    for (place, order) in journey.orders.iter().enumerate() {
        if let Order { refund: Some(refund), .. } = order {
            let row = RefundRow {
                refund_id: format!("r{:07}-{place}", journey.index),
                order_id: order_id(journey.index, place),
                refunded_at: rfc3339(refund.at_us),
                amount: money(refund.amount_minor, source.store.digits),
            };
            push(&row, out);
        }
    }
}

/// Customers are those who ordered; visitors who never did are not known to the shop.
pub fn customers(_: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    let Some(first_order) = journey.orders.first() else { return };
    let first_seen_us =
        journey.touches.first().map_or(first_order.at_us, |touch| touch.at_us.min(first_order.at_us));
    let completed = journey.orders.iter().filter(|order| order.status == "completed").count();
    let segment = if completed > 1 { "returning" } else { "new" };
    let customer_id = customer_id(journey.index);
    push(&CustomerRow { customer_id: &customer_id, segment, first_seen_at: rfc3339(first_seen_us) }, out);
}

/// Ids under which customers were known before; no touch of the demo carries them.
pub fn identities(_: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    if let (true, Some(order)) = (journey.was_anonymous, journey.orders.first()) {
        let row = IdentityRow {
            anonymous_id: format!("a{:07}", journey.index),
            customer_id: &customer_id(journey.index),
            linked_at: rfc3339(order.at_us),
        };
        push(&row, out);
    }
}

pub fn invites(source: &JourneySource, journey: &Journey, out: &mut Vec<u8>) {
    let (Some(is_accepted), Some(order)) = (journey.invite, journey.orders.first()) else { return };
    let invitee = (journey.index + 1) % source.journeys().max(1);
    let last_us = source.period.end_us - 1;
    let row = InviteRow {
        invite_id: format!("i{:07}", journey.index),
        inviter_id: &customer_id(journey.index),
        invitee_id: customer_id(invitee),
        sent_at: rfc3339((order.at_us + 3_600_000_000).min(last_us)),
        accepted_at: is_accepted.then(|| rfc3339((order.at_us + 93_600_000_000).min(last_us))),
    };
    push(&row, out);
}

/// Appends a row and its line end.
pub fn push(row: &impl Serialize, out: &mut Vec<u8>) {
    // Writing a plain struct of strings and numbers into memory cannot fail.
    if serde_json::to_writer(&mut *out, row).is_ok() {
        out.push(b'\n');
    }
}

/// An exact amount, as text with the currency's digits.
pub fn money(minor: i64, digits: u32) -> String {
    if digits == 0 {
        return minor.to_string();
    }
    let unit = 10_i64.pow(digits);
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.abs();
    format!("{sign}{}.{:0width$}", minor / unit, minor % unit, width = digits as usize)
}

pub fn rfc3339(us: i64) -> String {
    instant(us).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn customer_id(index: u64) -> String {
    format!("c{index:07}")
}

fn order_id(index: u64, place: usize) -> String {
    format!("o{index:07}-{place}")
}
