//! `journey_totals(lookback_days, half_life_days, start, end)`: the table function.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use chrono_tz::Tz;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::utils::project_schema;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Documentation, Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_macros::user_doc;

use super::customer::Rules;
use super::journeys::{JourneyTables, Wanted, is_bound, plan, rule_days};
use super::journeys_exec::Sink;
use super::totals::{TotalsRange, totals_schema};

#[user_doc(
    doc_section(label = "attribution"),
    description = "Returns what `journeys` would, added up: one row per day, channel and currency, with credited conversions, revenue and profit under each of the five rule models. Much faster than adding up the rows.",
    syntax_example = "journey_totals([lookback_days [, half_life_days [, start [, end]]]])",
    sql_example = "select channel, sum(linear_credit) as credit from journey_totals(30, 7) group by channel order by channel",
    argument(
        name = "lookback_days",
        description = "How long before an order a click counts; 30 if not given. A view counts for 1 day, and only where no click does."
    ),
    argument(
        name = "half_life_days",
        description = "The age at which a touch weighs half under time decay; 7 if not given."
    ),
    argument(
        name = "start",
        description = "The first day of entries, in the store's time zone; from the beginning if not given."
    ),
    argument(name = "end", description = "The day after the last; to the end if not given.")
)]
#[derive(Debug)]
struct JourneyTotalsDoc;

/// Returns the manual page of `journey_totals`.
pub fn journey_totals_documentation() -> Documentation {
    JourneyTotalsDoc.doc().cloned().unwrap_or_else(|| unreachable!("the attribute above always writes it"))
}

/// The table function `journey_totals` of one store.
#[derive(Debug)]
pub struct JourneyTotalsFunction {
    tables: JourneyTables,
    zone: Tz,
}

impl JourneyTotalsFunction {
    /// The function's name in SQL.
    pub const NAME: &'static str = "journey_totals";

    /// Builds the function over a store's tables; `zone` is where its days begin.
    pub fn new(tables: JourneyTables, zone: Tz) -> Self {
        Self { tables, zone }
    }
}

impl TableFunctionImpl for JourneyTotalsFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let args = args.exprs();
        if args.len() > 4 {
            return plan_err!(
                "journey_totals takes at most 4 arguments (lookback_days, half_life_days, start, end)"
            );
        }
        let start = day(args.get(2), "start")?.unwrap_or(i32::MIN);
        let end = day(args.get(3), "end")?.unwrap_or(i32::MAX);
        Ok(Arc::new(JourneyTotalsTable {
            tables: self.tables.clone(),
            rules: rule_days(args)?,
            range: TotalsRange { zone: self.zone, days: (start, end) },
            is_bound: is_bound(args),
            schema: totals_schema(),
        }))
    }
}

fn day(arg: Option<&Expr>, name: &str) -> Result<Option<i32>> {
    let value = match arg {
        None | Some(Expr::Placeholder(_)) => return Ok(None),
        Some(Expr::Literal(value, _)) if value.is_null() => return Ok(None),
        Some(Expr::Literal(value, _)) => value.cast_to(&DataType::Date32).ok(),
        Some(_) => None,
    };
    match value {
        Some(ScalarValue::Date32(day)) => Ok(day),
        _ => plan_err!("journey_totals: {name} must be a date, written as a constant"),
    }
}

/// One call of `journey_totals`.
#[derive(Debug)]
struct JourneyTotalsTable {
    tables: JourneyTables,
    rules: Rules,
    range: TotalsRange,
    is_bound: bool,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for JourneyTotalsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.is_bound {
            return plan_err!("journey_totals: bind its parameters before the query is planned");
        }
        let schema = project_schema(&self.schema, projection)?;
        let wanted = Wanted {
            touches: vec!["channel"],
            profit: schema.fields().iter().any(|field| field.name().contains("profit")),
        };
        let sink = Sink::Totals(self.range);
        plan(&self.tables, state, self.rules, schema, sink, &wanted).await
    }
}
