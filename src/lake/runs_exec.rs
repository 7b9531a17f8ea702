//! Reads parts of files, each as a partition of its own.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
#[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::newest::NewestVersions;
use super::row_filter::RowFilter;
use super::row_order::{FileOrder, version_columns};
use super::runs::Run;
use super::table::LakeTable;
use crate::error::Error;

/// The part of a run that one partition reads.
#[derive(Debug, Clone)]
pub struct RunPart {
    pub run: Arc<Run>,
    /// Row groups with rows of the part.
    pub groups: Vec<usize>,
    /// Its rows, counted over those groups.
    pub rows: Vec<Range<usize>>,
}

/// One partition a part; the newest version of every row and no other.
#[derive(Debug)]
pub struct RunsExec {
    table: Arc<LakeTable>,
    parts: Vec<RunPart>,
    /// All columns of the table, with the types to read them as.
    read_schema: SchemaRef,
    /// Columns to read, of the table's.
    read: Vec<usize>,
    /// Columns to give out, of those read.
    wanted: Vec<usize>,
    newest: Option<Arc<NewestVersions>>,
    /// Which rows are asked for, where not all are.
    filter: Option<RowFilter>,
    properties: Arc<PlanProperties>,
}

impl RunsExec {
    /// `columns` come out in the file's order.
    pub fn try_new(
        table: Arc<LakeTable>,
        parts: Vec<RunPart>,
        read_schema: SchemaRef,
        columns: &[&str],
        newest: Option<Arc<NewestVersions>>,
    ) -> Result<Self> {
        let mut asked =
            columns.iter().map(|name| read_schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        asked.sort_unstable();
        let mut read = asked.clone();
        if newest.is_some() {
            for name in version_columns(&table.spec) {
                read.push(read_schema.index_of(&name)?);
            }
            read.sort_unstable();
            read.dedup();
        }
        let is_asked = |column: &&usize| asked.binary_search(column).is_ok();
        let wanted =
            read.iter().enumerate().filter(|(_, column)| is_asked(column)).map(|(at, _)| at).collect();
        let schema = Arc::new(read_schema.project(&asked)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties);
        Ok(Self { table, parts, read_schema, read, wanted, newest, filter: None, properties })
    }

    /// The table that it reads.
    pub fn table(&self) -> &str {
        &self.table.spec.name
    }

    pub fn parts(&self) -> &[RunPart] {
        &self.parts
    }

    /// Gives out no other rows than the filter's.
    pub fn keeping(mut self, filter: Option<RowFilter>) -> Self {
        self.filter = filter;
        self
    }

    /// The columns that a file has, with the types to read them as.
    fn file_schema(&self, run: &Run) -> Result<SchemaRef> {
        let columns = run.metadata.file_metadata().schema_descr().columns();
        let fields = columns.iter().map(|column| self.read_schema.field_with_name(column.name()).cloned());
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>, _>>()?)))
    }
}

/// The columns of a schema: null where a file was written before there was the column.
fn with_all_columns(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() == schema.fields().len() {
        return Ok(batch);
    }
    let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    let columns = schema.fields().iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl DisplayAs for RunsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.parts.iter().flat_map(|part| &part.rows).map(Range::len).sum();
        write!(f, "RunsExec: table={}, parts={}, rows={rows}", self.table.spec.name, self.parts.len())
    }
}

impl ExecutionPlan for RunsExec {
    fn name(&self) -> &'static str {
        "RunsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<datafusion::common::tree_node::TreeNodeRecursion>,
    ) -> Result<datafusion::common::tree_node::TreeNodeRecursion> {
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let RunPart { run, groups, rows } = self.parts[partition].clone();
        let failed = {
            let table = self.table.spec.name.clone();
            move |error| {
                let message =
                    format!("table {table}: a data file could not be read; run `tributary fsck --deep`");
                DataFusionError::from(Error::unavailable(message).with_source(error))
            }
        };
        let options = ArrowReaderOptions::new().with_schema(self.file_schema(&run)?);
        let metadata = ArrowReaderMetadata::try_new(run.metadata.clone(), options).map_err(&failed)?;
        #[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
        let reader =
            ParquetObjectReader::new(self.table.storage.store.clone(), self.table.file_path(&run.file)?)
                .with_file_size(run.file.size_bytes);
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
        let read_schema = Arc::new(self.read_schema.project(&self.read)?);
        let names = read_schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let row_count = groups.iter().map(|group| run.metadata.row_group(*group).num_rows() as usize).sum();
        let filter = self.filter.as_ref().map(|filter| filter.of_reader(builder.parquet_schema()));
        let builder = match filter {
            Some(filter) => builder.with_row_filter(filter),
            None => builder,
        };
        let stream = builder
            .with_projection(mask)
            .with_row_groups(groups)
            .with_row_selection(RowSelection::from_consecutive_ranges(rows.into_iter(), row_count))
            .with_batch_size(context.session_config().batch_size())
            .build()
            .map_err(&failed)?
            .map_err(failed);
        let (spec, newest, wanted) = (self.table.spec.clone(), self.newest.clone(), self.wanted.clone());
        let order = FileOrder::of(&run.file);
        let rows = stream.map(move |batch| {
            let batch = with_all_columns(batch?, &read_schema)?;
            let Some(newest) = &newest else { return Ok(batch) };
            let current = newest.current_rows(&spec, &batch, Some(order))?;
            let projected = batch.project(&wanted)?;
            if current.true_count() == current.len() {
                return Ok(projected);
            }
            Ok(filter_record_batch(&projected, &current)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
