//! Which version of a key is the newest.
//!
//! A file is either compacted, and then shares no key with another compacted file of its store, or landed,
//! and then its keys may be anywhere. So the newest version of every landed key is held in memory, and a row of any
//! file is dropped where that map knows a newer one. A corrected date or customer moves a row to another
//! month or another place in the order: a look-up by key does not care, and predicates may run below it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, filter_record_batch, is_not_null};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
#[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::data_file::DataFile;
use super::key_versions::{KeyVersions, RowVersion};
use super::table::LakeTable;
use super::write::key_rows;
use crate::error::{Error, Result};
use crate::schema::{BATCH_ID_COLUMN, INGESTED_AT_COLUMN, TableSpec};

/// The newest version of every key of some landed files.
#[derive(Debug, Clone, Default)]
pub struct NewestVersions {
    files: HashSet<String>,
    versions: KeyVersions,
}

impl NewestVersions {
    /// Brings the map up to these landed files: adds what is new, or starts again where a file has gone.
    pub async fn update(known: Arc<Self>, table: &LakeTable, landed: &[Arc<DataFile>]) -> Result<Arc<Self>> {
        let wanted: HashSet<&str> = landed.iter().map(|file| file.path.as_str()).collect();
        if known.files.len() == wanted.len() && known.files.iter().all(|path| wanted.contains(path.as_str()))
        {
            return Ok(known);
        }
        let is_subset = known.files.iter().all(|path| wanted.contains(path.as_str()));
        let mut newest = if is_subset { Arc::unwrap_or_clone(known) } else { Self::default() };
        let added = landed.iter().filter(|file| !newest.files.contains(&file.path));
        newest.versions.reserve(added.map(|file| file.row_count as usize).sum());
        for file in landed {
            if newest.files.insert(file.path.clone()) {
                newest.add_file(table, file).await?;
            }
        }
        Ok(Arc::new(newest))
    }

    async fn add_file(&mut self, table: &LakeTable, file: &DataFile) -> Result<()> {
        let mut columns = version_columns(&table.spec);
        columns.dedup();
        let mut rows = read_file(table, file, Some(&columns)).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let keys = key_rows(&table.spec, &batch)?;
            for (key, version) in keys.iter().zip(row_versions(&batch)?) {
                self.versions.insert(key.data(), version);
            }
        }
        Ok(())
    }

    /// Marks the rows that no newer version of their key replaces.
    pub fn current_rows(&self, spec: &TableSpec, batch: &RecordBatch) -> Result<BooleanArray> {
        let keys = key_rows(spec, batch)?;
        let versions = row_versions(batch)?;
        let current: BooleanArray = keys
            .iter()
            .zip(versions)
            .map(|(key, version)| {
                Some(self.versions.newest(key.data()).is_none_or(|newest| version >= newest))
            })
            .collect();
        let Some(marker) = &spec.group_marker else { return Ok(current) };
        let marker = batch.column_by_name(marker).ok_or_else(|| Error::internal("rows without a marker"))?;
        is_not_null(marker)
            .and_then(|exists| and(&current, &exists))
            .map_err(|error| Error::internal("comparing versions of rows").with_source(error))
    }
}

/// The columns that say which row of a key is the newest.
pub fn version_columns(spec: &TableSpec) -> Vec<String> {
    let mut columns = spec.key.clone();
    columns.extend([INGESTED_AT_COLUMN.to_owned(), BATCH_ID_COLUMN.to_owned()]);
    columns.extend(spec.group_marker.clone());
    columns
}

/// Reads a file's footer with its page index.
pub async fn read_metadata(table: &LakeTable, file: &DataFile) -> Result<Arc<ParquetMetaData>> {
    #[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
    let mut reader = ParquetObjectReader::new(table.storage.store.clone(), table.file_path(file)?)
        .with_file_size(file.size_bytes)
        .with_preload_column_index(true)
        .with_preload_offset_index(true);
    reader.get_metadata(None).await.map_err(|error| {
        let name = &table.spec.name;
        Error::unavailable(format!("table {name}: a data file could not be read; run `tributary doctor`"))
            .with_source(error)
    })
}

