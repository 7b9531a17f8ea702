//! Typed cells to record batches of a table's landed schema; bad rows kept apart.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef};
use chrono_tz::Tz;

use super::lines::MAX_ROW_BYTES;
use super::value::{Cell, Raw, convert};
use crate::error::{Error, Problem, Result};
use crate::schema::TableSpec;

const STORE_FIELD: &str = "store_id";

/// A piece of a body: its good rows, and its bad ones with their problems.
#[derive(Debug)]
pub struct Chunk {
    /// In the spec's landed schema.
    pub rows: RecordBatch,
    pub bad: Vec<BadRow>,
}

impl Chunk {
    /// The same behind so many rows.
    pub(super) fn behind(mut self, rows: u64) -> Self {
        for bad in &mut self.bad {
            bad.row += rows;
            for problem in &mut bad.problems {
                problem.row += rows;
            }
        }
        self
    }
}

/// A row that does not fit its table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BadRow {
    /// 1-based, counted without a header and without blank lines.
    pub row: u64,
    pub problems: Vec<Problem>,
    /// The row as JSON, or as its CSV line where it has no shape; at most 1 MiB.
    pub raw: String,
}

/// When a chunk is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// The size of a block of lines, which one thread parses.
    pub(super) block_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 65_536, bytes: 16 << 20, block_bytes: 4 << 20 }
    }
}

/// What every row of one body is checked against.
pub(super) struct Layout {
    pub(super) spec: TableSpec,
    pub(super) store: String,
    pub(super) zone: Option<Tz>,
    pub(super) schema: SchemaRef,
}

/// Where a field of a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Column(usize),
    Store,
    Extra,
}

impl Layout {
    pub(super) fn new(spec: &TableSpec, store: &str, zone: Option<Tz>) -> Self {
        Self { spec: spec.clone(), store: store.to_owned(), zone, schema: spec.landed_schema() }
    }

    /// Finds a field's place; the search begins at `hint`, since rows repeat their order.
    pub(super) fn slot(&self, field: &str, hint: usize) -> Slot {
        let columns = &self.spec.columns;
        let hint = hint.min(columns.len());
        let position = columns[hint..]
            .iter()
            .position(|column| column.name == field)
            .map(|at| at + hint)
            .or_else(|| columns[..hint].iter().position(|column| column.name == field));
        match position {
            Some(at) => Slot::Column(at),
            None if field == STORE_FIELD => Slot::Store,
            None => Slot::Extra,
        }
    }

    /// A row may name its store, if that is the key's own.
    pub(super) fn check_store(&self, raw: Raw<'_>, row: u64) -> Option<Problem> {
        let is_own = match raw {
            Raw::Null => true,
            raw => raw.into_text().is_some_and(|text| text.is_empty() || text == self.store),
        };
        (!is_own).then(|| problem(row, STORE_FIELD, "store_id is not the key's store"))
    }

    /// Required columns that none of the fields brings, each a problem of the file.
    pub(super) fn missing(&self, slots: &[Slot]) -> Vec<Problem> {
        let is_missing = |at: usize| !slots.contains(&Slot::Column(at));
        let columns = self.spec.columns.iter().enumerate();
        columns
            .filter(|(at, column)| column.required && column.default.is_none() && is_missing(*at))
            .map(|(_, column)| problem(0, &column.name, "is required and the file has no such column"))
            .collect()
    }
}

pub(super) fn problem(row: u64, field: &str, reason: impl Into<String>) -> Problem {
    Problem { row, field: field.to_owned(), reason: reason.into() }
}

/// Gathers rows until a chunk is full.
pub(super) struct RowSink {
    layout: Arc<Layout>,
    limits: Limits,
    /// Those columns that have values, with their places.
    columns: Vec<(usize, ColumnBuilder)>,
    extras: StringBuilder,
    rows: usize,
    bytes: usize,
    bad: Vec<BadRow>,
}

impl RowSink {
    /// A sink for rows that have values in these columns of the spec, and in no other.
    pub(super) fn new(layout: Arc<Layout>, present: &[usize], limits: Limits) -> Self {
        let builder = |at: usize| ColumnBuilder::new(layout.schema.field(at).data_type());
        let columns = present.iter().map(|at| (*at, builder(*at))).collect();
        let extras = StringBuilder::new();
        Self { layout, limits, columns, extras, rows: 0, bytes: 0, bad: Vec::new() }
    }

