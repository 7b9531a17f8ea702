//! Puts customers in the place of anonymous ids, before journeys are looked for.
//!
//! Runs are sorted by the ids they were landed with, so that a customer's anonymous rows lie elsewhere. They are left out of
//! the runs, and come as one more: read apart, resolved and sorted, a range of customers each time.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::identities::Identities;

/// Which rows a partition gives.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// All of a partition's, resolved.
    All,
    /// Those of a partition that are of customers already.
    Unlinked,
    /// Those of every partition that are of anonymous ids, resolved: one partition for each range of customers, of which
    /// these are the first of the second range, and so on.
    Linked { bounds: Arc<[String]> },
}

/// Resolves the customers of its input.
#[derive(Debug)]
pub struct ResolveExec {
    input: Arc<dyn ExecutionPlan>,
    identities: Arc<Identities>,
    part: Part,
    properties: Arc<PlanProperties>,
}

impl ResolveExec {
    /// Resolves a table's rows where they are.
    pub fn all(input: Arc<dyn ExecutionPlan>, identities: &Arc<Identities>) -> Arc<dyn ExecutionPlan> {
        let partitions = partitions(&input);
        Arc::new(Self::new(input, identities, Part::All, partitions))
    }

    /// Resolves runs, in ranges of customers: each range has its part of every run, and one run more. `runs` reads the
    /// runs cut into the ranges, `uncut` as they are; rows come in the order of some columns.
    pub fn runs(
        runs: Arc<dyn ExecutionPlan>,
        uncut: Arc<dyn ExecutionPlan>,
        identities: &Arc<Identities>,
        bounds: &[String],
        order: &[&str],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (ranges, partitions) = (bounds.len() + 1, partitions(&runs));
        let unlinked = Self::new(runs, identities, Part::Unlinked, partitions);
        let linked = Self::new(uncut, identities, Part::Linked { bounds: bounds.into() }, ranges);
        let linked: Arc<dyn ExecutionPlan> = Arc::new(linked);
        let options = SortOptions { descending: false, nulls_first: true };
        let by = order.iter().filter(|name| linked.schema().index_of(name).is_ok());
        let by = by.map(|name| Ok(PhysicalSortExpr::new(col(name, &linked.schema())?, options)));
        let Some(order) = LexOrdering::new(by.collect::<Result<Vec<_>>>()?) else {
            return internal_err!("journeys: an input has no order");
        };
        let sorted = SortExec::new(order.clone(), linked).with_preserve_partitioning(true);
        Ok(Arc::new(AppendRunExec::new(Arc::new(unlinked), Arc::new(sorted), order, ranges)))
    }

    fn new(
        input: Arc<dyn ExecutionPlan>,
        identities: &Arc<Identities>,
        part: Part,
        partitions: usize,
    ) -> Self {
        let properties = properties(&input, partitions);
        Self { input, identities: Arc::clone(identities), part, properties }
    }
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.properties().output_partitioning().partition_count()
}

fn properties(like: &Arc<dyn ExecutionPlan>, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(like.schema()),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for ResolveExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::All => "all",
            Part::Unlinked => "unlinked",
            Part::Linked { .. } => "linked",
        };
        write!(f, "ResolveExec: {part}")
    }
}

impl ExecutionPlan for ResolveExec {
    fn name(&self) -> &'static str {
        "ResolveExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// The partitions of the input mean something: none may be added.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        let Some(input) = children.pop() else { return internal_err!("ResolveExec has one input") };
        let partitions = self.properties.output_partitioning().partition_count();
        Ok(Arc::new(Self::new(input, &self.identities, self.part.clone(), partitions)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let identities = Arc::clone(&self.identities);
        let Part::Linked { bounds } = &self.part else {
            let is_all = self.part == Part::All;
            let batches = self.input.execute(partition, context)?.map(move |batch| {
                if is_all { identities.resolved(&batch?) } else { identities.unlinked(&batch?) }
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)));
        };
        let from = partition.checked_sub(1).map(|before| bounds[before].clone());
        let to = bounds.get(partition).cloned();
        let input = Arc::clone(&self.input);
        let runs =
            stream::iter(0..partitions(&input)).map(move |run| input.execute(run, Arc::clone(&context)));
        let batches = runs
            .try_flatten()
            .map(move |batch| identities.linked(&batch?, from.as_deref(), to.as_deref()))
            .try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// Gives each range its runs, and one more.
#[derive(Debug)]
struct AppendRunExec {
    /// The runs of each range, and the run that is added to each.
    children: [Arc<dyn ExecutionPlan>; 2],
    /// The order of the run that is added: without asking for it, the sort would be taken away.
    order: LexOrdering,
    ranges: usize,
    properties: Arc<PlanProperties>,
}

impl AppendRunExec {
    fn new(
        runs: Arc<dyn ExecutionPlan>,
        added: Arc<dyn ExecutionPlan>,
        order: LexOrdering,
        ranges: usize,
    ) -> Self {
        let properties = properties(&runs, partitions(&runs) + ranges);
        Self { children: [runs, added], order, ranges, properties }
    }
}

impl DisplayAs for AppendRunExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppendRunExec: ranges={}", self.ranges)
    }
}

impl ExecutionPlan for AppendRunExec {
    fn name(&self) -> &'static str {
        "AppendRunExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![None, Some(self.order.clone().into())]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.children.len()]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 2]>::try_from(children) {
            Ok([runs, added]) => Ok(Arc::new(Self::new(runs, added, self.order.clone(), self.ranges))),
            Err(_) => internal_err!("AppendRunExec has two inputs"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let [runs, added] = &self.children;
        let runs_of_range = partitions(runs) / self.ranges;
        let (range, run) = (partition / (runs_of_range + 1), partition % (runs_of_range + 1));
        if run == runs_of_range {
            added.execute(range, context)
        } else {
            runs.execute(range * runs_of_range + run, context)
        }
    }
}
