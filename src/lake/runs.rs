//! One store's files as sorted runs, cut into ranges by the first column of their order.
//!
//! Attribution walks the customers of all files side by side. A row-by-row merge of the files would cost more than
//! the attribution; and a cut by customer lets every core do a part, reading only the pages of its customers.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{HashSet, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_plan::ExecutionPlan;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use tributary_udfs::SortedRuns;

use super::log::DataFile;
use super::newest::NewestVersions;
use super::row_filter::RowFilter;
use super::row_order::version_columns;
use super::runs_exec::{RunPart, RunsExec};
use super::table::LakeTable;
use crate::error::Result;
use crate::schema::{ColumnKind, TableSpec};

/// The rows that are asked for among all: those of some customers, or some of theirs.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Values of the first column of the order, sorted.
    pub firsts: Arc<Vec<String>>,
    /// A further column, and the values of it that are asked for.
    pub only: Option<(String, Arc<HashSet<String>>)>,
    /// The first and the last instant of the rows, in microseconds, where the table has one.
    pub between_us: (i64, i64),
}

impl Keep {
    /// Whether any of the firsts lies between two values.
    fn meets(&self, least: &[u8], greatest: Option<&[u8]>) -> bool {
        let at = self.firsts.partition_point(|first| first.as_bytes() < least);
        let next = self.firsts.get(at);
        next.is_some_and(|next| greatest.is_none_or(|greatest| next.as_bytes() <= greatest))
    }
}

/// A file and what its footer says.
#[derive(Debug)]
pub struct Run {
    pub file: Arc<DataFile>,
    pub metadata: Arc<ParquetMetaData>,
}

/// The files of one store that can hold rows of the instants asked for: by month, then as they were written.
#[derive(Debug)]
pub struct StoreRuns {
    table: Arc<LakeTable>,
    runs: Vec<Arc<Run>>,
    /// `None` where every key is in one file only.
    newest: Option<Arc<NewestVersions>>,
    /// The first column of the order.
    sort_column: Option<String>,
    /// Which rows are asked for, where not all are.
    keep: Option<Keep>,
}

/// Consecutive rows of a row group that share a page of the sort column.
struct Page {
    rows: Range<usize>,
    /// None where every value is null.
    least: Option<Vec<u8>>,
    greatest: Option<Vec<u8>>,
    has_nulls: bool,
}

impl StoreRuns {
    pub async fn open(
        table: Arc<LakeTable>,
        files: Vec<Arc<DataFile>>,
        newest: Option<Arc<NewestVersions>>,
        between_us: Option<(i64, i64)>,
    ) -> Result<Self> {
        let mut runs = Vec::with_capacity(files.len());
        for file in files {
            let (first, last) = span(&table.spec, &file);
            if between_us.is_none_or(|(from, to)| last >= from && first < to) {
                let metadata = table.metadata(&file).await?;
                runs.push(Arc::new(Run { file, metadata }));
            }
        }
        runs.sort_by(|a, b| (&a.file.month, &a.file.path).cmp(&(&b.file.month, &b.file.path)));
        let sort_column = table.spec.sort.first().cloned();
        Ok(Self { table, runs, newest, sort_column, keep: None })
    }

    /// Reads no other rows than these.
    #[must_use]
    pub fn keeping(mut self, keep: Option<Keep>) -> Self {
        if let Some(Keep { between_us: (from, to), .. }) = keep {
            let spec = &self.table.spec;
            self.runs.retain(|run| {
                let (first, last) = span(spec, &run.file);
                last >= from && first <= to
            });
        }
        self.keep = keep;
        self
    }

