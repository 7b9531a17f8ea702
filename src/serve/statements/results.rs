//! Results that wait: Arrow IPC files of the process's own, within a quota, gone with the last who reads them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_ipc::CompressionType;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use futures::Stream;
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Bytes that all results together may take.
#[derive(Debug)]
pub(super) struct Quota {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Quota {
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let used = self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used <= self.limit_bytes {
            return Ok(());
        }
        self.give_back(bytes);
        Err(Error::limit(format!(
            "results that wait to be fetched have their {} bytes: narrow the question, or drop results with DELETE /v1/sql/ID",
            self.limit_bytes
        )))
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A file, and its part of the quota; both go when it is dropped.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    bytes: u64,
    quota: Arc<Quota>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.quota.give_back(self.bytes);
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "a result's file cannot be removed");
        }
    }
}

/// A result that is being written.
pub(super) struct Draft {
    writer: FileWriter<Counted>,
    schema: SchemaRef,
    /// The number of rows up to the end of each batch.
    ends: Vec<u64>,
    place: Place,
}

/// A whole result.
#[derive(Debug)]
pub struct Kept {
    pub schema: SchemaRef,
    pub data_version: String,
    ends: Vec<u64>,
    place: Place,
}

impl Draft {
    pub fn begin(path: PathBuf, schema: &Schema, quota: Arc<Quota>) -> Result<Self> {
        let schema = Arc::new(plain_schema(schema));
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::ZSTD))
            .map_err(unwritten)?;
        let file = File::create_new(&path).map_err(unwritten)?;
        let place = Place { path, bytes: 0, quota };
        let file = Counted { file: BufWriter::new(file), bytes: 0 };
        let writer = FileWriter::try_new_with_options(file, &schema, options).map_err(|error| {
            Error::invalid("a column has a type that cannot wait as a file: cast it").with_source(error)
        })?;
        Ok(Self { writer, schema, ends: Vec::new(), place })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(unwritten)?;
        let plain = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(unwritten)?;
        self.writer.write(&plain).map_err(unwritten)?;
        self.ends.push(self.ends.last().unwrap_or(&0) + batch.num_rows() as u64);
        self.settle()
    }

    pub fn finish(mut self, data_version: String) -> Result<Kept> {
        self.writer.finish().map_err(unwritten)?;
        self.settle()?;
        Ok(Kept { schema: self.schema, data_version, ends: self.ends, place: self.place })
    }

    /// Takes of the quota what was written since.
    fn settle(&mut self) -> Result<()> {
        let written = self.writer.get_ref().bytes;
        self.place.quota.take(written - self.place.bytes)?;
        self.place.bytes = written;
        Ok(())
    }
}

impl Kept {
    pub fn rows(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The size of its file.
    pub fn bytes(&self) -> u64 {
        self.place.bytes
    }

    /// Reads a range of rows; the file stays while somebody reads it.
    pub fn read(
        self: &Arc<Self>,
        offset: u64,
        limit: u64,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
        let kept = Arc::clone(self);
        let (sender, batches) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            let failed = kept.send(offset, offset.saturating_add(limit), &sender).err();
            if let Some(error) = failed {
                // Who has gone wants no error either.
                let _ = sender.blocking_send(Err(error));
            }
        });
        futures::stream::unfold(batches, |mut batches| async move { Some((batches.recv().await?, batches)) })
    }

    fn send(&self, from: u64, to: u64, sender: &mpsc::Sender<Result<RecordBatch>>) -> Result<()> {
        let file = File::open(&self.place.path).map_err(unread)?;
        let mut reader = FileReader::try_new(BufReader::new(file), None).map_err(unread)?;
        let first = self.ends.partition_point(|end| *end <= from);
        for at in first..self.ends.len() {
            let start = if at == 0 { 0 } else { self.ends[at - 1] };
            if start >= to {
                break;
            }
            reader.set_index(at).map_err(unread)?;
            let Some(batch) = reader.next() else { break };
            let batch = batch.map_err(unread)?;
            let skipped = from.saturating_sub(start) as usize;
            let taken = (to.min(self.ends[at]) - start) as usize - skipped;
            if sender.blocking_send(Ok(batch.slice(skipped, taken))).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Text and bytes in pieces of their own, and no dictionaries: a view would bring all the memory that it shares, and a
/// file has one dictionary a column.
fn plain_schema(schema: &Schema) -> Schema {
    let plain = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    };
    let fields = schema.fields().iter().map(|field| {
        let once = plain(field.data_type());
        Field::clone(field).with_data_type(plain(&once))
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// Counts what goes through it.
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn unwritten(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("the result could not be kept: the folder of spilled data cannot be written")
        .with_source(error)
}

fn unread(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("the result that was kept could not be read: ask again").with_source(error)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use futures::TryStreamExt as _;

    use super::*;

    fn batch(from: i64, to: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
        let names: ArrayRef =
            Arc::new(StringViewArray::from_iter_values((from..to).map(|n| format!("name {n}"))));
        RecordBatch::try_from_iter([("n", numbers), ("name", names)]).unwrap()
    }

    fn kept(folder: &std::path::Path, quota: &Arc<Quota>) -> Result<Arc<Kept>> {
        let mut draft = Draft::begin(folder.join("a.arrow"), &batch(0, 1).schema(), Arc::clone(quota))?;
        for batch in [batch(0, 10), batch(0, 0), batch(10, 15), batch(15, 40)] {
            draft.write(&batch)?;
        }
        draft.finish("v1".into()).map(Arc::new)
    }

    async fn numbers(kept: &Arc<Kept>, offset: u64, limit: u64) -> Vec<i64> {
        let batches: Vec<RecordBatch> = kept.read(offset, limit).try_collect().await.unwrap();
        batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[tokio::test]
    async fn any_range_of_a_result_is_read_as_often_as_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path(), &Arc::new(Quota::new(1 << 20))).unwrap();
        assert_eq!(kept.rows(), 40);
        for (offset, limit) in
            [(0, u64::MAX), (0, 3), (9, 2), (10, 5), (14, 30), (39, 1), (40, 1), (100, 1), (3, 0)]
        {
            let expected: Vec<i64> = (0..40).skip(offset as usize).take(limit.min(100) as usize).collect();
            assert_eq!(numbers(&kept, offset, limit).await, expected, "{offset} {limit}");
        }
        assert_eq!(kept.schema.field(1).data_type(), &DataType::Utf8);
    }

    #[tokio::test]
    async fn a_file_and_its_part_of_the_quota_go_with_the_last_reader() {
        let folder = tempfile::tempdir().unwrap();
        let quota = Arc::new(Quota::new(1 << 20));
        let kept = kept(folder.path(), &quota).unwrap();
        assert_eq!(quota.used_bytes.load(Ordering::Relaxed), kept.bytes());
        assert_eq!(std::fs::metadata(folder.path().join("a.arrow")).unwrap().len(), kept.bytes());
        let rows = kept.read(0, 100);
        drop(kept);
        assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 3);
        // The reading thread ends after its last row has left.
        for _ in 0..1000 {
            if quota.used_bytes.load(Ordering::Relaxed) == 0 {
                break;
            }
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_beyond_the_quota_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let quota = Arc::new(Quota::new(100));
        let error = kept(folder.path(), &quota).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::LimitExceeded);
        assert_eq!(quota.used_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
