//! The catalog over the tables of every store.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use chrono_tz::Tz;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::SessionContext;

use crate::lake::{Lake, Storage};
use crate::session::{Limits, Pins, Scratch, Sessions, View, Views};

async fn speaking() -> SessionContext {
    let memory = Arc::new(UnboundedMemoryPool::default());
    let lake = Arc::new(Lake::open(Storage::open("memory:").unwrap(), Vec::new(), memory).unwrap());
    let limits = Limits { query_memory_bytes: 1 << 30, spill_bytes: 1 << 20, threads: 2 };
    let sessions = Sessions::new(lake, limits, &Scratch::open(None).unwrap()).unwrap();
    let session = sessions.session("s", Tz::UTC, &Pins::default()).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("revenue", DataType::Decimal128(18, 4), true)]));
    let view = View { name: "performance_channels".into(), summary: "Revenue by channel.".into(), schema };
    let views = Views { schema: "queries", views: vec![view] };
    sessions.speak_postgres(&session, async { Ok(views) }).await.unwrap();
    session
}

async fn ask(session: &SessionContext, sql: &str) -> Vec<Vec<String>> {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let cells = |batch: &RecordBatch, row| {
        let cell = |column: &arrow::array::ArrayRef| array_value_to_string(column, row).unwrap();
        batch.columns().iter().map(cell).collect::<Vec<_>>()
    };
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| cells(batch, row)).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn tables_have_ids_that_their_columns_keys_and_descriptions_share() {
    let session = speaking().await;
    let columns = "select a.attname, a.atttypmod, d.description <> '' from pg_catalog.pg_class c \
        join pg_catalog.pg_attribute a on a.attrelid = c.oid \
        join pg_catalog.pg_description d on d.objoid = c.oid and d.objsubid = a.attnum \
        where c.relname = 'orders' and a.attname in ('order_id', 'revenue') order by 1";
    assert_eq!(ask(&session, columns).await, [["order_id", "-1", "true"], ["revenue", "1179656", "true"]]);
    let keys = "select k.conname, k.conkey[1] = a.attnum from pg_catalog.pg_constraint k \
        join pg_catalog.pg_class c on c.oid = k.conrelid \
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'order_id' \
        where c.relname = 'orders'";
    assert_eq!(ask(&session, keys).await, [["orders_key", "true"]]);
    let schema = "select n.nspname from pg_catalog.pg_class c \
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relname = 'touchpoints'";
    assert_eq!(ask(&session, schema).await, [["store"]]);
}

#[tokio::test]
async fn information_schema_has_postgress_columns_and_no_setting_of_the_engine() {
    let session = speaking().await;
    let columns = "select data_type, udt_name, numeric_scale from information_schema.columns \
        where table_schema = 'store' and table_name = 'orders' and column_name in ('ordered_at', 'revenue') \
        order by column_name";
    let expected = [["timestamp with time zone", "timestamptz", ""], ["numeric", "numeric", "4"]];
    assert_eq!(ask(&session, columns).await, expected);
    assert!(session.sql("select * from information_schema.df_settings").await.is_err());
    let listed =
        ask(&session, "select count(*) from information_schema.tables where table_schema = 'store'").await;
    assert_eq!(
        listed,
        ask(&session, "select count(*) from pg_catalog.pg_tables where schemaname = 'store'").await
    );
}

#[tokio::test]
async fn functions_answer_for_this_catalog() {
    let session = speaking().await;
    let sql = "select current_schema(), current_schemas(false)[1], current_database(), version() like 'PostgreSQL 15%', \
        current_setting('search_path')";
    assert_eq!(ask(&session, sql).await, [["store", "store", "tributary", "true", "store"]]);
    let described = "select obj_description(c.oid, 'pg_class') <> '', col_description(c.oid, 1) <> '' \
        from pg_catalog.pg_class c where c.relname = 'orders'";
    assert_eq!(ask(&session, described).await.len(), 1);
    let named = "select to_regclass('store.orders') = c.oid, to_regtype('int8') = 20, to_regtype('hstore') is null \
        from pg_catalog.pg_class c where c.relname = 'orders'";
    assert_eq!(ask(&session, named).await, [["true", "true", "true"]]);
    let own = "select pg_get_function_arguments(p.oid) like '%=> constant%' from pg_catalog.pg_proc p \
        where p.proname = 'journeys'";
    assert_eq!(ask(&session, own).await, [["true"]]);
}

#[tokio::test]
async fn named_queries_are_views_of_a_schema_of_their_own() {
    let session = speaking().await;
    let class = "select n.nspname, c.relkind, a.attname, d.description from pg_catalog.pg_class c \
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
        join pg_catalog.pg_attribute a on a.attrelid = c.oid \
        join pg_catalog.pg_description d on d.objoid = c.oid and d.objsubid = 0 where c.relname = 'performance_channels'";
    assert_eq!(ask(&session, class).await, [["queries", "v", "revenue", "Revenue by channel."]]);
    let visible = "select pg_table_is_visible(oid) from pg_catalog.pg_class \
        where relname in ('performance_channels', 'touchpoints') order by relname";
    assert_eq!(ask(&session, visible).await, [["false"], ["true"]]);
    let standard = "select t.table_schema, t.table_type, v.is_updatable from information_schema.tables t \
        join information_schema.views v using (table_schema, table_name)";
    assert_eq!(ask(&session, standard).await, [["queries", "VIEW", "NO"]]);
}
