use super::super::fixtures::{day, params};
use super::*;
use crate::error::ErrorKind;

const HEAD: &str = "/*\nsummary = 's'\ngrain = 'one row'\n";

fn load(files: &[(&str, &str)]) -> Result<Registry> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Registry::load(Some(folder.path()))
}

fn refusal(path: &str, text: &str) -> String {
    let error = load(&[(path, text)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    error.message().to_owned()
}

#[test]
fn every_embedded_file_is_a_query() {
    let registry = Registry::load(None).unwrap();
    let mut files = 0;
    for topic in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/queries")).unwrap() {
        files += std::fs::read_dir(topic.unwrap().path()).unwrap().count();
    }
    assert_eq!(registry.iter().count(), files);
    let rollups: Vec<&str> = registry.rollups().map(|(table, _)| table).collect();
    assert_eq!(rollups, ["attribution_daily", "channel_daily"]);
    let credits = registry.get("attribution/credits").unwrap();
    assert_eq!(credits.topic, "attribution");
    for query in registry.iter() {
        query.validate().unwrap();
    }
}

#[test]
fn a_configured_file_is_a_query_at_once() {
    let registry = load(&[("sales/top.sql", &format!("{HEAD}*/ select 1 as one"))]).unwrap();
    let query = registry.get("sales/top").unwrap();
    assert_eq!(query.header.grain, "one row");
    let error = registry.get("sales/tap").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().starts_with("unknown query sales/tap, did you mean sales/top?"));
}

#[test]
fn a_file_that_contradicts_itself_or_another_is_refused_by_name() {
    let good = format!("{HEAD}*/ select 1");
    assert_eq!(
        refusal("attribution/credits.sql", &good),
        "attribution/credits.sql: there is already a query attribution/credits; rename the file"
    );
    assert_eq!(
        refusal("t/q.sql", &format!("{HEAD}*/ select $a")),
        "t/q.sql: $a is not declared: add [params.a]"
    );
    assert_eq!(
        refusal("t/q.sql", &format!("{HEAD}[params.a]\ntype = 'int'\ndoc = 'd'\n*/ select 1")),
        "t/q.sql: parameter a is declared but never used"
    );
    assert!(refusal("t/q.sql", &format!("{HEAD}*/ selec 1")).starts_with("t/q.sql: "));
    assert_eq!(refusal("t/q.sql", &format!("{HEAD}*/ drop table t")), "t/q.sql: a query is one select");
    assert!(refusal("q.sql", &good).starts_with("q.sql: a query is a file topic/name.sql"));
    assert!(refusal("T/q.sql", &good).starts_with("T/q.sql: a query is a file topic/name.sql"));
    assert_eq!(
        refusal("t/q.sql", &format!("{HEAD}materialize = 'channel_daily'\n*/ select 1")),
        "t/q.sql: rollups/channel_daily already materialises channel_daily"
    );
    assert!(refusal("t/q.sql", &format!("{HEAD}checks = ['selec']\n*/ select 1")).starts_with("t/q.sql: "));
}

#[test]
fn the_resolved_day_is_part_of_the_key() {
    let registry = Registry::load(None).unwrap();
    let query = registry.get("performance/channels").unwrap();
    let today = query.bind(&params(&[]), day()).unwrap();
    let tomorrow = query.bind(&params(&[]), day().succ_opt().unwrap()).unwrap();
    assert_ne!(today.text, tomorrow.text);
    let given = query.bind(&params(&[("start", "2026-03-02"), ("end", "2026-04-01")]), day()).unwrap();
    assert_eq!(today.text, given.text);
    assert_eq!(query.key_text(&params(&[]), day()).unwrap(), today.text);
}
