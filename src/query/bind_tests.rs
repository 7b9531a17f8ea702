use chrono::NaiveDate;
use proptest::prelude::*;

use super::super::value::{ParamType, Value};
use super::*;
use crate::error::ErrorKind;

fn values(pairs: &[(&str, ParamType, &str)]) -> Values {
    pairs
        .iter()
        .map(|(name, kind, text)| {
            ((*name).to_owned(), Value::parse(*kind, text, NaiveDate::default()).unwrap())
        })
        .collect()
}

fn bound(text: &str, pairs: &[(&str, ParamType, &str)]) -> String {
    bind(text, &values(pairs), false).unwrap().statement.to_string()
}

fn ad_hoc(text: &str, pairs: &[(&str, &str)]) -> Result<BoundQuery> {
    let params = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    tokio::runtime::Runtime::new().unwrap().block_on(bind_ad_hoc(text, &params))
}

fn refusal(text: &str) -> Error {
    ad_hoc(text, &[]).unwrap_err()
}

#[test]
fn placeholders_are_bound_wherever_an_expression_stands() {
    let pairs = [("n", ParamType::Int, "3"), ("t", ParamType::Text, "x")];
    assert_eq!(bound("select * from journeys($n, 7)", &pairs), "SELECT * FROM journeys(3, 7)");
    assert_eq!(bound("select a from t limit $n offset $n", &pairs), "SELECT a FROM t LIMIT 3 OFFSET 3");
    assert_eq!(
        bound(
            "select (select max(b) from u where c = $t) from t where a in (select d from v where e = $t)",
            &pairs
        ),
        "SELECT (SELECT max(b) FROM u WHERE c = 'x') FROM t WHERE a IN (SELECT d FROM v WHERE e = 'x')"
    );
    assert_eq!(
        bound("with w as (select $n as n) select sum(n) over (order by n + $n) from w order by $n", &pairs),
        "WITH w AS (SELECT 3 AS n) SELECT sum(n) OVER (ORDER BY n + 3) FROM w ORDER BY 3"
    );
}

#[test]
fn strings_comments_and_quoted_names_are_left_alone() {
    let pairs = [("n", ParamType::Int, "3")];
    assert_eq!(
        bound("select '$n', \"$n\", $n /* $n */ -- $n\n from t", &pairs),
        "SELECT '$n', \"$n\", 3 FROM t"
    );
}

#[test]
fn an_injection_stays_one_literal() {
    for attack in
        ["'; drop table orders; --", "' or 1=1 --", "$n", "\\'", "''", "*/ select 1 /*", "\0", "x'||'y"]
    {
        let query = bind("select $t as t", &values(&[("t", ParamType::Text, attack)]), false).unwrap();
        assert_eq!(literal_of(&query), attack);
        assert!(query.tables.is_empty());
    }
}

/// The one literal that `select $t as t` becomes.
fn literal_of(query: &BoundQuery) -> String {
    let Some(ast::Statement::Query(query)) = tree(&query.statement) else { panic!("not a query") };
    let SetExpr::Select(select) = query.body.as_ref() else { panic!("not a select") };
    match &select.projection[..] {
        [ast::SelectItem::ExprWithAlias { expr: Expr::Value(value), .. }] => match &value.value {
            ast::Value::SingleQuotedString(text) => text.clone(),
            other => panic!("not a string: {other}"),
        },
        other => panic!("not one literal: {other:?}"),
    }
}

proptest! {
    #[test]
    fn any_text_is_bound_as_itself(text in any::<String>()) {
        let query = bind("select $t as t", &values(&[("t", ParamType::Text, &text)]), false).unwrap();
        prop_assert_eq!(literal_of(&query), text);
    }

    #[test]
    fn different_texts_have_different_keys(a in "['\\\\]{0,4}", b in "['\\\\]{0,4}") {
        let key = |text: &str| bind("select $t", &values(&[("t", ParamType::Text, text)]), false).unwrap().text;
        prop_assert_eq!(key(&a) == key(&b), a == b);
    }
}

#[test]
fn the_key_tells_literals_apart_that_the_printed_tree_does_not() {
    let key = |text: &str| ad_hoc(text, &[]).unwrap().text;
    assert_ne!(key("select 'a''b'"), key("select 'a''''b'"));
    assert_eq!(key("select 1"), key("  select 1\n"));
}

