//! CSV with a header row: commas, double quotes, UTF-8.
//!
//! Rows are split here and not by the csv crate, which reads a quote that is never closed as one cell
//! to the body's end: that would take the memory of the whole body, and hide the rows behind it.

use std::borrow::Cow;
use std::sync::Arc;

use super::blocks::{LineFormat, Piece};
use super::body::{Bytes, empty};
use super::builder::{Layout, RowSink, Slot, problem};
use super::extras::{check_count, check_name, object, quote};
use super::lines::{Line, Lines, MAX_ROW_BYTES};
use super::read::RowSource;
use super::splitter::{Fault, Splitter};
use super::value::Raw;
use crate::error::{Error, Problem, Result};

const UNCLOSED: &str = "has a quote that is never closed, or a row longer than 1 MiB";

/// The first row, and where its cells go.
pub(super) struct Header {
    layout: Arc<Layout>,
    names: Vec<String>,
    /// The columns of the spec that have values, each with its cell; one without a cell has its default.
    cells: Vec<(usize, Option<usize>)>,
    store: Option<usize>,
    /// Cells that go to extras, by name.
    unknown: Vec<usize>,
}

impl Header {
    /// Reads the header; its problems are the file's. Returns the bytes behind it, too.
    pub(super) fn read(bytes: Bytes, layout: Arc<Layout>) -> Result<(Self, Bytes)> {
        let mut records = Records::new(bytes, true);
        match records.next()? {
            Record::End => return Err(empty()),
            Record::Bad(reason) => return Err(Error::invalid(format!("the CSV header {reason}"))),
            Record::Whole => {}
        }
        let header = std::str::from_utf8(&records.record)
            .map_err(|error| Error::invalid("the CSV header is not UTF-8").with_source(error))?;
        let count = records.splitter.len();
        let names: Vec<String> =
            (0..count).map(|at| records.splitter.cell(header, at).trim().to_owned()).collect();
        let slots: Vec<Slot> = names.iter().map(|name| layout.slot(name, 0)).collect();
        let problems = header_problems(&names, &slots, &layout);
        if !problems.is_empty() {
            let hint = if count == 1 { "; separate cells by commas" } else { "" };
            let message = format!("the CSV header does not fit the table {}{hint}", layout.spec.name);
            return Err(Error::invalid(message).with_problems(problems));
        }
        let position = |slot| slots.iter().position(|other| *other == slot);
        let cells = layout.spec.columns.iter().enumerate().map(|(at, column)| {
            let cell = position(Slot::Column(at));
            (cell.is_some() || column.default.is_some()).then_some((at, cell))
        });
        let cells = cells.flatten().collect();
        let store = position(Slot::Store);
        let mut unknown: Vec<usize> = (0..count).filter(|at| slots[*at] == Slot::Extra).collect();
        unknown.sort_by(|left, right| names[*left].cmp(&names[*right]));
        Ok((Self { layout, names, cells, store, unknown }, records.lines.into_rest()))
    }
}

/// CSV behind its header.
pub(super) struct Csv(Arc<Header>);

impl Csv {
    pub(super) fn new(header: Header) -> Self {
        Self(Arc::new(header))
    }
}

impl LineFormat for Csv {
    fn rows(&self, bytes: Bytes, piece: Piece) -> Box<dyn RowSource> {
        let records = Records::new(bytes, piece.ends);
        Box::new(CsvSource { records, header: Arc::clone(&self.0), row: 0 })
    }

    fn without_rows(&self) -> Option<Error> {
        None
    }
}

struct CsvSource {
    records: Records,
    header: Arc<Header>,
    row: u64,
}