    /// The types that columns are read as, which cost least: what rows are sorted by and names as dictionaries, other ids
    /// as views.
    fn read_schema(&self, columns: &[&str]) -> SchemaRef {
        let spec = &self.table.spec;
        let is_version = |name: &String| self.newest.is_some() && version_columns(spec).contains(name);
        let schema = spec.file_schema();
        let fields = schema.fields().iter().map(|field| {
            let name = field.name();
            let is_text = spec.column(name).is_some_and(|column| column.kind == ColumnKind::Text);
            if !is_text || is_version(name) || !columns.contains(&name.as_str()) {
                return field.as_ref().clone();
            }
            let is_id = spec.key.contains(name) || spec.sort.iter().skip(1).any(|sort| sort == name);
            let data_type = if is_id {
                DataType::Utf8View
            } else {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            };
            Field::new(name, data_type, field.is_nullable())
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The pages of a row group, by what its statistics know: one page where there is no index.
    fn pages(&self, metadata: &ParquetMetaData, group: usize) -> Vec<Page> {
        let row_count = metadata.row_group(group).num_rows() as usize;
        let columns = metadata.file_metadata().schema_descr().columns();
        let sort_column =
            columns.iter().position(|column| Some(column.name()) == self.sort_column.as_deref());
        let index = metadata.column_index().and_then(|index| index.get(group)?.get(sort_column?));
        let offsets = metadata.offset_index().and_then(|index| index.get(group)?.get(sort_column?));
        let (Some(ColumnIndexMetaData::BYTE_ARRAY(values)), Some(offsets)) = (index, offsets) else {
            return vec![Page {
                rows: 0..row_count,
                least: Some(Vec::new()),
                greatest: None,
                has_nulls: true,
            }];
        };
        let starts: Vec<usize> =
            offsets.page_locations().iter().map(|page| page.first_row_index as usize).collect();
        let page = |at: usize| Page {
            rows: starts[at]..starts.get(at + 1).copied().unwrap_or(row_count),
            least: values.min_value(at).map(<[u8]>::to_vec),
            greatest: values.max_value(at).map(<[u8]>::to_vec),
            has_nulls: values.null_count(at).is_none_or(|count| count > 0),
        };
        (0..starts.len()).map(page).collect()
    }

    /// The rows of a file that can be of a range: those between two values, of which the first is in it.
    fn part(&self, run: &Arc<Run>, from: Option<&str>, to: Option<&str>) -> RunPart {
        let is_in = |page: &Page| {
            let Some(least) = &page.least else { return from.is_none() && self.keep.is_none() };
            if self.keep.as_ref().is_some_and(|keep| !keep.meets(least, page.greatest.as_deref())) {
                return false;
            }
            let begins_before_end = to.is_none_or(|to| least.as_slice() < to.as_bytes());
            let ends_after_start = match (from, &page.greatest) {
                (Some(from), Some(greatest)) => greatest.as_slice() >= from.as_bytes(),
                _ => true,
            };
            // Nulls come before every value.
            (begins_before_end && ends_after_start) || (from.is_none() && page.has_nulls)
        };
        let mut part = RunPart { run: run.clone(), groups: Vec::new(), rows: Vec::new() };
        let mut group_start = 0;
        for group in 0..run.metadata.num_row_groups() {
            let mut rows: Vec<Range<usize>> = Vec::new();
            for page in self.pages(&run.metadata, group).into_iter().filter(is_in) {
                match rows.last_mut() {
                    Some(last) if last.end == page.rows.start => last.end = page.rows.end,
                    _ => rows.push(page.rows),
                }
            }
            if !rows.is_empty() {
                part.rows.extend(rows.iter().map(|rows| group_start + rows.start..group_start + rows.end));
                part.groups.push(group);
                // Rows are counted over the groups that are read.
                group_start += run.metadata.row_group(group).num_rows() as usize;
            }
        }
        part
    }
}

/// The first and the last instant of a file's rows, by what the log knows of it.
fn span(spec: &TableSpec, file: &DataFile) -> (i64, i64) {
    spec.month.as_ref().map_or((i64::MIN, i64::MAX), |month| file.instants(&month.of))
}

impl SortedRuns for StoreRuns {
    fn spans(&self) -> Vec<(i64, i64)> {
        self.runs.iter().map(|run| span(&self.table.spec, &run.file)).collect()
    }

    fn overlap(&self) -> bool {
        self.runs.len() > 1 && self.runs.iter().any(|run| !run.file.is_compacted())
    }

    fn constant(&self, column: &str) -> Option<String> {
        let mut constant = None;
        for run in &self.runs {
            let range = run.file.ranges.get(column).filter(|range| range.null_count == Some(0))?;
            let (Some(ScalarValue::Utf8(Some(min))), Some(ScalarValue::Utf8(Some(max)))) =
                (&range.min, &range.max)
            else {
                return None;
            };
            if min != max || constant.is_some_and(|constant| constant != min) {
                return None;
            }
            constant = Some(min);
        }
        constant.cloned()
    }

    fn bounds(&self, ranges: usize) -> Vec<String> {
        let mut pages: Vec<(Vec<u8>, usize)> = Vec::new();
        for run in &self.runs {
            for group in 0..run.metadata.num_row_groups() {
                let pages_of_group = self.pages(&run.metadata, group).into_iter();
                pages.extend(pages_of_group.filter_map(|page| Some((page.least?, page.rows.len()))));
            }
        }
        pages.sort_unstable();
        let row_count: usize = pages.iter().map(|page| page.1).sum();
        let mut bounds: Vec<String> = Vec::new();
        let mut rows_before = 0;
        for (least, rows) in pages {
            let is_due = rows_before * ranges >= row_count * (bounds.len() + 1);
            // What is cut off in the middle of a character is no bound, and the next page's will do.
            if is_due
                && bounds.len() + 1 < ranges
                && let Ok(least) = String::from_utf8(least)
                && bounds.last().is_none_or(|last| *last < least)
            {
                bounds.push(least);
            }
            rows_before += rows;
        }
        bounds
    }

    fn scan(&self, columns: &[&str], bounds: &[String]) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut parts = Vec::with_capacity((bounds.len() + 1) * self.runs.len());
        for range in 0..=bounds.len() {
            let from = range.checked_sub(1).map(|before| bounds[before].as_str());
            let to = bounds.get(range).map(String::as_str);
            parts.extend(self.runs.iter().map(|run| self.part(run, from, to)));
        }
        let read_schema = self.read_schema(columns);
        let newest = self.newest.clone();
        let plan = RunsExec::try_new(self.table.clone(), parts, read_schema, columns, newest)?;
        let filter = self.keep.clone().zip(self.sort_column.clone());
        Ok(Arc::new(plan.keeping(filter.map(|(keep, first)| RowFilter::new(first, &keep)))))
    }
}
