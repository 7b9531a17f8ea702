//! `journeys(lookback_days, half_life_days, include_refused)`: the table function.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::utils::project_schema;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Documentation, Expr, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion_macros::user_doc;

use super::customer::{DAY_US, Rules};
use super::inputs::{OrderInstants, RefundedOrders};
use super::journeys_exec::{Cut, Input, JourneysExec, Sink, Task};
use super::output::journeys_schema;
use super::runs::{JourneyInput, SortedRuns, SortedTable};

/// The longest lookback or half-life, in days: a hundred years and some.
const MAX_DAYS: f64 = 40_000.0;

/// Ranges of customers for each thread: while one waits for its file, another works.
const RANGES_PER_THREAD: usize = 1;

#[user_doc(
    doc_section(label = "attribution"),
    description = "Returns one row per entry (an order, or one of its refunds) and touch, with the weight and the exact credit of the touch under each of the five rule models. The credits of an entry sum to its amount.",
    syntax_example = "journeys([lookback_days [, half_life_days [, include_refused]]])",
    sql_example = "select channel, sum(linear_credit) as credit from journeys(30, 7) group by channel order by channel",
    argument(
        name = "lookback_days",
        description = "How long before an order a click counts; 30 if not given. A view counts for 1 day, and only where no click does."
    ),
    argument(
        name = "half_life_days",
        description = "The age at which a touch weighs half under time decay; 7 if not given."
    ),
    argument(
        name = "include_refused",
        description = "Whether touches and orders without credit are listed too, with the reason; false if not given."
    )
)]
#[derive(Debug)]
struct JourneysDoc;

/// Returns the manual page of `journeys`.
pub fn journeys_documentation() -> Documentation {
    JourneysDoc.doc().cloned().unwrap_or_else(|| unreachable!("the attribute above always writes it"))
}

/// The tables of one store that attribution reads.
#[derive(Debug, Clone)]
pub struct JourneyTables {
    pub store: String,
    pub touchpoints: JourneyInput,
    pub orders: JourneyInput,
    pub refunds: Arc<dyn TableProvider>,
}

/// The table function `journeys` of one store.
#[derive(Debug)]
pub struct JourneysFunction {
    tables: JourneyTables,
}

impl JourneysFunction {
    /// The function's name in SQL.
    pub const NAME: &'static str = "journeys";

    /// Builds the function over a store's tables, with the columns of the raw tables of those names.
    pub fn new(tables: JourneyTables) -> Self {
        Self { tables }
    }
}

impl TableFunctionImpl for JourneysFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let (rules, is_bound) = parse_rules(args.exprs())?;
        Ok(Arc::new(JourneysTable {
            tables: self.tables.clone(),
            rules,
            is_bound,
            schema: journeys_schema(),
        }))
    }
}

/// Reads the arguments; false where one is a parameter that is not bound yet.
fn parse_rules(args: &[Expr]) -> Result<(Rules, bool)> {
    if args.len() > 3 {
        return plan_err!(
            "journeys takes at most 3 arguments (lookback_days, half_life_days, include_refused)"
        );
    }
    let include_refused = match args.get(2) {
        None | Some(Expr::Placeholder(_) | Expr::Literal(ScalarValue::Null, _)) => false,
        Some(Expr::Literal(ScalarValue::Boolean(value), _)) => value.unwrap_or(false),
        Some(_) => return plan_err!("journeys: include_refused must be true or false"),
    };
    let rules = Rules { include_refused, ..rule_days(args)? };
    Ok((rules, is_bound(args)))
}

/// Whether no argument is a parameter that waits for its value.
pub fn is_bound(args: &[Expr]) -> bool {
    !args.iter().any(|arg| matches!(arg, Expr::Placeholder(_)))
}

/// Reads the first two arguments, lookback and half-life.
pub fn rule_days(args: &[Expr]) -> Result<Rules> {
    let lookback_days = days(args.first(), "lookback_days", 30.0)?;
    let half_life_days = days(args.get(1), "half_life_days", 7.0)?;
    if half_life_days <= 0.0 {
        return plan_err!("half_life_days must be more than 0");
    }
    Ok(Rules {
        lookback_us: (lookback_days * DAY_US).round() as i64,
        view_lookback_us: DAY_US as i64,
        half_life_us: half_life_days * DAY_US,
        include_refused: false,
    })
}

fn days(arg: Option<&Expr>, name: &str, default: f64) -> Result<f64> {
    let value = match arg {
        None | Some(Expr::Placeholder(_)) => return Ok(default),
        Some(Expr::Literal(value, _)) if value.is_null() => return Ok(default),
        Some(Expr::Literal(value, _)) => value.cast_to(&DataType::Float64).ok(),
        Some(_) => None,
    };
    match value {
        Some(ScalarValue::Float64(Some(days))) if (0.0..=MAX_DAYS).contains(&days) => Ok(days),
        _ => {
            plan_err!("{name} must be a number of days from 0 to {MAX_DAYS}, written as a constant")
        }
    }
}

/// One call of `journeys`.
#[derive(Debug)]
struct JourneysTable {
    tables: JourneyTables,
    rules: Rules,
    is_bound: bool,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for JourneysTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    /// Reads the inputs whole, whatever the query filters: a filter must not change credits, and an order looks
    /// back beyond the reporting range.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.is_bound {
            return plan_err!("journeys: bind its parameters before the query is planned");
        }
        let schema = project_schema(&self.schema, projection)?;
        let has = |name: &str| schema.index_of(name).is_ok();
        let touch_columns = ["touch_id", "channel", "source", "campaign"];
        let wanted = Wanted {
            touches: touch_columns.into_iter().filter(|name| has(name)).collect(),
            profit: schema.fields().iter().any(|field| field.name().ends_with("profit")),
        };
        plan(&self.tables, state, self.rules, schema, Sink::Rows, &wanted).await
    }
}

