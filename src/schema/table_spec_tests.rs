//! The folders under `data/tables/` against what the design says and against their own samples.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use super::*;

/// Every raw table and its key beside the store, as the design lists them; `quarantine` is the landing's own.
const DESIGNED: [(&str, &[&str]); 15] = [
    ("benchmarks", &["channel", "metric", "industry"]),
    ("campaigns", &["campaign_id"]),
    ("channels", &["channel"]),
    ("content", &["content_id"]),
    ("customers", &["customer_id"]),
    ("identities", &["anonymous_id"]),
    ("invites", &["invite_id"]),
    ("lifts", &["channel"]),
    ("metrics", &["channel", "source", "campaign", "date"]),
    ("orders", &["order_id"]),
    ("quarantine", &["quarantine_id"]),
    ("rates", &["date", "base", "quote"]),
    ("refunds", &["refund_id"]),
    ("stores", &[]),
    ("touchpoints", &["touch_id"]),
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/tables")
}

fn sample(table: &str) -> Vec<Map<String, Value>> {
    let path = folder().join(table).join("sample.ndjson");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{table} row {}: {error}", index + 1))
        })
        .collect()
}

fn is_blank(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Null)) || value == Some(&Value::String(String::new()))
}

/// Whether a sample's value is written as landing wants its column written.
fn fits(kind: ColumnKind, value: &Value) -> bool {
    match kind {
        ColumnKind::Text => value.is_string(),
        ColumnKind::Count => value.is_i64(),
        ColumnKind::Ratio | ColumnKind::Decimal(..) => false,
        ColumnKind::Instant => {
            value.as_str().is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok())
        }
        ColumnKind::Date => value.as_str().is_some_and(|text| text.parse::<chrono::NaiveDate>().is_ok()),
        ColumnKind::Money => is_decimal(value, MONEY_PRECISION, MONEY_SCALE),
        ColumnKind::Rate => is_decimal(value, RATE_PRECISION, RATE_SCALE),
    }
}

fn is_decimal(value: &Value, precision: u8, scale: i8) -> bool {
    use arrow::compute::kernels::cast_utils::parse_decimal;
    use arrow::datatypes::Decimal128Type;
    value.as_str().is_some_and(|text| parse_decimal::<Decimal128Type>(text, precision, scale).is_ok())
}

fn ids(table: &str, column: &str) -> BTreeSet<String> {
    sample(table).iter().filter_map(|row| Some(row.get(column)?.as_str()?.to_owned())).collect()
}

