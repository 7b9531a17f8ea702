//! Answers as tables for people: on a terminal, or in Markdown.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::error::{Error, Result};
use crate::serve::encode::with_unique_names;

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Terminal,
    Markdown,
}

/// A table without rows, in the look of a terminal.
pub fn empty() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table
}

/// Draws texts, wrapped to a width where one is given.
pub fn list(header: &[&str], rows: &[Vec<String>], width: Option<u16>) -> String {
    let mut table = empty();
    table.set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| escape(Look::Terminal, cell)));
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.to_string()
}

/// Draws at most `limit` rows. Null is shown as nothing; numbers stand to the right.
pub fn render(look: Look, schema: &SchemaRef, batches: &[RecordBatch], limit: usize) -> Result<String> {
    let mut table = empty();
    if look == Look::Markdown {
        table.load_preset(presets::ASCII_MARKDOWN);
    }
    let schema = with_unique_names(schema);
    table.set_header(schema.fields().iter().map(|field| escape(look, field.name())));
    let mut left = limit;
    for batch in batches {
        let rows = batch.num_rows().min(left);
        left -= rows;
        add_rows(&mut table, look, &batch.slice(0, rows))?;
    }
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(table.to_string())
}

fn add_rows(table: &mut Table, look: Look, batch: &RecordBatch) -> Result<()> {
    let unshown = |error| Error::internal("a value cannot be shown as text").with_source(error);
    let options = FormatOptions::default().with_null("");
    let columns: Vec<ArrayFormatter> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<_, _>>()
        .map_err(unshown)?;
    for row in 0..batch.num_rows() {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| column.value(row).try_to_string().map(|text| escape(look, &text)))
            .collect::<Result<_, _>>()
            .map_err(unshown)?;
        table.add_row(cells);
    }
    Ok(())
}

/// Keeps a value in its cell: a bar or a line end would break a Markdown row, a control character could
/// drive a terminal.
fn escape(look: Look, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' if look == Look::Markdown => escaped.push_str("\\|"),
            '\n' if look == Look::Markdown => escaped.push_str("<br>"),
            letter if letter.is_control() => escaped.extend(letter.escape_default()),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a|b"), None, Some("\u{1b}[31m")]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, 20, 300]));
        RecordBatch::try_from_iter([("name", names), ("n", counts)]).unwrap()
    }

    #[test]
    fn markdown_keeps_bars_and_control_characters_in_their_cells() {
        let batch = batch();
        let text = render(Look::Markdown, &batch.schema(), &[batch], 10).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[2].contains("a\\|b"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_limit_counts_rows_over_all_batches() {
        let batch = batch();
        let text = render(Look::Markdown, &batch.schema(), &[batch.clone(), batch], 4).unwrap();
        assert_eq!(text.lines().count(), 2 + 4);
    }
}
