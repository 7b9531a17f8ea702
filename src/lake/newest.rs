//! Which rows are the newest of their keys, by `row_order.rs`.
//!
//! A file is either compacted, and then shares no key with another compacted file of its store, or landed,
//! and then its keys may be anywhere. So the newest version of every landed key is held in memory, and a row of any
//! file is dropped where that map knows a newer one. A corrected date or customer moves a row to another
//! month or another place in the order: a look-up by key does not care, and predicates may run below it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{and, filter_record_batch, is_not_null};
use arrow::datatypes::SchemaRef;
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

use super::key_versions::KeyVersions;
use super::landed_keys::{KeyMemory, Room};
use super::log::DataFile;
use super::row_order::{
    FileOrder, RowVersion, as_of_bounds_us, row_versions, version_columns, with_landed_instants,
};
use super::table::LakeTable;
use super::write::key_rows;
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// The newest version of every key of some landed files, among all files of a store.
#[derive(Debug)]
pub struct NewestVersions {
    landed: HashSet<String>,
    /// Compacted files whose versions are in the map, too: a version that comes late may be older than theirs.
    compared: HashSet<String>,
    versions: KeyVersions,
    memory: KeyMemory,
    room: Room,
}

impl NewestVersions {
    /// Brings the map up to these files: adds what is new, or starts again if a file has gone.
    pub async fn update(
        known: Option<Arc<Self>>,
        table: &LakeTable,
        files: &[Arc<DataFile>],
        room: Room,
    ) -> Result<Arc<Self>> {
        let (compacted, landed): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.is_compacted());
        let wanted: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let is_there = |path: &String| wanted.contains(path.as_str());
        let usable = known.filter(|known| known.landed.iter().chain(&known.compared).all(is_there));
        let mut newest = match usable {
            Some(known) if known.landed.len() == landed.len() => return Ok(known),
            Some(known) => Arc::try_unwrap(known).or_else(|known| known.copied(room))?,
            None => Self::holding(table.keys.memory(&table.spec.name)),
        };
        newest.room = room;
        let added: Vec<_> = landed.into_iter().filter(|file| !newest.landed.contains(&file.path)).collect();
        let keys = added.iter().map(|file| file.row_count as usize).sum();
        newest.memory.hold(newest.versions.bytes_with(keys), room)?;
        newest.versions.reserve(keys);
        for file in &added {
            newest.landed.insert(file.path.clone());
            newest.add_file(table, file, KeyVersions::insert).await?;
        }
        // What was landed after a compaction is as of later instants, unless its source says otherwise.
        let earliest = added.iter().map(|file| as_of_bounds_us(file).0).min().unwrap_or(i64::MAX);
        for file in compacted.into_iter().filter(|file| as_of_bounds_us(file).1 >= earliest) {
            newest.compared.insert(file.path.clone());
            newest.add_file(table, file, KeyVersions::update).await?;
        }
        Ok(Arc::new(newest))
    }

    /// A map of no keys.
    pub(super) fn holding(memory: KeyMemory) -> Self {
        let (landed, compared) = (HashSet::new(), HashSet::new());
        Self { landed, compared, versions: KeyVersions::default(), memory, room: Room::Asked }
    }

    /// A copy, while queries read this.
    fn copied(&self, room: Room) -> Result<Self> {
        let memory = self.memory.another();
        memory.hold(self.versions.bytes_with(0), room)?;
        let (landed, compared) = (self.landed.clone(), self.compared.clone());
        Ok(Self { landed, compared, versions: self.versions.clone(), memory, room })
    }

    async fn add_file(
        &mut self,
        table: &LakeTable,
        file: &DataFile,
        add: impl Fn(&mut KeyVersions, &[u8], RowVersion),
    ) -> Result<()> {
        let (columns, order) = (version_columns(&table.spec), FileOrder::of(file));
        let mut rows = read_file(table, &file.path, file.size_bytes, Some(&columns)).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let keys = key_rows(&table.spec, &batch)?;
            for (key, version) in keys.iter().zip(row_versions(&batch, Some(order))?) {
                add(&mut self.versions, key.data(), version);
            }
            self.memory.hold(self.versions.bytes_with(0), self.room)?;
        }
        Ok(())
    }

    /// The rows of a file that no newer version of their key replaces.
    pub fn keep_current(&self, spec: &TableSpec, batch: RecordBatch, file: FileOrder) -> Result<RecordBatch> {
        let is_current = self.current_rows(spec, &batch, Some(file))?;
        if is_current.true_count() == batch.num_rows() {
            return Ok(batch);
        }
        filter_record_batch(&batch, &is_current)
            .map_err(|error| Error::internal("keeping rows").with_source(error))
    }

    /// Marks the rows that no newer version of their key replaces. Rows of a scan say themselves of which file they are.
    pub fn current_rows(
        &self,
        spec: &TableSpec,
        batch: &RecordBatch,
        file: Option<FileOrder>,
    ) -> Result<BooleanArray> {
        let keys = key_rows(spec, batch)?;
        let versions = row_versions(batch, file)?;
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

/// Reads a file's footer with its page index.
pub async fn read_metadata(table: &LakeTable, file: &DataFile) -> Result<Arc<ParquetMetaData>> {
    #[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
    let mut reader = ParquetObjectReader::new(table.storage.store.clone(), table.file_path(file)?)
        .with_file_size(file.size_bytes)
        .with_preload_column_index(true)
        .with_preload_offset_index(true);
    reader.get_metadata(None).await.map_err(|error| {
        let name = &table.spec.name;
        Error::unavailable(format!(
            "table {name}: a data file could not be read; run `tributary fsck --deep`"
        ))
        .with_source(error)
    })
}

/// Streams the rows of one file, all its columns or some.
pub async fn read_file(
    table: &LakeTable,
    path: &str,
    size_bytes: u64,
    columns: Option<&[String]>,
) -> Result<futures::stream::BoxStream<'static, Result<RecordBatch>>> {
    let name = table.spec.name.clone();
    let failed = move |error| {
        Error::unavailable(format!(
            "table {name}: a data file could not be read; run `tributary fsck --deep`"
        ))
        .with_source(error)
    };
    #[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
    let reader = ParquetObjectReader::new(table.storage.store.clone(), table.path_of(path)?)
        .with_file_size(size_bytes);
    let mut builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(&failed)?;
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
        builder = builder.with_projection(mask);
    }
    let stream = builder.with_batch_size(8192).build().map_err(&failed)?;
    Ok(stream.map_err(failed).boxed())
}

/// Drops the rows that a newer version replaces, then the columns that only served to find them.
#[derive(Debug)]
pub struct NewestExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<TableSpec>,
    /// `None` if every key is in one file.
    versions: Option<Arc<NewestVersions>>,
    /// The columns wanted by the query, as indexes of the input's.
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl NewestExec {
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        spec: Arc<TableSpec>,
        versions: Option<Arc<NewestVersions>>,
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
        let landed_keys = self.versions.as_ref().map_or(0, |versions| versions.versions.len());
        write!(f, "NewestExec: table={}, landed_keys={landed_keys}", self.spec.name)
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
            let batch = with_landed_instants(&batch?)?;
            let projected = batch.project(&projection)?;
            let Some(versions) = &versions else { return Ok(projected) };
            let current = versions.current_rows(&spec, &batch, None)?;
            if current.true_count() == current.len() {
                return Ok(projected);
            }
            Ok(filter_record_batch(&projected, &current)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