#[test]
fn placeholders_and_values_must_meet() {
    let error = bind("select $strat", &values(&[("start", ParamType::Int, "1")]), false).unwrap_err();
    assert_eq!(error.message(), "unknown placeholder $strat, did you mean start? (known: start)");
    let error = ad_hoc("select 1", &[("start", "1")]).unwrap_err();
    assert_eq!(error.message(), "parameter start is not in the text; write it there as $start");
    for text in ["select ?", "select :a"] {
        let error = refusal(text);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{text}");
    }
    let error = ad_hoc("select * from t tablesample ($n rows)", &[("n", "1")]);
    assert!(error.is_ok() || error.unwrap_err().kind() == ErrorKind::InvalidRequest);
}

#[test]
fn ad_hoc_parameters_are_typed_by_their_form() {
    let query =
        ad_hoc("select $a, $b, $c, $d", &[("a", "30"), ("b", "2026-11-21"), ("c", "0.10"), ("d", "it's")]);
    assert_eq!(
        query.unwrap().statement.to_string(),
        "SELECT 30, CAST('2026-11-21' AS DATE), CAST('0.10' AS DECIMAL(3,2)), 'it''s'"
    );
}

#[test]
fn relations_are_named_without_ctes_and_with_functions() {
    let query = ad_hoc(
        "with orders as (select * from Orders join refunds using (order_id)) \
         select * from orders, journeys(30, 7), (select * from information_schema.tables) \
         where exists (select 1 from \"metrics\")",
        &[],
    );
    let tables: Vec<_> = query.unwrap().tables.into_iter().collect();
    assert_eq!(tables, ["information_schema.tables", "journeys()", "metrics", "orders", "refunds"]);
}

