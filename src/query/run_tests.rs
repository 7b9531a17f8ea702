use super::super::bind::bind_ad_hoc;
use super::super::fixtures::{day, empty_store, lines, params, store, touch};
use super::*;
use crate::error::ErrorKind;

async fn run(ctx: &SessionContext, text: &str, pairs: &[(&str, &str)]) -> Result<Vec<RecordBatch>> {
    plan(ctx, bind_ad_hoc(text, &params(pairs)).await?).await?.collect().await
}

#[tokio::test]
async fn every_query_and_check_is_planned() {
    let registry = Registry::load(None).unwrap();
    assert_eq!(check_plans(&empty_store().await, &registry, day()).await, []);
}

#[tokio::test]
async fn every_check_holds_over_the_sample() {
    let registry = Registry::load(None).unwrap();
    let sample = store().await;
    // Journeys of one channel that did not convert: without them no lift can be told from another.
    for channel in ["email", "paid_search"] {
        touch(&sample, &format!("only-{channel}"), channel, "2026-03-25T10:00:00Z").await;
    }
    for (ctx, is_empty) in [(sample, false), (empty_store().await, true)] {
        // The stand-in for journeys has rows of its own, which an empty store's orders cannot explain.
        for query in registry.iter() {
            let bound = query.bind(&query.sample_params(), day()).unwrap();
            if is_empty && bound.tables.contains("journeys()") {
                continue;
            }
            let failures = run_checks(&ctx, query, &query.sample_params(), day()).await.unwrap();
            assert_eq!(failures, [], "{}", query.name);
        }
    }
}

#[tokio::test]
async fn a_broken_query_is_reported_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("t")).unwrap();
    let head = "/*\nsummary = 's'\ngrain = 'g'\n";
    std::fs::write(folder.path().join("t/q.sql"), format!("{head}*/ select nothing from orders")).unwrap();
    std::fs::write(
        folder.path().join("t/r.sql"),
        format!("{head}checks = ['select * from answer where revenue > 0']\n*/ select revenue from orders"),
    )
    .unwrap();
    let registry = Registry::load(Some(folder.path())).unwrap();
    let ctx = store().await;
    let failures = check_plans(&ctx, &registry, day()).await;
    assert_eq!(failures.iter().map(|failure| failure.query.as_str()).collect::<Vec<_>>(), ["t/q"]);
    let failures = run_checks(&ctx, registry.get("t/r").unwrap(), &params(&[]), day()).await.unwrap();
    assert_eq!(failures[0].message, "5 rows contradict the check: select * from answer where revenue > 0");
}

#[tokio::test]
async fn typed_parameters_compare_with_their_columns() {
    let ctx = store().await;
    let rows = run(
        &ctx,
        "select order_id from orders where ordered_at >= $at and revenue > $amount and status = $status \
         and cast(ordered_at as date) < $day order by order_id limit $n",
        &[
            ("at", "2026-03-10T11:00:00+01:00"),
            ("amount", "7.00"),
            ("status", "completed"),
            ("day", "2026-03-31"),
            ("n", "1"),
        ],
    );
    assert_eq!(lines(&rows.await.unwrap(), "order_id"), ["o1"]);
}

#[tokio::test]
async fn any_text_comes_back_as_it_went_in() {
    let ctx = empty_store().await;
    for text in ["it's", "'; drop table orders; --", "a''b", "\\", "ünï", "", "$x"] {
        let rows = run(&ctx, "select $t as t", &[("t", text)]).await.unwrap();
        assert_eq!(lines(&rows, "t"), [text]);
    }
}

#[tokio::test]
async fn long_expressions_are_planned_and_run() {
    let ctx = store().await;
    let sum = vec!["revenue"; 250].join(" + ");
    let rows = run(&ctx, &format!("select {sum} as total from orders where order_id = 'o3'"), &[]).await;
    assert_eq!(lines(&rows.unwrap(), "total"), ["1750.0000"]);
    let cases = "case when revenue > 0 then 1 else 0 end + ".repeat(80) + "0";
    let rows = run(&ctx, &format!("select {cases} as n from orders where order_id = 'o3'"), &[]).await;
    assert_eq!(lines(&rows.unwrap(), "n"), ["80"]);
    let any = (0..80).map(|n| format!("revenue + 0 = {n}")).collect::<Vec<_>>().join(" or ");
    let rows = run(&ctx, &format!("select order_id from orders where {any} order by order_id"), &[]).await;
    assert_eq!(lines(&rows.unwrap(), "order_id"), ["o2", "o3"]);
    let unions = vec!["select revenue from orders"; 150].join(" union all ");
    let rows = run(&ctx, &format!("select count(*) as n from ({unions})"), &[]).await.unwrap();
    assert_eq!(lines(&rows, "n"), ["750"]);
}

#[tokio::test]
async fn planning_errors_name_the_text_and_running_ones_do_not() {
    let ctx = store().await;
    let error = run(&ctx, "select nothing from orders", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.message().contains("nothing"), "{}", error.message());
    let error = run(&ctx, "select cast(order_id as int) as n from orders", &[]).await.unwrap_err();
    assert!(!error.message().contains("o1"), "{}", error.message());
}
