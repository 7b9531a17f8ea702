//! Group commit: all that arrived while the previous commit was under way becomes one file a partition and
//! one log entry, and everyone is answered after that commit.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::log::{Change, NewFile, Note, Operation, Refusal, unpack_receipt};
use super::table::LakeTable;
use super::write::FileWriter;
use crate::drills::{Bug, has};
use crate::error::{Error, ErrorKind, Result};

/// Landings that may wait for one table; those beyond wait before they are read.
const QUEUE_LENGTH: usize = 256;

/// Names one batch, and remembers it where its sender gave an idempotency key.
#[derive(Debug, Clone)]
pub struct BatchName {
    pub batch_id: String,
    /// What the log notes the batch under.
    remembered: Option<Remembered>,
}

/// The names of a batch's receipt and of its content in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remembered {
    receipt: String,
    content: String,
}

impl BatchName {
    /// A key always gives the same name; without one every batch has its own.
    pub fn new(store: &str, table: &str, idempotency_key: Option<&str>) -> Self {
        let Some(key) = idempotency_key else {
            return Self { batch_id: format!("b_{}", uuid::Uuid::now_v7().simple()), remembered: None };
        };
        let mut hasher = Sha256::new();
        for part in [store, table, key] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest = hex::encode(&hasher.finalize()[..16]);
        let remembered = Remembered {
            receipt: format!("land/{store}/{digest}"),
            content: format!("content/{store}/{digest}"),
        };
        Self { batch_id: format!("b_{digest}"), remembered: Some(remembered) }
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
    pub staged: Vec<NewFile>,
    pub row_count: u64,
    /// A hash of the body, if it is known.
    pub content: Option<u64>,
}

/// Version and rows of a committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    pub version: u64,
    pub row_count: u64,
    /// Whether the batch had been committed before.
    pub is_repeat: bool,
    /// The hash of the first body, if it was known.
    content: Option<u64>,
}

impl Committed {
    /// Refuses a repeat that has another content than the first.
    pub fn check_content(&self, content: Option<u64>) -> Result<()> {
        match (self.content, content.map(shortened)) {
            (Some(first), Some(now)) if first != now => Err(Error::new(
                ErrorKind::KeyReused,
                "the Idempotency-Key was used before for other rows, and nothing of this body landed: send it under a \
                 key of its own",
            )),
            _ => Ok(()),
        }
    }
}