#[test]
fn only_reading_is_allowed() {
    for text in [
        "explain select 1",
        "show tables",
        "describe orders",
        "show columns from orders",
        "(select 1) union all (select 2)",
        "values (1)",
        "select 1;",
    ] {
        ad_hoc(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    for text in [
        "explain analyze select 1",
        "explain verbose select 1",
        "explain (format tree) select 1",
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "drop table t",
        "create table t as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "copy t to '/tmp/x'",
        "copy (select 1) to '/tmp/x'",
        "set a = 1",
        "reset a",
        "show all",
        "select * from information_schema.df_settings",
        "explain select * from datafusion.INFORMATION_SCHEMA.df_settings",
        "prepare p as select 1",
        "select 1 into t",
        "with x as (insert into t values (1) returning a) select * from x",
        "explain insert into t values (1)",
        "explain verbose select 1",
        "explain explain select 1",
        "begin",
        "select 1; select 2",
        "",
        "-- nothing",
    ] {
        assert_eq!(refusal(text).kind(), ErrorKind::InvalidRequest, "{text}");
    }
}

#[test]
fn a_named_query_is_one_select() {
    for text in ["explain select 1", "show tables", "select 1; select 2", "select 1 into t"] {
        assert_eq!(
            bind(text, &Values::new(), false).unwrap_err().kind(),
            ErrorKind::InvalidRequest,
            "{text}"
        );
    }
}

#[test]
fn a_check_reads_the_answer_and_its_own_ctes() {
    let query = bind_check(
        "with a as (select $n as n) select n from a",
        "with b as (select * from answer) select * from b where n < $n",
        &values(&[("n", ParamType::Int, "5")]),
        false,
    )
    .unwrap();
    let printed: String = query.statement.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        printed,
        "WITH answer AS ( WITH a AS (SELECT 5 AS n) SELECT n FROM a), \
         b AS (SELECT * FROM answer) SELECT * FROM b WHERE n < 5"
            .replace("answer AS ( WITH", "answer AS (WITH")
    );
    assert!(query.tables.is_empty());
}

#[test]
fn texts_that_would_exhaust_the_planner_are_refused() {
    let chain = |operator: &str, n: usize| format!("select {}", vec!["a"; n + 1].join(operator)) + " from t";
    let nested_with = "with x as (".repeat(12) + "select 1" + &") select * from x".repeat(12);
    let doubling: String = (1..40).fold("with c0 as (select 1)".to_owned(), |text, n| {
        format!("{text}, c{n} as (select * from c{p} union all select * from c{p})", p = n - 1)
    }) + " select * from c39";
    let nested_chains = (0..40).fold("a".to_owned(), |text, _| format!("({text}{})", " + a".repeat(20)));
    let refused = [
        ("bytes", format!("select '{}'", "x".repeat(limits::TEXT_BYTES))),
        ("tokens", format!("select {}", "a,".repeat(limits::TOKEN_COUNT) + "a")),
        ("plus", chain(" + ", 251)),
        ("or", chain(" or ", 5_000)),
        ("cast", format!("select a{}", "::int".repeat(2_000))),
        ("is null", format!("select a{}", " is null".repeat(2_000))),
        ("distinct from", chain(" is distinct from ", 2_000)),
        ("case", format!("select 0{}", " + case when a then b end".repeat(2_000))),
        ("union", vec!["select 1"; 4_000].join(" union all ")),
        ("join", format!("select * from t{}", " cross join t".repeat(2_000))),
        ("comma join", format!("select * from t{}", ", t".repeat(2_000))),
        ("nested chains", format!("select {nested_chains} from t")),
        ("recursive", "with recursive r as (select 1 union all select 1 from r) select * from r".to_owned()),
        ("a cube", "select count(*) from t group by cube (a, b, c, d, e, f, g, h, i)".to_owned()),
        ("rollups", "select count(*) from t group by ".to_owned() + &["rollup (a)"; 9].join(", ")),
        ("nested with", nested_with),
        ("casts", format!("select {}1{}", "cast(".repeat(80), " as int)".repeat(80))),
        ("subqueries", format!("select {}1{}", "(select ".repeat(11), ")".repeat(11))),
        ("doubling ctes", doubling),
    ];
    for (what, text) in refused {
        assert_eq!(refusal(&text).kind(), ErrorKind::LimitExceeded, "{what}");
    }
    // The parser or the planner reads twice what is within each of these.
    for (open, close) in [
        ("case when true then ", " end"),
        ("case x when 1 then ", " end"),
        ("cast(", " as int)"),
        ("try_cast(", " as int)"),
        ("extract(year from ", ")"),
        ("substring(", ")"),
        ("position('a' in ", ")"),
        ("trim(both 'a' from ", ")"),
        ("overlay(", ")"),
        ("floor(", ")"),
        ("ceil(", ")"),
        ("convert(", ", int)"),
        ("array[", "]"),
        ("exists (select ", ")"),
        ("interval ", ""),
        ("{'a': ", "}"),
        ("row(", ")"),
    ] {
        for inner in ["1 2 3", ""] {
            let text = format!("select {}{inner}{}", open.repeat(40), close.repeat(40));
            assert_eq!(refusal(&text).kind(), ErrorKind::LimitExceeded, "{text}");
        }
    }
    // The dialect of the catalog reads each argument of a function twice.
    let of_catalog = |depth: usize| {
        let text = format!("select {}relname{} from pg_class", "lower(".repeat(depth), ")".repeat(depth));
        let values = Values::new();
        tokio::runtime::Runtime::new().unwrap().block_on(bind_typed(Dialect::Postgres, &text, &values))
    };
    assert_eq!(of_catalog(40).unwrap_err().kind(), ErrorKind::LimitExceeded);
    of_catalog(12).unwrap();
    for (what, text) in [
        ("parentheses", format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000))),
        ("not", format!("select {}a", "not ".repeat(200))),
        ("minus", format!("select {}1", "- ".repeat(200))),
        ("functions", format!("select {}1{}", "abs(".repeat(5_000), ")".repeat(5_000))),
    ] {
        assert_eq!(refusal(&text).kind(), ErrorKind::InvalidRequest, "{what}");
    }
    for text in [
        chain(" + ", 250),
        format!("select a in ({}0)", "1,".repeat(20_000)),
        vec!["select 1"; 200].join(" union all "),
        format!("select {}0{} from t", "case when a = 'x' then 1 else ".repeat(15), " end".repeat(15)),
        format!("select {}1{}", "cast(".repeat(15), " as int)".repeat(15)),
        format!("select {}", vec!["case when cast(a as int) > 1 then 1 else 0 end"; 200].join(", ")),
        format!("select {}1{}", "(select ".repeat(10), ")".repeat(10)),
        format!("select a + interval '1' day{} from t", " + interval '1' day".repeat(200)),
    ] {
        ad_hoc(&text, &[]).unwrap();
    }
}
