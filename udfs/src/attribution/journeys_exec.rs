//! The operator behind `journeys`: three sorted inputs, one stream of credits.

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
use super::merge::{Merge, MergeSettings};
use super::output::wanted;

/// The order that each input must come in.
pub const INPUT_ORDERS: [&[&str]; 3] = [
    &["customer_id", "touched_at", "touch_id"],
    &["customer_id", "ordered_at", "order_id"],
    &["order_id", "refunded_at", "refund_id"],
];

/// Merges touches, orders and refunds, customer by customer, into rows of `journeys`.
#[derive(Debug, Clone)]
pub struct JourneysExec {
    store: String,
    rules: Rules,
    schema: SchemaRef,
    /// Touches, orders, refunds.
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    orderings: Vec<LexOrdering>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl JourneysExec {
    /// Plans the operator; `schema` has the columns to build, `inputs` are touches, orders and refunds.
    pub fn try_new(
        store: String,
        rules: Rules,
        schema: SchemaRef,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Self> {
        let orderings = inputs
            .iter()
            .zip(INPUT_ORDERS)
            .map(|(input, names)| ordering(input, names))
            .collect::<Result<_>>()?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { store, rules, schema, inputs, orderings, properties: Arc::new(properties), metrics })
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
        write!(
            f,
            "JourneysExec: lookback_days={}, half_life_days={}, include_refused={}",
            self.rules.lookback_us as f64 / DAY_US,
            self.rules.half_life_us / DAY_US,
            self.rules.include_refused
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
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; 3])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.orderings.iter().map(|ordering| Some(ordering.clone().into())).collect()
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
        Ok(Arc::new(Self::try_new(self.store.clone(), self.rules, Arc::clone(&self.schema), children)?))
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
        let [touches, orders, refunds] = self.inputs.as_slice() else {
            return internal_err!("journeys has three inputs, not {}", self.inputs.len());
        };
        let start = |input: &Arc<dyn ExecutionPlan>| input.execute(0, Arc::clone(&context));
        let settings = MergeSettings {
            store: self.store.clone(),
            rules: self.rules,
            wanted: wanted(&self.schema),
            schema: Arc::clone(&self.schema),
            batch_rows: context.session_config().batch_size(),
        };
        let reservation = MemoryConsumer::new("JourneysExec").register(context.memory_pool());
        let merge = Merge::new(settings, [start(touches)?, start(orders)?, start(refunds)?], reservation);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::try_unfold((merge, metrics), |(mut merge, metrics)| async move {
            let Some(batch) = merge.next_batch().await? else { return Ok(None) };
            metrics.record_output(batch.num_rows());
            Ok(Some((batch, (merge, metrics))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}