impl CsvSource {
    fn add_record(&self, sink: &mut RowSink) {
        let (row, splitter) = (self.row, &self.records.splitter);
        let Header { layout, names, cells, store, unknown } = &*self.header;
        let line = || String::from_utf8_lossy(&self.records.record).trim_end().to_owned();
        let Ok(record) = std::str::from_utf8(&self.records.record) else {
            return sink.reject(row, vec![problem(row, "", "is not UTF-8")], line());
        };
        if splitter.len() != names.len() {
            let reason = format!("has {} cells where the header has {}", splitter.len(), names.len());
            return sink.reject(row, vec![problem(row, "", reason)], line());
        }
        let cell = |at: usize| splitter.cell(record, at);
        let problems: Vec<Problem> =
            store.and_then(|at| layout.check_store(Raw::Text(cell(at)), row)).into_iter().collect();
        let values = cells.iter().map(|(_, at)| at.map_or(Raw::Null, |at| Raw::Text(cell(at))));
        let as_json = |cells: &[usize]| {
            let filled = cells.iter().map(|at| (names[*at].as_str(), cell(*at)));
            let filled = filled.filter(|(_, text)| !text.is_empty());
            object(filled.map(|(name, text)| (name, Cow::Owned(quote(&text)))))
        };
        let extras = as_json(unknown);
        let all = || as_json(&(0..names.len()).collect::<Vec<_>>()).unwrap_or_else(line);
        sink.add(row, values, extras.as_deref(), problems, all);
    }
}

impl RowSource for CsvSource {
    fn fill(&mut self, sink: &mut RowSink) -> Result<bool> {
        while !sink.is_full() {
            match self.records.next()? {
                Record::End => return Ok(false),
                Record::Whole => {
                    self.row += 1;
                    self.add_record(sink);
                }
                Record::Bad(reason) => {
                    self.row += 1;
                    let raw = String::from_utf8_lossy(&self.records.record).trim_end().to_owned();
                    sink.reject(self.row, vec![problem(self.row, "", reason)], raw);
                }
            }
        }
        Ok(true)
    }

    fn present(&self, _: &Layout) -> Vec<usize> {
        self.header.cells.iter().map(|(at, _)| *at).collect()
    }

    fn is_within_row(&self) -> bool {
        self.records.is_within_row
    }
}

fn header_problems(names: &[String], slots: &[Slot], layout: &Layout) -> Vec<Problem> {
    let mut problems = layout.missing(slots);
    for (at, name) in names.iter().enumerate() {
        problems.extend(check_name(name, 0));
        if name.is_empty() {
            problems.push(problem(0, "", format!("column {} of the header has no name", at + 1)));
        } else if names[..at].contains(name) && at < 2_000 {
            problems.push(problem(0, name, "is in the header twice"));
        }
    }
    problems.extend(check_count(slots.iter().filter(|slot| **slot == Slot::Extra).count(), 0));
    problems.truncate(100);
    problems
}

enum Record {
    End,
    Whole,
    Bad(&'static str),
}

/// Lines put together to rows: a quoted cell may span lines.
struct Records {
    lines: Lines,
    record: Vec<u8>,
    splitter: Splitter,
    /// True if the body ends with the lines.
    ends: bool,
    /// True if the lines ended within a row, which goes on.
    is_within_row: bool,
}

impl Records {
    fn new(bytes: Bytes, ends: bool) -> Self {
        let (lines, splitter) = (Lines::new(bytes), Splitter::default());
        Self { lines, record: Vec::new(), splitter, ends, is_within_row: false }
    }

    fn next(&mut self) -> Result<Record> {
        loop {
            self.record.clear();
            match self.lines.read(&mut self.record)? {
                Line::End => return Ok(Record::End),
                Line::TooLong => return Ok(Record::Bad("is longer than 1 MiB; only its beginning was read")),
                Line::Whole => {}
            }
            if !self.record.trim_ascii().is_empty() {
                break;
            }
        }
        let first_line = self.record.len();
        self.splitter.reset();
        loop {
            match self.splitter.feed(&self.record) {
                Ok(true) => return Ok(Record::Whole),
                Ok(false) => {}
                Err(Fault::TextAfterQuote) => return Ok(Record::Bad("has text behind a closing quote")),
            }
            let read = self.lines.read(&mut self.record)?;
            if read == Line::TooLong {
                return Ok(Record::Bad(UNCLOSED));
            }
            if read == Line::End && !self.ends {
                self.is_within_row = true;
                return Ok(Record::End);
            }
            if read == Line::End || self.record.len() > MAX_ROW_BYTES {
                // The quote was a slip: only its line is bad, and those behind it are rows again.
                self.lines.unread(&self.record[first_line..]);
                self.record.truncate(first_line);
                return Ok(Record::Bad(UNCLOSED));
            }
        }
    }
}
