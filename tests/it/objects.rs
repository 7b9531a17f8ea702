//! A lake as the objects of its store: what they say, and what they may not say.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Every object, by its place.
pub type Objects = Vec<(Path, Bytes)>;

pub async fn objects(store: &Arc<dyn ObjectStore>) -> Objects {
    let found: Vec<_> = store.list(None).try_collect().await.expect("a list");
    let mut objects = Vec::with_capacity(found.len());
    for object in found {
        let bytes = store.get(&object.location).await.expect("an object").bytes().await.expect("its bytes");
        objects.push((object.location, bytes));
    }
    objects.sort_by(|a, b| a.0.cmp(&b.0));
    objects
}

/// A store of its own with these objects.
pub async fn store_of(objects: &Objects) -> Arc<dyn ObjectStore> {
    let store = InMemory::new();
    for (path, bytes) in objects {
        store.put(path, bytes.clone().into()).await.expect("a copy");
    }
    Arc::new(store)
}

/// The objects that have a text in them, packed or not.
pub fn naming(objects: &Objects, text: &str) -> Vec<String> {
    let has_text = |(path, bytes): &&(Path, Bytes)| {
        let in_bytes = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let is_parquet = path.extension() == Some("parquet");
        in_bytes || is_parquet && rows_as_text(bytes).contains(text)
    };
    objects.iter().filter(has_text).map(|(path, _)| path.to_string()).collect()
}

fn rows_as_text(bytes: &Bytes) -> String {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .expect("a Parquet file");
    let rows: Vec<_> = reader.map(|batch| batch.expect("rows")).collect();
    pretty_format_batches(&rows).expect("rows as text").to_string()
}

/// Finds what is wrong with a log from outside: a version that is missing, a file that is added twice or removed by two
/// commits, an idempotency key that is noted twice.
pub fn faults_of_logs(objects: &Objects) -> Vec<String> {
    let mut faults = Vec::new();
    let tables: BTreeSet<String> = entries(objects, "").map(|(table, ..)| table).collect();
    for table in tables {
        let (mut added, mut live, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (at, (_, version, lines)) in (0..).zip(entries(objects, &table)) {
            if version != at {
                faults.push(format!("{table}: version {at} is missing"));
                break;
            }
            for line in lines {
                if let Some(path) = line["remove"]["path"].as_str()
                    && !live.remove(path)
                {
                    faults.push(format!("{table} {version}: {path} is removed again"));
                }
                if let Some(path) = line["add"]["path"].as_str() {
                    live.insert(path.to_owned());
                    if !added.insert(path.to_owned()) {
                        faults.push(format!("{table} {version}: {path} is added again"));
                    }
                }
                if let Some(name) = line["txn"]["appId"].as_str()
                    && name.starts_with("land/")
                    && !keys.insert(name.to_owned())
                {
                    faults.push(format!("{table} {version}: {name} is noted again"));
                }
            }
        }
    }
    faults
}

/// The version of a table's log that notes a batch.
pub fn version_of_batch(objects: &Objects, table: &str, batch_id: &str) -> Option<u64> {
    let digest = batch_id.trim_start_matches("b_");
    let notes = |line: &Value| line["txn"]["appId"].as_str().is_some_and(|name| is_receipt(name, digest));
    let mut entries = entries(objects, table);
    entries.find(|(_, _, lines)| lines.iter().any(notes)).map(|(_, version, _)| version)
}

fn is_receipt(name: &str, digest: &str) -> bool {
    name.starts_with("land/") && name.ends_with(digest)
}

/// The entries of a table's log, or of all, by version: table, version and lines.
fn entries(objects: &Objects, table: &str) -> impl Iterator<Item = (String, u64, Vec<Value>)> {
    objects.iter().filter_map(move |(path, bytes)| {
        let parts: Vec<_> = path.parts().map(|part| part.as_ref().to_owned()).collect();
        let [.., of, folder, name] = &parts[..] else { return None };
        let version = name.strip_suffix(".json").filter(|_| folder == "_delta_log")?.parse().ok()?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect();
        (table.is_empty() || of == table).then(|| (of.clone(), version, lines))
    })
}
