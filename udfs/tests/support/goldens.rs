//! References made outside this project: what `journeys` must answer, to the minor unit.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Decimal128Type, Int64Type};
use datafusion::prelude::SessionContext;

use super::tables::{Data, Order, Refund, Touch, register};

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
    let context = SessionContext::new();
    register(&context, edge());
    let mut expected = Credits::new();
    for row in rows(include_str!("../goldens/edge/expected_credit.csv")) {
        let number = |k: usize| row[k].parse::<i64>().unwrap();
        let value = (row[3].clone(), number(4), number(5), number(7));
        expected.insert((row[0].clone(), row[1].clone(), row[2].clone()), value);
    }
    assert_eq!(credits(&context).await, expected);
}

#[tokio::test]
async fn random_journeys_agree_within_half_a_cent_a_touch() {
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
    let context = SessionContext::new();
    register(&context, data);
    let sql = "select channel, count(*) as n, sum(first_touch_credit), sum(last_touch_credit),
        sum(linear_credit), sum(position_based_credit), sum(time_decay_credit)
        from journeys(3650, 7) group by channel order by channel";
    let mut ours = Vec::new();
    for batch in context.sql(sql).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let sums: Vec<f64> = (2..7)
                .map(|k| batch.column(k).as_primitive::<Decimal128Type>().value(row) as f64 / 10_000.0)
                .collect();
            let channel = batch.column(0).as_string::<i32>().value(row).to_owned();
            ours.push((channel, batch.column(1).as_primitive::<Int64Type>().value(row), sums));
        }
    }
    let reference = rows(include_str!("../goldens/journeys/reference.csv"));
    assert_eq!(ours.len(), reference.len());
    for ((channel, touches, sums), row) in ours.iter().zip(&reference) {
        assert_eq!(channel, &row[0]);
        // First, last, linear, position-based, time decay: the reference's columns.
        for (sum, k) in sums.iter().zip([1, 2, 4, 5, 8]) {
            let expected: f64 = row[k].parse().unwrap();
            assert!((sum - expected).abs() <= 0.005 * *touches as f64, "{channel}: {sum} for {expected}");
        }
    }
}