    /// Adds a row: one raw value for each of the columns that have values, in their order.
    pub(super) fn add<'a>(
        &mut self,
        row: u64,
        values: impl IntoIterator<Item = Raw<'a>>,
        extras: Option<&str>,
        mut problems: Vec<Problem>,
        raw: impl FnOnce() -> String,
    ) {
        let layout = Arc::clone(&self.layout);
        let mut cells = Vec::with_capacity(self.columns.len());
        for ((at, _), value) in self.columns.iter().zip(values) {
            let column = &layout.spec.columns[*at];
            match convert(column, value, layout.zone) {
                Ok(cell) => cells.push(cell),
                Err(reason) => problems.push(problem(row, &column.name, reason)),
            }
        }
        let text = |cell: &Cell<'_>| if let Cell::Text(text) = cell { text.len() } else { 0 };
        let text_bytes = cells.iter().map(text).sum::<usize>() + extras.map_or(0, str::len);
        if text_bytes > MAX_ROW_BYTES {
            problems.push(problem(row, "", "is longer than 1 MiB"));
        }
        if !problems.is_empty() {
            return self.reject(row, problems, raw());
        }
        for ((_, column), cell) in self.columns.iter_mut().zip(&cells) {
            column.append(cell);
        }
        self.extras.append_option(extras);
        self.rows += 1;
        self.bytes += text_bytes + 16 * cells.len();
    }

    /// Keeps a row that has no place in the table.
    pub(super) fn reject(&mut self, row: u64, problems: Vec<Problem>, mut raw: String) {
        if raw.len() > MAX_ROW_BYTES {
            raw.truncate(raw.floor_char_boundary(MAX_ROW_BYTES));
        }
        self.bytes += raw.len() + 128 * problems.len();
        self.bad.push(BadRow { row, problems, raw });
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows + self.bad.len() >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 && self.bad.is_empty()
    }

    /// Takes what was gathered, and begins anew.
    pub(super) fn take(&mut self) -> Result<Chunk> {
        let fields = self.layout.schema.fields().iter().take(self.layout.spec.columns.len());
        let mut present = self.columns.iter_mut().peekable();
        let arrays = fields.enumerate().map(|(at, field)| match present.next_if(|(place, _)| *place == at) {
            Some((_, column)) => column.finish(),
            None => new_null_array(field.data_type(), self.rows),
        });
        let mut arrays: Vec<ArrayRef> = arrays.collect();
        arrays.push(Arc::new(self.extras.finish()));
        let rows = RecordBatch::try_new(Arc::clone(&self.layout.schema), arrays)
            .map_err(|error| Error::internal("landed rows do not fit their table").with_source(error))?;
        self.rows = 0;
        self.bytes = 0;
        Ok(Chunk { rows, bad: std::mem::take(&mut self.bad) })
    }
}

enum ColumnBuilder {
    Text(StringBuilder),
    Instant(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Decimal(Decimal128Builder),
    Count(Int64Builder),
}

impl ColumnBuilder {
    /// The types are those of `ColumnKind::data_type`.
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Timestamp(..) => {
                Self::Instant(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Decimal128(..) => {
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type.clone()))
            }
            DataType::Int64 => Self::Count(Int64Builder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    fn append(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Text(builder), Cell::Text(value)) => builder.append_value(value),
            (Self::Instant(builder), Cell::Instant(value)) => builder.append_value(*value),
            (Self::Date(builder), Cell::Date(value)) => builder.append_value(*value),
            (Self::Decimal(builder), Cell::Decimal(value)) => builder.append_value(*value),
            (Self::Count(builder), Cell::Count(value)) => builder.append_value(*value),
            // Only a null is left: a cell's kind is its column's.
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Instant(builder), _) => builder.append_null(),
            (Self::Date(builder), _) => builder.append_null(),
            (Self::Decimal(builder), _) => builder.append_null(),
            (Self::Count(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Instant(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
            Self::Count(builder) => Arc::new(builder.finish()),
        }
    }
}
