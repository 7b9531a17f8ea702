//! The operator behind `journeys` and `journey_totals`: sorted inputs in ranges of customers, each range a stream.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::stream;

use super::customer::{DAY_US, Rules};
use super::customer_ids::CustomerKey;
use super::merge::{Merge, MergeSettings};
use super::order_runs::OrderRuns;
use super::output::wanted;
use super::refunds::SharedRefunds;
use super::totals::{Totals, TotalsRange, wanted_totals};
use super::touch_runs::{TouchReading, TouchRuns};

/// The order that each input must come in.
pub const INPUT_ORDERS: [&[&str]; 3] = [
    &["customer_id", "touched_at", "touch_id"],
    &["customer_id", "ordered_at", "order_id"],
    &["order_id", "refunded_at", "refund_id"],
];

/// What becomes of the rows.
#[derive(Debug, Clone)]
pub enum Sink {
    /// They are given out.
    Rows,
    /// They are added up by day, channel and currency.
    Totals(TotalsRange),
}

/// How an input is cut into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Into one, sorted by the operator that DataFusion puts before it; an id may be there twice.
    Whole,
    /// Into one for each range and run, in that order; no id is there twice. `spans` are the runs' first and last
    /// instants.
    Runs { spans: Arc<[(i64, i64)]>, overlap: bool },
}

impl Cut {
    fn partitions(&self, range: usize) -> std::ops::Range<usize> {
        match self {
            Cut::Whole => 0..1,
            Cut::Runs { spans, .. } => range * spans.len()..(range + 1) * spans.len(),
        }
    }
}

/// One input of the operator.
#[derive(Debug, Clone)]
pub struct Input {
    pub plan: Arc<dyn ExecutionPlan>,
    pub cut: Cut,
}

/// What the operator is to do.
#[derive(Debug, Clone)]
pub struct Task {
    pub store: String,
    pub rules: Rules,
    /// The columns to build.
    pub schema: SchemaRef,
    pub sink: Sink,
    /// The first customer of every range but the first.
    pub bounds: Vec<String>,
}

/// Merges touches, orders and refunds, customer by customer, into rows of `journeys` or their totals.
#[derive(Debug, Clone)]
pub struct JourneysExec {
    task: Arc<Task>,
    /// Touches, orders, refunds.
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    cuts: [Cut; 3],
    orderings: Vec<LexOrdering>,
    properties: Arc<PlanProperties>,
    refunds: Arc<SharedRefunds>,
    metrics: ExecutionPlanMetricsSet,
}

impl JourneysExec {
    /// Plans the operator over touches, orders and refunds. Where a table is whole there is one range.
    pub fn try_new(task: Arc<Task>, inputs: [Input; 3]) -> Result<Self> {
        let cuts = inputs.each_ref().map(|input| input.cut.clone());
        Self::over(task, cuts, inputs.into_iter().map(|input| input.plan).collect())
    }

    fn over(task: Arc<Task>, cuts: [Cut; 3], inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Self> {
        if !task.bounds.is_empty() && cuts[..2].contains(&Cut::Whole) {
            return internal_err!("journeys: an input that is not in ranges cannot be read in ranges");
        }
        let orderings = inputs
            .iter()
            .zip(INPUT_ORDERS)
            .zip(&cuts)
            .map(|((input, names), cut)| match cut {
                Cut::Whole => ordering(input, names),
                Cut::Runs { .. } => ordering(input, &names[..1]),
            })
            .collect::<Result<_>>()?;
        let ranges = task.bounds.len() + 1;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&task.schema)),
            Partitioning::UnknownPartitioning(ranges),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            task,
            inputs,
            cuts,
            orderings,
            properties: Arc::new(properties),
            refunds: Arc::new(SharedRefunds::new(ranges)),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The first customer of a range, and the first of the next.
    fn range(&self, range: usize) -> (Option<CustomerKey>, Option<CustomerKey>) {
        let bound = |at: usize| self.task.bounds.get(at).map(|id| CustomerKey::new(Some(id)));
        (range.checked_sub(1).and_then(bound), bound(range))
    }

