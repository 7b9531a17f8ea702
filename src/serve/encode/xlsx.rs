//! Spreadsheets. A value is what its column's type makes it elsewhere, and a number, a date or an instant only where a
//! spreadsheet keeps it as it is: spreadsheets calculate with doubles, of which 15 digits are exact.

use std::path::Path;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use rust_xlsxwriter::{Format as CellFormat, Workbook, Worksheet, XlsxError};

use super::Numbers;
use super::column::Column;
use super::json;
use crate::error::{Error, Result};

/// Rows of a sheet, of which the first has the names.
const SHEET_ROWS: u32 = 1 << 20;
const SHEET_COLUMNS: usize = 1 << 14;
/// Cells of a file: what is written is gathered before it leaves.
const SHEET_CELLS: u64 = 20_000_000;
/// Characters of a cell, counted as spreadsheets do.
const CELL_CHARACTERS: usize = 32_767;
/// Digits that every number of as many keeps when it becomes a double and is shown again.
const EXACT_DIGITS: usize = 15;

/// What a column's cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    /// A double, or less.
    Float,
    /// A number where it has few enough digits, else text.
    Exact,
    Date,
    Instant,
    Time,
    Text,
}

/// A file with one sheet that is written row by row. The rows are on disk, not in memory, until it is whole.
pub struct Sheet {
    workbook: Workbook,
    names: Vec<String>,
    kinds: Vec<(Kind, CellFormat)>,
    next_row: u32,
}

impl Sheet {
    /// Begins with a row of names that stays in view; what waits is in `folder`, or where the system keeps such files.
    pub fn new(schema: &Schema, folder: Option<&Path>) -> Result<Self> {
        let count = schema.fields().len();
        if count > SHEET_COLUMNS {
            return Err(Error::limit(format!(
                "a sheet holds {SHEET_COLUMNS} columns: select fewer, or ask for parquet"
            )));
        }
        let mut workbook = Workbook::new();
        if let Some(folder) = folder {
            workbook.set_tempdir(folder).map_err(unwritten)?;
        }
        let sheet = workbook.add_worksheet_with_constant_memory().map_err(unwritten)?;
        sheet.set_freeze_panes(1, 0).map_err(unwritten)?;
        let bold = CellFormat::new().set_bold();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        for (place, name) in names.iter().enumerate() {
            check_text(name, name)?;
            sheet.write_string_with_format(0, place as u16, name, &bold).map_err(unwritten)?;
        }
        let kinds = schema.fields().iter().map(|field| kind(field.data_type())).collect();
        Ok(Self { workbook, names, kinds, next_row: 1 })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = u64::from(self.next_row) + batch.num_rows() as u64;
        if rows > u64::from(SHEET_ROWS) {
            return Err(Error::limit(format!(
                "a sheet holds {} rows below its names: narrow the question, or ask for csv or parquet",
                SHEET_ROWS - 1
            )));
        }
        if rows * self.names.len() as u64 > SHEET_CELLS {
            return Err(Error::limit(format!(
                "a spreadsheet of more than {SHEET_CELLS} cells is not made: select fewer columns, or ask for parquet"
            )));
        }
        let sheet = self.workbook.worksheet_from_index(0).map_err(unwritten)?;
        let cells: Vec<Cells> = batch.columns().iter().map(Cells::new).collect();
        let mut text = Vec::new();
        // Row by row: a row that is left cannot be written to any more.
        for row in 0..batch.num_rows() {
            for (place, cells) in cells.iter().enumerate() {
                text.clear();
                if !cells.write(row, &mut text) {
                    continue;
                }
                let (kind, format) = &self.kinds[place];
                let text = String::from_utf8_lossy(&text);
                let at = (self.next_row, place as u16);
                write_cell(sheet, at, *kind, format, &text, &self.names[place])?;
            }
            self.next_row += 1;
        }
        Ok(())
    }

    /// Appends the whole file.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        self.workbook.save_to_writer(out).map_err(unwritten)
    }
}

/// A column's values as text, as the other formats spell them.
enum Cells {
    Plain(Column),
    Nested(ArrayRef, json::Cell),
}

impl Cells {
    fn new(array: &ArrayRef) -> Self {
        match Column::new(array) {
            Some(column) => Cells::Plain(column),
            None => Cells::Nested(array.clone(), json::cell(array, Numbers::Exact)),
        }
    }

    /// False where the cell stays empty.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Cells::Plain(column) => column.write(row, out),
            Cells::Nested(array, cell) => {
                let is_valid = array.is_valid(row);
                if is_valid {
                    cell(row, out);
                }
                is_valid
            }
        }
    }
}

