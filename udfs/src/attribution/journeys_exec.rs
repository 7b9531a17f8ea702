//! The operator behind `journeys` and `journey_totals`: sorted inputs in ranges of customers, each range a stream.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
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

use super::booked_range::BookedRange;
use super::columns::{ChannelCodes, ChannelMarks};
use super::customer_ids::CustomerKey;
use super::idle::IdleJourneys;
use super::inputs::TouchChannels;
use super::merge::{Found, Merge, MergeSettings};
use super::model::Model;
use super::order_runs::OrderRuns;
use super::output::{wanted, wanted_credits};
use super::path_counts::{PathCounts, PathGrain, PathOptions};
use super::rates::{Rates, Reporting};
use super::rows::{Rows, Wanted};
use super::rules::{DAY_US, Rules};
use super::shared::Runs;
use super::totals::{Totals, TotalsOptions, wanted_totals};
use super::touch_runs::{TouchReading, TouchRuns};

/// The order that each input must come in.
pub const INPUT_ORDERS: [&[&str]; 3] = [
    &["customer_id", "touched_at", "touch_id"],
    &["customer_id", "ordered_at", "order_id"],
    &["order_id", "refunded_at", "refund_id"],
];

/// What becomes of the rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Sink {
    /// They are given out, side by side for all models or one for each of some.
    Rows { range: BookedRange, models: Option<Vec<Model>> },
    /// They are added up by day, channel, currency and model.
    Totals(TotalsOptions),
    /// They are counted by path, or by the links of their paths.
    Paths(PathOptions),
}

impl Sink {
    /// The days whose entries are reported.
    pub fn range(&self) -> &BookedRange {
        match self {
            Sink::Rows { range, .. } => range,
            Sink::Totals(options) => &options.range,
            Sink::Paths(options) => &options.range,
        }
    }
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
    pub rules: Arc<Rules>,
    /// The zone in which days begin.
    pub zone: Tz,
    /// Rates between currencies, where amounts are reported in one.
    pub rates: Option<Arc<Rates>>,
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
    runs: Arc<Runs>,
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
            runs: Arc::new(Runs::new(ranges)),
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

/// What is wanted of the channels of touches.
fn touch_channels(rules: &Rules, wanted: Wanted, totals: bool) -> TouchChannels {
    let is_wanted = |model: Model| wanted.model(model as usize);
    let wants_direct = rules.ignore_direct || is_wanted(Model::LastNonDirect);
    let wants_keys = rules.need_channels() || is_wanted(Model::Participation);
    let marks = ChannelMarks {
        direct: if wants_direct { rules.direct.clone() } else { Vec::new() },
        filter: rules.channels.clone(),
    };
    let wants_codes = totals || wants_keys || wants_direct || !rules.channels.is_empty();
    let campaigns = rules.campaigns.clone();
    TouchChannels { codes: ChannelCodes::new(marks), wants_codes, wants_keys, campaigns }
}

impl DisplayAs for JourneysExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Task { rules, bounds, sink, .. } = &*self.task;
        write!(
            f,
            "JourneysExec: lookback_days={}, half_life_days={}, include_refused={}, {}, ranges={}",
            rules.lookback_us as f64 / DAY_US,
            rules.half_life_us / DAY_US,
            rules.include_refused,
            match sink {
                Sink::Rows { .. } => "rows",
                Sink::Totals(_) => "totals",
                Sink::Paths(PathOptions { grain: PathGrain::Path, .. }) => "paths",
                Sink::Paths(PathOptions { grain: PathGrain::Link { .. }, .. }) => "transitions",
            },
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
        let Task { store, rules, zone, rates, schema, sink, .. } = &*self.task;
        let run = self.runs.join(partition);
        let mut idle = None;
        let (wanted, found) = match sink {
            Sink::Rows { range, models } => {
                let wanted = match models {
                    Some(models) => wanted_credits(schema, models),
                    None => wanted(schema),
                };
                (wanted, Found::Rows(Box::new(Rows::new(wanted, Some(*range)))))
            }
            Sink::Totals(options) => {
                let wanted = wanted_totals(schema, &options.models);
                (wanted, Found::Totals(Box::new(Totals::new(options.clone()))))
            }
            Sink::Paths(options) => {
                idle = options.idle.then(|| IdleJourneys::new(rules));
                (Wanted::default(), Found::Paths(Box::new(PathCounts::new(options.clone()))))
            }
        };
        let settings = MergeSettings {
            store: store.clone(),
            rules: Arc::clone(rules),
            wanted,
            schema: Arc::clone(schema),
            models: match sink {
                Sink::Rows { models, .. } => models.clone(),
                Sink::Totals(_) | Sink::Paths(_) => None,
            },
            batch_rows: context.session_config().batch_size(),
        };
        let (ids_differ, overlap, spans) = match &self.cuts[0] {
            Cut::Whole => (false, false, Vec::new()),
            Cut::Runs { spans, overlap } => (true, *overlap, spans.to_vec()),
        };
        let reading = TouchReading {
            spans,
            beyond_us: match idle {
                Some(_) => i64::MAX,
                None => rules.beyond_window_us(schema.index_of("reason").is_ok()),
            },
            ids_differ,
            overlap,
            totals: !matches!(sink, Sink::Rows { .. }),
        };
        let channels = touch_channels(rules, wanted, reading.totals);
        let touches = TouchRuns::new(self.streams(0, partition, &context)?, reading, channels);
        let reporting = rules.currency.clone().zip(rates.clone());
        let reporting = reporting.map(|(currency, rates)| Reporting::new(currency, rates, *zone));
        let orders = OrderRuns::new(self.streams(1, partition, &context)?, self.range(partition), reporting);
        let pool = Arc::clone(context.memory_pool());
        let reserve = || MemoryConsumer::new("JourneysExec").register(&pool);
        let merge = Merge::new(settings, touches, orders, Arc::clone(&run), reserve(), found, idle);
        let start = (run, Arc::clone(&self.inputs[2]), context, reserve());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches =
            stream::try_unfold((merge, Some(start), metrics), |(mut merge, start, metrics)| async move {
                if let Some((run, refunds, context, reservation)) = start {
                    run.refunds.read(|| Ok((refunds.execute(0, context)?, reservation))).await?;
                }
                let Some(batch) = merge.next_batch().await? else { return Ok(None) };
                metrics.record_output(batch.num_rows());
                Ok(Some((batch, (merge, None, metrics))))
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches)))
    }
}