    fn streams(
        &self,
        input: usize,
        range: usize,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<SendableRecordBatchStream>> {
        let partitions = self.cuts[input].partitions(range);
        partitions.map(|partition| self.inputs[input].execute(partition, Arc::clone(context))).collect()
    }
}

fn ordering(input: &Arc<dyn ExecutionPlan>, names: &[&str]) -> Result<LexOrdering> {
    let schema = input.schema();
    let options = SortOptions { descending: false, nulls_first: true };
    let by = names
        .iter()
        .map(|name| Ok(PhysicalSortExpr::new(col(name, &schema)?, options)))
        .collect::<Result<Vec<_>>>()?;
    match LexOrdering::new(by) {
        Some(ordering) => Ok(ordering),
        None => internal_err!("journeys: an input has no order"),
    }
}

impl DisplayAs for JourneysExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Task { rules, bounds, sink, .. } = &*self.task;
        write!(
            f,
            "JourneysExec: lookback_days={}, half_life_days={}, include_refused={}, totals={}, ranges={}",
            rules.lookback_us as f64 / DAY_US,
            rules.half_life_us / DAY_US,
            rules.include_refused,
            matches!(sink, Sink::Totals(_)),
            bounds.len() + 1,
        )
    }
}

impl ExecutionPlan for JourneysExec {
    fn name(&self) -> &'static str {
        "JourneysExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let of_cut = |cut: &Cut| match cut {
            Cut::Whole => Distribution::SinglePartition,
            Cut::Runs { .. } => Distribution::UnspecifiedDistribution,
        };
        InputDistributionRequirements::new(self.cuts.iter().map(of_cut).collect())
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let orderings = self.orderings.iter().zip(&self.cuts);
        orderings.map(|(ordering, cut)| (*cut == Cut::Whole).then(|| ordering.clone().into())).collect()
    }

    /// The partitions of an input mean something: none may be added.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let _ = f;
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != INPUT_ORDERS.len() {
            return internal_err!("journeys has three inputs, not {}", children.len());
        }
        Ok(Arc::new(Self::over(Arc::clone(&self.task), self.cuts.clone(), children)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Task { store, rules, schema, sink, .. } = &*self.task;
        let (wanted, totals) = match sink {
            Sink::Rows => (wanted(schema), None),
            Sink::Totals(range) => (wanted_totals(schema), Some(Totals::new(store.clone(), *range, schema))),
        };
        let settings = MergeSettings {
            store: store.clone(),
            rules: *rules,
            wanted,
            schema: Arc::clone(schema),
            batch_rows: context.session_config().batch_size(),
        };
        let (ids_differ, overlap, spans) = match &self.cuts[0] {
            Cut::Whole => (false, false, Vec::new()),
            Cut::Runs { spans, overlap } => (true, *overlap, spans.to_vec()),
        };
        let refused = rules.include_refused || schema.index_of("reason").is_ok();
        let reading = TouchReading { spans, refused, ids_differ, overlap, totals: totals.is_some() };
        let touches = TouchRuns::new(self.streams(0, partition, &context)?, reading);
        let orders = OrderRuns::new(self.streams(1, partition, &context)?, self.range(partition));
        let pool = Arc::clone(context.memory_pool());
        let reserve = || MemoryConsumer::new("JourneysExec").register(&pool);
        let merge = Merge::new(settings, touches, orders, Arc::clone(&self.refunds), reserve(), totals);
        let start = (Arc::clone(&self.refunds), Arc::clone(&self.inputs[2]), context, reserve());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches =
            stream::try_unfold((merge, Some(start), metrics), |(mut merge, start, metrics)| async move {
                if let Some((shared, refunds, context, reservation)) = start {
                    shared.read(|| Ok((refunds.execute(0, context)?, reservation))).await?;
                }
                let Some(batch) = merge.next_batch().await? else { return Ok(None) };
                metrics.record_output(batch.num_rows());
                Ok(Some((batch, (merge, None, metrics))))
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches)))
    }
}
