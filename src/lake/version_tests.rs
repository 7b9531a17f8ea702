//! What commits say of the data, and what they refuse to be made from.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use futures::TryStreamExt;

use super::Lake;
use super::compact::compact_store;
use super::landed_keys::LandedKeys;
use super::landing::{Batch, BatchName, Landing};
use super::log::{Change, Note, Operation};
use super::storage::Storage;
use super::table::{COMMITS_PER_CHECKPOINT, LakeTable};
use super::write::FileWriter;
use crate::error::ErrorKind;
use crate::schema::tables;

const STORE: &str = "s";

fn table(folder: &tempfile::TempDir) -> Arc<LakeTable> {
    let storage = Storage::open(folder.path().to_str().unwrap()).unwrap();
    let keys = Arc::new(LandedKeys::new(Arc::new(UnboundedMemoryPool::default())));
    Arc::new(LakeTable::new(tables().unwrap()["channels"].clone(), storage, keys).unwrap())
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
        content: None,
    };
    let committed = landing.commit(batch).await.unwrap();
    landing.close().await;
    committed.version
}

fn context(table: &LakeTable) -> Arc<TaskContext> {
    let context = Arc::new(TaskContext::default());
    let url = table.storage.datafusion_url().unwrap();
    context.runtime_env().register_object_store(url.as_ref(), table.storage.store.clone());
    context
}

async fn compact(table: &Arc<LakeTable>) -> bool {
    compact_store(table, STORE, None, &context(table)).await.unwrap()
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
    let writer = landing.begin(STORE).await.unwrap();
    let staged = landing.stage(writer.clone(), name.clone(), vec![rows(&table, "seo")]).await.unwrap();
    land(&table, "display").await;
    let before = data_version(&table).await;
    let batch = Batch { store: STORE.into(), name, rows: Vec::new(), staged, row_count: 1, content: None };
    landing.commit(batch).await.unwrap();
    assert!(data_version(&table).await > before);
}

#[tokio::test]
async fn a_rewrite_loses_to_one_that_was_committed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, fast) = (table(&folder), table(&folder));
    land(&slow, "email").await;
    land(&slow, "seo").await;
    let read = slow.snapshot().await.unwrap();
    assert!(compact(&fast).await);
    // A query of the slow one's process has read the log since.
    slow.snapshot().await.unwrap();
    let change = Change { removes: read.files_of(STORE).to_vec(), ..Change::new(Operation::Compact) };
    let error = slow.commit(change).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_rewrite_outlasts_landings_that_leave_its_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (rewriter, lander) = (table(&folder), table(&folder));
    land(&rewriter, "email").await;
    let read = rewriter.snapshot().await.unwrap();
    land(&lander, "seo").await;
    land(&lander, "display").await;
    let change = Change { removes: read.files_of(STORE).to_vec(), ..Change::new(Operation::Compact) };
    let version = rewriter.commit(change).await.unwrap().version;
    assert_eq!(rewriter.snapshot().await.unwrap().version, Some(version));
    assert_eq!(rewriter.current().files_of(STORE).len(), 2);
}

#[tokio::test]
async fn of_two_first_computations_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (table(&folder), table(&folder));
    let inputs = || Change {
        notes: vec![("inputs/s".to_owned(), Note::Number(7))],
        unmoved: vec![("inputs/s".to_owned(), None)],
        ..Change::new(Operation::Replace)
    };
    land(&first, "email").await;
    second.snapshot().await.unwrap();
    first.commit(inputs()).await.unwrap();
    assert_eq!(second.commit(inputs()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

/// The versions of `email` that a scan gives, each with its batch.
async fn batches_of_email(table: &Arc<LakeTable>) -> Vec<String> {
    let snapshot = table.snapshot().await.unwrap();
    let rows = table.store_table(STORE, &snapshot).await.unwrap().merged_scan().unwrap();
    let batches: Vec<_> = rows.execute(0, context(table)).unwrap().try_collect().await.unwrap();
    let text = |batch: &RecordBatch| {
        let column = |name: &str| batch[name].as_string::<i32>().clone();
        let (channels, ids) = (column("channel"), column("batch_id"));
        let of_email = channels.iter().zip(ids.iter()).filter(|(channel, _)| *channel == Some("email"));
        of_email.filter_map(|(_, id)| id.map(str::to_owned)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}

#[tokio::test]
async fn a_body_that_was_long_under_way_replaces_what_was_compacted_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder);
    let landing = Landing::start(table.clone());
    let name = BatchName::new(STORE, "channels", None);
    let writer = landing.begin(STORE).await.unwrap();
    let staged = landing.stage(writer.clone(), name.clone(), vec![rows(&table, "email")]).await.unwrap();
    land(&table, "email").await;
    assert!(compact(&table).await);
    let batch = Batch {
        store: STORE.into(),
        name: name.clone(),
        rows: Vec::new(),
        staged,
        row_count: 1,
        content: None,
    };
    landing.commit(batch).await.unwrap();
    // It was committed last.
    assert_eq!(batches_of_email(&table).await, std::slice::from_ref(&name.batch_id));
    assert!(compact(&table).await);
    assert_eq!(batches_of_email(&table).await, std::slice::from_ref(&name.batch_id));
    // And whatever comes after it is newer again.
    land(&table, "email").await;
    let newest = batches_of_email(&table).await;
    assert!(newest.len() == 1 && newest[0] != name.batch_id, "{newest:?}");
}

#[tokio::test]
async fn landings_are_in_the_order_of_their_commits_whatever_the_clocks_say() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder);
    land(&table, "email").await;
    let newest = table.snapshot().await.unwrap().newest_landed_us();
    // A host whose clock is an hour behind.
    let writer = FileWriter::begin(&table, STORE).await.unwrap();
    let hour_ago = newest - 3_600_000_000;
    let late = stamped(&table, "email", hour_ago);
    let adds = writer.write_landed(vec![late], hour_ago).await.unwrap();
    table.commit(Change { adds, ..Change::new(Operation::Land) }).await.unwrap();
    assert_eq!(batches_of_email(&table).await, ["late"]);
    assert!(table.snapshot().await.unwrap().newest_landed_us() > newest);
    assert!(compact(&table).await);
    assert_eq!(batches_of_email(&table).await, ["late"]);
}

