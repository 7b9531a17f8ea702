//! A few words of SQL that would take all memory, all disk or all day are refused, or end as a failure.

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use tributary::{Engine, EngineOptions, ErrorKind, Params};

use crate::support::{memory_engine, rows, scalar};

async fn engine(options: EngineOptions) -> Engine {
    Engine::open_with("memory:", options).await.unwrap()
}

/// Runs a statement to its end, without keeping the rows.
async fn run(engine: &Engine, text: &str) -> tributary::Result<usize> {
    let mut stream = engine.sql("shop", text, &Params::new()).await?.stream;
    let mut count = 0;
    while let Some(batch) = stream.try_next().await? {
        count += batch.num_rows();
    }
    Ok(count)
}

async fn is_limited(engine: &Engine, text: &str) {
    let begun = Instant::now();
    let error = run(engine, text).await.expect_err(text);
    assert_eq!(
        error.kind(),
        ErrorKind::LimitExceeded,
        "{text}: {error} {:?}",
        std::error::Error::source(&error)
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{text} took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_makes_much_out_of_little_is_refused() {
    let engine = memory_engine().await;
    let long_pattern = format!(
        "select count(*) from range(0, 10) where regexp_like(value::text, '{}')",
        "(a|b)".repeat(300)
    );
    let long_operator =
        format!("select count(*) from range(0, 10) where value::text ~ '{}'", "(a|b)".repeat(300));
    let long_literal = format!("select '{}' from range(0, 10000)", "x".repeat(70_000));
    for text in [
        "select repeat('x', 100000000)",
        "select length(repeat('x', 100000000))",
        "select sum(length(repeat(value::text, 1000000))) from range(0, 10000)",
        "select sum(length(repeat('x', value * 1000))) from range(0, 10000)",
        "select lpad('x', 1000000000)",
        "select max(rpad(value::text, 100000000, 'ab')) from range(0, 100)",
        "select cardinality(range(0, 1000000000))",
        "select cardinality(generate_series(0, value * 100000)) from range(0, 100000)",
        "select cardinality(generate_series(timestamp '2000-01-01', timestamp '2100-01-01', interval '1 second'))",
        "select count(*) from (select unnest(range(0, 30000)) from range(0, 100000)) x",
        "select cardinality(array_repeat('x', 1000000000))",
        "select cardinality(array_repeat(value, 100000000)) from range(0, 3)",
        "select cardinality(array_resize([1], 1000000000, 1))",
        "with a as (select repeat(value::text || 'x', 1000) as s from range(0, 8192)), \
         b as (select s || s || s || s || s || s || s || s || s || s as s from a), \
         c as (select s || s || s || s || s || s || s || s || s || s as s from b) select sum(length(s)) from c",
        "with a as (select repeat(value::text || 'x', 1000) as s from range(0, 8192)), \
         b as (select concat(s, s, s, s, s, s, s, s, s, s) as s from a), \
         c as (select concat_ws(',', s, s, s, s, s, s, s, s, s, s) as s from b) select sum(length(s)) from c",
        "with a as (select repeat(value::text || 'x', 1000) as s from range(0, 8192)), \
         b as (select [s, s, s, s, s, s, s, s, s, s] as l from a), \
         c as (select [l, l, l, l, l, l, l, l, l, l] as l from b) select count(l) from c",
        "with a as (select repeat('x', 1000 + value) as s from range(0, 8192)) \
         select sum(length(replace(s, 'x', s))) from a",
        "with a as (select repeat('x', 1000 + value) as s from range(0, 8192)) \
         select sum(length(regexp_replace(s, 'x+', (select repeat('\\0', 1000)), 'g'))) from a",
        "select sum(length(s)) from (select unnest(range(0, 100000)) as u, s from \
         (select repeat('x', 10000 + value % 2) as s from range(0, 8)) x) y",
        "select length(string_agg(repeat('x', 1000), ',')) from range(0, 100000)",
        "select length(string_agg(repeat('x', 1000 + value), ',' order by value)) from range(0, 20000)",
        &long_pattern,
        &long_operator,
        &long_literal,
    ] {
        is_limited(&engine, text).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_within_their_bounds_are_what_they_always_were() {
    let engine = memory_engine().await;
    for (text, expected) in [
        ("select repeat('ab', 3)", "ababab"),
        ("select lpad('7', 3, '0') || rpad('x', 2, '-')", "007x-"),
        ("select concat('a', null, 'b')", "ab"),
        ("select 'a' || null", ""),
        ("select 1 || 'a'", "1a"),
        ("select [1] || [2, 3]", "[1, 2, 3]"),
        ("select array_repeat(7, 2)", "[7, 7]"),
        ("select string_agg(value::text, '-' order by value desc) from range(0, 3)", "2-1-0"),
        ("select string_agg(distinct (value % 2)::text, '+') from range(0, 1)", "0"),
        ("select length(string_agg(value::text, ',')) from range(0, 1000000)", "6888889"),
        ("select generate_series(1, 5, 2)", "[1, 3, 5]"),
        ("select count(*) from (select unnest(range(0, 1000000))) x", "1000000"),
        ("select sum(length(replace(repeat('xy', 500), 'x', 'abc'))) from range(0, 20000)", "40000000"),
        // The bound is far above what is made: computed in parts.
        (
            "select sum(length(replace(s, 'ab', s))) from (select repeat('y', 1000 + value % 2) as s from range(0, 20000)) x",
            "20010000",
        ),
        (
            "select sum(length(regexp_replace(s, 'q+', '<\\0>', 'g'))) from (select repeat('y', 5000 + value % 2) as s from range(0, 5000)) x",
            "25002500",
        ),
        ("select count(*) from range(0, 20000) where value::text ~ '^1{2,3}$'", "2"),
        (
            "select sum(length(s)) from (select unnest(range(0, 300)) as u, s from (select repeat('x', 10000 + value % 2) as s from range(0, 1000)) x) y",
            "3000150000",
        ),
        ("select count(*) from (select unnest([[1, 2], [3], []]) as l, unnest([1, 2]) as n) x", "3"),
        ("select regexp_replace('abc', '(b)', '[\\1]')", "a[b]c"),
        ("select count(*) from range(0, 100) where value::text like '1%' and value::text ~ '^1'", "11"),
    ] {
        assert_eq!(scalar(&engine, "shop", text).await, expected, "{text}");
    }
    let stream = engine
        .sql("shop", "select 'a' || value::text, repeat('x', 2) from range(0, 1)", &Params::new())
        .await
        .unwrap();
    let batches: Vec<_> = stream.stream.try_collect().await.unwrap();
    let names: Vec<String> = rows(&batches)[0].keys().cloned().collect();
    assert_eq!(names, ["Utf8(\"a\") || range().value", "repeat(Utf8(\"x\"),Int64(2))"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_query_gets_no_more_memory_than_its_own_and_leaves_the_rest() {
    let options = EngineOptions {
        memory_per_query_bytes: 80 << 20,
        // Sorts on several threads take from each other what they merge with.
        threads: 1,
        query_memory_bytes: 256 << 20,
        ..EngineOptions::default()
    };
    let engine = engine(options).await;
    for text in [
        "select length(string_agg(repeat('x', 1000 + value % 2), '')) from range(0, 1000000)",
        "select cardinality(array_agg(value)) from range(0, 50000000)",
        "select count(*) from range(0, 20000000) a join range(0, 20000000) b on a.value = b.value",
        "select count(a.value + b.value) from range(0, 20000000) a cross join range(0, 2) b cross join range(0, 20000000) c",
    ] {
        is_limited(&engine, text).await;
    }
    // What can spill is not refused, and the refused ones have given back what they held.
    assert_eq!(
        run(&engine, "select value from range(0, 8000000) order by value % 1000003").await.unwrap(),
        8_000_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_no_more_rows_and_bytes_than_it_may() {
    let engine =
        engine(EngineOptions { result_rows: 100_000, result_bytes: 10 << 20, ..EngineOptions::default() })
            .await;
    assert_eq!(run(&engine, "select value from range(0, 100000)").await.unwrap(), 100_000);
    is_limited(&engine, "select value from range(0, 100001)").await;
    is_limited(&engine, "select repeat('x', 10000 + value % 2) from range(0, 1100)").await;
    let error = run(&engine, "select value from range(0, 100001)").await.unwrap_err();
    assert!(
        error.message().contains("100000 rows") && error.message().contains("limits.result_rows"),
        "{error}"
    );
}
