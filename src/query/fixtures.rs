//! A small store for tests: tables in the shape of the lake's, a handful of rows, and the functions.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDate;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tributary_udfs::{JourneyInput, JourneyTables};

use super::{Params, Planned, Registry, plan};

/// Columns as `name:kind`; kinds are t(ext), i(nstant), d(ate), m(oney), c(ount), f(loat).
const TABLES: [(&str, &str); 9] = [
    ("stores", "store_id:t name:t industry:t currency:t timezone:t status:t"),
    (
        "touchpoints",
        "store_id:t touch_id:t customer_id:t touched_at:i channel:t source:t medium:t campaign:t kind:t cost:m",
    ),
    (
        "orders",
        "store_id:t order_id:t customer_id:t ordered_at:i status:t currency:t revenue:m cost_of_goods:m",
    ),
    ("refunds", "store_id:t refund_id:t order_id:t refunded_at:i amount:m"),
    ("lifts", "store_id:t channel:t lift:m measured_on:d source:t"),
    ("rates", "store_id:t date:d base:t quote:t rate:m source:t"),
    (
        "metrics",
        "store_id:t channel:t source:t campaign:t date:d sessions:c pageviews:c unique_visitors:c \
         session_seconds:c bounces:c impressions:c clicks:c engagements:c conversions:c revenue:m cost:m \
         currency:t",
    ),
    (
        "benchmarks",
        "channel:t metric:t industry:t poor:m average:m good:m excellent:m direction:t unit:t source:t as_of:d",
    ),
    (
        "benchmark_seeds",
        "channel:t metric:t industry:t poor:m average:m good:m excellent:m direction:t unit:t source:t as_of:d",
    ),
];

fn data_type(kind: &str) -> DataType {
    match kind {
        "i" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "d" => DataType::Date32,
        "m" => DataType::Decimal128(18, 4),
        "c" => DataType::Int64,
        "f" => DataType::Float64,
        _ => DataType::Utf8,
    }
}

/// A schema from `name:kind` pairs.
pub fn schema(columns: &str) -> Arc<Schema> {
    let field = |column: &str| {
        let (name, kind) = column.split_once(':').unwrap();
        Field::new(name, data_type(kind), true)
    };
    Arc::new(Schema::new(columns.split_whitespace().map(field).collect::<Vec<_>>()))
}

pub fn day() -> NaiveDate {
    "2026-03-31".parse().unwrap()
}

/// A session with every table, empty, and every function. A tenant's own session would need a lake.
#[allow(clippy::disallowed_methods)]
pub async fn empty_store() -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_config(
            SessionConfig::new()
                .with_target_partitions(3)
                .set_bool("datafusion.sql_parser.collect_spans", true),
        )
        .with_default_features()
        .with_relation_planners(tributary_udfs::relation_planners());
    let ctx = SessionContext::new_with_state(state.build());
    for (name, columns) in TABLES {
        let table = MemTable::try_new(schema(columns), vec![vec![]]).unwrap();
        ctx.register_table(name, Arc::new(table)).unwrap();
    }
    for function in tributary_udfs::scalar_functions() {
        ctx.register_udf(function);
    }
    let [touchpoints, orders, refunds, rates] =
        ["touchpoints", "orders", "refunds", "rates"].map(|name| ctx.table_provider(name));
    let tables = JourneyTables {
        store: "s".into(),
        zone: chrono_tz::Tz::Europe__Berlin,
        touchpoints: JourneyInput::Any(touchpoints.await.unwrap()),
        orders: JourneyInput::Any(orders.await.unwrap()),
        refunds: refunds.await.unwrap(),
        rates: Some(rates.await.unwrap()),
        identities: None,
    };
    for (name, function) in tributary_udfs::table_functions(&tables) {
        ctx.register_udtf(name, function);
    }
    ctx
}

/// A session over the rows of `fixtures.sql`.
pub async fn store() -> SessionContext {
    let ctx = empty_store().await;
    for statement in include_str!("fixtures.sql").split(";\n") {
        if !statement.trim().is_empty() {
            ctx.sql(statement).await.unwrap().collect().await.unwrap();
        }
    }
    ctx
}

pub fn params(pairs: &[(&str, &str)]) -> Params {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Plans a named query.
pub async fn planned(ctx: &SessionContext, name: &str, pairs: &[(&str, &str)]) -> Planned {
    let registry = Registry::load(None).unwrap();
    let bound = registry.get(name).unwrap().bind(&params(pairs), day()).unwrap();
    plan(ctx, bound).await.unwrap()
}

/// Answers a named query as text: chosen columns, `|` between them, one line a row.
pub async fn answer(ctx: &SessionContext, name: &str, pairs: &[(&str, &str)], columns: &str) -> Vec<String> {
    lines(&planned(ctx, name, pairs).await.collect().await.unwrap(), columns)
}

/// Writes chosen columns of batches as text; a null is `-`.
pub fn lines(batches: &[RecordBatch], columns: &str) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let mut lines = Vec::new();
    for batch in batches {
        let arrays: Vec<&Arc<dyn Array>> =
            columns.split_whitespace().map(|name| batch.column_by_name(name).expect(name)).collect();
        let cells: Vec<_> =
            arrays.iter().map(|array| ArrayFormatter::try_new(*array, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(cells.iter().map(|cell| cell.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

/// Adds a row, written as SQL.
pub async fn insert(ctx: &SessionContext, table: &str, row: &str) {
    ctx.sql(&format!("insert into {table} values ({row})")).await.unwrap().collect().await.unwrap();
}

/// Adds a touch of a customer.
pub async fn touch(ctx: &SessionContext, customer: &str, channel: &str, touched_at: &str) {
    let row =
        format!("'s','{customer}-{channel}','{customer}','{touched_at}','{channel}','','','','click',null");
    insert(ctx, "touchpoints", &row).await;
}
