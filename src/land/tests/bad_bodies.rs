use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;

use super::land;
use crate::error::ErrorKind;
use crate::land::Format;

fn message(bytes: impl AsRef<[u8]>, format: Option<Format>) -> String {
    let error = land(bytes, format).err().expect("the body is refused");
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    error.message().to_owned()
}

fn ids(count: usize) -> RecordBatch {
    let ids: StringArray = (0..count).map(|at| Some(format!("id-{at}"))).collect();
    RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap()
}

pub(super) fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

pub(super) fn arrow_file(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

pub(super) fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_empty_body_is_refused_however_it_is_packed() {
    for body in [Vec::new(), gzip(b""), zstd::encode_all(&b""[..], 1).unwrap(), b" \n\n".to_vec()] {
        assert!(message(body, None).starts_with("the body is empty"));
    }
    assert!(message("\n", Some(Format::Ndjson)).starts_with("the body is empty"));
}

#[test]
fn a_body_that_is_cut_off_is_refused() {
    let batch = ids(1_000);
    let text: String = (0..1_000).map(|at| format!("{{\"id\":\"{at}\"}}\n")).collect();
    let (gz, zst) = (gzip(text.as_bytes()), zstd::encode_all(text.as_bytes(), 1).unwrap());
    assert!(message(&gz[..gz.len() / 2], None).contains("not whole gzip"));
    assert!(message(&zst[..zst.len() / 2], None).contains("not whole zstd"));
    for cut in [5, 100] {
        let bytes = parquet(&batch);
        assert!(message(&bytes[..bytes.len() - cut], None).contains("Parquet file cannot be read"));
        let bytes = arrow_file(&batch);
        assert!(message(&bytes[..bytes.len() - cut], None).contains("Arrow data cannot be read"));
        let bytes = arrow_stream(&batch);
        assert!(message(&bytes[..bytes.len() - cut], None).contains("Arrow data cannot be read"));
    }
}

#[test]
fn a_header_lists_all_that_it_lacks() {
    let error = land("clicks,clicks,\n1,2,3\n", None).err().unwrap();
    let fields: Vec<_> =
        error.problems().iter().map(|problem| (problem.row, problem.field.as_str())).collect();
    assert_eq!(fields, [(0, "id"), (0, "clicks"), (0, "")]);
}

#[test]
fn floats_for_money_are_refused() {
    let id: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let cost: ArrayRef = Arc::new(Float64Array::from(vec![0.1]));
    let batch = RecordBatch::try_from_iter([("id", id), ("cost", cost)]).unwrap();
    let error = land(parquet(&batch), None).err().unwrap();
    assert_eq!(error.problems()[0].field, "cost");
    assert!(error.problems()[0].reason.contains("not exact"));
}

#[test]
fn a_body_that_contradicts_its_declaration_is_refused() {
    assert!(message(parquet(&ids(1)), Some(Format::Csv)).contains("declared as CSV but is Parquet"));
    assert!(message("id\n1\n", Some(Format::Parquet)).contains("does not begin"));
    assert!(message(b"\xff\xfei\0d\0", None).contains("UTF-16"));
}

#[test]
fn damaged_binary_bodies_are_errors_and_never_panics() {
    let batch = ids(50);
    for bytes in [parquet(&batch), arrow_file(&batch), arrow_stream(&batch)] {
        for at in (8..bytes.len()).step_by(7) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            if let Err(error) = land(&bytes, None) {
                assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            }
        }
    }
}

#[test]
fn names_tell_formats() {
    assert_eq!(Format::from_extension("a.b.CSV.gz"), Some(Format::Csv));
    assert_eq!(Format::from_extension("jsonl"), Some(Format::Ndjson));
    assert_eq!(Format::from_extension("notes.txt"), None);
    assert_eq!(Format::from_content_type("text/csv; charset=utf-8"), Some(Format::Csv));
    assert_eq!(Format::from_content_type("application/vnd.apache.arrow.stream"), Some(Format::Arrow));
    assert_eq!(Format::from_content_type("text/html"), None);
}
