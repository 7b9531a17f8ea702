//! Checkpoints: the whole state of a table's log in one Parquet file, so that opening it need not read every entry.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use deltalake_core::logstore::LogStoreRef;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use twox_hash::XxHash64;

use super::commit::ERASED;
use super::entry::{AddedFile, Entry, Metadata, Noted, Protocol, RemovedFile, decode};
use super::replay::LogReader;
use crate::drills::{Point, reach};
use crate::error::{Error, Result};

/// What is read of a checkpoint; it may have more.
const COLUMNS: [&str; 17] = [
    "add.path",
    "add.size",
    "add.modificationTime",
    "add.partitionValues",
    "add.stats",
    "add.tags",
    "add.deletionVector",
    "remove.path",
    "remove.deletionTimestamp",
    "txn.appId",
    "txn.version",
    "txn.lastUpdated",
    "metaData.id",
    "metaData.createdTime",
    "metaData.schemaString",
    "metaData.configuration",
    "protocol.readerFeatures",
];

/// Reads one file of a checkpoint.
pub fn read_checkpoint(bytes: Bytes) -> Result<Entry, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let mut entry = Entry::default();
    for batch in builder.with_projection(mask).build()? {
        add_rows(&mut entry, &batch?)?;
    }
    Ok(entry)
}

/// Writes the checkpoint of a version, unless there is one, and its checksum beside it. Returns its size in bytes.
pub async fn write_checkpoint(log: &LogStoreRef, version: u64) -> Result<u64> {
    mend_pointer(log).await?;
    let failed = |error| Error::unavailable("a checkpoint could not be written").with_source(error);
    let root = log.transaction_url(None).map_err(failed)?;
    let engine = log.engine(None);
    // The library computes and waits on its own: not on a thread that serves.
    let written = tokio::task::spawn_blocking(move || {
        let snapshot =
            delta_kernel::Snapshot::builder_for(root).at_version(version).build(engine.as_ref())?;
        snapshot.checkpoint(engine.as_ref(), None).map(drop)
    });
    written
        .await
        .map_err(|error| Error::internal("writing a checkpoint").with_source(error))?
        .map_err(|error| Error::unavailable("a checkpoint could not be written").with_source(error))?;
    let failed = |error| Error::unavailable("a checkpoint could not be written").with_source(error);
    reach(Point::Checkpoint);
    let folder = log.object_store(None);
    let path = Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
    let bytes = folder.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
    folder.put(&checksum_path(&path), checksum(&bytes).into()).await.map_err(failed)?;
    Ok(bytes.len() as u64)
}

/// Deletes the pointer to the newest checkpoint if it names none: readers then look at the whole log, where the Delta
/// kernel would refuse it.
pub async fn mend_pointer(log: &LogStoreRef) -> Result<()> {
    let failed = |error| Error::storage("the storage did not answer", error);
    let (folder, pointer) = (log.object_store(None), Path::from("_delta_log/_last_checkpoint"));
    let text = match folder.get(&pointer).await {
        Ok(found) => found.bytes().await.map_err(failed)?,
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let version = serde_json::from_slice::<serde_json::Value>(&text).unwrap_or_default()["version"].as_u64();
    if let Some(version) = version {
        let named = Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
        if folder.head(&named).await.is_ok() {
            return Ok(());
        }
    }
    match folder.delete(&pointer).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The newest version, if somebody was erased after a version.
pub async fn erased_since(reader: &LogReader, version: u64) -> Result<Option<u64>> {
    let (mut newest, mut is_erased) = (version, false);
    while let Some(entry) = reader.entry(newest + 1).await? {
        is_erased |= entry.noted.iter().any(|noted| noted.app_id.starts_with(ERASED));
        newest += 1;
    }
    Ok(is_erased.then_some(newest))
}

/// Deletes a checkpoint if somebody was erased after its version: it was begun before, and may know of their files.
pub async fn withdraw_if_erased(reader: &LogReader, log: &LogStoreRef, version: u64) -> Result<()> {
    if erased_since(reader, version).await?.is_none() {
        return Ok(());
    }
    let folder = log.object_store(None);
    let path = Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
    for path in [checksum_path(&path), path] {
        match folder.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(Error::storage("the storage did not answer", error)),
        }
    }
    mend_pointer(log).await
}

/// Where the checksum of a checkpoint is. Other readers of the log pass it over.
pub fn checksum_path(checkpoint: &Path) -> Path {
    Path::from(format!("{checkpoint}.xxh64"))
}

/// The checksum of a checkpoint's bytes, as it is kept.
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash64::oneshot(0, bytes))
}

