//! Landing: a body is parsed on a blocking thread, held or staged as it comes, and committed whole.

use std::io::Read;
use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tokio::sync::mpsc;

use super::open::{Engine, check_store};
use crate::error::{Error, Problem, Result};
use crate::lake::{Batch, BatchName, Committed, FileWriter, Landing, NewFile};
use crate::land::{BadRow, Chunk, LandRequest, OnError, Receipt};
use crate::schema::TableSpec;

/// Rows held in memory before they are staged as files, in bytes of arrow arrays. Sorting and encoding take
/// several times as much; a large body is to land in half a gigabyte.
const HELD_BYTES: usize = 32 << 20;
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
            first.check_content(Some(content_hash(body).await?))?;
            let quarantined = self.quarantined_before(store, table, &request).await?;
            return Ok(receipt(&spec, &name, first, quarantined));
        }
        let mut intake = Intake::new(landing, store, name.clone(), request.on_error);
        let outcome = intake.read(spec.clone(), Box::new(body), &request).await;
        if let Err(error) = outcome.and_then(|()| intake.verdict()) {
            landing.discard(&intake.staged).await;
            return Err(error);
        }
        let quarantined = intake.bad.len() as u64;
        if quarantined > 0 {
            self.quarantine(store, &spec, &name, &intake.bad, &request).await?;
        }
        let committed = landing
            .commit(Batch {
                store: store.to_owned(),
                name: name.clone(),
                rows: intake.held,
                staged: intake.staged,
                row_count: intake.row_count,
                content: intake.content,
            })
            .await?;
        if self.inner.options.background_compaction {
            self.inner.upkeep.landed(store, table);
        }
        Ok(receipt(&spec, &name, committed, quarantined))
    }

    /// Bad rows land first: a crash in between leaves them there, and a repeat finds them by their names.
    async fn quarantine(
        &self,
        store: &str,
        spec: &TableSpec,
        name: &BatchName,
        bad: &[BadRow],
        request: &LandRequest,
    ) -> Result<()> {
        let landing = self.inner.lake.landing(QUARANTINE)?;
        let quarantine = self.inner.lake.table(QUARANTINE)?.spec.clone();
        let rows = quarantine_rows(&quarantine, spec, name, bad)?;
        let batch = Batch {
            store: store.to_owned(),
            name: quarantine_name(store, &spec.name, request),
            row_count: rows.num_rows() as u64,
            rows: vec![rows],
            staged: Vec::new(),
            content: None,
        };
        landing.commit(batch).await.map(drop)
    }

    async fn quarantined_before(&self, store: &str, table: &str, request: &LandRequest) -> Result<u64> {
        let landing = self.inner.lake.landing(QUARANTINE)?;
        let earlier = landing.earlier(&quarantine_name(store, table, request)).await?;
        Ok(earlier.map_or(0, |committed| committed.row_count))
    }
}

/// The hash of a body that need not be parsed.
async fn content_hash(body: impl Read + Send + 'static) -> Result<u64> {
    tokio::task::spawn_blocking(move || crate::land::content_hash(Box::new(body)))
        .await
        .map_err(|error| Error::internal("reading the body").with_source(error))?
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
    landing: &'a Landing,
    store: &'a str,
    name: BatchName,
    on_error: OnError,
    held: Vec<RecordBatch>,
    staged: Vec<NewFile>,
    /// Begun with the first rows that are staged.
    writer: Option<FileWriter>,
    row_count: u64,
    /// The hash of the body, once it was read.
    content: Option<u64>,
    bad: Vec<BadRow>,
    problems: Vec<Problem>,
    problem_count: u64,
}

impl<'a> Intake<'a> {
    fn new(landing: &'a Landing, store: &'a str, name: BatchName, on_error: OnError) -> Self {
        Self {
            landing,
            store,
            name,
            on_error,
            held: Vec::new(),
            staged: Vec::new(),
            writer: None,
            row_count: 0,
            content: None,
            bad: Vec::new(),
            problems: Vec::new(),
            problem_count: 0,
        }
    }

    async fn read(
        &mut self,
        spec: Arc<TableSpec>,
        body: Box<dyn Read + Send>,
        request: &LandRequest,
    ) -> Result<()> {
        let (chunks, mut parsed) = mpsc::channel::<Result<Chunk>>(CHUNKS_AHEAD);
        let (store, request) = (self.store.to_owned(), request.clone());
        let parser = tokio::task::spawn_blocking(move || {
            let mut rows =
                match crate::land::parse(&spec, &store, request.file_name.as_deref(), body, &request) {
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
        });
        while let Some(chunk) = parsed.recv().await {
            self.take(chunk?).await?;
        }
        self.content =
            parser.await.map_err(|error| Error::internal("reading the body").with_source(error))?;
        Ok(())
    }

    async fn take(&mut self, chunk: Chunk) -> Result<()> {
        for bad in chunk.bad {
            self.problem_count += bad.problems.len() as u64;
            let room = LISTED_PROBLEMS.saturating_sub(self.problems.len());
            self.problems.extend(bad.problems.iter().take(room).cloned());
            if self.on_error == OnError::Quarantine {
                self.bad.push(bad);
            }
        }
        let is_refused = self.on_error == OnError::Refuse && self.problem_count > 0;
        if is_refused || chunk.rows.num_rows() == 0 {
            return Ok(());
        }
        self.row_count += chunk.rows.num_rows() as u64;
        self.held.push(chunk.rows);
        let held_bytes: usize = self.held.iter().map(RecordBatch::get_array_memory_size).sum();
        if held_bytes >= HELD_BYTES {
            let rows = std::mem::take(&mut self.held);
            let writer = match &mut self.writer {
                Some(writer) => writer,
                none => none.insert(self.landing.begin(self.store).await?),
            };
            self.staged.extend(self.landing.stage(writer, &self.name, rows).await?);
        }
        Ok(())
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

fn quarantine_rows(
    quarantine: &TableSpec,
    spec: &TableSpec,
    name: &BatchName,
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
                bad.iter().map(|bad| format!("{}-{}", name.batch_id, bad.row)),
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