fn kind(data_type: &DataType) -> (Kind, CellFormat) {
    let format = |pattern: &str| CellFormat::new().set_num_format(pattern);
    let general = CellFormat::new();
    match data_type {
        DataType::Boolean => (Kind::Boolean, general),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => (Kind::Float, general),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => (Kind::Exact, format("0")),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => {
            let places = usize::try_from(*scale).unwrap_or(0);
            let pattern = if places == 0 { "0".to_owned() } else { format!("0.{}", "0".repeat(places)) };
            (Kind::Exact, format(&pattern))
        }
        DataType::Date32 | DataType::Date64 => (Kind::Date, format("yyyy-mm-dd")),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Second, _) => {
            (Kind::Instant, format("yyyy-mm-dd hh:mm:ss"))
        }
        DataType::Timestamp(_, _) => (Kind::Instant, format("yyyy-mm-dd hh:mm:ss.000")),
        DataType::Time32(_) | DataType::Time64(_) => (Kind::Time, format("hh:mm:ss.000")),
        DataType::Dictionary(_, values) => kind(values),
        DataType::RunEndEncoded(_, values) => kind(values.data_type()),
        _ => (Kind::Text, general),
    }
}

fn write_cell(
    sheet: &mut Worksheet,
    (row, column): (u32, u16),
    kind: Kind,
    format: &CellFormat,
    text: &str,
    name: &str,
) -> Result<()> {
    let number = match kind {
        Kind::Boolean => {
            return sheet.write_boolean(row, column, text == "true").map(drop).map_err(unwritten);
        }
        Kind::Float => text.parse().ok(),
        Kind::Exact => text.parse().ok().filter(|_| has_exact_digits(text)),
        Kind::Date => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| serial(day.into())),
        Kind::Instant => instant(text).and_then(serial),
        Kind::Time => NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
            .ok()
            .map(|time| (time - NaiveTime::MIN).num_nanoseconds().unwrap_or(0) as f64 / 86_400e9),
        Kind::Text => None,
    };
    match number {
        Some(number) => sheet.write_number_with_format(row, column, number, format),
        None => {
            check_text(text, name)?;
            sheet.write_string(row, column, text)
        }
    }
    .map(drop)
    .map_err(unwritten)
}

/// Whether a number has so few digits that a double keeps all of them.
fn has_exact_digits(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    digits <= EXACT_DIGITS
}

/// An instant in UTC; a timestamp without a zone as it is.
fn instant(text: &str) -> Option<NaiveDateTime> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(instant) => Some(instant.naive_utc()),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok(),
    }
}

/// The days since the last of 1899, as spreadsheets count them. They take 1900 for a leap year and know nothing before
/// it, so that what is earlier than its March stays text.
fn serial(at: NaiveDateTime) -> Option<f64> {
    let (begin, certain) = (NaiveDate::from_ymd_opt(1899, 12, 30)?, NaiveDate::from_ymd_opt(1900, 3, 1)?);
    if at.date() < certain {
        return None;
    }
    let since: TimeDelta = at - begin.and_time(NaiveTime::MIN);
    let days = since.num_days();
    let rest = (since - TimeDelta::days(days)).num_nanoseconds()?;
    Some(days as f64 + rest as f64 / 86_400e9)
}

fn check_text(text: &str, name: &str) -> Result<()> {
    if text.len() > CELL_CHARACTERS && text.encode_utf16().count() > CELL_CHARACTERS {
        return Err(Error::limit(format!(
            "column {name} has a text of more than {CELL_CHARACTERS} characters, which no cell holds: shorten it with left(..), or ask for csv"
        )));
    }
    Ok(())
}

fn unwritten(error: XlsxError) -> Error {
    Error::unavailable("the spreadsheet could not be written").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_spreadsheets_do() {
        let day = |text: &str| serial(NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap().into());
        assert_eq!(day("1900-03-01"), Some(61.0));
        assert_eq!(day("1900-02-28"), None);
        assert_eq!(day("1970-01-01"), Some(25_569.0));
        assert_eq!(day("9999-12-31"), Some(2_958_465.0));
        assert_eq!(serial(instant("2026-01-01T13:00:00+01:00").unwrap()), Some(46_023.5));
        assert_eq!(serial(instant("2026-01-01T18:00:00").unwrap()), Some(46_023.75));
    }

    #[test]
    fn a_number_is_one_while_a_double_keeps_its_digits() {
        for exact in ["0", "-123456789012.345", "0.0000000000000001", "999999999999999", "100"] {
            assert!(has_exact_digits(exact), "{exact}");
        }
        for inexact in ["9007199254740993", "-1234567890123.4500", "1000000000000000"] {
            assert!(!has_exact_digits(inexact), "{inexact}");
        }
    }
}
