//! One store's rows of one table, as DataFusion scans them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

use super::log::DataFile;
use super::newest::{NewestExec, NewestVersions};
use super::row_order::{COMMIT_COLUMN, FileOrder, LANDED_US_COLUMN, version_columns};
use super::table::LakeTable;
use crate::error::{Error, Result};
use crate::schema::{INGESTED_AT_COLUMN, STORE_COLUMN};

/// A table as one store sees it at one version: it holds that store's files and knows of no others.
#[derive(Debug)]
pub struct StoreTable {
    table: Arc<LakeTable>,
    files: Vec<Arc<DataFile>>,
    /// `None` where every key is in one file only.
    newest: Option<Arc<NewestVersions>>,
    schema: SchemaRef,
}

impl StoreTable {
    /// Refuses files of another store: the wall between tenants does not rest on a predicate.
    pub fn try_new(
        table: Arc<LakeTable>,
        store: &str,
        files: Vec<Arc<DataFile>>,
        newest: Option<Arc<NewestVersions>>,
    ) -> Result<Self> {
        if files.iter().any(|file| file.store != store) {
            return Err(Error::internal("a store's table was given files of another store"));
        }
        let schema = table.spec.table_schema();
        Ok(Self { table, files, newest, schema })
    }

    pub fn row_count_estimate(&self) -> u64 {
        self.files.iter().map(|file| file.row_count).sum()
    }

    fn predicate(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> DataFusionResult<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.to_vec()) else { return Ok(None) };
        let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        state.create_physical_expr(filter, &schema).map(Some)
    }

    /// The filters that leave out only what they may: the rows of some files do not say when they were landed.
    fn usable(&self, filters: &[Expr]) -> Vec<Expr> {
        let is_said = self.files.iter().all(|file| file.landed_us.is_none());
        let landed = Column::from_name(INGESTED_AT_COLUMN);
        let names_it = |filter: &Expr| filter.column_refs().iter().any(|column| column.name == landed.name);
        filters.iter().filter(|filter| is_said || !names_it(filter)).cloned().collect()
    }

    /// The files that can hold a row for which the predicate is true.
    fn surviving_files(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<Arc<DataFile>> {
        let Some(predicate) = predicate else { return self.files.clone() };
        let statistics = FileStatistics { table: &self.table, files: &self.files };
        // A predicate that cannot be used to prune keeps every file: it is applied to the rows anyway.
        let Some(pruning) =
            PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).build(predicate.clone())
        else {
            return self.files.clone();
        };
        let Ok(kept) = pruning.prune(&statistics) else { return self.files.clone() };
        self.files.iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| file.clone()).collect()
    }

    fn partitioned_file(&self, file: &DataFile) -> DataFusionResult<PartitionedFile> {
        let mut values = vec![ScalarValue::from(file.store.as_str())];
        if self.table.spec.month.is_some() {
            values.push(ScalarValue::Utf8(file.month.clone()));
        }
        let (landed_us, commit) = FileOrder::of(file).columns();
        values.extend([landed_us, commit].map(|number| ScalarValue::Int64(Some(number))));
        let path = self.table.file_path(file)?;
        let statistics = self.file_statistics(file);
        Ok(PartitionedFile::new(path.to_string(), file.size_bytes)
            .with_partition_values(values)
            .with_statistics(Arc::new(statistics)))
    }

    fn file_statistics(&self, file: &DataFile) -> Statistics {
        let exact = |value: Option<&ScalarValue>| value.cloned().map_or(Precision::Absent, Precision::Exact);
        let columns = self.table.spec.file_schema();
        let column_statistics = columns
            .fields()
            .iter()
            .map(|field| {
                let range = file.ranges.get(field.name());
                ColumnStatistics {
                    null_count: range
                        .and_then(|range| range.null_count)
                        .map_or(Precision::Absent, |count| Precision::Exact(count as usize)),
                    min_value: exact(range.and_then(|range| range.min.as_ref())),
                    max_value: exact(range.and_then(|range| range.max.as_ref())),
                    ..ColumnStatistics::new_unknown()
                }
            })
            .collect();
        Statistics {
            num_rows: Precision::Exact(file.row_count as usize),
            total_byte_size: Precision::Inexact(file.size_bytes as usize),
            column_statistics,
        }
    }

    /// The declared order of every file, as far as its columns are in the table.
    fn ordering(&self) -> DataFusionResult<Option<LexOrdering>> {
        let ascending = SortOptions { descending: false, nulls_first: true };
        let exprs = self
            .table
            .spec
            .sort
            .iter()
            .map(|name| Ok(PhysicalSortExpr::new(col(name, &self.schema)?, ascending)))
            .collect::<DataFusionResult<Vec<_>>>()?;
        Ok(LexOrdering::new(exprs))
    }

    /// Scans files as they are: one partition a file, each in the declared order.
    fn file_scan(
        &self,
        options: &TableParquetOptions,
        files: &[Arc<DataFile>],
        projection: Option<Vec<usize>>,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let schema = self.scan_schema();
        let mut source = ParquetSource::new(schema.clone()).with_table_parquet_options(options.clone());
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        // One group a file: files of one table overlap in their order, so only each by itself is sorted.
        let groups = files
            .iter()
            .map(|file| Ok(FileGroup::new(vec![self.partitioned_file(file)?])))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let config = FileScanConfigBuilder::new(self.table.storage.datafusion_url()?, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(total_statistics(schema.table_schema(), files))
            .with_output_ordering(self.ordering()?.into_iter().collect())
            .with_limit(limit)
            .with_projection_indices(projection)?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The newest rows of all files, merged in the declared order, for compaction: one partition, whole rows.
    pub fn merged_scan(&self) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = (0..self.table.spec.file_schema().fields().len()).collect();
        let plan = self.newest_scan(&TableParquetOptions::default(), &self.files, columns, None, None)?;
        Ok(match self.ordering()? {
            Some(order) => Arc::new(SortPreservingMergeExec::new(order, plan)),
            None => Arc::new(CoalescePartitionsExec::new(plan)),
        })
    }

    /// Scans the rows of some files that are the newest of their keys.
    fn newest_scan(
        &self,
        options: &TableParquetOptions,
        files: &[Arc<DataFile>],
        wanted: Vec<usize>,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let schema = self.scan_schema();
        let schema = schema.table_schema();
        let is_wanted = |name: &str| wanted.iter().any(|column| schema.field(*column).name() == name);
        let mut needed = Vec::new();
        if self.newest.is_some() {
            needed = version_columns(&self.table.spec);
            needed.extend([LANDED_US_COLUMN, COMMIT_COLUMN].map(str::to_owned));
        } else if is_wanted(INGESTED_AT_COLUMN) && files.iter().any(|file| file.landed_us.is_some()) {
            needed = vec![LANDED_US_COLUMN.to_owned()];
        }
        if needed.is_empty() {
            return self.file_scan(options, files, Some(wanted), predicate, limit);
        }
        let mut read = wanted.clone();
        for name in needed {
            let index = schema.index_of(&name)?;
            if !wanted.contains(&index) {
                read.push(index);
            }
        }
        // No limit below the filter: the rows it would stop at may all be replaced.
        let limit = limit.filter(|_| self.newest.is_none());
        let input = self.file_scan(options, files, Some(read), predicate, limit)?;
        let projection = (0..wanted.len()).collect();
        Ok(Arc::new(NewestExec::try_new(input, self.table.spec.clone(), self.newest.clone(), projection)?))
    }

    /// The columns that a scan can give: the table's, and what the log says of each file.
    fn scan_schema(&self) -> TableSchema {
        let text = |name: String| Field::new(name, DataType::Utf8, false);
        let number = |name: &str| Field::new(name, DataType::Int64, false);
        let of_files = self.table.spec.partition_columns().into_iter().map(text);
        let of_files = of_files.chain([LANDED_US_COLUMN, COMMIT_COLUMN].map(number));
        let of_files = of_files.map(Arc::new).collect::<Vec<_>>();
        TableSchema::builder(self.table.spec.file_schema()).with_table_partition_cols(of_files).build()
    }
}

