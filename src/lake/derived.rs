//! Tables that follow others: what changed in those since, and new rows in the place of old ones.
//!
//! A derived table's log remembers, for each table it is computed from, the version of the data that it has seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::log::{Change, NewFile, Note, Operation, Snapshot};
use super::newest::read_file;
use super::replace::stamp;
use super::row_order::{FileOrder, version_columns};
use super::table::LakeTable;
use super::write::{FileWriter, column, month_name, month_numbers};
use crate::error::{Error, Result};

/// Rows of one month that are encoded at once.
const ROWS_AT_ONCE: usize = 32 * 1024;
/// Batches of one month that wait to be encoded.
const BATCHES_AHEAD: usize = 2;

/// What a derived table has seen of the tables it is computed from: their names and the versions of the store's data.
pub type Seen = Vec<(String, u64)>;

/// One attempt to bring a store's rows up to date: what they were computed from, and what they will have seen.
#[derive(Debug)]
pub struct Refresh {
    store: String,
    writer: FileWriter,
    /// What the table had seen when the attempt began: if that moves, somebody else was faster.
    known: Vec<(String, Option<u64>)>,
    seen: Seen,
}

impl Refresh {
    /// Begins an attempt; what it reads has to be read after this.
    pub async fn begin(table: &Arc<LakeTable>, store: &str, inputs: &[&str]) -> Result<Self> {
        let writer = FileWriter::begin(table, store).await?;
        let mut known = Vec::with_capacity(inputs.len());
        for input in inputs {
            known.push((seen_id(store, input), table.seen(store, input).await?));
        }
        Ok(Self { store: store.to_owned(), writer, known, seen: Vec::new() })
    }

    /// Says what the rows are computed from.
    #[must_use]
    pub fn of(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    fn change(&self, operation: Operation) -> Change {
        let notes = seen_notes(&self.store, self.seen.clone());
        Change { notes, unmoved: self.known.clone(), ..Change::new(operation) }
    }
}

impl LakeTable {
    /// The version of another table's data that this derived table has seen; none where it never was computed.
    pub async fn seen(&self, store: &str, input: &str) -> Result<Option<u64>> {
        self.noted(&seen_id(store, input)).await
    }

    /// The store's rows that were landed after a version of the data and count; `None` if they cannot be told from older
    /// ones. A row that came late and replaced nothing has changed nothing.
    pub async fn rows_since(
        &self,
        store: &str,
        snapshot: &Snapshot,
        version: u64,
        columns: &[&str],
    ) -> Result<Option<Vec<RecordBatch>>> {
        let mut columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let files = snapshot.files_of(store);
        let newest = self.newest_versions(store, files).await?;
        if newest.is_some() {
            columns.extend(version_columns(&self.spec));
        }
        let mut rows = Vec::new();
        for file in files {
            if file.data_version <= version {
                continue;
            }
            if file.is_compacted() {
                return Ok(None);
            }
            let mut batches = read_file(self, &file.path, file.size_bytes, Some(&columns)).await?;
            while let Some(batch) = batches.try_next().await? {
                rows.push(match &newest {
                    Some(newest) => newest.keep_current(&self.spec, batch, FileOrder::of(file))?,
                    None => batch,
                });
            }
        }
        Ok(Some(rows))
    }

    /// Puts new rows in the place of those of some keys. Keys without any are given as rows that say so.
    pub async fn replace_keys(
        &self,
        refresh: Refresh,
        rows: Vec<RecordBatch>,
        gone: RecordBatch,
    ) -> Result<u64> {
        let at_us = self.next_landed_us();
        let row_count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let rows = std::iter::once(gone).chain(rows).filter(|batch| batch.num_rows() > 0);
        let rows = rows.map(|batch| stamp(&self.spec, &batch, at_us)).collect::<Result<_>>()?;
        let adds = refresh.writer.write_landed(rows, at_us).await?;
        let change = Change { adds, ..refresh.change(Operation::Refresh) };
        self.commit(change).await?;
        Ok(row_count)
    }

