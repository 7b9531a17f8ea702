//! Parquet and Arrow IPC: columns by name, cast only where that loses nothing.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::builder::{Layout, RowSink, Slot, problem};
use super::columns::{Column, json_lines, refuse_type};
use super::extras::{check_count, check_name};
use super::ipc_check::{check_file, check_stream};
use super::read::{FileKind, RowSource};
use super::value::Raw;
use crate::error::{Error, Problem, Result};

const PARQUET: &str = "the Parquet file cannot be read: it is damaged, cut off, or packed by other means than zstd, snappy or gzip";
const ARROW: &str =
    "the Arrow data cannot be read: it is damaged, cut off, or packed by other means than zstd";
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

pub(super) struct BatchSource {
    batches: Batches,
    damaged: &'static str,
    layout: Arc<Layout>,
    fields: Vec<(String, Slot)>,
    current: Option<Batch>,
    row: u64,
}

/// A batch that is being read row by row.
struct Batch {
    records: RecordBatch,
    columns: Vec<Option<Column>>,
    store: Option<Column>,
    extras: Option<Vec<String>>,
    /// All its rows as JSON, made when the first bad row asks for it.
    json: Option<Vec<String>>,
    next: usize,
}

fn read_parquet(file: File, layout: Arc<Layout>) -> Result<BatchSource> {
    let (schema, batches) = guard(PARQUET, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(ArrowError::from)?;
        let groups = builder.metadata().row_groups();
        let rows = groups.iter().map(|group| group.num_rows().max(0) as usize).sum::<usize>().max(1);
        let size = groups.iter().map(|group| group.total_byte_size().max(0) as usize).sum::<usize>();
        let batch_rows = (BATCH_BYTES / (size / rows).max(1)).clamp(1, BATCH_ROWS);
        let schema = Arc::clone(builder.schema());
        Ok((schema, Box::new(builder.with_batch_size(batch_rows).build()?) as Batches))
    })?;
    BatchSource::new(&schema, batches, PARQUET, layout)
}

fn read_arrow_file(mut file: File, layout: Arc<Layout>) -> Result<BatchSource> {
    check_file(&mut file)?;
    let reader = guard(ARROW, || FileReader::try_new_buffered(file, None))?;
    BatchSource::new(&reader.schema(), Box::new(reader), ARROW, layout)
}

fn read_arrow_stream(mut file: File, layout: Arc<Layout>) -> Result<BatchSource> {
    check_stream(&mut file)?;
    let reader = guard(ARROW, || StreamReader::try_new_buffered(file, None))?;
    BatchSource::new(&reader.schema(), Box::new(reader), ARROW, layout)
}

impl BatchSource {
    pub(super) fn of_file(file: File, kind: FileKind, layout: Arc<Layout>) -> Result<Self> {
        match kind {
            FileKind::Parquet => read_parquet(file, layout),
            FileKind::ArrowFile => read_arrow_file(file, layout),
            FileKind::ArrowStream => read_arrow_stream(file, layout),
        }
    }

    fn new(schema: &SchemaRef, batches: Batches, damaged: &'static str, layout: Arc<Layout>) -> Result<Self> {
        let name = |at: usize| schema.field(at).name().as_str();
        let slots: Vec<Slot> = (0..schema.fields().len()).map(|at| layout.slot(name(at), 0)).collect();
        let mut problems = layout.missing(&slots);
        for (at, slot) in slots.iter().enumerate() {
            problems.extend(check_name(name(at), 0));
            if schema.index_of(name(at)).ok() != Some(at) {
                problems.push(problem(0, name(at), "is in the file twice"));
            }
            if let Slot::Column(column) = slot {
                let reason =
                    refuse_type(layout.spec.columns[*column].kind, schema.field(at).data_type(), layout.zone);
                problems.extend(reason.map(|reason| problem(0, name(at), reason)));
            }
        }
        problems.extend(check_count(slots.iter().filter(|slot| **slot == Slot::Extra).count(), 0));
        if !problems.is_empty() {
            problems.truncate(100);
            let message = format!("the file's columns do not fit the table {}", layout.spec.name);
            return Err(Error::invalid(message).with_problems(problems));
        }
        let fields = (0..slots.len()).map(|at| (name(at).to_owned(), slots[at])).collect();
        Ok(Self { batches, damaged, layout, fields, current: None, row: 0 })
    }

    fn prepare(&self, batch: RecordBatch) -> Result<Batch> {
        guard(self.damaged, || {
            let position = |slot| self.fields.iter().position(|(_, other)| *other == slot);
            let column = |slot| position(slot).map(|at| Column::new(batch.column(at))).transpose();
            let columns = (0..self.layout.spec.columns.len()).map(|at| column(Slot::Column(at)));
            let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
            let store = column(Slot::Store)?;
            let mut unknown: Vec<usize> =
                (0..self.fields.len()).filter(|at| self.fields[*at].1 == Slot::Extra).collect();
            unknown.sort_by(|left, right| self.fields[*left].0.cmp(&self.fields[*right].0));
            let extras = (!unknown.is_empty()).then(|| json_lines(&batch.project(&unknown)?)).transpose()?;
            Ok(Batch { columns, store, extras, json: None, next: 0, records: batch })
        })
    }
}

impl RowSource for BatchSource {
    fn fill(&mut self, sink: &mut RowSink) -> Result<bool> {
        while !sink.is_full() {
            let Some(current) = self.current.as_mut().filter(|batch| batch.next < batch.records.num_rows())
            else {
                let next = guard(self.damaged, || self.batches.next().transpose())?;
                let Some(batch) = next else { return Ok(false) };
                self.current = Some(self.prepare(batch)?);
                continue;
            };
            self.row += 1;
            current.add_next(&self.layout, self.row, sink);
        }
        Ok(true)
    }
}

impl Batch {
    fn add_next(&mut self, layout: &Layout, row: u64, sink: &mut RowSink) {
        let at = self.next;
        self.next += 1;
        let store = self.store.as_ref().and_then(|column| layout.check_store(column.raw(at), row));
        let problems: Vec<Problem> = store.into_iter().collect();
        let values =
            self.columns.iter().map(|column| column.as_ref().map_or(Raw::Null, |column| column.raw(at)));
        let extras = self.extras.as_ref().map(|lines| lines[at].as_str()).filter(|json| *json != "{}");
        let (batch, json) = (&self.records, &mut self.json);
        sink.add(row, values, extras, problems, || {
            let lines = json.get_or_insert_with(|| json_lines(batch).unwrap_or_default());
            lines.get(at).cloned().unwrap_or_default()
        });
    }
}

/// Runs a decoder over bytes that may be damaged: its errors, and its panics, are the body's fault.
fn guard<T>(damaged: &'static str, read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| Error::invalid(damaged).with_source(error)),
        Err(_) => Err(Error::invalid(damaged)),
    }
}
