//! References made outside this project: what `journeys` must answer, to the minor unit.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use datafusion::prelude::SessionContext;

use super::tables::{Data, Order, Refund, Touch, register, session};

fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn instant(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn touches(text: &str) -> Vec<Touch> {
    let touch = |row: Vec<String>| Touch {
        id: row[0].clone(),
        customer: row[1].clone(),
        at: instant(&row[2]),
        channel: row[3].clone(),
        kind: "click",
    };
    rows(text).into_iter().map(touch).collect()
}

fn unit(currency: &str) -> i64 {
    if currency == "JPY" { 10_000 } else { 100 }
}

fn edge() -> Data {
    let mut data = Data { touches: touches(include_str!("../goldens/edge/touches.csv")), ..Data::default() };
    for row in rows(include_str!("../goldens/edge/orders.csv")) {
        let (id, at) = (row[0].clone(), instant(&row[2]));
        let amount = row[3].parse::<i64>().unwrap() * unit(&row[4]);
        if row[5] == "refund" {
            data.refunds.push(Refund { id, order: row[6].clone(), at, amount: -amount });
            continue;
        }
        let status = if row[5] == "paid" { "completed" } else { "cancelled" };
        let (customer, currency) = (row[1].clone(), row[4].clone());
        data.orders.push(Order { id, customer, at, status, currency, revenue: amount, cost: None });
    }
    data
}

type Credits = BTreeMap<(String, String, String), (String, i64, i64, i64)>;

/// Credits in minor units by model, entry and touch, with channel, position and length.
async fn credits(context: &SessionContext) -> Credits {
    let mut credits = Credits::new();
    for model in ["first_touch", "last_touch", "linear", "time_decay", "position_based"] {
        let sql = format!(
            "select entry_id, touch_id, channel, currency, position, journey_length, {model}_credit from journeys(30, 7)"
        );
        for batch in context.sql(&sql).await.unwrap().collect().await.unwrap() {
            for row in 0..batch.num_rows() {
                let text = |k: usize| batch.column(k).as_string::<i32>().value(row).to_owned();
                let number = |k: usize| batch.column(k).as_primitive::<Int64Type>().value(row);
                let credit = batch.column(6).as_primitive::<Decimal128Type>().value(row) as i64;
                assert_eq!(credit % unit(&text(3)), 0);
                let value = (text(2), number(4), number(5), credit / unit(&text(3)));
                assert!(credits.insert((model.to_owned(), text(0), text(1)), value).is_none());
            }
        }
    }
    credits
}

#[tokio::test]
async fn the_edge_cases_are_credited_exactly() {
    let context = session();
    register(&context, edge());
    let mut expected = Credits::new();
    for row in rows(include_str!("../goldens/edge/expected_credit.csv")) {
        let number = |k: usize| row[k].parse::<i64>().unwrap();
        let value = (row[3].clone(), number(4), number(5), number(7));
        expected.insert((row[0].clone(), row[1].clone(), row[2].clone()), value);
    }
    assert_eq!(credits(&context).await, expected);
}

/// The journeys of the reference.
fn journeys() -> Data {
    let mut data =
        Data { touches: touches(include_str!("../goldens/journeys/touches.csv")), ..Data::default() };
    for row in rows(include_str!("../goldens/journeys/orders.csv")) {
        data.orders.push(Order {
            id: row[0].clone(),
            customer: row[1].clone(),
            at: instant(&row[2]),
            status: "completed",
            currency: "USD".into(),
            revenue: row[3].parse::<i64>().unwrap() * 100,
            cost: None,
        });
    }
    data
}

/// A column of the reference, a model, and the options that it is under.
const RULE_MODELS: [(&str, &str, &str); 12] = [
    ("first", "first_touch", ""),
    ("last", "last_touch", ""),
    ("last_non_direct", "last_non_direct", ""),
    ("linear", "linear", ""),
    ("u_40_20_40", "position_based", ""),
    ("j_20_20_60", "j_shaped", ""),
    ("inverse_j_60_20_20", "inverse_j", ""),
    ("time_decay_168h", "time_decay", ""),
    ("time_decay_floor_weeks", "time_decay", ", decay => 'stepped'"),
    ("position_decay", "position_decay", ""),
    ("linear_unique_channels", "linear", ", collapse => 'unique'"),
    ("participation_value", "participation", ""),
];

/// By channel: the sum of a column under a model, and how many touches it is the sum of.
async fn sums(
    context: &SessionContext,
    column: &str,
    model: &str,
    options: &str,
) -> BTreeMap<String, (f64, i64)> {
    let sql = format!(
        "select channel, cast(sum({column}) as double), sum(row_count)
        from journey_totals(3650, 7, models => '{model}'{options}) group by channel"
    );
    let mut sums = BTreeMap::new();
    for batch in context.sql(&sql).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let channel = batch.column(0).as_string::<i32>().value(row).to_owned();
            let sum = batch.column(1).as_primitive::<Float64Type>().value(row);
            sums.insert(channel, (sum, batch.column(2).as_primitive::<Int64Type>().value(row)));
        }
    }
    sums
}

