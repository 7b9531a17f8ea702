//! Group commit: all that arrived while the previous commit was under way becomes one file a partition and
//! one log entry, and everyone is answered after that commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use deltalake_core::kernel::Add;
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::data_file::LANDED_PREFIX;
use super::operation::{Operation, unpack_receipt};
use super::table::{Change, LakeTable};
use super::write::write_files;
use crate::error::{Error, Result};

/// Landings that may wait for one table; those beyond wait before they are read.
const QUEUE_LENGTH: usize = 256;

/// Names one batch, and remembers it where its sender gave an idempotency key.
#[derive(Debug, Clone)]
pub struct BatchName {
    pub batch_id: String,
    /// The transaction that remembers the batch.
    pub transaction: Option<String>,
}

impl BatchName {
    /// A key always gives the same name; without one every batch has its own.
    pub fn new(store: &str, table: &str, idempotency_key: Option<&str>) -> Self {
        let Some(key) = idempotency_key else {
            return Self { batch_id: format!("b_{}", uuid::Uuid::now_v7().simple()), transaction: None };
        };
        let mut hasher = Sha256::new();
        for part in [store, table, key] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest = hex::encode(&hasher.finalize()[..16]);
        Self { batch_id: format!("b_{digest}"), transaction: Some(format!("land/{store}/{digest}")) }
    }
}

/// A batch that is ready to be committed.
#[derive(Debug)]
pub struct Batch {
    pub store: String,
    pub name: BatchName,
    /// Rows held in memory, as landed.
    pub rows: Vec<RecordBatch>,
    /// Files already written for rows that were too many to hold.
    pub staged: Vec<Add>,
    pub row_count: u64,
}

/// Version and rows of a committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    pub version: u64,
    pub row_count: u64,
}

type Reply = oneshot::Sender<Result<Committed>>;

