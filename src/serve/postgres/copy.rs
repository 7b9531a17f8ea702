//! `copy .. to stdout`: rows in bulk, in the binary form, as tab-separated text or as CSV.

use bytes::{BufMut, BytesMut};
use futures::sink::{Sink, SinkExt};
use futures::stream::StreamExt;
use pgwire::api::portal::Format;
use pgwire::api::results::{QueryResponse, Tag};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use pgwire::messages::data::DataRow;

use super::errors::error;
use super::texts::Piece;

const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const BINARY_END: i16 = -1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    Binary,
    Text,
    Csv { with_header: bool },
}

impl CopyFormat {
    /// Reads the options behind `to stdout`; those that would change the form of the rows otherwise are refused.
    pub fn read(options: &[Piece]) -> PgWireResult<Self> {
        let words: Vec<String> = options.iter().map(|piece| piece.value().to_ascii_lowercase()).collect();
        let (mut format, mut with_header) = (CopyFormat::Text, false);
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            match word {
                "with" | "(" | ")" | "," | "format" | "text" => {}
                "binary" => format = CopyFormat::Binary,
                "csv" => format = CopyFormat::Csv { with_header: false },
                "header" => {
                    with_header = true;
                    if let Some(flag) =
                        words.next_if(|flag| matches!(*flag, "true" | "on" | "1" | "false" | "off" | "0"))
                    {
                        with_header = matches!(flag, "true" | "on" | "1");
                    }
                }
                // UTF8 is what there is.
                "encoding" => drop(words.next()),
                _ => return Err(error("0A000", "copy takes format binary, text or csv, and header")),
            }
        }
        match format {
            CopyFormat::Csv { .. } => Ok(CopyFormat::Csv { with_header }),
            format => Ok(format),
        }
    }

    /// The form in which each value is to be encoded.
    pub fn values(self) -> Format {
        if self == CopyFormat::Binary { Format::UnifiedBinary } else { Format::UnifiedText }
    }
}

/// Sends the rows of a query.
pub async fn send<C>(client: &mut C, mut rows: QueryResponse, format: CopyFormat) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let schema = rows.row_schema();
    let code = i16::from(format == CopyFormat::Binary);
    let opening = CopyOutResponse::new(code as i8, schema.len() as i16, vec![code; schema.len()]);
    client.feed(PgWireBackendMessage::CopyOutResponse(opening)).await?;
    let mut chunk = BytesMut::new();
    match format {
        CopyFormat::Binary => chunk.put_slice(BINARY_HEADER),
        CopyFormat::Csv { with_header: true } => {
            let names = schema.iter().map(|field| Some(field.name().as_bytes()));
            csv_line(names, &mut chunk);
        }
        _ => {}
    }
    let mut count = 0;
    while let Some(row) = rows.data_rows().next().await {
        write(&row?, format, &mut chunk);
        count += 1;
        // A message a row, as Postgres sends them: there are clients that rely on it.
        client.feed(PgWireBackendMessage::CopyData(CopyData::new(chunk.split().freeze()))).await?;
    }
    if format == CopyFormat::Binary {
        chunk.put_i16(BINARY_END);
    }
    if !chunk.is_empty() {
        client.feed(PgWireBackendMessage::CopyData(CopyData::new(chunk.freeze()))).await?;
    }
    client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
    let tag = Tag::new("COPY").with_rows(count);
    client.send(PgWireBackendMessage::CommandComplete(tag.into())).await?;
    Ok(())
}

fn write(row: &DataRow, format: CopyFormat, out: &mut BytesMut) {
    match format {
        CopyFormat::Binary => {
            out.put_i16(row.field_count);
            out.put_slice(&row.data);
        }
        CopyFormat::Text => text_line(fields(&row.data), out),
        CopyFormat::Csv { .. } => csv_line(fields(&row.data), out),
    }
}

/// The values of a row: each is its length, or -1 for null, and its bytes.
fn fields(mut data: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                let (value, rest) = rest.split_at_checked(length)?;
                data = rest;
                Some(Some(value))
            }
            Err(_) => {
                data = rest;
                Some(None)
            }
        }
    })
}

fn text_line<'a>(fields: impl Iterator<Item = Option<&'a [u8]>>, out: &mut BytesMut) {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.put_u8(b'\t');
        }
        let Some(field) = field else {
            out.put_slice(b"\\N");
            continue;
        };
        for byte in field {
            match byte {
                b'\\' => out.put_slice(b"\\\\"),
                b'\n' => out.put_slice(b"\\n"),
                b'\r' => out.put_slice(b"\\r"),
                b'\t' => out.put_slice(b"\\t"),
                byte => out.put_u8(*byte),
            }
        }
    }
    out.put_u8(b'\n');
}

/// An empty text is quoted, to tell it from null.
fn csv_line<'a>(fields: impl Iterator<Item = Option<&'a [u8]>>, out: &mut BytesMut) {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        let Some(field) = field else { continue };
        let needs_quotes =
            field.is_empty() || field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
        if !needs_quotes {
            out.put_slice(field);
            continue;
        }
        out.put_u8(b'"');
        for byte in field {
            if *byte == b'"' {
                out.put_u8(b'"');
            }
            out.put_u8(*byte);
        }
        out.put_u8(b'"');
    }
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_so_that_they_can_be_read_again() {
        let mut data = BytesMut::new();
        for value in [Some("a,\"b\"\n"), None, Some(""), Some("\t\\")] {
            data.put_i32(value.map_or(-1, |value| value.len() as i32));
            data.put_slice(value.unwrap_or_default().as_bytes());
        }
        let row = DataRow::new(data, 4);
        let written = |format| {
            let mut out = BytesMut::new();
            write(&row, format, &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(written(CopyFormat::Text), "a,\"b\"\\n\t\\N\t\t\\t\\\\\n");
        assert_eq!(written(CopyFormat::Csv { with_header: false }), "\"a,\"\"b\"\"\n\",,\"\",\t\\\n");
    }
}