fn total_statistics(schema: &SchemaRef, files: &[Arc<DataFile>]) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Exact(files.iter().map(|file| file.row_count as usize).sum());
    statistics.total_byte_size = Precision::Inexact(files.iter().map(|file| file.size_bytes as usize).sum());
    statistics
}

#[async_trait]
impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // Files and row groups are pruned; rows are still filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let predicate = self.predicate(state, &self.usable(filters))?;
        let files = self.surviving_files(predicate.as_ref());
        let options = &state.table_options().parquet;
        let wanted: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&wanted)?))));
        }
        self.newest_scan(options, &files, wanted, predicate, limit)
    }
}

/// What the log knows of the values in each file, in the form that pruning asks for.
struct FileStatistics<'a> {
    table: &'a LakeTable,
    files: &'a [Arc<DataFile>],
}

impl FileStatistics<'_> {
    fn values(
        &self,
        column: &Column,
        pick: impl Fn(&super::log::ColumnRange) -> Option<&ScalarValue>,
    ) -> Option<ArrayRef> {
        let schema = self.table.spec.table_schema();
        let null = ScalarValue::try_from(schema.field_with_name(&column.name).ok()?.data_type()).ok()?;
        let month = self.table.spec.month.as_ref().filter(|month| month.name == column.name);
        let values = self.files.iter().map(|file| {
            if column.name == STORE_COLUMN {
                return ScalarValue::from(file.store.as_str());
            }
            if month.is_some() {
                return ScalarValue::Utf8(file.month.clone());
            }
            file.ranges.get(&column.name).and_then(&pick).cloned().unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |range| range.min.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |range| range.max.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts =
            self.files.iter().map(|file| file.ranges.get(&column.name).and_then(|range| range.null_count));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| file.row_count).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
