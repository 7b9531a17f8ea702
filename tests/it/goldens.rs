//! Attribution against answers that were computed elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{Row, csv, land_rows, memory_engine, query};

const MODELS: [&str; 5] = ["first_touch", "last_touch", "linear", "time_decay", "position_based"];

/// Minor units of a currency as a decimal text: JPY has none, the others here have two.
fn decimal(minor: &str, currency: &str) -> String {
    if currency == "JPY" {
        return minor.to_owned();
    }
    let (sign, digits) = minor.strip_prefix('-').map_or(("", minor), |digits| ("-", digits));
    let digits = format!("{digits:0>3}");
    let (whole, cents) = digits.split_at(digits.len() - 2);
    format!("{sign}{whole}.{cents}")
}

/// An exact amount in ten-thousandths.
fn ten_thousandths(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let whole: i128 = whole.trim_start_matches('-').parse().expect("digits");
    let fraction: i128 = format!("{fraction:0<4}").parse().expect("digits");
    sign * (whole * 10_000 + fraction)
}

/// A weight of the golden file: a fraction such as 1/15, or a decimal.
fn weight(text: &str) -> f64 {
    match text.split_once('/') {
        Some((over, under)) => {
            over.parse::<f64>().expect("a number") / under.parse::<f64>().expect("a number")
        }
        None => text.parse().expect("a number"),
    }
}

fn touch(row: &Row) -> serde_json::Value {
    let campaign = row.get("campaign").cloned().unwrap_or_default();
    json!({"touch_id": row["touch_id"], "customer_id": row["customer_id"], "touched_at": row["ts"],
           "channel": row["channel"], "campaign": campaign})
}

async fn edge_engine() -> tributary::Engine {
    let engine = memory_engine().await;
    let touches: Vec<_> = csv("edge/touches.csv").iter().map(touch).collect();
    land_rows(&engine, "edge", "touchpoints", &touches).await;
    let (refunds, orders): (Vec<Row>, Vec<Row>) =
        csv("edge/orders.csv").into_iter().partition(|row| row["status"] == "refund");
    let orders: Vec<_> = orders
        .iter()
        .map(|row| {
            let status = if row["status"] == "paid" { "completed" } else { &row["status"] };
            json!({"order_id": row["order_id"], "customer_id": row["customer_id"], "ordered_at": row["ts"],
                   "revenue": decimal(&row["amount_minor"], &row["currency"]), "currency": row["currency"],
                   "status": status})
        })
        .collect();
    land_rows(&engine, "edge", "orders", &orders).await;
    let refunds: Vec<_> = refunds
        .iter()
        .map(|row| {
            let amount = decimal(row["amount_minor"].trim_start_matches('-'), &row["currency"]);
            json!({"refund_id": row["order_id"], "order_id": row["original_order_id"], "refunded_at": row["ts"],
                   "amount": amount})
        })
        .collect();
    land_rows(&engine, "edge", "refunds", &refunds).await;
    engine
}

type CreditKey = (String, String, String);

fn expected_credits() -> BTreeMap<CreditKey, Row> {
    let key = |row: &Row| (row["model"].clone(), row["order_id"].clone(), row["touch_id"].clone());
    csv("edge/expected_credit.csv").into_iter().map(|row| (key(&row), row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_credits_equal_the_golden_file_in_every_row_of_every_model() {
    let engine = edge_engine().await;
    for compacted in [false, true] {
        if compacted {
            engine.nightly(Some("edge")).await.expect("the nightly batch runs");
        }
        let expected = expected_credits();
        let found = query(&engine, "edge", "attribution/credits", &[]).await;
        let key = |row: &Row| (row["model"].clone(), row["entry_id"].clone(), row["touch_id"].clone());
        let keys: BTreeSet<_> = found.iter().map(key).collect();
        assert_eq!(keys, expected.keys().cloned().collect(), "the same rows, compacted: {compacted}");
        assert_eq!(found.len(), expected.len(), "no row twice");
        for row in &found {
            let golden = &expected[&key(row)];
            let credit = ten_thousandths(&decimal(&golden["credit_minor"], &golden["currency"]));
            assert_eq!(ten_thousandths(&row["credit"]), credit, "{row:?}");
            for column in ["channel", "position", "journey_length", "currency"] {
                assert_eq!(row[column], golden[column], "{column} of {row:?}");
            }
            let difference = weight(&row["weight"]) - weight(&golden["weight"]);
            assert!(difference.abs() < 1e-15, "weight of {row:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_reconciliation_is_zero_for_every_model_and_currency() {
    let engine = edge_engine().await;
    let rows = query(&engine, "edge", "attribution/reconciliation", &[]).await;
    // Every model but participation, in two currencies.
    assert_eq!(rows.len(), 11 * 2, "{rows:?}");
    for row in &rows {
        assert_eq!(ten_thousandths(&row["difference"]), 0, "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_channel_totals_equal_the_golden_file() {
    let engine = edge_engine().await;
    let found = query(&engine, "edge", "attribution/by_channel", &[]).await;
    for golden in csv("edge/expected_channel_totals_usd.csv") {
        if golden["channel"] == "(total)" {
            continue;
        }
        for model in MODELS {
            let row = found
                .iter()
                .find(|row| {
                    row["channel"] == golden["channel"] && row["model"] == model && row["currency"] == "USD"
                })
                .unwrap_or_else(|| panic!("no row of {model} and {}", golden["channel"]));
            let credit = ten_thousandths(&decimal(&golden[model], "USD"));
            assert_eq!(ten_thousandths(&row["credited_revenue"]), credit, "{model} {}", golden["channel"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journeys_are_within_half_a_cent_a_touch_of_the_reference() {
    let engine = memory_engine().await;
    let touches: Vec<_> = csv("journeys/touches.csv").iter().map(touch).collect();
    land_rows(&engine, "journeys", "touchpoints", &touches).await;
    let orders: Vec<_> = csv("journeys/orders.csv")
        .iter()
        .map(|row| {
            json!({"order_id": row["order_id"], "customer_id": row["customer_id"], "ordered_at": row["ts"],
                   "revenue": decimal(&row["revenue_cents"], "USD"), "currency": "USD", "status": "completed"})
        })
        .collect();
    land_rows(&engine, "journeys", "orders", &orders).await;

    let credits = query(&engine, "journeys", "attribution/credits", &[]).await;
    let reference = csv("journeys/reference.csv");
    let columns = ["first", "last", "linear", "time_decay_168h", "u_40_20_40"];
    for golden in &reference {
        for (model, column) in MODELS.iter().zip(columns) {
            let of_channel: Vec<_> = credits
                .iter()
                .filter(|row| row["channel"] == golden["channel"] && row["model"] == *model)
                .collect();
            let total: i128 = of_channel.iter().map(|row| ten_thousandths(&row["credit"])).sum();
            let expected: f64 = golden[column].parse().expect("a number");
            let allowed = 0.005 * of_channel.len() as f64;
            let difference = (total as f64 / 10_000.0 - expected).abs();
            assert!(difference <= allowed, "{model} of {}: off by {difference}", golden["channel"]);
        }
    }
}
