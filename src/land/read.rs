//! The one way in: a body of any format to chunks of typed rows.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::apart::ApartRows;
use super::blocks::{Blocks, LineFormat};
use super::body::ContentHash;
use super::body::spool;
use super::builder::{Chunk, Layout, Limits, RowSink};
use super::columnar::BatchSource;
use super::csv::{Csv, Header};
use super::detect::{detect, is_arrow_file};
use super::ndjson::Ndjson;
use super::{Format, LandRequest, Reading, body};
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// Rows of one format, put into a sink.
pub(super) trait RowSource: Send {
    /// Adds rows until the sink is full; false when there are no more.
    fn fill(&mut self, sink: &mut RowSink) -> Result<bool>;

    /// The columns of the spec that rows have values for, in their order.
    fn present(&self, layout: &Layout) -> Vec<usize> {
        (0..layout.spec.columns.len()).collect()
    }

    /// Returns true if the bytes ended within a row, and more of them were to come.
    fn is_within_row(&self) -> bool {
        false
    }
}

/// Chunks of a body in their order. The first error is the last item.
pub struct Rows {
    chunks: Chunks,
    hash: ContentHash,
}

enum Chunks {
    Here(Box<HereRows>),
    Blocks(Box<Blocks>),
    Apart(ApartRows),
}

/// Rows that are read in this process.
pub(super) struct HereRows {
    source: Box<dyn RowSource>,
    sink: RowSink,
    failed: Option<Error>,
    is_over: bool,
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
    reading: &Reading,
) -> Result<Rows> {
    parse_within(spec, store, file_name, body, request, reading, Limits::default())
}

/// Is [`parse`] with chunks of another size.
pub(super) fn parse_within(
    spec: &TableSpec,
    store: &str,
    file_name: Option<&str>,
    body: Box<dyn Read + Send>,
    request: &LandRequest,
    reading: &Reading,
    limits: Limits,
) -> Result<Rows> {
    let body = body::open(body, reading)?;
    let hash = body.hash.clone();
    let format = detect(request.format, file_name, &body.head)?;
    let layout = Arc::new(Layout::new(spec, store, request.time_zone));
    let blocks = |bytes, format: Arc<dyn LineFormat>, layout| {
        Chunks::Blocks(Box::new(Blocks::new(bytes, format, layout, limits)))
    };
    let chunks = match format {
        Format::Csv => {
            let (header, rows) = Header::read(body.text()?, layout.clone())?;
            blocks(rows, Arc::new(Csv::new(header)), layout)
        }
        Format::Ndjson => blocks(body.text()?, Arc::new(Ndjson::new(layout.clone())), layout),
        Format::Parquet | Format::Arrow => {
            let kind = FileKind::of(format, &body.head);
            let file = spool(body.bytes, reading)?;
            match &reading.reader {
                Some(program) => Chunks::Apart(ApartRows::start(program, file, kind, &layout)?),
                None => Chunks::Here(Box::new(HereRows::of_file(file, kind, layout, limits)?)),
            }
        }
    };
    Ok(Rows { chunks, hash })
}

/// The format of a file of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum FileKind {
    Parquet,
    ArrowFile,
    ArrowStream,
}

impl FileKind {
    fn of(format: Format, head: &[u8]) -> Self {
        match format {
            Format::Parquet => Self::Parquet,
            _ if is_arrow_file(head) => Self::ArrowFile,
            _ => Self::ArrowStream,
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.chunks {
            Chunks::Here(rows) => rows.next(),
            Chunks::Blocks(rows) => rows.next(),
            Chunks::Apart(rows) => rows.next(),
        }
    }
}

impl HereRows {
    pub fn new(source: Box<dyn RowSource>, layout: Arc<Layout>, limits: Limits) -> Self {
        let present = source.present(&layout);
        Self { source, sink: RowSink::new(layout, &present, limits), failed: None, is_over: false }
    }

    /// Returns true if the bytes ended within a row.
    pub fn is_within_row(&self) -> bool {
        self.source.is_within_row()
    }

    pub fn of_file(file: File, kind: FileKind, layout: Arc<Layout>, limits: Limits) -> Result<Self> {
        let source = Box::new(BatchSource::of_file(file, kind, layout.clone())?);
        Ok(Self::new(source, layout, limits))
    }
}

impl Iterator for HereRows {
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