fn reference(column: &str) -> BTreeMap<String, f64> {
    let text = include_str!("../goldens/journeys/reference.csv");
    let at = text.lines().next().unwrap().split(',').position(|name| name == column).unwrap();
    rows(text).into_iter().map(|row| (row[0].clone(), row[at].parse().unwrap())).collect()
}

#[tokio::test]
async fn random_journeys_agree_within_half_a_cent_a_touch_under_every_rule_model() {
    let context = session();
    register(&context, journeys());
    for (column, model, options) in RULE_MODELS {
        let ours = sums(&context, "credit", model, options).await;
        let expected = reference(column);
        assert_eq!(ours.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (channel, (sum, touches)) in ours {
            let expected = expected[&channel];
            let is_near = (sum - expected).abs() <= 0.005 * touches as f64;
            assert!(is_near, "{column} of {channel}: {sum} for {expected}");
        }
    }
    let participations = sums(&context, "conversions", "participation", "").await;
    let participations: BTreeMap<_, _> =
        participations.into_iter().map(|(channel, (sum, _))| (channel, sum)).collect();
    assert_eq!(participations, reference("participation_conversions"));
}

/// The journeys of the reference as a relation: path, conversions, value, non_conversions.
async fn register_reference_paths(context: &SessionContext) {
    let mut values = Vec::new();
    for row in rows(include_str!("../goldens/journeys/journeys.csv")) {
        let (path, is_converted, value) = (&row[1], row[3] == "1", &row[4]);
        values.push(format!("('{path}', {}, {value}, {})", u8::from(is_converted), u8::from(!is_converted)));
    }
    let sql = format!(
        "create view reference_paths as select * from (values {}) as journeys (path, conversions, value, non_conversions)",
        values.join(", ")
    );
    context.sql(&sql).await.unwrap();
}

#[tokio::test]
async fn data_driven_models_agree_with_the_reference_over_the_lakes_journeys() {
    let context = session();
    register(&context, journeys());
    register_reference_paths(&context).await;
    let columns = [
        ("markov1_removal", "removal_effect", "markov(JOURNEYS, chain_order => 1)"),
        ("markov1_value", "value", "markov(JOURNEYS, chain_order => 1)"),
        ("markov2_removal", "removal_effect", "markov(JOURNEYS, chain_order => 2)"),
        ("markov2_value", "value", "markov(JOURNEYS, chain_order => 2)"),
        ("markov3_removal", "removal_effect", "markov(JOURNEYS, chain_order => 3)"),
        ("markov3_value", "value", "markov(JOURNEYS, chain_order => 3)"),
        ("shapley_cumulative_value", "value", "shapley(JOURNEYS)"),
        ("shapley_cumulative_conversions", "conversions", "shapley(JOURNEYS)"),
        ("shapley_rate_raw", "shapley_value", "shapley(JOURNEYS, worth => 'conversion_rate')"),
        ("shapley_rate_share_value", "value", "shapley(JOURNEYS, worth => 'conversion_rate')"),
    ];
    for (column, name, function) in columns {
        let expected = reference(column);
        for journeys in ["journey_paths(lookback_days => 3650)", "(select * from reference_paths)"] {
            let sql = format!(
                "select channel, cast({name} as double) from {}",
                function.replace("JOURNEYS", journeys)
            );
            let mut ours = BTreeMap::new();
            for batch in context.sql(&sql).await.unwrap().collect().await.unwrap() {
                for row in 0..batch.num_rows() {
                    let value = batch.column(1).as_primitive::<Float64Type>().value(row);
                    ours.insert(batch.column(0).as_string::<i32>().value(row).to_owned(), value);
                }
            }
            assert_eq!(ours.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{sql}");
            for (channel, value) in ours {
                let expected = expected[&channel];
                // Values are rounded to ten-thousandths.
                let tolerance = if name == "value" { 1e-3 } else { 1e-8 * expected.abs().max(1.0) };
                assert!(
                    (value - expected).abs() < tolerance,
                    "{column} of {channel}: {value} for {expected}"
                );
            }
        }
    }
}
