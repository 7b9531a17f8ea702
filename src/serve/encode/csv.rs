//! CSV as RFC 4180 has it, lines ended by `\n`. A null is an empty field, an empty text is `""`; nested
//! values are JSON in a field.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;

use super::Numbers;
use super::column::{Column, Kind};
use super::json;

/// Writes the line of column names.
pub fn header(schema: &Schema, for_spreadsheets: bool, out: &mut Vec<u8>) {
    for (position, field) in schema.fields().iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        let start = out.len();
        out.extend_from_slice(field.name().as_bytes());
        if for_spreadsheets {
            defuse(out, start);
        }
        quote_where_needed(out, start);
    }
    out.push(b'\n');
}

/// Writes a line per row.
pub fn rows(batch: &RecordBatch, for_spreadsheets: bool, out: &mut Vec<u8>) {
    let fields: Vec<Field> = batch.columns().iter().map(Field::new).collect();
    for row in 0..batch.num_rows() {
        for (position, field) in fields.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            field.write(row, for_spreadsheets, out);
        }
        out.push(b'\n');
    }
}

enum Field {
    Plain(Column),
    Nested(ArrayRef, json::Cell),
}

impl Field {
    fn new(array: &ArrayRef) -> Self {
        match Column::new(array) {
            Some(column) => Field::Plain(column),
            None => Field::Nested(array.clone(), json::cell(array, Numbers::Exact)),
        }
    }

    fn write(&self, row: usize, for_spreadsheets: bool, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Field::Plain(column) => {
                let present = column.write(row, out);
                if !present {
                    out.truncate(start);
                } else if column.kind == Kind::Text {
                    if for_spreadsheets {
                        defuse(out, start);
                    }
                    quote_where_needed(out, start);
                }
            }
            Field::Nested(array, _) if array.is_null(row) => {}
            Field::Nested(_, cell) => {
                cell(row, out);
                quote_where_needed(out, start);
            }
        }
    }
}

/// Puts an apostrophe in front of a text that a spreadsheet would compute (OWASP, CSV injection).
fn defuse(out: &mut Vec<u8>, start: usize) {
    if matches!(out.get(start), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')) {
        out.insert(start, b'\'');
    }
}

fn quote_where_needed(out: &mut Vec<u8>, start: usize) {
    let text = &out[start..];
    let is_plain = !text.is_empty()
        && !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
        && !text.starts_with(b" ")
        && !text.ends_with(b" ");
    if is_plain {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
