//! Rows before their lists are unnested: given on a few at a time, since each is repeated for every element of its list,
//! in memory that no pool sees.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use crate::error::Error;

/// Bytes that are unnested at once.
const UNNESTED_BYTES: u64 = 64 << 20;
/// Bytes that one row may become.
const ROW_BYTES: u64 = 512 << 20;

/// Cuts batches into parts that do not become too large.
#[derive(Debug)]
pub struct Spread {
    input: Arc<dyn ExecutionPlan>,
    /// The columns of lists, and how many levels of them are unnested.
    lists: Vec<(usize, usize)>,
}

impl Spread {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, lists: Vec<(usize, usize)>) -> Self {
        Self { input, lists }
    }
}

impl DisplayAs for Spread {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spread")
    }
}

impl ExecutionPlan for Spread {
    fn name(&self) -> &'static str {
        "Spread"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0), self.lists.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let lists = self.lists.clone();
        let batches = self.input.execute(partition, context)?;
        let parts = batches.map(move |batch| {
            let parts = batch.and_then(|batch| parts(&batch, &lists));
            parts.map(|parts| futures::stream::iter(parts.into_iter().map(Ok)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), parts.try_flatten())))
    }
}

/// Cuts a batch so that what becomes of each part is bounded; a row that alone becomes too much is refused.
fn parts(batch: &RecordBatch, lists: &[(usize, usize)]) -> Result<Vec<RecordBatch>> {
    let mut counts = vec![1_u64; batch.num_rows()];
    for (column, depth) in lists {
        for (count, more) in counts.iter_mut().zip(element_counts(batch.column(*column), *depth)) {
            *count = (*count).max(more);
        }
    }
    // What is repeated is the rest of the row.
    let is_list = |place: &usize| lists.iter().any(|(column, _)| column == place);
    let rest = (0..batch.num_columns()).filter(|place| !is_list(place));
    let bytes: u64 = rest.map(|place| size(batch.column(place))).sum();
    let row_bytes = bytes / (batch.num_rows().max(1) as u64) + 8;
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0_u64);
    for (row, count) in counts.iter().enumerate() {
        let bytes = count.saturating_mul(row_bytes);
        if bytes > ROW_BYTES {
            let message = "unnest would repeat a row until it has more than 512 MB: unnest before other columns are added";
            return Err(Error::limit(message).into());
        }
        sum += bytes;
        if sum > UNNESTED_BYTES && row > start {
            parts.push(batch.slice(start, row - start));
            (start, sum) = (row, bytes);
        }
    }
    parts.push(batch.slice(start, batch.num_rows() - start));
    Ok(parts)
}

fn size(column: &ArrayRef) -> u64 {
    column.to_data().get_slice_memory_size().unwrap_or_default() as u64
}

/// How many elements each row's list has, counted `depth` levels down.
fn element_counts(column: &ArrayRef, depth: usize) -> Vec<u64> {
    let mut ends: Vec<usize> = (0..=column.len()).collect();
    let mut level = Arc::clone(column);
    for _ in 0..depth {
        let inner = match level.data_type() {
            DataType::List(_) => {
                let lists = level.as_list::<i32>();
                for end in &mut ends {
                    *end = lists.value_offsets()[*end] as usize;
                }
                Arc::clone(lists.values())
            }
            DataType::LargeList(_) => {
                let lists = level.as_list::<i64>();
                for end in &mut ends {
                    *end = lists.value_offsets()[*end] as usize;
                }
                Arc::clone(lists.values())
            }
            DataType::FixedSizeList(_, length) => {
                for end in &mut ends {
                    *end *= *length as usize;
                }
                Arc::clone(level.as_fixed_size_list().values())
            }
            // Views have no order of their elements to count along; their lengths are one by one.
            DataType::ListView(_) | DataType::LargeListView(_) => return view_lengths(&level),
            _ => break,
        };
        level = inner;
    }
    ends.windows(2).map(|ends| ends[1].saturating_sub(ends[0]) as u64).collect()
}

fn view_lengths(lists: &ArrayRef) -> Vec<u64> {
    let Ok(lengths) = arrow::compute::kernels::length::length(lists) else { return vec![1; lists.len()] };
    match lengths.data_type() {
        DataType::Int32 => {
            lengths.as_primitive::<Int32Type>().iter().map(|n| n.unwrap_or(0) as u64).collect()
        }
        _ => lengths.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0) as u64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray, StringArray};

    use super::*;

    #[test]
    fn rows_are_given_on_in_parts_by_what_becomes_of_them() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
            [10, 300_000, 3, 200_000].map(|count| Some(vec![Some(1); count])),
        );
        let texts = StringArray::from(vec!["x".repeat(200); 4]);
        let lists: ArrayRef = Arc::new(lists);
        let batch =
            RecordBatch::try_from_iter([("l", lists.clone()), ("t", Arc::new(texts) as ArrayRef)]).unwrap();
        let parts = parts(&batch, &[(0, 1)]).unwrap();
        assert_eq!(parts.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 1]);
        // A slice counts its own rows.
        assert_eq!(element_counts(&lists.slice(2, 2), 1), [3, 200_000]);
        assert_eq!(element_counts(&(Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef), 1), [1, 1]);
    }

    #[test]
    fn a_row_that_becomes_too_much_is_refused() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1); 100_000])]);
        let texts = StringArray::from(vec!["x".repeat(10_000)]);
        let batch = RecordBatch::try_from_iter([
            ("l", Arc::new(lists) as ArrayRef),
            ("t", Arc::new(texts) as ArrayRef),
        ]);
        let error = crate::Error::from(parts(&batch.unwrap(), &[(0, 1)]).unwrap_err());
        assert_eq!(error.kind(), crate::ErrorKind::LimitExceeded);
    }
}
