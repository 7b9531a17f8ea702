//! The encoder: one batch after another, for answers that are whole and for those that stream.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::names::with_unique_names;
use super::{EncodeOptions, Format, csv, json, xlsx};
use crate::error::{Error, Result};

/// Rows of a Parquet row group: small enough to hold in memory for every answer being sent.
const PARQUET_ROW_GROUP_ROWS: usize = 128 * 1024;

/// Encodes a whole answer.
pub fn encode(
    format: Format,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    options: &EncodeOptions,
    mut out: impl Write,
) -> Result<()> {
    let unwritten =
        |error: std::io::Error| Error::unavailable("the answer could not be written").with_source(error);
    let mut encoder = Encoder::new(format, schema, options)?;
    let mut buffer = Vec::new();
    for batch in batches {
        encoder.write(batch, &mut buffer)?;
        out.write_all(&buffer).map_err(unwritten)?;
        buffer.clear();
    }
    encoder.finish(&mut buffer)?;
    out.write_all(&buffer).map_err(unwritten)
}

/// Encodes batches one by one. Whatever was written makes a valid document only after `finish`.
pub struct Encoder {
    schema: SchemaRef,
    options: EncodeOptions,
    rows: usize,
    has_begun: bool,
    sink: Sink,
}

enum Sink {
    Json { keys: Vec<String> },
    Ndjson { keys: Vec<String> },
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Xlsx(Box<xlsx::Sheet>),
}

impl Encoder {
    pub fn new(format: Format, schema: &SchemaRef, options: &EncodeOptions) -> Result<Self> {
        let schema = with_unique_names(schema);
        let sink = match format {
            Format::Json => Sink::Json { keys: json::keys(&schema) },
            Format::Ndjson => Sink::Ndjson { keys: json::keys(&schema) },
            Format::Csv => Sink::Csv,
            Format::Arrow => Sink::Arrow(Box::new(
                StreamWriter::try_new(Vec::new(), &schema).map_err(|error| refused(format, error))?,
            )),
            Format::Parquet => Sink::Parquet(Box::new(parquet_writer(&schema)?)),
            Format::Xlsx => Sink::Xlsx(Box::new(xlsx::Sheet::new(&schema, options.folder.as_deref())?)),
        };
        Ok(Self { schema, options: options.clone(), rows: 0, has_begun: false, sink })
    }

    /// Appends the bytes of a batch that are ready to leave.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out);
        match &mut self.sink {
            Sink::Json { keys } => {
                if self.rows > 0 && batch.num_rows() > 0 {
                    out.push(b',');
                }
                json::rows(batch, keys, self.options.style.numbers, b',', out);
                if batch.num_rows() > 0 {
                    out.pop();
                }
            }
            Sink::Ndjson { keys } => json::rows(batch, keys, self.options.style.numbers, b'\n', out),
            Sink::Csv => csv::rows(batch, self.options.style.for_spreadsheets, out),
            Sink::Arrow(writer) => {
                let batch = renamed(batch, &self.schema)?;
                writer.write(&batch).map_err(|error| refused(Format::Arrow, error))?;
                out.append(writer.get_mut());
            }
            Sink::Parquet(writer) => {
                let batch = renamed(batch, &self.schema)?;
                writer.write(&batch).map_err(|error| refused(Format::Parquet, error))?;
                out.append(writer.inner_mut());
            }
            Sink::Xlsx(sheet) => sheet.write(batch)?,
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Appends what completes the document.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        self.begin(out);
        match self.sink {
            Sink::Json { .. } => {
                let version = serde_json::Value::from(self.options.data_version.get());
                out.extend_from_slice(
                    format!("],\"rows\":{},\"data_version\":{version}}}\n", self.rows).as_bytes(),
                );
            }
            Sink::Ndjson { .. } | Sink::Csv => {}
            Sink::Arrow(mut writer) => {
                writer.finish().map_err(|error| refused(Format::Arrow, error))?;
                out.append(writer.get_mut());
            }
            Sink::Parquet(mut writer) => {
                writer.finish().map_err(|error| refused(Format::Parquet, error))?;
                out.append(writer.inner_mut());
            }
            Sink::Xlsx(sheet) => sheet.finish(out)?,
        }
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        match &self.sink {
            Sink::Json { .. } => {
                let meta = serde_json::Value::Array(json::meta(&self.schema));
                out.extend_from_slice(format!("{{\"meta\":{meta},\"data\":[").as_bytes());
            }
            Sink::Csv => csv::header(&self.schema, self.options.style.for_spreadsheets, out),
            Sink::Ndjson { .. } | Sink::Arrow(_) | Sink::Parquet(_) | Sink::Xlsx(_) => {}
        }
    }
}

fn parquet_writer(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(PARQUET_ROW_GROUP_ROWS))
        .build();
    ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties))
        .map_err(|error| refused(Format::Parquet, error))
}

/// Puts the unique names on a batch.
fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    batch
        .clone()
        .with_schema(Arc::clone(schema))
        .or_else(|_| RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()))
        .map_err(|error| Error::internal("a batch does not fit the schema of its answer").with_source(error))
}

/// JSON and CSV can spell every type; Arrow and Parquet can lack one.
fn refused(format: Format, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let name = format.name();
    Error::invalid(format!("a column has a type that {name} cannot hold; cast it, or ask for json"))
        .with_source(error)
}
