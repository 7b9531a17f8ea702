//! Tables that follow others: what changed in those since, and new rows in the place of old ones.
//!
//! A derived table's log remembers, for each table it is computed from, the version of the data that it has seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::kernel::Add;
use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::data_file::{LANDED_PREFIX, files_of_store};
use super::newest::read_file;
use super::operation::Operation;
use super::replace::{remove, stamp};
use super::table::{Change, Fence, LakeTable, Snapshot};
use super::write::{column, month_name, month_numbers, write_files, write_sorted};
use crate::error::{Error, Result};

/// Rows of one month that are encoded at once.
const ROWS_AT_ONCE: usize = 32 * 1024;
/// Batches of one month that wait to be encoded.
const BATCHES_AHEAD: usize = 2;

/// What a derived table has seen of the tables it is computed from: their names and the versions of the store's data.
pub type Seen = Vec<(String, u64)>;

impl LakeTable {
    /// The version of another table's data that this derived table has seen; none where it never was computed.
    pub async fn seen(&self, store: &str, input: &str) -> Result<Option<u64>> {
        self.transaction(&seen_id(store, input)).await
    }

    /// The store's rows that were landed after a version of the data; none where they cannot be told from older ones.
    pub async fn rows_since(
        &self,
        store: &str,
        snapshot: &Snapshot,
        version: u64,
        columns: &[&str],
    ) -> Result<Option<Vec<RecordBatch>>> {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut rows = Vec::new();
        for file in files_of_store(&snapshot.files, store) {
            if file.data_version <= version {
                continue;
            }
            if file.is_compacted() {
                return Ok(None);
            }
            rows.extend(read_file(self, file, Some(&columns)).await?.try_collect::<Vec<_>>().await?);
        }
        Ok(Some(rows))
    }

    /// Puts new rows in the place of those of some keys. Keys without any are given as rows that say so.
    pub async fn replace_keys(
        &self,
        store: &str,
        rows: Vec<RecordBatch>,
        gone: RecordBatch,
        seen: Seen,
        fence: Fence,
    ) -> Result<u64> {
        let at_us = self.next_ingested_us();
        let row_count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let rows = std::iter::once(gone).chain(rows).filter(|batch| batch.num_rows() > 0);
        let rows = rows.map(|batch| stamp(&self.spec, &batch, at_us)).collect::<Result<_>>()?;
        let adds = write_files(self, store, rows, LANDED_PREFIX, true).await?;
        let change =
            Change { adds, fence: Some(fence), transactions: seen_ids(store, seen), removes: vec![] };
        self.commit(change, Operation::Refresh).await?;
        Ok(row_count)
    }

    /// Puts the rows of some streams, each of them in the table's order, in the place of all of the store's.
    pub async fn rebuild(
        self: &Arc<Self>,
        store: &str,
        streams: Vec<SendableRecordBatchStream>,
        seen: Seen,
        fence: Fence,
    ) -> Result<u64> {
        let at_us = self.next_ingested_us();
        let snapshot = self.snapshot().await?;
        let removes = files_of_store(&snapshot.files, store).into_iter();
        let removes = removes.map(|file| remove(self, store, file, true)).collect();
        let mut writers = JoinSet::new();
        for stream in streams {
            let writer = MonthWriters::new(self.clone(), store.to_owned(), at_us);
            writers.spawn(writer.write(stream));
        }
        let (mut adds, mut row_count) = (Vec::new(), 0);
        while let Some(written) = writers.join_next().await {
            let (written, rows) = written.map_err(failed)??;
            adds.extend(written);
            row_count += rows;
        }
        for add in &mut adds {
            add.data_change = true;
        }
        let change = Change { adds, removes, fence: Some(fence), transactions: seen_ids(store, seen) };
        self.commit(change, Operation::Replace).await?;
        Ok(row_count)
    }
}

/// One writer a month for the rows of a stream, which have the months mixed.
struct MonthWriters {
    table: Arc<LakeTable>,
    store: String,
    at_us: i64,
    months: HashMap<String, MonthWriter>,
    writing: JoinSet<Result<Vec<Add>>>,
}

struct MonthWriter {
    batches: mpsc::Sender<RecordBatch>,
    held: Vec<RecordBatch>,
    held_rows: usize,
}

impl MonthWriters {
    fn new(table: Arc<LakeTable>, store: String, at_us: i64) -> Self {
        Self { table, store, at_us, months: HashMap::new(), writing: JoinSet::new() }
    }

    async fn write(mut self, mut rows: SendableRecordBatchStream) -> Result<(Vec<Add>, u64)> {
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
        let (table, store, writing) = (&self.table, &self.store, &mut self.writing);
        let writer = self.months.entry(month).or_insert_with_key(|month| {
            let (batches, incoming) = mpsc::channel(BATCHES_AHEAD);
            let (table, store, month) = (table.clone(), store.clone(), Some(month.clone()));
            writing.spawn(async move {
                let schema = table.spec.file_schema();
                let rows = futures::stream::unfold(incoming, |mut incoming| async {
                    incoming.recv().await.map(|batch| (Ok(batch), incoming))
                });
                let rows = RecordBatchStreamAdapter::new(schema, Box::pin(rows));
                write_sorted(&table, &store, month, Box::pin(rows)).await
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

fn seen_id(store: &str, input: &str) -> String {
    format!("seen/{store}/{input}")
}

/// What was seen, as the log keeps it.
pub fn seen_ids(store: &str, seen: Seen) -> Vec<(String, u64)> {
    seen.into_iter().map(|(input, version)| (seen_id(store, &input), version)).collect()
}