/// Streams the rows of one file, all its columns or some.
pub async fn read_file(
    table: &LakeTable,
    file: &DataFile,
    columns: Option<&[String]>,
) -> Result<futures::stream::BoxStream<'static, Result<RecordBatch>>> {
    let name = table.spec.name.clone();
    let failed = move |error| {
        Error::unavailable(format!("table {name}: a data file could not be read; run `tributary doctor`"))
            .with_source(error)
    };
    #[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
    let reader = ParquetObjectReader::new(table.storage.store.clone(), table.file_path(file)?)
        .with_file_size(file.size_bytes);
    let mut builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(&failed)?;
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
        builder = builder.with_projection(mask);
    }
    let stream = builder.with_batch_size(8192).build().map_err(&failed)?;
    Ok(stream.map_err(failed).boxed())
}

fn row_versions(batch: &RecordBatch) -> Result<Vec<RowVersion>> {
    let missing = || Error::internal("rows without their landing");
    let at = batch
        .column_by_name(INGESTED_AT_COLUMN)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(missing)?;
    let ids = batch
        .column_by_name(BATCH_ID_COLUMN)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(missing)?;
    let versions = at.values().iter().zip(ids).map(|(us, id)| (*us, tie_break(id.unwrap_or_default())));
    Ok(versions.collect())
}

/// The end of a batch's id, which is all that tells ids apart, as a number: the same for every process.
fn tie_break(batch_id: &str) -> u128 {
    let bytes = batch_id.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(16)..];
    let mut number = [0; 16];
    number[16 - tail.len()..].copy_from_slice(tail);
    u128::from_be_bytes(number)
}

/// Drops the rows that a newer version replaces, then the columns that only served to find them.
#[derive(Debug)]
pub struct NewestExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<TableSpec>,
    versions: Arc<NewestVersions>,
    /// The columns wanted by the query, as indexes of the input's.
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl NewestExec {
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        spec: Arc<TableSpec>,
        versions: Arc<NewestVersions>,
        projection: Vec<usize>,
    ) -> DataFusionResult<Self> {
        let schema: SchemaRef = Arc::new(input.schema().project(&projection)?);
        let mapping = datafusion::physical_expr::projection::ProjectionMapping::from_indices(
            &projection,
            &input.schema(),
        )?;
        let equivalences = input.properties().equivalence_properties().project(&mapping, schema);
        let properties = PlanProperties::new(
            equivalences,
            datafusion::physical_plan::Partitioning::UnknownPartitioning(
                input.properties().partitioning.partition_count(),
            ),
            input.properties().emission_type,
            input.properties().boundedness,
        );
        Ok(Self { input, spec, versions, projection, properties: Arc::new(properties) })
    }
}

impl DisplayAs for NewestExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewestExec: table={}, landed_keys={}", self.spec.name, self.versions.versions.len())
    }
}

#[async_trait]
impl ExecutionPlan for NewestExec {
    fn name(&self) -> &'static str {
        "NewestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(
            &Arc<dyn PhysicalExpr>,
        ) -> DataFusionResult<datafusion::common::tree_node::TreeNodeRecursion>,
    ) -> DataFusionResult<datafusion::common::tree_node::TreeNodeRecursion> {
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| datafusion::error::DataFusionError::Internal("NewestExec has one input".into()))?;
        let plan = Self::try_new(input, self.spec.clone(), self.versions.clone(), self.projection.clone())?;
        Ok(Arc::new(plan))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (spec, versions, projection) =
            (self.spec.clone(), self.versions.clone(), self.projection.clone());
        let rows = input.map(move |batch| {
            let batch = batch?;
            let current = versions.current_rows(&spec, &batch)?;
            let projected = batch.project(&projection)?;
            if current.true_count() == current.len() {
                return Ok(projected);
            }
            Ok(filter_record_batch(&projected, &current)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
