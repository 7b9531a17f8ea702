//! The one way in: a body of any format to chunks of typed rows.

use std::io::Read;
use std::sync::Arc;

use super::body::ContentHash;
use super::builder::{Chunk, Layout, Limits, RowSink};
use super::columnar::{read_arrow_file, read_arrow_stream, read_parquet};
use super::csv::CsvSource;
use super::detect::{detect, is_arrow_file};
use super::ndjson::NdjsonSource;
use super::{Format, LandRequest, body};
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// Rows of one format, put into a sink.
pub(super) trait RowSource: Send {
    /// Adds rows until the sink is full; false when there are no more.
    fn fill(&mut self, sink: &mut RowSink) -> Result<bool>;
}

/// Chunks of a body in their order. The first error is the last item.
pub struct Rows {
    source: Box<dyn RowSource>,
    sink: RowSink,
    failed: Option<Error>,
    is_over: bool,
    hash: ContentHash,
}

impl Rows {
    /// The hash of the body, once all of its rows were read.
    pub fn content_hash(&self) -> u64 {
        self.hash.value()
    }
}

/// Reads a body of rows of one table, in bounded memory; blocks while it reads.
///
/// A row that does not fit is in [`Chunk::bad`], and reading goes on. What is wrong with the body as a
/// whole is an `invalid_request` error, here or as the last item, its problems naming row 0.
/// Empty text is no value, in every format.
pub fn parse(
    spec: &TableSpec,
    store: &str,
    file_name: Option<&str>,
    body: Box<dyn Read + Send>,
    request: &LandRequest,
) -> Result<Rows> {
    parse_within(spec, store, file_name, body, request, Limits::default())
}

/// Is [`parse`] with chunks of another size.
pub(super) fn parse_within(
    spec: &TableSpec,
    store: &str,
    file_name: Option<&str>,
    body: Box<dyn Read + Send>,
    request: &LandRequest,
    limits: Limits,
) -> Result<Rows> {
    let body = body::open(body)?;
    let format = detect(request.format, file_name, &body.head)?;
    let layout = Arc::new(Layout::new(spec, store, request.time_zone));
    let sink = RowSink::new(Arc::clone(&layout), limits);
    let source: Box<dyn RowSource> = match format {
        Format::Csv => Box::new(CsvSource::new(body.bytes, layout)?),
        Format::Ndjson => Box::new(NdjsonSource::new(body.bytes, layout)),
        Format::Parquet => Box::new(read_parquet(body.bytes, layout)?),
        Format::Arrow if is_arrow_file(&body.head) => Box::new(read_arrow_file(body.bytes, layout)?),
        Format::Arrow => Box::new(read_arrow_stream(body.bytes, layout)?),
    };
    Ok(Rows { source, sink, failed: None, is_over: false, hash: body.hash })
}

impl Iterator for Rows {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.is_over {
            match self.source.fill(&mut self.sink) {
                Ok(more) => self.is_over = !more,
                Err(error) => {
                    self.failed = Some(error);
                    self.is_over = true;
                }
            }
        }
        if !self.sink.is_empty() {
            return Some(self.sink.take());
        }
        self.failed.take().map(Err)
    }
}