    /// Puts the rows of some streams, each of them in the table's order, in the place of all of the store's.
    pub async fn rebuild(
        self: &Arc<Self>,
        refresh: Refresh,
        streams: Vec<SendableRecordBatchStream>,
    ) -> Result<u64> {
        let at_us = self.next_landed_us();
        let removes = self.snapshot().await?.files_of(&refresh.store).to_vec();
        let mut writers = JoinSet::new();
        for stream in streams {
            let writer = MonthWriters::new(self.clone(), refresh.writer.clone(), at_us);
            writers.spawn(writer.write(stream));
        }
        let (mut adds, mut row_count) = (Vec::new(), 0);
        while let Some(written) = writers.join_next().await {
            let (written, rows) = written.map_err(failed)??;
            adds.extend(written);
            row_count += rows;
        }
        let change = Change { adds, removes, ..refresh.change(Operation::Replace) };
        self.commit(change).await?;
        Ok(row_count)
    }
}

/// One writer a month for the rows of a stream, which have the months mixed.
struct MonthWriters {
    table: Arc<LakeTable>,
    writer: FileWriter,
    at_us: i64,
    months: HashMap<String, MonthWriter>,
    writing: JoinSet<Result<Vec<NewFile>>>,
}

struct MonthWriter {
    batches: mpsc::Sender<RecordBatch>,
    held: Vec<RecordBatch>,
    held_rows: usize,
}

impl MonthWriters {
    fn new(table: Arc<LakeTable>, writer: FileWriter, at_us: i64) -> Self {
        Self { table, writer, at_us, months: HashMap::new(), writing: JoinSet::new() }
    }

    async fn write(mut self, mut rows: SendableRecordBatchStream) -> Result<(Vec<NewFile>, u64)> {
        let mut row_count = 0;
        while let Some(batch) = rows.try_next().await? {
            row_count += batch.num_rows() as u64;
            let batch = stamp(&self.table.spec, &batch, self.at_us)?;
            for (month, rows) in by_month(&self.table, &batch)? {
                if self.hold(month, rows).await.is_err() {
                    // The writer has failed, and says why below.
                    break;
                }
            }
        }
        for (_, mut month) in std::mem::take(&mut self.months) {
            // As above.
            let _ = month.flush(&self.table).await;
        }
        let mut adds = Vec::new();
        while let Some(written) = self.writing.join_next().await {
            adds.extend(written.map_err(failed)??);
        }
        Ok((adds, row_count))
    }

    async fn hold(&mut self, month: String, rows: RecordBatch) -> Result<()> {
        let (table, files, writing) = (&self.table, &self.writer, &mut self.writing);
        let writer = self.months.entry(month).or_insert_with_key(|month| {
            let (batches, incoming) = mpsc::channel(BATCHES_AHEAD);
            let (schema, files, month) = (table.spec.file_schema(), files.clone(), Some(month.clone()));
            writing.spawn(async move {
                let rows = futures::stream::unfold(incoming, |mut incoming| async {
                    incoming.recv().await.map(|batch| (Ok(batch), incoming))
                });
                let rows = RecordBatchStreamAdapter::new(schema, Box::pin(rows));
                files.write_sorted(month, Box::pin(rows)).await
            });
            MonthWriter { batches, held: Vec::new(), held_rows: 0 }
        });
        writer.held_rows += rows.num_rows();
        writer.held.push(rows);
        if writer.held_rows < ROWS_AT_ONCE { Ok(()) } else { writer.flush(table).await }
    }
}

impl MonthWriter {
    async fn flush(&mut self, table: &LakeTable) -> Result<()> {
        let rows = concat_batches(&table.spec.file_schema(), &std::mem::take(&mut self.held));
        let rows = rows.map_err(|error| Error::internal("joining rows").with_source(error))?;
        self.held_rows = 0;
        self.batches.send(rows).await.map_err(|_| Error::internal("a writer has stopped"))
    }
}

/// The rows of each month, in the order that they were in.
fn by_month(table: &LakeTable, rows: &RecordBatch) -> Result<BTreeMap<String, RecordBatch>> {
    let Some(month) = &table.spec.month else { return Err(Error::internal("a table without months")) };
    let mut places: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    let numbers = month_numbers(&table.spec, column(rows, &month.of)?)?;
    for (row, number) in (0..).zip(numbers.values()) {
        places.entry(*number).or_default().push(row);
    }
    let take = |(number, places)| {
        let rows = take_record_batch(rows, &UInt32Array::from(places));
        Ok((month_name(number), rows.map_err(|error| Error::internal("parting rows").with_source(error))?))
    };
    places.into_iter().map(take).collect()
}

fn failed(error: tokio::task::JoinError) -> Error {
    Error::internal("writing a derived table").with_source(error)
}

pub fn seen_id(store: &str, input: &str) -> String {
    format!("seen/{store}/{input}")
}

/// What was seen, as the log keeps it.
pub fn seen_notes(store: &str, seen: Seen) -> Vec<(String, Note)> {
    seen.into_iter().map(|(input, version)| (seen_id(store, &input), Note::Number(version))).collect()
}
