//! Landing: a body is parsed on a blocking thread, held or staged as it comes, and committed whole.

use std::io::Read;
use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::open::{Engine, Inner};
use crate::error::{Error, Problem, Result};
use crate::lake::{Batch, BatchName, Committed, FileWriter, Landing, NewFile};
use crate::land::{BadRow, Chunk, LandRequest, OnError, Receipt, parse};
use crate::schema::{TableSpec, check_store};

/// Rows held in memory before they are staged as files, in bytes of arrow arrays. Sorting and encoding take
/// several times as much; a large body is to land in half a gigabyte.
const HELD_BYTES: usize = 24 << 20;
/// Problems listed of a refused batch.
const LISTED_PROBLEMS: usize = 100;
/// Parsed chunks that may wait to be staged.
const CHUNKS_AHEAD: usize = 2;

const QUARANTINE: &str = "quarantine";

impl Engine {
    /// Lands a body whole, or refuses it whole with its problems; returns after the commit is durable.
    pub async fn land(
        &self,
        store: &str,
        table: &str,
        body: impl Read + Send + 'static,
        request: LandRequest,
    ) -> Result<Receipt> {
        check_store(store)?;
        let landing = self.inner.lake.landing(table)?;
        let spec = self.inner.lake.table(table)?.spec.clone();
        if spec.is_derived() {
            return Err(Error::invalid(format!(
                "table {table} is computed from others: land the raw tables instead"
            )));
        }
        let name = BatchName::new(store, table, request.idempotency_key.as_deref());
        if let Some(first) = landing.earlier(&name).await? {
            let reading = self.inner.reading.clone();
            let hashed = move || crate::land::content_hash(Box::new(body), &reading);
            first.check_content(Some(self.inner.landing_threads.run(store, hashed).await??))?;
            let quarantined = self.quarantined_before(store, table, &request).await?;
            return Ok(receipt(&spec, &name, first, quarantined));
        }
        let quarantine = self.inner.lake.landing(QUARANTINE)?;
        let mut intake = Intake {
            spec: spec.clone(),
            quarantine: self.inner.lake.table(QUARANTINE)?.spec.clone(),
            on_error: request.on_error,
            rows: Incoming::new(landing, store, name.clone()),
            bad: Incoming::new(quarantine, store, quarantine_name(store, table, &request)),
            problems: Vec::new(),
            problem_count: 0,
        };
        let outcome = intake.read(&self.inner, Box::new(body), &request).await;
        let content = match outcome.and_then(|content| intake.verdict().map(|()| content)) {
            Ok(content) => content,
            Err(error) => {
                intake.rows.discard().await;
                intake.bad.discard().await;
                return Err(error);
            }
        };
        // Bad rows land first: a crash in between leaves them there, and a repeat finds them by their names.
        let quarantined = intake.bad.row_count;
        if quarantined > 0
            && let Err(error) = intake.bad.commit(None).await
        {
            intake.rows.discard().await;
            return Err(error);
        }
        let committed = intake.rows.commit(content).await?;
        if self.inner.options.background_compaction {
            self.inner.upkeep.landed(store, table);
        }
        Ok(receipt(&spec, &name, committed, quarantined))
    }

    async fn quarantined_before(&self, store: &str, table: &str, request: &LandRequest) -> Result<u64> {
        let landing = self.inner.lake.landing(QUARANTINE)?;
        let earlier = landing.earlier(&quarantine_name(store, table, request)).await?;
        Ok(earlier.map_or(0, |committed| committed.row_count))
    }
}

/// The name of a batch's bad rows: remembered exactly where the batch itself is.
fn quarantine_name(store: &str, table: &str, request: &LandRequest) -> BatchName {
    let key = request.idempotency_key.as_ref().map(|key| format!("{table}/{key}"));
    BatchName::new(store, QUARANTINE, key.as_deref())
}

fn receipt(spec: &TableSpec, name: &BatchName, committed: Committed, quarantined: u64) -> Receipt {
    Receipt {
        batch_id: name.batch_id.clone(),
        table: spec.name.clone(),
        rows: committed.row_count,
        quarantined,
        version: committed.version,
        already_landed: committed.is_repeat,
    }
}

/// What has been read of one body so far.
struct Intake<'a> {
    spec: Arc<TableSpec>,
    quarantine: Arc<TableSpec>,
    on_error: OnError,
    rows: Incoming<'a>,
    /// Rows of the quarantine.
    bad: Incoming<'a>,
    problems: Vec<Problem>,
    problem_count: u64,
}