fn add_rows(entry: &mut Entry, batch: &RecordBatch) -> Result<(), ArrowError> {
    if let Some(adds) = structs(batch, "add") {
        let (paths, stats) = (texts(adds, "path")?, texts(adds, "stats")?);
        let (sizes, partitions, tags) =
            (numbers(adds, "size")?, maps(adds, "partitionValues"), maps(adds, "tags"));
        let written = numbers(adds, "modificationTime")?;
        let vectors = adds.column_by_name("deletionVector");
        for row in (0..adds.len()).filter(|row| adds.is_valid(*row)) {
            entry.added.push(AddedFile {
                path: decode(paths.get(row).and_then(Option::as_deref).unwrap_or_default()),
                size_bytes: sizes.get(row).copied().flatten().unwrap_or_default().unsigned_abs(),
                modification_time: written.get(row).copied().flatten(),
                partition_values: pairs(partitions, row)?,
                stats: stats.get(row).cloned().flatten(),
                tags: pairs(tags, row)?,
                deletion_vector: vectors
                    .is_some_and(|vectors| vectors.is_valid(row))
                    .then_some(serde::de::IgnoredAny),
            });
        }
    }
    if let Some(removes) = structs(batch, "remove") {
        let (paths, at) = (texts(removes, "path")?, numbers(removes, "deletionTimestamp")?);
        for row in (0..removes.len()).filter(|row| removes.is_valid(*row)) {
            let path = decode(paths.get(row).and_then(Option::as_deref).unwrap_or_default());
            entry.removed.push(RemovedFile { path, deletion_timestamp: at.get(row).copied().flatten() });
        }
    }
    if let Some(notes) = structs(batch, "txn") {
        let (names, versions, at) =
            (texts(notes, "appId")?, numbers(notes, "version")?, numbers(notes, "lastUpdated")?);
        for row in (0..notes.len()).filter(|row| notes.is_valid(*row)) {
            entry.noted.push(Noted {
                app_id: names.get(row).cloned().flatten().unwrap_or_default(),
                version: versions.get(row).copied().flatten().unwrap_or_default(),
                last_updated: at.get(row).copied().flatten(),
            });
        }
    }
    if let Some(tables) = structs(batch, "metaData") {
        let (ids, schemas) = (texts(tables, "id")?, texts(tables, "schemaString")?);
        let created = numbers(tables, "createdTime")?;
        for row in (0..tables.len()).filter(|row| tables.is_valid(*row)) {
            entry.metadata = Some(Metadata {
                id: ids.get(row).cloned().flatten().unwrap_or_default(),
                created_time: created.get(row).copied().flatten(),
                schema_string: schemas.get(row).cloned().flatten().unwrap_or_default(),
                configuration: pairs(maps(tables, "configuration"), row)?,
            });
        }
    }
    if let Some(protocols) = structs(batch, "protocol") {
        for row in (0..protocols.len()).filter(|row| protocols.is_valid(*row)) {
            let features =
                protocols.column_by_name("readerFeatures").and_then(|lists| lists.as_list_opt::<i32>());
            let features =
                features.filter(|lists| lists.is_valid(row)).map(|lists| column_texts(&lists.value(row)));
            let reader_features = features.transpose()?.unwrap_or_default().into_iter().flatten().collect();
            entry.protocol = Some(Protocol { reader_features });
        }
    }
    Ok(())
}

fn structs<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StructArray> {
    batch.column_by_name(name).and_then(|column| column.as_struct_opt())
}

fn maps<'a>(parent: &'a StructArray, name: &str) -> Option<&'a MapArray> {
    parent.column_by_name(name).and_then(|column| column.as_map_opt())
}

/// A field's texts; none if the file does not have it.
fn texts(parent: &StructArray, name: &str) -> Result<Vec<Option<String>>, ArrowError> {
    parent.column_by_name(name).map_or_else(|| Ok(Vec::new()), column_texts)
}

fn column_texts(column: &ArrayRef) -> Result<Vec<Option<String>>, ArrowError> {
    let column = cast(column, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

fn numbers(parent: &StructArray, name: &str) -> Result<Vec<Option<i64>>, ArrowError> {
    let Some(column) = parent.column_by_name(name) else { return Ok(Vec::new()) };
    let column = cast(column, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().iter().collect())
}

fn pairs(maps: Option<&MapArray>, row: usize) -> Result<HashMap<String, Option<String>>, ArrowError> {
    let Some(maps) = maps.filter(|maps| maps.is_valid(row)) else { return Ok(HashMap::new()) };
    let entries = maps.value(row);
    let (keys, values) = (column_texts(entries.column(0))?, column_texts(entries.column(1))?);
    Ok(keys.into_iter().zip(values).filter_map(|(key, value)| Some((key?, value))).collect())
}
