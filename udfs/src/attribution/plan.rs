//! Plans the operator: which columns, months and customers of a store's tables it reads.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::identities::Identities;
use super::inputs::{OrderInstants, RefundedOrders};
use super::journeys_exec::{Cut, INPUT_ORDERS, Input, JourneysExec, Sink, Task};
use super::rates::Rates;
use super::resolve_exec::ResolveExec;
use super::rules::{Reuse, Rules};
use super::runs::{JourneyInput, SortedRuns, SortedTable};

/// Ranges of customers for each thread: while one waits for its file, another works.
const RANGES_PER_THREAD: usize = 1;

/// The tables of one store that attribution reads.
#[derive(Debug, Clone)]
pub struct JourneyTables {
    pub store: String,
    /// The zone in which the store's days begin.
    pub zone: Tz,
    pub touchpoints: JourneyInput,
    pub orders: JourneyInput,
    pub refunds: Arc<dyn TableProvider>,
    /// Daily rates between currencies, where there are any.
    pub rates: Option<Arc<dyn TableProvider>>,
    /// Who anonymous ids turned out to be, where that is known.
    pub identities: Option<Arc<dyn TableProvider>>,
}

/// What is read beside what is always needed.
#[derive(Debug, Default)]
pub struct WantedColumns {
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
    wanted: &WantedColumns,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut touch_columns = vec!["customer_id", "touched_at", "kind"];
    touch_columns.extend(&wanted.touches);
    // What the table does not have is not known of any row; what it must have is missed by name.
    touch_columns.retain(|name| *name != "milestone" || tables.touchpoints.has_column(name));
    let mut order_columns = vec!["order_id", "customer_id", "ordered_at", "status", "currency", "revenue"];
    if wanted.profit {
        order_columns.push("cost_of_goods");
    }
    let identities = identities(tables, state).await?;
    let mut bounds = Vec::new();
    let (touches, orders) = match (&tables.touchpoints, &tables.orders) {
        (JourneyInput::Sorted(touchpoints), JourneyInput::Sorted(orders)) => {
            let order_span = order_span(tables, orders, state, &rules, &sink).await?;
            let lookback_us = rules.longest_lookback_us();
            let beyond_us = rules.beyond_window_us(schema.index_of("reason").is_ok());
            let touch_span = order_span.map(|(from, to)| {
                let earliest = from.saturating_sub(lookback_us).saturating_sub(beyond_us);
                (earliest, to.saturating_add(beyond_us))
            });
            let (touches, orders) = (touchpoints.runs(touch_span).await?, orders.runs(order_span).await?);
            if (touches.overlap() || identities.is_some()) && !touch_columns.contains(&"touch_id") {
                // Touches of one instant are in the order of their ids.
                touch_columns.push("touch_id");
            }
            if touches.constant("kind").is_some_and(|kind| kind != "view") {
                // Only views are told apart.
                touch_columns.retain(|name| *name != "kind");
            }
            bounds = touches.bounds(state.config().target_partitions() * RANGES_PER_THREAD);
            let of_runs = |runs: &dyn SortedRuns, columns: &[&str], order: &[&str]| match &identities {
                None => of_runs(runs, columns, &bounds),
                Some(identities) => resolved_runs(runs, columns, &bounds, identities, order),
            };
            let [touch_order, order_order, _] = INPUT_ORDERS;
            (
                of_runs(&*touches, &touch_columns, touch_order)?,
                of_runs(&*orders, &order_columns, order_order)?,
            )
        }
        (touchpoints, orders) => {
            if !touch_columns.contains(&"touch_id") {
                touch_columns.push("touch_id");
            }
            let mut inputs = [
                whole(touchpoints, state, &touch_columns).await?,
                whole(orders, state, &order_columns).await?,
            ];
            if let Some(identities) = &identities {
                inputs = inputs.map(|Input { plan, .. }| Input {
                    plan: ResolveExec::all(plan, identities),
                    cut: Cut::Whole,
                });
            }
            inputs.into()
        }
    };
    let mut refund_columns = vec!["refund_id", "order_id", "refunded_at", "amount"];
    refund_columns.extend(tables.refunds.schema().index_of("currency").ok().map(|_| "currency"));
    let refunds = whole_table(&*tables.refunds, state, &refund_columns).await?;
    let task = Task {
        store: tables.store.clone(),
        rates: rates(tables, state, &rules).await?,
        rules: Arc::new(rules),
        zone: tables.zone,
        schema,
        sink,
        bounds,
    };
    Ok(Arc::new(JourneysExec::try_new(Arc::new(task), [touches, orders, refunds])?))
}

/// The instants of the orders that matter for the days that are reported; none where all do.
async fn order_span(
    tables: &JourneyTables,
    orders: &Arc<dyn SortedTable>,
    state: &dyn Session,
    rules: &Rules,
    sink: &Sink,
) -> Result<Option<(i64, i64)>> {
    let lookback_us = rules.longest_lookback_us();
    let booked = sink.range().booked_us();
    let Some((from, to)) = ordered_between(tables, orders, state, booked).await? else { return Ok(None) };
    let from = match rules.reuse {
        Reuse::All => from,
        // Only an earlier order that is nearer than the lookback takes touches away.
        Reuse::ResetAtConversion => from.saturating_sub(lookback_us),
        // What an order may count depends on those before it, and on those before them.
        Reuse::NextConversionOnly => i64::MIN,
    };
    Ok(Some(match sink {
        // A journey without conversion ends where no order lies in reach.
        Sink::Paths(options) if options.idle => {
            (from.saturating_sub(lookback_us), to.saturating_add(lookback_us))
        }
        Sink::Paths(_) | Sink::Rows { .. } | Sink::Totals(_) => (from, to),
    }))
}

/// The rates between currencies, where amounts are reported in one.
async fn rates(tables: &JourneyTables, state: &dyn Session, rules: &Rules) -> Result<Option<Arc<Rates>>> {
    if rules.currency.is_none() {
        return Ok(None);
    }
    let Some(table) = &tables.rates else {
        return Ok(Some(Arc::default()));
    };
    let rates = whole_table(&**table, state, &["date", "base", "quote", "rate"]).await?;
    let rates = Rates::try_new(&collect(rates.plan, state.task_ctx()).await?)?;
    Ok(Some(Arc::new(rates)))
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

/// Who anonymous ids turned out to be; none where nobody is known to be another.
async fn identities(tables: &JourneyTables, state: &dyn Session) -> Result<Option<Arc<Identities>>> {
    let Some(table) = &tables.identities else { return Ok(None) };
    let links = whole_table(&**table, state, &["anonymous_id", "customer_id"]).await?;
    let identities = Identities::try_new(&collect(links.plan, state.task_ctx()).await?)?;
    Ok((!identities.is_empty()).then(|| Arc::new(identities)))
}

/// Runs of resolved customers: those of anonymous ids come as one run more, of any instant.
fn resolved_runs(
    runs: &dyn SortedRuns,
    columns: &[&str],
    bounds: &[String],
    identities: &Arc<Identities>,
    order: &[&str],
) -> Result<Input> {
    let mut spans = runs.spans();
    spans.push((i64::MIN, i64::MAX));
    let (cut_runs, uncut) = (runs.scan(columns, bounds)?, runs.scan(columns, &[])?);
    let plan = ResolveExec::runs(cut_runs, uncut, identities, bounds, order)?;
    Ok(Input { plan, cut: Cut::Runs { spans: spans.into(), overlap: true } })
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
