//! Files that are small and ask for more memory, stack or disk than there is: each is refused, and the engine goes on.

use std::io::{Cursor, Read, Write as _};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tributary::land::{Format, OnError};
use tributary::{Engine, EngineOptions, ErrorKind, LandRequest};

use crate::support::{land_rows, memory_engine_with, scalar};

/// An engine that reads files of columns as the program does.
async fn engine() -> Engine {
    let reader = Some(env!("CARGO_BIN_EXE_tributary").into());
    memory_engine_with(EngineOptions { reader, ..EngineOptions::default() }).await
}

async fn land(engine: &Engine, body: Vec<u8>, format: Format) -> tributary::Result<tributary::Receipt> {
    let request = LandRequest { format: Some(format), ..LandRequest::default() };
    engine.land("s", "channels", Cursor::new(body), request).await
}

/// Refused for what it would take, and nothing of it landed.
async fn is_refused(engine: &Engine, body: Vec<u8>, format: Format) {
    let length = body.len();
    let error = land(engine, body, format).await.unwrap_err();
    let kinds = [ErrorKind::LimitExceeded, ErrorKind::InvalidRequest];
    assert!(kinds.contains(&error.kind()), "{length} bytes: {error:?}");
    assert_eq!(scalar(engine, "s", "select count(*) from channels").await, "0");
}

/// One text of some megabytes, for which each row has a number.
fn one_text(megabytes: usize, rows: usize) -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(megabytes << 20)]));
    let names = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; rows]), texts);
    let channels = StringArray::from_iter_values((0..rows).map(|row| format!("c{row}")));
    let channels: ArrayRef = Arc::new(channels);
    RecordBatch::try_from_iter([("channel", channels), ("name", Arc::new(names) as ArrayRef)]).unwrap()
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_page_size_limit(1 << 30)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow_stream(batches: &[RecordBatch]) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// A number of Thrift's compact protocol.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A Parquet file without rows whose only column is so many groups deep; the library would not write it.
fn nested_parquet(depth: usize) -> Vec<u8> {
    let mut footer = vec![0x15, 2];
    // Field 2, a list of structs: the elements of the schema, each but the last with one child.
    footer.push(0x19);
    footer.push(0xfc);
    varint(depth as u64 + 1, &mut footer);
    for level in 0..=depth {
        let is_leaf = level == depth;
        if is_leaf {
            // Field 1, the type: a byte array. Field 3, the repetition: optional.
            footer.extend([0x15, 12, 0x25, 2]);
        } else if level > 0 {
            footer.extend([0x35, 2]);
        }
        // Field 4, the name.
        let delta = if level == 0 { 4 } else { 1 };
        footer.extend([delta << 4 | 8, 1, b'a']);
        if !is_leaf {
            // Field 5, the number of children.
            footer.extend([0x15, 2]);
        }
        footer.push(0);
    }
    // Field 3, the number of rows, and field 4, the row groups: none.
    footer.extend([0x16, 0, 0x19, 0x0c, 0]);
    let length = (footer.len() as u32).to_le_bytes();
    [b"PAR1".as_slice(), &footer, &length, b"PAR1"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_asks_for_more_than_there_is_ends_its_reader_and_nothing_else() {
    let engine = engine().await;
    is_refused(&engine, nested_parquet(50_000), Format::Parquet).await;
    is_refused(&engine, parquet(&one_text(20, 20_000)), Format::Parquet).await;
    is_refused(&engine, arrow_stream(&[one_text(20, 100_000)]), Format::Arrow).await;
    // Few enough are read: rows that are too long are bad rows then.
    let rows = parquet(&one_text(2, 3));
    let error = land(&engine, rows, Format::Parquet).await.unwrap_err();
    assert!(error.problems()[0].reason.contains("longer than 1 MiB"), "{:?}", error.problems());
    land_rows(&engine, "s", "channels", &[serde_json::json!({"channel": "email", "name": "E-mail"})]).await;
    assert_eq!(scalar(&engine, "s", "select count(*) from channels").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_columns_land_the_same_rows_wherever_they_are_read() {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("E-mail"), None, Some("Ä")]));
    let channels: ArrayRef = Arc::new(StringArray::from(vec!["email", "seo", "ads"]));
    let own: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("channel", channels), ("name", names), ("mine", own)]).unwrap();
    let shown =
        "select string_agg(concat_ws('|', channel, name, extras), ';' order by channel) from channels";
    let mut seen = Vec::new();
    for engine in [engine().await, memory_engine_with(EngineOptions::default()).await] {
        for (body, format) in
            [(parquet(&batch), Format::Parquet), (arrow_stream(std::slice::from_ref(&batch)), Format::Arrow)]
        {
            let receipt = land(&engine, body, format).await.unwrap();
            assert_eq!(receipt.rows, 3);
            seen.push(scalar(&engine, "s", shown).await);
        }
    }
    assert!(seen[0].contains("email|E-mail|{\"mine\":1}"), "{}", seen[0]);
    assert!(seen.iter().all(|rows| *rows == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_said_wherever_it_is_read() {
    let own: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("mine", own)]).unwrap();
    let mut said = Vec::new();
    for engine in [engine().await, memory_engine_with(EngineOptions::default()).await] {
        let missing = land(&engine, parquet(&batch), Format::Parquet).await.unwrap_err();
        assert!(missing.problems()[0].reason.contains("no such column"), "{:?}", missing.problems());
        let damaged = land(&engine, b"PAR1 and nothing else".to_vec(), Format::Parquet).await.unwrap_err();
        said.push((missing.message().to_owned(), damaged.message().to_owned(), damaged.kind()));
    }
    assert_eq!(said[0], said[1]);
}

/// A body of zstd that unpacks to many times its size.
fn bomb(head: &[u8], megabytes: usize) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(head).unwrap();
    let mut filling = std::io::repeat(b'\n').take((megabytes as u64) << 20);
    std::io::copy(&mut filling, &mut encoder).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_unpacks_to_hundreds_of_times_its_size_is_refused() {
    let engine = engine().await;
    for (head, format) in [(&b"PAR1"[..], Format::Parquet), (b"channel\nx,y\n", Format::Csv)] {
        let request =
            LandRequest { format: Some(format), on_error: OnError::Quarantine, ..LandRequest::default() };
        let body = Cursor::new(bomb(head, 256));
        let error = engine.land("s", "channels", body, request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error:?}");
        assert!(error.message().contains("250 times"), "{error}");
    }
    let limited = EngineOptions { landing_bytes: 1_000, ..EngineOptions::default() };
    let engine = memory_engine_with(limited).await;
    let body = format!("channel,name\nemail,{}\n", "x".repeat(1_000));
    let error = land(&engine, body.into_bytes(), Format::Csv).await.unwrap_err();
    assert!(error.message().contains("more than 1000 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_staged_like_good_ones() {
    let engine = engine().await;
    let request =
        LandRequest { format: Some(Format::Csv), on_error: OnError::Quarantine, ..LandRequest::default() };
    // Rows with a cell too many, of more bytes than are held in memory.
    let line = format!("x,y,{}\n", "z".repeat(900));
    let body = format!("channel,name\n{}", line.repeat(80_000));
    let receipt = engine.land("s", "channels", Cursor::new(body), request).await.unwrap();
    assert_eq!((receipt.rows, receipt.quarantined), (0, 80_000));
    let found = scalar(&engine, "s", "select count(distinct row_number) from quarantine").await;
    assert_eq!(found, "80000");
}