/// A hash as the log can note it.
fn shortened(hash: u64) -> u64 {
    hash >> 1
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

    /// Begins to write the files of a batch that may be too large to hold.
    pub async fn begin(&self, store: &str) -> Result<FileWriter> {
        FileWriter::begin(&self.table, store).await
    }

    /// Writes rows that are too many to hold as files, which become visible with the batch's commit. Of two that are staged
    /// one after the other, the later one has the newer rows.
    pub fn stage(
        &self,
        writer: FileWriter,
        name: BatchName,
        rows: Vec<RecordBatch>,
    ) -> impl Future<Output = Result<Vec<NewFile>>> + Send + 'static {
        let table = self.table.clone();
        async move {
            let at = table.next_landed_us();
            let rows = rows.iter().map(|rows| stamp(&table, rows, &name, at)).collect::<Result<Vec<_>>>()?;
            writer.write_landed(rows, at).await
        }
    }

    /// Deletes the files of a batch that was refused after all.
    pub async fn discard(&self, staged: &[NewFile]) {
        self.table.discard(staged).await;
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

/// A batch, and repeats of it that arrived beside it: they share its fate.
struct Waiting {
    batch: Batch,
    reply: Reply,
    repeats: Vec<(Batch, Reply)>,
}

async fn commit_group(table: &Arc<LakeTable>, group: Vec<(Batch, Reply)>) {
    let mut waiting: Vec<Waiting> = Vec::with_capacity(group.len());
    for (batch, reply) in group {
        let same = waiting.iter_mut().find(|other| {
            batch.name.remembered.is_some() && other.batch.name.remembered == batch.name.remembered
        });
        match same {
            Some(first) => first.repeats.push((batch, reply)),
            None => waiting.push(Waiting { batch, reply, repeats: Vec::new() }),
        }
    }
    // Each round answers those who cannot wait for the commit: another process has landed the batch, or has erased
    // somebody who may be in it.
    loop {
        waiting = match answer_settled(table, waiting).await {
            Ok(waiting) => waiting,
            Err((waiting, error)) => return answer_all(table, waiting, &Err(error)).await,
        };
        if waiting.is_empty() {
            return;
        }
        if has(Bug::AcknowledgedEarly) {
            waiting = acknowledge(waiting);
        }
        let committed = match commit_batches(table, &waiting).await {
            Ok(Err(_)) => continue,
            Ok(Ok(version)) => Ok(version),
            Err(error) => Err(error),
        };
        return answer_all(table, waiting, &committed).await;
    }
}

/// Answers the batches that have been landed before, and those that an erasure has made void; gives back the others.
async fn answer_settled(
    table: &Arc<LakeTable>,
    waiting: Vec<Waiting>,
) -> Result<Vec<Waiting>, (Vec<Waiting>, Error)> {
    let mut left = Vec::with_capacity(waiting.len());
    let mut unsettled = waiting.into_iter();
    while let Some(one) = unsettled.next() {
        match settled(table, &one.batch).await {
            Ok(None) => left.push(one),
            Ok(Some(result)) => {
                table.discard(&one.batch.staged).await;
                answer(table, one, result).await;
            }
            Err(error) => {
                left.push(one);
                left.extend(unsettled);
                return Err((left, error));
            }
        }
    }
    Ok(left)
}

/// What is to be answered to a batch without a commit, if anything is.
async fn settled(table: &LakeTable, batch: &Batch) -> Result<Option<Result<Committed>>> {
    if let Some(first) = earlier(table, &batch.name).await? {
        return Ok(Some(first.check_content(batch.content).map(|()| first)));
    }
    let table_name = &table.spec.name;
    if batch.staged.iter().any(NewFile::is_too_old) {
        let message =
            format!("table {table_name}: the rows took longer than 12 hours to arrive; land them in parts");
        return Ok(Some(Err(Error::timeout(message))));
    }
    let Some(least) = batch.staged.iter().map(|file| file.erasures).min() else { return Ok(None) };
    let is_void = table.erasures(&batch.store).await? > least;
    let message = "a customer was erased while the rows arrived; land them again";
    Ok(is_void.then(|| Err(Error::conflict(format!("table {table_name}: {message}")))))
}

async fn answer_all(table: &LakeTable, waiting: Vec<Waiting>, committed: &Result<u64>) {
    if let Err(error) = committed {
        tracing::error!(table = %table.spec.name, error = ?error, "a group of landings was not committed");
    }
    for one in waiting {
        let result = match committed {
            Ok(version) => Ok(Committed {
                version: *version,
                row_count: one.batch.row_count,
                is_repeat: false,
                content: one.batch.content.map(shortened),
            }),
            Err(error) => Err(Error::new(error.kind(), error.message())),
        };
        answer(table, one, result).await;
    }
}

/// Answers at once, as nobody may: see [`Bug::AcknowledgedEarly`].
fn acknowledge(mut waiting: Vec<Waiting>) -> Vec<Waiting> {
    for one in &mut waiting {
        let (nobody, _) = oneshot::channel();
        let row_count = one.batch.row_count;
        let early = Committed { version: 0, row_count, is_repeat: false, content: None };
        let _ = std::mem::replace(&mut one.reply, nobody).send(Ok(early));
    }
    waiting
}

/// Commits batches together; a refusal means that they have to be looked at again.
async fn commit_batches(table: &Arc<LakeTable>, waiting: &[Waiting]) -> Result<Result<u64, Refusal>> {
    let mut change = Change::new(Operation::Land);
    let mut rows_of_stores: BTreeMap<&str, Vec<RecordBatch>> = BTreeMap::new();
    let at = table.next_landed_us();
    for Waiting { batch, .. } in waiting {
        let rows = rows_of_stores.entry(&batch.store).or_default();
        for landed in &batch.rows {
            rows.push(stamp(table, landed, &batch.name, at)?);
        }
        change.adds.extend(batch.staged.iter().cloned());
        if let Some(Remembered { receipt, content }) = &batch.name.remembered {
            change.notes.push((receipt.clone(), Note::Receipt { rows: batch.row_count }));
            change.notes.extend(batch.content.map(|hash| (content.clone(), Note::Number(shortened(hash)))));
            change.unmoved.push((receipt.clone(), None));
        }
    }
    let mut written = Vec::new();
    for (store, rows) in rows_of_stores {
        if !rows.is_empty() {
            written.extend(FileWriter::begin(table, store).await?.write_landed(rows, at).await?);
        }
    }
    change.adds.extend(written.iter().cloned());
    if change.adds.is_empty() && change.notes.is_empty() {
        return Ok(Ok(table.snapshot().await?.version.unwrap_or(0)));
    }
    let committed = table.try_commit(&change).await?.map(|made| made.version);
    if committed.is_err() {
        // They are written again; what was staged is the batches' own.
        table.discard(&written).await;
    }
    Ok(committed)
}

async fn earlier(table: &LakeTable, name: &BatchName) -> Result<Option<Committed>> {
    let Some(Remembered { receipt, content }) = &name.remembered else { return Ok(None) };
    let Some(number) = table.noted(receipt).await? else { return Ok(None) };
    let (version, row_count) = unpack_receipt(number);
    let content = table.noted(content).await?;
    Ok(Some(Committed { version, row_count, is_repeat: true, content }))
}

/// Answers a batch and its repeats. A receiver that has gone away has given up waiting, not its batch.
async fn answer(table: &LakeTable, one: Waiting, result: Result<Committed>) {
    for (repeat, reply) in one.repeats {
        table.discard(&repeat.staged).await;
        let _ = reply.send(match &result {
            Ok(first) => {
                first.check_content(repeat.content).map(|()| Committed { is_repeat: true, ..*first })
            }
            Err(error) => Err(Error::new(error.kind(), error.message())),
        });
    }
    let _ = one.reply.send(result);
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
