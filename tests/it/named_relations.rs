//! Named queries, read as views and table functions of SQL, give what they give by name.

use futures::TryStreamExt;
use serde_json::json;
use tributary::{Engine, Error, ErrorKind, Params};

use crate::support::{Row, land_rows, memory_engine, params, query, rows, scalar, sql};

async fn shop() -> Engine {
    let engine = memory_engine().await;
    for store in ["shop", "other"] {
        let touch = |id: &str, channel: &str, day: u8| json!({"touch_id": id, "customer_id": "ada", "touched_at": format!("2026-03-{day:02}T10:00:00Z"), "channel": channel});
        let touches = [touch("t1", "email", 1), touch("t2", "paid_search", 2), touch("t3", "email", 3)];
        let touches = if store == "shop" { &touches[..] } else { &touches[..1] };
        land_rows(&engine, store, "touchpoints", touches).await;
        let of_others = |id: u8| {
            json!({"touch_id": format!("n{id}"), "customer_id": format!("bob-{id}"), "channel": "email",
                   "touched_at": "2026-03-01T10:00:00Z"})
        };
        land_rows(&engine, store, "touchpoints", &[of_others(1), of_others(2)]).await;
        let order = json!({"order_id": "o1", "customer_id": "ada", "ordered_at": "2026-03-05T00:00:00Z",
                           "status": "completed", "currency": "USD", "revenue": "90.00"});
        land_rows(&engine, store, "orders", &[order]).await;
    }
    engine
}

async fn refusal(engine: &Engine, text: &str) -> (ErrorKind, String) {
    let error = engine.sql("shop", text, &Params::new()).await.err().expect("a refusal");
    (error.kind(), error.message().to_owned())
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_gives_what_its_query_gives() {
    let engine = shop().await;
    let views = engine.view_schemas().await.unwrap();
    assert!(views.len() > 10, "{}", views.len());
    let mut answered = 0;
    for view in views.iter() {
        let name = engine
            .queries()
            .into_iter()
            .find(|query| query.name.replace('/', "_") == view.name)
            .unwrap()
            .name;
        let text = format!("select * from queries.{}", view.name);
        let described = engine.describe("shop", &text).await.unwrap();
        let sent = engine.sql("shop", &text, &Params::new()).await.unwrap().stream.schema();
        let types = |schema: &arrow::datatypes::Schema| -> Vec<_> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        assert_eq!(types(&described.columns), types(&sent), "announced and sent: {name}");
        match engine.query("shop", &name, &Params::new(), None).await {
            Ok((answer, _)) => {
                let by_sql = sql(&engine, "shop", &text).await;
                assert_eq!(sorted(by_sql), sorted(rows(&answer.batches)), "{name}");
                answered += 1;
            }
            // A model that needs more journeys than these says so either way.
            Err(by_name) => {
                let stream = engine.sql("shop", &text, &Params::new()).await.unwrap().stream;
                let by_sql = Error::from(stream.try_collect::<Vec<_>>().await.unwrap_err());
                assert_eq!(by_sql.message(), by_name.message(), "{name}");
            }
        }
    }
    assert!(answered > 10, "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound_as_for_a_caller_by_name() {
    let engine = shop().await;
    let pairs = [("model", "linear"), ("start", "2026-03-01"), ("end", "2026-04-01")];
    let by_name = query(&engine, "shop", "attribution/credits", &pairs).await;
    assert_eq!(by_name.len(), 3);
    for call in [
        "queries.attribution_credits(model => 'linear', start => '2026-03-01', \"end\" => date '2026-04-01')",
        "tributary.queries.attribution_credits(start => '2026-03-01', model => 'linear', \"end\" => '2026-04-01') as c",
        "(with c as (select * from Queries.Attribution_Credits(model => 'linear', start => '2026-03-01', \"end\" => '2026-04-01')) select * from c)",
    ] {
        assert_eq!(
            sorted(sql(&engine, "shop", &format!("select * from {call}")).await),
            sorted(by_name.clone()),
            "{call}"
        );
    }
    let text = "select count(*) from queries.attribution_credits(model => $model, start => $start, lookback_days => $days)";
    let bound = params(&[("model", "linear"), ("start", "2026-03-01"), ("days", "3")]);
    let answer = engine.sql("shop", text, &bound).await.unwrap();
    let batches: Vec<_> = answer.stream.try_collect().await.unwrap();
    assert_eq!(rows(&batches)[0]["count(*)"], "2");

    let described = engine
        .describe("shop", &text.replace("$model", "?").replace("$start", "?").replace("$days", "?"))
        .await
        .unwrap();
    let types: Vec<String> =
        described.parameters.iter().map(|(name, kind)| format!("{name} {}", kind.clone().unwrap())).collect();
    assert_eq!(types, ["1 Utf8", "2 Date32", "3 Float64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_join_and_show_their_own_store_alone() {
    let engine = shop().await;
    let joined = "select sum(a.credit) from queries.attribution_credits(model => 'linear') a
                  join queries.attribution_credits(model => 'last_touch') b using (order_id)
                  where b.credit > 0";
    assert_eq!(scalar(&engine, "shop", joined).await, "90.0000");
    let channels = "select count(distinct channel) from queries.attribution_credits(model => 'linear')";
    assert_eq!(
        (scalar(&engine, "shop", channels).await, scalar(&engine, "other", channels).await),
        ("2".into(), "1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_the_names_that_there_are() {
    let engine = shop().await;
    for (text, kind, part) in [
        ("select * from queries.attribution_credit", ErrorKind::NotFound, "attribution_credits"),
        ("select * from queries.attribution_credits(modell => 'linear')", ErrorKind::InvalidRequest, "model"),
        (
            "select * from queries.attribution_credits(model => 'linear', model => 'linear')",
            ErrorKind::InvalidRequest,
            "given twice",
        ),
        ("select * from queries.attribution_credits('linear')", ErrorKind::InvalidRequest, "with its name"),
        (
            "select * from queries.attribution_credits(model => concat('lin', 'ear'))",
            ErrorKind::InvalidRequest,
            "constant",
        ),
        (
            "select * from queries.attribution_credits(start => 'soon')",
            ErrorKind::InvalidRequest,
            "start must be a date",
        ),
        (
            "select * from queries.attribution_explain_order",
            ErrorKind::InvalidRequest,
            "order_id is required",
        ),
    ] {
        let (seen, message) = refusal(&engine, text).await;
        assert!(seen == kind && message.contains(part), "{text}: {seen:?} {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_listed_with_their_columns() {
    let engine = shop().await;
    let listed = "select table_type from information_schema.tables where table_schema = 'queries' and table_name = 'attribution_by_channel'";
    assert_eq!(scalar(&engine, "shop", listed).await, "VIEW");
    let columns =
        "select string_agg(column_name, ',' order by ordinal_position) from information_schema.columns
                   where table_schema = 'queries' and table_name = 'attribution_credits'";
    let columns = scalar(&engine, "shop", columns).await;
    let first = &sql(&engine, "shop", "select * from queries.attribution_credits limit 1").await[0];
    assert!(columns.split(',').all(|column| first.contains_key(column)), "{columns}");
    assert_eq!(columns.split(',').count(), first.len());
    assert!(!sql(&engine, "shop", "describe queries.attribution_by_channel").await.is_empty());
    assert!(
        sql(&engine, "shop", "show tables")
            .await
            .iter()
            .any(|row| row["table_name"] == "attribution_by_channel")
    );
}