#[test]
fn every_folder_is_a_designed_table_and_every_designed_table_a_folder() {
    let folders: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let parsed = tables().unwrap();
    assert_eq!(folders, parsed.keys().cloned().collect());
    let keys: Vec<(&str, Vec<&str>)> = parsed
        .values()
        .map(|spec| (spec.name.as_str(), spec.key.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(keys, DESIGNED.map(|(name, key)| (name, key.to_vec())));
}

#[test]
fn keys_and_months_can_never_be_null() {
    for spec in tables().unwrap().values() {
        for name in spec.key.iter().chain(spec.month.as_ref().map(|month| &month.of)) {
            let column = spec.column(name).unwrap_or_else(|| panic!("{}: {name} is not its own", spec.name));
            assert!(column.required || column.default.is_some(), "{}: {name} may be null", spec.name);
        }
        if let Some(month) = &spec.month {
            let kind = spec.column(&month.of).map(|column| column.kind);
            assert!(matches!(kind, Some(ColumnKind::Instant | ColumnKind::Date)), "{}: month", spec.name);
        }
    }
}

#[test]
fn columns_are_unique_documented_and_leave_the_engine_its_own() {
    for spec in tables().unwrap().values() {
        let names: Vec<&str> = spec.columns.iter().map(|column| column.name.as_str()).collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len(), "{}: a column twice", spec.name);
        let partitions = spec.partition_columns();
        for column in &spec.columns {
            assert!(column.doc.ends_with('.'), "{}.{}: doc is not a sentence", spec.name, column.name);
            assert!(!partitions.contains(&column.name), "{}.{}: is the partition's", spec.name, column.name);
            assert!(
                ![STORE_COLUMN, EXTRAS_COLUMN, INGESTED_AT_COLUMN, BATCH_ID_COLUMN].contains(&&*column.name),
                "{}.{}: is the engine's",
                spec.name,
                column.name
            );
            let default = column.default.as_ref().filter(|_| !column.values.is_empty());
            assert!(
                default.is_none_or(|value| column.values.contains(value)),
                "{}.{}",
                spec.name,
                column.name
            );
        }
        assert!(!spec.summary.is_empty() && spec.grain.starts_with("one row per "), "{}", spec.name);
    }
}

#[test]
fn every_sample_row_fits_its_table() {
    for spec in tables().unwrap().values() {
        let rows = sample(&spec.name);
        let least = if spec.key.is_empty() { 1 } else { 5 };
        assert!((least..=40).contains(&rows.len()), "{}: {} rows", spec.name, rows.len());
        let mut keys = BTreeSet::new();
        for (index, row) in rows.iter().enumerate() {
            let place = format!("{} row {}", spec.name, index + 1);
            for (name, value) in row {
                let column = spec.column(name).unwrap_or_else(|| panic!("{place}: unknown column {name}"));
                assert!(fits(column.kind, value), "{place}: {name} is not of kind {:?}", column.kind);
                let text = value.as_str().unwrap_or_default();
                let allowed = column.values.is_empty() || column.values.iter().any(|value| value == text);
                assert!(allowed, "{place}: {name} is none of {:?}", column.values);
            }
            for column in spec.columns.iter().filter(|column| column.required) {
                assert!(!is_blank(row.get(&column.name)), "{place}: {} is missing", column.name);
            }
            let key: Vec<String> =
                spec.key.iter().map(|name| row.get(name).map(Value::to_string).unwrap_or_default()).collect();
            assert!(keys.insert(key), "{place}: its key is there twice");
        }
    }
}

#[test]
fn samples_speak_of_each_others_rows() {
    let mut known = ids("customers", "customer_id");
    let anonymous = ids("identities", "anonymous_id");
    assert!(ids("orders", "customer_id").is_subset(&known));
    assert!(ids("identities", "customer_id").is_subset(&known));
    assert!(ids("invites", "inviter_id").is_subset(&known) && ids("invites", "invitee_id").is_subset(&known));
    assert!(ids("refunds", "order_id").is_subset(&ids("orders", "order_id")));
    known.extend(anonymous);
    assert!(ids("touchpoints", "customer_id").is_subset(&known));
    let channels = ids("channels", "channel");
    for table in ["touchpoints", "metrics", "campaigns", "content"] {
        assert!(ids(table, "channel").is_subset(&channels), "{table}: a channel that channels does not list");
    }
    assert!(ids("touchpoints", "campaign").is_subset(&ids("campaigns", "name")));
}

#[test]
fn a_key_that_is_not_a_column_is_refused_by_name() {
    let text = "summary = \"s\"\ngrain = \"one row per s\"\nkey = [\"nobody\"]\nsort = []\ncolumns = []\n";
    let error = TableSpec::parse("broken", text).unwrap_err();
    assert!(error.message().contains("broken") && error.message().contains("nobody"), "{error}");
    let error = TableSpec::parse("broken", &format!("{text}colour = \"red\"\n")).unwrap_err();
    assert!(error.message().contains("colour"), "{error}");
}

/// Erasing a customer searches the columns that say they hold people's ids; one that forgets to would keep them.
#[test]
fn every_column_that_holds_ids_of_people_says_so() {
    let people: BTreeSet<String> =
        ids("customers", "customer_id").into_iter().chain(ids("identities", "anonymous_id")).collect();
    for spec in tables().unwrap().values() {
        for column in spec.columns.iter().filter(|column| column.kind == ColumnKind::Text) {
            let holds_people = !ids(&spec.name, &column.name).is_disjoint(&people);
            assert_eq!(column.person, holds_people, "{}.{}", spec.name, column.name);
        }
    }
}
