use super::*;
use crate::cli::source::tests::sample;

/// Completes at the `|`; what is listed.
fn listed(catalog: &Catalog, text: &str) -> Vec<String> {
    proposals(catalog, text).into_iter().map(|proposal| proposal.shown).collect()
}

fn proposals(catalog: &Catalog, text: &str) -> Vec<Proposal> {
    let cursor = text.find('|').unwrap();
    let typed = text.replace('|', "");
    let values = Params::from([("who".to_owned(), "ada".to_owned())]);
    let (start, found) = complete(&typed, cursor, catalog, &values);
    assert!(start <= cursor && typed.is_char_boundary(start), "{text}");
    found
}

/// The text after its only completion is taken.
fn completed(catalog: &Catalog, text: &str) -> String {
    let cursor = text.find('|').unwrap();
    let typed = text.replace('|', "");
    let (start, found) = complete(&typed, cursor, catalog, &Params::from([("who".into(), "ada".into())]));
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    format!("{}{}{}", &typed[..start], found[0].written, &typed[cursor..])
}

async fn catalog() -> Catalog {
    Catalog::load(&sample().await).await.unwrap()
}

#[tokio::test]
async fn sql_is_completed_from_the_catalog_of_a_real_session() {
    let catalog = &catalog().await;
    assert_eq!(completed(catalog, "select * from touchp|"), "select * from touchpoints");
    assert_eq!(
        completed(catalog, "select * from orders join benchmark_se|"),
        "select * from orders join benchmark_seeds"
    );
    assert_eq!(completed(catalog, "select * from orders, refun|"), "select * from orders, refunds");
    assert_eq!(completed(catalog, "select * from journey_to|"), "select * from journey_totals(");
    assert_eq!(completed(catalog, "select order_i|, 1 from orders"), "select order_id, 1 from orders");
    assert_eq!(
        completed(catalog, "select o.order_i| from orders as o"),
        "select o.order_id from orders as o"
    );
    assert_eq!(completed(catalog, "select o.order_i| from orders o"), "select o.order_id from orders o");
    assert_eq!(completed(catalog, "select later.touch_i|"), "select later.touch_id");
    assert_eq!(completed(catalog, "select 1; describe refun|"), "select 1; describe refunds");
    assert_eq!(completed(catalog, "select safe_r|"), "select safe_ratio(");
    assert_eq!(completed(catalog, "sel|"), "select ");
    assert_eq!(completed(catalog, "select * from orders WHER|"), "select * from orders WHERE");
    assert_eq!(completed(catalog, "select $w|"), "select $who");
    assert_eq!(
        completed(catalog, "select * from journey_totals(lookb|)"),
        "select * from journey_totals(lookback_days => )"
    );
}

#[tokio::test]
async fn columns_of_the_tables_that_are_read_come_alone() {
    let catalog = &catalog().await;
    let columns = listed(catalog, "select | from orders");
    assert!(columns.contains(&"order_id".to_owned()), "{columns:?}");
    assert!(!columns.contains(&"touch_id".to_owned()), "{columns:?}");
    assert_eq!(listed(catalog, "select nobody.| from orders"), Vec::<String>::new());
    let tables = listed(catalog, "select * from |");
    assert!(tables.contains(&"orders".to_owned()) && tables.contains(&"journeys".to_owned()), "{tables:?}");
    assert!(!tables.contains(&"select".to_owned()), "{tables:?}");
}

#[tokio::test]
async fn nothing_is_proposed_within_a_string_or_a_comment() {
    let catalog = &catalog().await;
    for text in ["select 'ord|", "select \"ord|", "select 1 -- ord|", "select /* ord|", "select 'a\n\\d ord|"]
    {
        assert_eq!(listed(catalog, text), Vec::<String>::new(), "{text}");
    }
}

#[tokio::test]
async fn commands_are_completed_with_what_they_take() {
    let catalog = &catalog().await;
    assert_eq!(completed(catalog, "\\tim|"), "\\timing");
    assert_eq!(completed(catalog, "\\d refun|"), "\\d refunds");
    assert_eq!(listed(catalog, "select 1\n\\exp|"), ["\\export", "\\explain"]);
    assert_eq!(completed(catalog, "\\run attribution/by_chan|"), "\\run attribution/by_channel ");
    assert_eq!(
        completed(catalog, "\\run attribution/by_channel sta|"),
        "\\run attribution/by_channel start="
    );
    assert_eq!(
        completed(catalog, "\\run attribution/by_channel views=cou|"),
        "\\run attribution/by_channel views=counted "
    );
    let open = listed(catalog, "\\run attribution/by_channel start=2026-01-01 |");
    assert!(open.contains(&"end".to_owned()) && !open.contains(&"start".to_owned()), "{open:?}");
    assert_eq!(completed(catalog, "\\explain select * from touchp|"), "\\explain select * from touchpoints");
    assert_eq!(completed(catalog, "\\unset w|"), "\\unset who");
    let formats = listed(catalog, "\\format |");
    assert!(formats.contains(&"csv".to_owned()) && !formats.contains(&"parquet".to_owned()), "{formats:?}");
}