impl Intake<'_> {
    /// Reads a body to its end. Returns the hash of its content, if it is known.
    async fn read(
        &mut self,
        inner: &Inner,
        body: Box<dyn Read + Send>,
        request: &LandRequest,
    ) -> Result<Option<u64>> {
        let (chunks, mut parsed) = mpsc::channel::<Result<Chunk>>(CHUNKS_AHEAD);
        let (spec, store, request) = (self.spec.clone(), self.rows.store.to_owned(), request.clone());
        let reading = inner.reading.clone();
        let parse = move || {
            let mut rows = match parse(&spec, &store, request.file_name.as_deref(), body, &request, &reading)
            {
                Ok(rows) => rows,
                Err(error) => {
                    drop(chunks.blocking_send(Err(error)));
                    return None;
                }
            };
            for chunk in rows.by_ref() {
                if chunks.blocking_send(chunk).is_err() {
                    return None;
                }
            }
            Some(rows.content_hash())
        };
        let parser = inner.landing_threads.spawn(self.rows.store, parse).await?;
        while let Some(chunk) = parsed.recv().await {
            self.take(chunk?).await?;
        }
        self.rows.settle().await?;
        self.bad.settle().await?;
        parser.await.map_err(|error| Error::internal("reading the body").with_source(error))
    }

    async fn take(&mut self, chunk: Chunk) -> Result<()> {
        for bad in &chunk.bad {
            self.problem_count += bad.problems.len() as u64;
            let room = LISTED_PROBLEMS.saturating_sub(self.problems.len());
            self.problems.extend(bad.problems.iter().take(room).cloned());
        }
        match self.on_error {
            OnError::Refuse if self.problem_count > 0 => return Ok(()),
            OnError::Quarantine if !chunk.bad.is_empty() => {
                let batch_id = &self.rows.name.batch_id;
                let rows = quarantine_rows(&self.quarantine, &self.spec, batch_id, &chunk.bad)?;
                self.bad.take(rows).await?;
            }
            _ => {}
        }
        self.rows.take(chunk.rows).await
    }

    /// Whether the batch may land.
    fn verdict(&self) -> Result<()> {
        if self.on_error == OnError::Refuse && self.problem_count > 0 {
            let shown = self.problems.len();
            return Err(Error::invalid(format!(
                "the batch is refused and nothing of it landed: {} problems, {shown} listed",
                self.problem_count
            ))
            .with_problems(self.problems.clone()));
        }
        Ok(())
    }
}

/// Rows of one table on their way into the lake: held while they are few, then staged.
struct Incoming<'a> {
    landing: &'a Landing,
    store: &'a str,
    name: BatchName,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    staged: Vec<NewFile>,
    /// Rows that are being staged while the next are read.
    staging: Option<JoinHandle<Result<Vec<NewFile>>>>,
    /// Begun with the first rows that are staged.
    writer: Option<FileWriter>,
    row_count: u64,
}

impl<'a> Incoming<'a> {
    fn new(landing: &'a Landing, store: &'a str, name: BatchName) -> Self {
        let (held, staged) = (Vec::new(), Vec::new());
        Self { landing, store, name, held, held_bytes: 0, staged, staging: None, writer: None, row_count: 0 }
    }

    async fn take(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.row_count += rows.num_rows() as u64;
        self.held_bytes += rows.get_array_memory_size();
        self.held.push(rows);
        if self.held_bytes >= HELD_BYTES {
            self.stage().await?;
        }
        Ok(())
    }

    /// Begins to stage what is held.
    async fn stage(&mut self) -> Result<()> {
        self.settle().await?;
        self.held_bytes = 0;
        let rows = std::mem::take(&mut self.held);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.landing.begin(self.store).await?),
        };
        self.staging = Some(tokio::spawn(self.landing.stage(writer.clone(), self.name.clone(), rows)));
        Ok(())
    }

    /// Waits for the rows that are being staged.
    async fn settle(&mut self) -> Result<()> {
        if let Some(staging) = self.staging.take() {
            let staged = staging.await.map_err(|error| Error::internal("staging rows").with_source(error))?;
            self.staged.extend(staged?);
        }
        Ok(())
    }

    /// Commits what is held, and what was staged: nothing is being staged any more.
    async fn commit(&mut self, content: Option<u64>) -> Result<Committed> {
        let batch = Batch {
            store: self.store.to_owned(),
            name: self.name.clone(),
            rows: std::mem::take(&mut self.held),
            staged: std::mem::take(&mut self.staged),
            row_count: self.row_count,
            content,
        };
        self.landing.commit(batch).await
    }

    /// Deletes what was staged.
    async fn discard(&mut self) {
        if let Err(error) = self.settle().await {
            tracing::debug!(%error, "rows of a batch that is refused were not staged");
        }
        self.landing.discard(&self.staged).await;
    }
}

fn quarantine_rows(
    quarantine: &TableSpec,
    spec: &TableSpec,
    batch_id: &str,
    bad: &[BadRow],
) -> Result<RecordBatch> {
    let now = chrono::Utc::now().timestamp_micros();
    let reasons = |bad: &BadRow| {
        let texts: Vec<String> =
            bad.problems.iter().map(|problem| format!("{}: {}", problem.field, problem.reason)).collect();
        texts.join("; ")
    };
    let schema = quarantine.landed_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "quarantine_id" => Arc::new(StringArray::from_iter_values(
                bad.iter().map(|bad| format!("{batch_id}-{}", bad.row)),
            )),
            "table_name" => Arc::new(StringArray::from(vec![spec.name.as_str(); bad.len()])),
            "row_number" => {
                Arc::new(Int64Array::from_iter_values(bad.iter().map(|bad| bad.row.cast_signed())))
            }
            "raw" => Arc::new(StringArray::from_iter_values(bad.iter().map(|bad| &bad.raw))),
            "reasons" => Arc::new(StringArray::from_iter_values(bad.iter().map(reasons))),
            "quarantined_at" => {
                Arc::new(TimestampMicrosecondArray::from(vec![now; bad.len()]).with_timezone("UTC"))
            }
            _ => new_null_array(field.data_type(), bad.len()),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect())
        .map_err(|error| Error::internal("rows of quarantine do not fit its schema").with_source(error))
}