/// A row as it is written, by a batch called `late`.
fn stamped(table: &LakeTable, channel: &str, at_us: i64) -> RecordBatch {
    let mut columns = rows(table, channel).columns().to_vec();
    columns.push(Arc::new(TimestampMicrosecondArray::from(vec![at_us]).with_timezone("UTC")));
    columns.push(Arc::new(StringArray::from(vec!["late"])));
    RecordBatch::try_new(table.spec.file_schema(), columns).unwrap()
}

#[tokio::test]
async fn an_entry_that_is_empty_or_missing_is_an_error_and_a_broken_checkpoint_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let held = table(&folder);
    for channel in ["email", "seo", "display"] {
        land(&held, channel).await;
    }
    let log = folder.path().join("channels/_delta_log");
    held.checkpoint().await.unwrap();
    let version = held.snapshot().await.unwrap().version.unwrap();
    let checkpoint = log.join(format!("{version:020}.checkpoint.parquet"));
    let read = async || table(&folder).snapshot().await.map(|snapshot| snapshot.files_of(STORE).len());
    assert_eq!(read().await.unwrap(), 3);
    std::fs::write(&checkpoint, b"PAR1").unwrap();
    assert_eq!(read().await.unwrap(), 3);
    std::fs::remove_file(&checkpoint).unwrap();
    assert_eq!(read().await.unwrap(), 3);
    let entry = log.join(format!("{:020}.json", version - 1));
    let text = std::fs::read(&entry).unwrap();
    for broken in [&b""[..], &text[..text.len() / 2], b"\0\0\0"] {
        std::fs::write(&entry, broken).unwrap();
        assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    std::fs::remove_file(&entry).unwrap();
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_an_erasure_deletes_while_it_is_written_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder);
    land(&table, "first").await;
    let erasing = tokio::spawn({
        let (table, folder) = (table.clone(), table.path_of(&format!("store_id={STORE}")).unwrap());
        async move {
            let mut deleted = 0;
            loop {
                for file in table.storage.unfinished(&folder).await.unwrap() {
                    file.delete().await.unwrap();
                    deleted += 1;
                }
                if deleted >= 5 {
                    return;
                }
            }
        }
    });
    let mut landed = 1;
    while !erasing.is_finished() {
        land(&table, &format!("channel-{landed}")).await;
        landed += 1;
    }
    erasing.await.unwrap();
    assert_eq!(table.snapshot().await.unwrap().files_of(STORE).len(), landed);
}

#[tokio::test]
async fn a_table_is_not_compacted_while_another_process_does_so() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path().to_str().unwrap()).unwrap();
    let lake = Lake::open(storage, Vec::new(), Arc::new(UnboundedMemoryPool::default())).unwrap();
    let other = table(&folder);
    for channel in ["email", "seo"] {
        land(&other, channel).await;
    }
    let compact = async || {
        let compacted = lake.compact_if_due(STORE, "channels", Duration::ZERO, &context(&other)).await;
        (compacted.unwrap(), other.snapshot().await.unwrap().files_of(STORE).len())
    };
    let held = other.lease(STORE).await.unwrap().expect("nobody holds it");
    assert_eq!(compact().await, (false, 2));
    held.end().await;
    assert_eq!(compact().await, (true, 1));
    assert_eq!(compact().await, (false, 1), "nothing is due any more");
}

#[tokio::test]
async fn a_large_checkpoint_is_made_less_often() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder);
    let commit = async || {
        // Texts that hardly compress.
        let names = (0..8).map(|_| (0..100).map(|_| uuid::Uuid::now_v7().to_string()).collect::<String>());
        let notes = names.map(|name| (name, Note::Number(1))).collect();
        table.commit(Change { notes, ..Change::new(Operation::Land) }).await.unwrap();
        table.close().await;
    };
    let made_by = async |commits: usize| {
        for _ in 0..commits {
            commit().await;
        }
        let log = std::fs::read_dir(folder.path().join("channels/_delta_log")).unwrap();
        log.filter(|file| file.as_ref().unwrap().path().to_string_lossy().ends_with(".checkpoint.parquet"))
            .count()
    };
    assert_eq!(made_by(COMMITS_PER_CHECKPOINT as usize).await, 1);
    assert_eq!(made_by(COMMITS_PER_CHECKPOINT as usize).await, 1, "the first one is large");
    assert_eq!(made_by(COMMITS_PER_CHECKPOINT as usize).await, 2);
}
