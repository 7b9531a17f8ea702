//! JSON: values, rows, and the document around them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Schema};

use super::Numbers;
use super::column::{Column, Kind};
use super::names::type_name;

/// The largest integer up to which every JSON reader is exact.
const MAX_SAFE_INTEGER: u64 = 1 << 53;

/// Appends the JSON of one row's value.
pub type Cell = Box<dyn Fn(usize, &mut Vec<u8>) + Send>;

/// Reads a column as JSON values.
pub fn cell(array: &ArrayRef, numbers: Numbers) -> Cell {
    match Column::new(array) {
        Some(column) => plain(column, numbers),
        None => nested(array, numbers),
    }
}

/// Writes the rows of a batch as objects, each followed by `end`.
pub fn rows(batch: &RecordBatch, keys: &[String], numbers: Numbers, end: u8, out: &mut Vec<u8>) {
    let cells: Vec<Cell> = batch.columns().iter().map(|column| cell(column, numbers)).collect();
    for row in 0..batch.num_rows() {
        object(keys, &cells, row, out);
        out.push(end);
    }
}

/// The JSON keys of a schema's columns: quoted, escaped, with their colon.
pub fn keys(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| key(field.name())).collect()
}

/// `[{"name","type"}, ..]`: the columns of an answer.
pub fn meta(schema: &Schema) -> Vec<serde_json::Value> {
    schema
        .fields()
        .iter()
        .map(|field| serde_json::json!({ "name": field.name(), "type": type_name(field.data_type()) }))
        .collect()
}

fn key(name: &str) -> String {
    format!("{}:", serde_json::Value::from(name))
}

fn object(keys: &[String], cells: &[Cell], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (position, (key, cell)) in keys.iter().zip(cells).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key.as_bytes());
        cell(row, out);
    }
    out.push(b'}');
}

fn plain(column: Column, numbers: Numbers) -> Cell {
    let quoted_decimals = numbers == Numbers::Exact;
    match column.kind {
        Kind::Bare => Box::new(move |row, out| or_null(&column, row, out, |_, _| {})),
        Kind::Decimal if quoted_decimals => quoted(column),
        Kind::Decimal => Box::new(move |row, out| or_null(&column, row, out, |_, _| {})),
        Kind::Long if quoted_decimals => Box::new(move |row, out| or_null(&column, row, out, quote_if_long)),
        Kind::Long => Box::new(move |row, out| or_null(&column, row, out, |_, _| {})),
        Kind::Plain => quoted(column),
        Kind::Text => Box::new(move |row, out| or_null(&column, row, out, quote_text)),
    }
}

fn quoted(column: Column) -> Cell {
    Box::new(move |row, out| or_null(&column, row, out, quote))
}

/// Writes a value and lets `finish` quote what was written; or writes null.
fn or_null(column: &Column, row: usize, out: &mut Vec<u8>, finish: fn(&mut Vec<u8>, usize)) {
    let start = out.len();
    if column.write(row, out) {
        finish(out, start);
    } else {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn quote(out: &mut Vec<u8>, start: usize) {
    out.insert(start, b'"');
    out.push(b'"');
}

fn quote_if_long(out: &mut Vec<u8>, start: usize) {
    let digits = out[start..].strip_prefix(b"-").unwrap_or(&out[start..]);
    // 2^53 has 16 digits: a shorter number needs no closer look.
    let is_long = digits.len() >= 16
        && std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok())
            .is_none_or(|value| value > MAX_SAFE_INTEGER);
    if is_long {
        quote(out, start);
    }
}

fn quote_text(out: &mut Vec<u8>, start: usize) {
    let needs_escape = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    if !out[start..].iter().any(needs_escape) {
        return quote(out, start);
    }
    let text = String::from_utf8_lossy(&out[start..]).into_owned();
    out.truncate(start);
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

fn nested(array: &ArrayRef, numbers: Numbers) -> Cell {
    match array.data_type() {
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let keys: Vec<String> = fields.iter().map(|field| key(field.name())).collect();
            let cells: Vec<Cell> = array.columns().iter().map(|column| cell(column, numbers)).collect();
            unless_null(array.nulls(), move |row, out| object(&keys, &cells, row, out))
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let (offsets, items) = (array.offsets().clone(), cell(array.values(), numbers));
            unless_null(array.nulls(), move |row, out| {
                list(offsets[row] as usize..offsets[row + 1] as usize, &items, out);
            })
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            let (offsets, items) = (array.offsets().clone(), cell(array.values(), numbers));
            unless_null(array.nulls(), move |row, out| {
                list(offsets[row] as usize..offsets[row + 1] as usize, &items, out);
            })
        }
        DataType::FixedSizeList(_, length) => {
            let array = array.as_fixed_size_list();
            let (length, items) = (*length as usize, cell(array.values(), numbers));
            unless_null(array.nulls(), move |row, out| list(row * length..(row + 1) * length, &items, out))
        }
        DataType::ListView(_) => {
            let array = array.as_list_view::<i32>().clone();
            let items = cell(array.values(), numbers);
            unless_null(array.nulls().cloned().as_ref(), move |row, out| {
                let start = array.value_offset(row) as usize;
                list(start..start + array.value_size(row) as usize, &items, out);
            })
        }
        DataType::LargeListView(_) => {
            let array = array.as_list_view::<i64>().clone();
            let items = cell(array.values(), numbers);
            unless_null(array.nulls().cloned().as_ref(), move |row, out| {
                let start = array.value_offset(row) as usize;
                list(start..start + array.value_size(row) as usize, &items, out);
            })
        }
        DataType::Map(_, _) => map(array, numbers),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let (keys, values) = (dictionary.normalized_keys(), cell(dictionary.values(), numbers));
            unless_null(dictionary.keys().nulls(), move |row, out| values(keys[row], out))
        }
        // Runs of nested values are unfolded: they are too rare for a reader of their own.
        DataType::RunEndEncoded(_, values) => match arrow::compute::cast(array, values.data_type()) {
            Ok(unfolded) => cell(&unfolded, numbers),
            Err(_) => Box::new(|_, out| out.extend_from_slice(b"null")),
        },
        _ => Box::new(|_, out| out.extend_from_slice(b"null")),
    }
}

/// A map is an object; its keys are shown as text.
fn map(array: &ArrayRef, numbers: Numbers) -> Cell {
    let array = array.as_map();
    let keys = Column::new(array.keys());
    let values = cell(array.values(), numbers);
    let offsets = array.offsets().clone();
    unless_null(array.nulls(), move |row, out| {
        out.push(b'{');
        for (position, item) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
            if position > 0 {
                out.push(b',');
            }
            let start = out.len();
            if let Some(keys) = &keys {
                keys.write(item, out);
            }
            quote_text(out, start);
            out.push(b':');
            values(item, out);
        }
        out.push(b'}');
    })
}

fn list(items: std::ops::Range<usize>, cell: &Cell, out: &mut Vec<u8>) {
    out.push(b'[');
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        cell(item, out);
    }
    out.push(b']');
}

fn unless_null(nulls: Option<&NullBuffer>, write: impl Fn(usize, &mut Vec<u8>) + Send + 'static) -> Cell {
    let nulls = nulls.cloned();
    Box::new(move |row, out| {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            write(row, out);
        } else {
            out.extend_from_slice(b"null");
        }
    })
}