/// What is read beside what is always needed.
pub struct Wanted {
    /// Columns of touches.
    pub touches: Vec<&'static str>,
    /// Whether any profit is.
    pub profit: bool,
}

/// Plans the operator over a store's tables.
pub async fn plan(
    tables: &JourneyTables,
    state: &dyn Session,
    rules: Rules,
    schema: SchemaRef,
    sink: Sink,
    wanted: &Wanted,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut touch_columns = vec!["customer_id", "touched_at", "kind"];
    touch_columns.extend(&wanted.touches);
    let mut order_columns = vec!["order_id", "customer_id", "ordered_at", "status", "currency", "revenue"];
    if wanted.profit {
        order_columns.push("cost_of_goods");
    }
    let mut bounds = Vec::new();
    let (touches, orders) = match (&tables.touchpoints, &tables.orders) {
        (JourneyInput::Sorted(touchpoints), JourneyInput::Sorted(orders)) => {
            let order_span = match &sink {
                Sink::Totals(range) => ordered_between(tables, orders, state, range.booked_us()).await?,
                Sink::Rows => None,
            };
            let lookback_us = rules.lookback_us.max(rules.view_lookback_us);
            let touch_span = order_span.map(|(from, to)| (from.saturating_sub(lookback_us), to));
            let (touches, orders) = (touchpoints.runs(touch_span).await?, orders.runs(order_span).await?);
            if touches.overlap() && !touch_columns.contains(&"touch_id") {
                // Touches of one instant are in the order of their ids.
                touch_columns.push("touch_id");
            }
            if touches.constant("kind").is_some_and(|kind| kind != "view") {
                // Only views are told apart.
                touch_columns.retain(|name| *name != "kind");
            }
            bounds = touches.bounds(state.config().target_partitions() * RANGES_PER_THREAD);
            (of_runs(&*touches, &touch_columns, &bounds)?, of_runs(&*orders, &order_columns, &bounds)?)
        }
        (touchpoints, orders) => {
            if !touch_columns.contains(&"touch_id") {
                touch_columns.push("touch_id");
            }
            (whole(touchpoints, state, &touch_columns).await?, whole(orders, state, &order_columns).await?)
        }
    };
    let mut refund_columns = vec!["refund_id", "order_id", "refunded_at", "amount"];
    refund_columns.extend(tables.refunds.schema().index_of("currency").ok().map(|_| "currency"));
    let refunds = whole_table(&*tables.refunds, state, &refund_columns).await?;
    let task = Task { store: tables.store.clone(), rules, schema, sink, bounds };
    Ok(Arc::new(JourneysExec::try_new(Arc::new(task), [touches, orders, refunds])?))
}

/// The instants of the orders that have an entry booked between two instants: an order may be older than its refund or,
/// where clocks differ, younger.
async fn ordered_between(
    tables: &JourneyTables,
    orders: &Arc<dyn SortedTable>,
    state: &dyn Session,
    booked: Option<(i64, i64)>,
) -> Result<Option<(i64, i64)>> {
    let Some((from, to)) = booked else { return Ok(None) };
    let refunds = whole_table(&*tables.refunds, state, &["order_id", "refunded_at"]).await?;
    let mut refunded: HashSet<String> = HashSet::new();
    for batch in collect(refunds.plan, state.task_ctx()).await? {
        let refunds = RefundedOrders::try_new(&batch)?;
        refunded.extend(refunds.between(from, to).map(str::to_owned));
    }
    if refunded.is_empty() {
        return Ok(Some((from, to)));
    }
    let (mut from, mut to) = (from, to);
    let all = orders.runs(None).await?;
    for batch in collect(all.scan(&["order_id", "ordered_at"], &[])?, state.task_ctx()).await? {
        for ordered_at in OrderInstants::try_new(&batch)?.of(&refunded) {
            from = from.min(ordered_at);
            to = to.max(ordered_at.saturating_add(1));
        }
    }
    Ok(Some((from, to)))
}

fn of_runs(runs: &dyn SortedRuns, columns: &[&str], bounds: &[String]) -> Result<Input> {
    let cut = Cut::Runs { spans: runs.spans().into(), overlap: runs.overlap() };
    Ok(Input { plan: runs.scan(columns, bounds)?, cut })
}

async fn whole(input: &JourneyInput, state: &dyn Session, columns: &[&str]) -> Result<Input> {
    match input {
        JourneyInput::Any(table) => whole_table(&**table, state, columns).await,
        JourneyInput::Sorted(table) => of_runs(&*table.runs(None).await?, columns, &[]),
    }
}

async fn whole_table(table: &dyn TableProvider, state: &dyn Session, columns: &[&str]) -> Result<Input> {
    let schema = table.schema();
    let mut projection = columns
        .iter()
        .map(|name| match schema.index_of(name) {
            Ok(index) => Ok(index),
            Err(_) => plan_err!("journeys: a column {name} is missing in its input"),
        })
        .collect::<Result<Vec<_>>>()?;
    projection.sort_unstable();
    Ok(Input { plan: table.scan(state, Some(&projection), &[], None).await?, cut: Cut::Whole })
}
