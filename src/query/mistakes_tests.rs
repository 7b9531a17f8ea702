use super::super::bind::bind_ad_hoc;
use super::super::fixtures::{empty_store, params};
use super::super::run::plan;
use crate::error::{Error, ErrorKind, Place};

/// The error that a text meets, in whichever step.
async fn mistake(text: &str) -> Error {
    let bound = match bind_ad_hoc(text, &params(&[])).await {
        Ok(bound) => bound,
        Err(error) => return error,
    };
    plan(&empty_store().await, bound).await.map(|_| panic!("{text} is planned")).unwrap_err()
}

async fn says(text: &str, message: &str, line: u64, column: u64) {
    let error = mistake(text).await;
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text}");
    assert!(error.message().starts_with(message), "{text}: {}", error.message());
    assert_eq!(error.place(), Some(Place { line, column }), "{text}: {}", error.message());
}

#[tokio::test]
async fn an_unknown_column_is_named_with_the_nearest_and_its_place() {
    says(
        "select order_id,\n    revenu\nfrom orders",
        "unknown column revenu, did you mean revenue? (known: ",
        2,
        5,
    )
    .await;
    says("select o.revenu from orders o", "unknown column of o: revenu, did you mean revenue?", 1, 8).await;
    says("select x.revenue from orders o", "unknown table or alias x", 1, 8).await;
    says("select 1 from orders where revenu > 1", "unknown column revenu,", 1, 28).await;
    says("select sum(revenue) from orders group by chanel", "unknown column chanel", 1, 42).await;
    says("select nothing", "unknown column nothing: the query reads no table", 1, 8).await;
}

#[tokio::test]
async fn an_unknown_table_or_function_is_named_with_the_nearest_and_its_place() {
    says("select 1\nfrom ordrs", "unknown table ordrs, did you mean orders? (known: ", 2, 6).await;
    says(
        "select 1 from journeys_totals()",
        "unknown table function journeys_totals, did you mean journey_totals?",
        1,
        15,
    )
    .await;
    says("select 1, summ(revenue) from orders", "unknown function summ, did you mean sum?", 1, 11).await;
    let far = mistake("select xqzzzzyw(1)").await;
    assert_eq!(far.message(), "unknown function xqzzzzyw: information_schema.routines lists them");
}

#[tokio::test]
async fn what_is_described_or_qualified_has_its_place_too() {
    says("describe ordrs", "unknown table ordrs, did you mean orders?", 1, 10).await;
    says("select 1 from nosuch.orders", "unknown schema nosuch (known: ", 1, 15).await;
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_explained_without_noise() {
    says("select sum(order_id) from orders", "no function fits sum(Utf8): there is sum(Decimal), sum(", 1, 8)
        .await;
    let error = mistake("select 1, date_trunc('month')").await;
    assert_eq!(
        error.message(),
        "no function fits date_trunc(Utf8): there is date_trunc(String, Timestamp), date_trunc(String, Time)"
    );
    says(
        "select *\nfrom journeys(lookbak_days => 3)",
        "unknown parameter of journeys: lookbak_days, did you mean lookback_days?",
        2,
        15,
    )
    .await;
}

#[tokio::test]
async fn a_column_of_two_tables_is_told_apart() {
    says(
        "select order_id from orders join refunds on orders.order_id = refunds.order_id",
        "several tables have a column order_id: write orders.order_id or refunds.order_id",
        1,
        8,
    )
    .await;
}

#[tokio::test]
async fn a_column_that_is_not_grouped_is_explained() {
    let error = mistake("select status, sum(revenue) from orders").await;
    assert!(error.message().contains("GROUP BY"), "{}", error.message());
    assert!(!error.message().contains('\n') && !error.message().starts_with("Column"), "{}", error.message());
    assert_eq!(error.place(), Some(Place { line: 1, column: 8 }));
}

#[tokio::test]
async fn a_text_that_is_not_sql_says_what_was_expected_and_where() {
    says("select from", "expected identifier, found the end of the text at line 1, column 12", 1, 12).await;
    says("select 1\n  fro orders x y", "expected end of statement, found", 2, 7).await;
    says("select 'abc", "unterminated string literal at line 1, column 8", 1, 8).await;
}

#[tokio::test]
async fn a_parameter_without_a_value_has_its_place() {
    let error = bind_ad_hoc("select *\nfrom orders where order_id = $ordr", &params(&[])).await.unwrap_err();
    assert_eq!(error.place(), Some(Place { line: 2, column: 30 }), "{}", error.message());
}
