//! `journeys(lookback_days, half_life_days, include_refused)`: the table function.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::utils::project_schema;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Documentation, Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_macros::user_doc;

use super::customer::{DAY_US, Rules};
use super::journeys_exec::JourneysExec;
use super::output::journeys_schema;

/// The longest lookback or half-life, in days: a hundred years and some.
const MAX_DAYS: f64 = 40_000.0;

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

/// The table function `journeys` of one store.
#[derive(Debug)]
pub struct JourneysFunction {
    store: String,
    /// Touches, orders, refunds.
    tables: [Arc<dyn TableProvider>; 3],
}

impl JourneysFunction {
    /// The function's name in SQL.
    pub const NAME: &'static str = "journeys";

    /// Builds the function over a store's tables, with the columns of the raw tables of those names.
    pub fn new(
        store: String,
        touchpoints: Arc<dyn TableProvider>,
        orders: Arc<dyn TableProvider>,
        refunds: Arc<dyn TableProvider>,
    ) -> Self {
        Self { store, tables: [touchpoints, orders, refunds] }
    }
}

impl TableFunctionImpl for JourneysFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let (rules, is_bound) = parse_rules(args.exprs())?;
        Ok(Arc::new(JourneysTable {
            store: self.store.clone(),
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
    let lookback_days = days(args.first(), "lookback_days", 30.0)?;
    let half_life_days = days(args.get(1), "half_life_days", 7.0)?;
    if half_life_days <= 0.0 {
        return plan_err!("journeys: half_life_days must be more than 0");
    }
    let include_refused = match args.get(2) {
        None | Some(Expr::Placeholder(_) | Expr::Literal(ScalarValue::Null, _)) => false,
        Some(Expr::Literal(ScalarValue::Boolean(value), _)) => value.unwrap_or(false),
        Some(_) => return plan_err!("journeys: include_refused must be true or false"),
    };
    let rules = Rules {
        lookback_us: (lookback_days * DAY_US).round() as i64,
        view_lookback_us: DAY_US as i64,
        half_life_us: half_life_days * DAY_US,
        include_refused,
    };
    Ok((rules, !args.iter().any(|arg| matches!(arg, Expr::Placeholder(_)))))
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
            plan_err!("journeys: {name} must be a number of days from 0 to {MAX_DAYS}, written as a constant")
        }
    }
}

/// One call of `journeys`.
#[derive(Debug)]
struct JourneysTable {
    store: String,
    tables: [Arc<dyn TableProvider>; 3],
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
        let mut inputs = Vec::with_capacity(self.tables.len());
        for (table, needed) in self.tables.iter().zip(needed_columns(&schema)) {
            let projection = columns_of(table.as_ref(), &needed)?;
            inputs.push(table.scan(state, Some(&projection), &[], None).await?);
        }
        Ok(Arc::new(JourneysExec::try_new(self.store.clone(), self.rules, schema, inputs)?))
    }
}

/// Returns which columns of touches, orders and refunds the output's columns need.
fn needed_columns(schema: &SchemaRef) -> [Vec<&'static str>; 3] {
    let mut touches = vec!["touch_id", "customer_id", "touched_at", "kind"];
    let named = ["channel", "source", "campaign"];
    touches.extend(named.into_iter().filter(|name| schema.index_of(name).is_ok()));
    let mut orders = vec!["order_id", "customer_id", "ordered_at", "status", "currency", "revenue"];
    if schema.fields().iter().any(|field| field.name().ends_with("profit")) {
        orders.push("cost_of_goods");
    }
    [touches, orders, vec!["refund_id", "order_id", "refunded_at", "amount"]]
}

fn columns_of(table: &dyn TableProvider, names: &[&str]) -> Result<Vec<usize>> {
    let schema = table.schema();
    let mut projection = names
        .iter()
        .map(|name| match schema.index_of(name) {
            Ok(index) => Ok(index),
            Err(_) => plan_err!("journeys: a column {name} is missing in its input"),
        })
        .collect::<Result<Vec<_>>>()?;
    projection.extend(schema.index_of("currency").ok().filter(|_| names.contains(&"refund_id")));
    projection.sort_unstable();
    Ok(projection)
}