/// The one writer of a table in this process.
#[derive(Debug)]
pub struct Landing {
    table: Arc<LakeTable>,
    /// `None` once the landing is closed.
    queue: RwLock<Option<mpsc::Sender<(Batch, Reply)>>>,
    writer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Landing {
    /// Starts the writer's task on the current runtime.
    pub fn start(table: Arc<LakeTable>) -> Self {
        let (queue, incoming) = mpsc::channel(QUEUE_LENGTH);
        let writer = tokio::spawn(write_groups(table.clone(), incoming));
        Self { table, queue: RwLock::new(Some(queue)), writer: tokio::sync::Mutex::new(Some(writer)) }
    }

    /// The result of an earlier batch of the same name, if there was one.
    pub async fn earlier(&self, name: &BatchName) -> Result<Option<Committed>> {
        earlier(&self.table, name).await
    }

    /// Commits a batch together with whatever else is waiting; returns after it is durable.
    ///
    /// The commit goes on where the caller gives up waiting: a batch is never half landed.
    pub async fn commit(&self, batch: Batch) -> Result<Committed> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || Error::unavailable("the engine is closing; land again when it is back");
        let (reply, answer) = oneshot::channel();
        queue.ok_or_else(closed)?.send((batch, reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Writes rows that are too many to hold as files, which become visible with the batch's commit.
    pub async fn stage(&self, store: &str, name: &BatchName, rows: Vec<RecordBatch>) -> Result<Vec<Add>> {
        let at = self.table.next_ingested_us();
        let rows = rows.iter().map(|rows| stamp(&self.table, rows, name, at)).collect::<Result<Vec<_>>>()?;
        write_files(&self.table, store, rows, LANDED_PREFIX, true).await
    }

    /// Deletes the files of a batch that was refused after all.
    pub async fn discard(&self, staged: &[Add]) {
        for add in staged {
            let Ok(path) = self.table.path_of(&add.path) else { continue };
            if let Err(error) = self.table.storage.store.delete(&path).await {
                tracing::warn!(table = %self.table.spec.name, %error, "a refused file is left for the vacuum");
            }
        }
    }

    /// Refuses what comes from now on, and returns when everything accepted before is committed.
    pub async fn close(&self) {
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.await
        {
            tracing::error!(table = %self.table.spec.name, %error, "the landing's writer failed");
        }
    }
}

async fn write_groups(table: Arc<LakeTable>, mut incoming: mpsc::Receiver<(Batch, Reply)>) {
    let mut group = Vec::new();
    while incoming.recv_many(&mut group, QUEUE_LENGTH).await > 0 {
        commit_group(&table, std::mem::take(&mut group)).await;
    }
}

/// Batches that will be answered alike: a repeat that arrives beside the first shares its fate.
struct Waiting {
    batch: Batch,
    replies: Vec<Reply>,
}

async fn commit_group(table: &LakeTable, group: Vec<(Batch, Reply)>) {
    let mut waiting: Vec<Waiting> = Vec::with_capacity(group.len());
    for (batch, reply) in group {
        match earlier(table, &batch.name).await {
            Ok(Some(first)) => answer(vec![reply], &Ok(first)),
            Err(error) => answer(vec![reply], &Err(error)),
            Ok(None) => {
                let same = waiting.iter_mut().find(|other| {
                    batch.name.transaction.is_some() && other.batch.name.transaction == batch.name.transaction
                });
                match same {
                    Some(first) => first.replies.push(reply),
                    None => waiting.push(Waiting { batch, replies: vec![reply] }),
                }
            }
        }
    }
    if waiting.is_empty() {
        return;
    }
    let committed = commit_batches(table, &waiting).await;
    for Waiting { batch, replies } in waiting {
        let result = match &committed {
            Ok(version) => Ok(Committed { version: *version, row_count: batch.row_count }),
            Err(error) => Err(Error::new(error.kind(), error.message())),
        };
        answer(replies, &result);
    }
    if let Err(error) = committed {
        tracing::error!(table = %table.spec.name, error = ?error, "a group of landings was not committed");
    }
}

async fn commit_batches(table: &LakeTable, waiting: &[Waiting]) -> Result<u64> {
    let mut change = Change::default();
    let mut rows_of_stores: BTreeMap<&str, Vec<RecordBatch>> = BTreeMap::new();
    let mut named: HashMap<&str, u64> = HashMap::new();
    for Waiting { batch, .. } in waiting {
        let at = table.next_ingested_us();
        let rows = rows_of_stores.entry(&batch.store).or_default();
        for landed in &batch.rows {
            rows.push(stamp(table, landed, &batch.name, at)?);
        }
        change.adds.extend(batch.staged.iter().cloned());
        if let Some(transaction) = &batch.name.transaction {
            named.insert(transaction, batch.row_count);
        }
    }
    change.transactions = named.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect();
    for (store, rows) in rows_of_stores {
        change.adds.extend(write_files(table, store, rows, LANDED_PREFIX, true).await?);
    }
    if change.adds.is_empty() && change.transactions.is_empty() {
        return Ok(table.snapshot().await?.version.unwrap_or(0));
    }
    table.commit(change, Operation::Land).await
}

async fn earlier(table: &LakeTable, name: &BatchName) -> Result<Option<Committed>> {
    let Some(transaction) = &name.transaction else { return Ok(None) };
    let number = table.transaction(transaction).await?;
    Ok(number.map(unpack_receipt).map(|(version, row_count)| Committed { version, row_count }))
}

fn answer(replies: Vec<Reply>, result: &Result<Committed>) {
    for reply in replies {
        let result = match result {
            Ok(committed) => Ok(*committed),
            Err(error) => Err(Error::new(error.kind(), error.message())),
        };
        // A receiver that has gone away has given up waiting, not its batch.
        let _ = reply.send(result);
    }
}

/// Adds when and by which batch the rows were landed.
fn stamp(table: &LakeTable, rows: &RecordBatch, name: &BatchName, at_us: i64) -> Result<RecordBatch> {
    let ingested_at = TimestampMicrosecondArray::from(vec![at_us; rows.num_rows()]).with_timezone("UTC");
    let batch_id = StringArray::from_iter_values(std::iter::repeat_n(&name.batch_id, rows.num_rows()));
    let mut columns = rows.columns().to_vec();
    columns.extend([Arc::new(ingested_at) as ArrayRef, Arc::new(batch_id)]);
    RecordBatch::try_new(table.spec.file_schema(), columns).map_err(|error| {
        Error::internal(format!("rows of {} do not fit its schema", table.spec.name)).with_source(error)
    })
}
