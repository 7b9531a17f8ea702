//! The rule that makes every plan stop soon after nobody waits for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::TryStreamExt;

use super::interruption::{Interruptible, Interruption};
use super::spread::Spread;

/// What a session's plans have read so far.
#[derive(Debug, Default)]
pub struct Reading {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Reading {
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// What the rows take in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, batch: &RecordBatch) {
        self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(batch.get_array_memory_size() as u64, Ordering::Relaxed);
    }
}

/// Puts a watch above whatever gives rows, and into the predicates of joins.
#[derive(Debug)]
pub(super) struct Watch {
    interruption: Arc<Interruption>,
    reading: Arc<Reading>,
}

impl Watch {
    pub fn new(interruption: Arc<Interruption>, reading: Arc<Reading>) -> Self {
        Self { interruption, reading }
    }
}

impl PhysicalOptimizerRule for Watch {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| self.watched(plan)).map(|watched| watched.data)
    }

    fn name(&self) -> &'static str {
        "watch"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl Watch {
    fn watched(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
        let any: &dyn std::any::Any = plan.as_ref();
        let watched: Arc<dyn ExecutionPlan> = if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
            let filter = Some(self.filter(join.filter()));
            Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?)
        } else if let Some(join) = any.downcast_ref::<HashJoinExec>() {
            // A join without a predicate comes back with rows, unless it only looks whether there are any.
            let gives_pairs = matches!(
                join.join_type(),
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full
            );
            if join.filter().is_some() || !gives_pairs {
                join.builder().with_filter(Some(self.filter(join.filter()))).build_exec()?
            } else {
                plan
            }
        } else if let Some(unnest) = any.downcast_ref::<UnnestExec>() {
            let lists = unnest.list_column_indices().iter();
            let lists = lists.map(|list| (list.index_in_input_schema, list.depth)).collect();
            let input = Arc::clone(unnest.children()[0]);
            replace_children_if_necessary(Arc::clone(&plan), vec![Arc::new(Spread::new(input, lists))])?
        } else if any.is::<CrossJoinExec>() || plan.children().is_empty() {
            plan
        } else {
            return Ok(Transformed::no(plan));
        };
        let reading = watched.children().is_empty().then(|| Arc::clone(&self.reading));
        let interruption = Arc::clone(&self.interruption);
        Ok(Transformed::yes(Arc::new(Watched { input: watched, interruption, reading })))
    }

    fn filter(&self, filter: Option<&JoinFilter>) -> JoinFilter {
        let watch = |expression| Arc::new(Interruptible::new(expression, Arc::clone(&self.interruption)));
        match filter {
            Some(filter) => JoinFilter::new(
                watch(Arc::clone(filter.expression())),
                filter.column_indices().to_vec(),
                Arc::clone(filter.schema()),
            ),
            None => JoinFilter::new(watch(lit(true)), Vec::new(), Arc::new(Schema::empty())),
        }
    }
}

/// Gives its input's batches on while somebody waits for them.
#[derive(Debug)]
pub struct Watched {
    input: Arc<dyn ExecutionPlan>,
    interruption: Arc<Interruption>,
    /// Where its input is a source: what counts the rows.
    reading: Option<Arc<Reading>>,
}

impl DisplayAs for Watched {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl ExecutionPlan for Watched {
    fn name(&self) -> &'static str {
        "Watched"
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
        let input = children.swap_remove(0);
        Ok(Arc::new(Self {
            input,
            interruption: Arc::clone(&self.interruption),
            reading: self.reading.clone(),
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let interruption = Arc::clone(&self.interruption);
        let reading = self.reading.clone();
        let batches = self.input.execute(partition, context)?;
        let watched = batches.and_then(move |batch| {
            if let Some(reading) = &reading {
                reading.count(&batch);
            }
            std::future::ready(interruption.check().map(|()| batch))
        });
        let watched = RecordBatchStreamAdapter::new(self.input.schema(), watched);
        Ok(make_cooperative(Box::pin(watched)))
    }
}
