//! What commits say of the data, and what they refuse to be made from.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use datafusion::execution::TaskContext;

use super::compact::compact_store;
use super::landing::{Batch, BatchName, Landing};
use super::operation::Operation;
use super::storage::Storage;
use super::table::{Change, LakeTable};
use crate::error::ErrorKind;
use crate::schema::tables;

const STORE: &str = "s";

fn table(folder: &tempfile::TempDir) -> Arc<LakeTable> {
    let storage = Storage::open(folder.path().to_str().unwrap()).unwrap();
    Arc::new(LakeTable::new(tables().unwrap()["channels"].clone(), storage).unwrap())
}

fn rows(table: &LakeTable, channel: &str) -> RecordBatch {
    let schema = table.spec.landed_schema();
    let column = |name: &str, data_type| -> ArrayRef {
        if name == "channel" {
            Arc::new(StringArray::from(vec![channel]))
        } else {
            new_null_array(data_type, 1)
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

async fn land(table: &Arc<LakeTable>, channel: &str) -> u64 {
    let landing = Landing::start(table.clone());
    let batch = Batch {
        store: STORE.into(),
        name: BatchName::new(STORE, "channels", None),
        rows: vec![rows(table, channel)],
        staged: Vec::new(),
        row_count: 1,
    };
    let committed = landing.commit(batch).await.unwrap();
    landing.close().await;
    committed.version
}

async fn compact(table: &Arc<LakeTable>) -> bool {
    let context = Arc::new(TaskContext::default());
    let url = table.storage.datafusion_url().unwrap();
    context.runtime_env().register_object_store(url.as_ref(), table.storage.store.clone());
    compact_store(table, STORE, None, &context).await.unwrap()
}

async fn data_version(table: &LakeTable) -> u64 {
    table.snapshot().await.unwrap().data_version(STORE)
}

#[tokio::test]
async fn the_data_has_the_version_of_the_commit_that_changed_it() {
    let folder = tempfile::tempdir().unwrap();
    let held = table(&folder);
    assert_eq!(data_version(&held).await, 0);
    land(&held, "email").await;
    let landed = land(&held, "seo").await;
    assert_eq!(data_version(&held).await, landed);
    assert!(compact(&held).await);
    // A newly opened table reads it from the log.
    assert_eq!(data_version(&table(&folder)).await, landed);
    assert_eq!(held.snapshot().await.unwrap().data_version("other"), 0);
}

#[tokio::test]
async fn what_was_staged_before_another_landing_changes_the_version_too() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder);
    land(&table, "email").await;
    let landing = Landing::start(table.clone());
    let name = BatchName::new(STORE, "channels", None);
    let staged = landing.stage(STORE, &name, vec![rows(&table, "seo")]).await.unwrap();
    land(&table, "display").await;
    let before = data_version(&table).await;
    let batch = Batch { store: STORE.into(), name, rows: Vec::new(), staged, row_count: 1 };
    landing.commit(batch).await.unwrap();
    assert!(data_version(&table).await > before);
}

#[tokio::test]
async fn a_rewrite_loses_to_one_that_was_committed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, fast) = (table(&folder), table(&folder));
    land(&slow, "email").await;
    land(&slow, "seo").await;
    let fence = slow.fence(format!("compact/{STORE}")).await.unwrap();
    assert!(compact(&fast).await);
    // A query of the slow one's process has read the log since.
    slow.snapshot().await.unwrap();
    let change = Change { fence: Some(fence), ..Change::default() };
    let error = slow.commit(change, Operation::Compact).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
