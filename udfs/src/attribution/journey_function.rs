//! `journeys`, `journey_totals`, `journey_paths` and others: one pass over the same journeys, several ways to look at them.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::utils::project_schema;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::arguments::{Arguments, Kind, Parameter};
use super::booked_range::BookedRange;
use super::journeys_exec::Sink;
use super::model::Model;
use super::model_filter::models_of;
use super::output::{credits_schema, journeys_schema, wanted};
use super::path_counts::{PathGrain, PathOptions};
use super::path_output::{paths_schema, transitions_schema};
use super::plan::{JourneyTables, WantedColumns, plan};
use super::rules::{INCLUDE_REFUSED, REFUSED_DAYS, RULE_PARAMETERS, Rules, WINDOW_PARAMETERS};
use super::totals::{TotalsOptions, totals_schema};

/// A way to look at journeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One row per entry and touch.
    Rows,
    /// One row per entry, touch and model.
    Credits,
    /// One row per day, channel, currency and model.
    Totals,
    /// One row per path and currency.
    Paths,
    /// One row per step, source, target and currency.
    Transitions,
}

/// The days that are reported.
const RANGE_PARAMETERS: [Parameter; 2] = [
    Parameter {
        name: "start",
        kind: Kind::Date,
        default: "the beginning",
        doc: "The first day on which entries are booked, in the store's time zone.",
    },
    Parameter { name: "end", kind: Kind::Date, default: "the end", doc: "The day after the last." },
];

const MODELS: Parameter = Parameter {
    name: "models",
    kind: Kind::Models,
    default: "all",
    doc: "The models to have rows of, separated by commas; a condition on the column model does the same.",
};

impl View {
    pub const ALL: [View; 5] = [View::Rows, View::Credits, View::Totals, View::Paths, View::Transitions];

    /// The function's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            View::Rows => "journeys",
            View::Credits => "journey_credits",
            View::Totals => "journey_totals",
            View::Paths => "journey_paths",
            View::Transitions => "journey_transitions",
        }
    }

    /// What the function answers.
    pub fn description(self) -> &'static str {
        match self {
            View::Rows => {
                "Returns one row per entry (an order, or one of its refunds) and touch, with the weight and the exact credit of the touch under each of the rule models. The credits of an entry sum to its amount, but for participation, which gives each channel all of it."
            }
            View::Credits => {
                "Returns what `journeys` does with one row for each model: the weight, the credit and the profit of a touch under it."
            }
            View::Totals => {
                "Returns what `journeys` would, added up: one row per day, channel, currency and model, with credited conversions, revenue and profit. Much faster than adding up the rows."
            }
            View::Paths => {
                "Returns the journeys counted by the channels of their touches, in lower case and in order: one row per path and currency, with conversions, net revenue, and the seconds from the first touch to the order, added. Journeys without conversion have a row without currency: those end at a touch that no completed order can count."
            }
            View::Transitions => {
                "Returns the links of all journeys, counted: one row per step, source, target and currency. A journey goes from (start), at step 0, over the channels of its touches, in lower case, to (conversion) or (no conversion); its revenue counts in each of its links. Much faster than taking paths apart."
            }
        }
    }

    /// A query that runs.
    pub fn example(self) -> &'static str {
        match self {
            View::Rows => {
                "select channel, sum(linear_credit) as credit from journeys(lookback_days => 30) group by channel order by channel"
            }
            View::Credits => {
                "select order_id, touch_id, model, weight, credit from journey_credits(models => 'linear,time_decay') order by order_id, touch_id, model"
            }
            View::Totals => {
                "select channel, model, sum(credit) as credit from journey_totals(lookback_days => 30, models => 'linear,last_touch') group by channel, model order by channel, model"
            }
            View::Paths => {
                "select path, sum(conversions) as conversions from journey_paths(collapse => 'consecutive') group by path order by conversions desc, path limit 10"
            }
            View::Transitions => {
                "select source, target, sum(conversions) as conversions from journey_transitions() group by source, target order by conversions desc, source, target limit 10"
            }
        }
    }

    /// The function's parameters, in the order of its arguments.
    pub fn parameters(self) -> Vec<Parameter> {
        let mut parameters = WINDOW_PARAMETERS.to_vec();
        match self {
            View::Rows => {
                parameters.push(INCLUDE_REFUSED);
                parameters.extend(RANGE_PARAMETERS);
            }
            View::Credits => {
                parameters.push(INCLUDE_REFUSED);
                parameters.extend(RANGE_PARAMETERS);
                parameters.push(MODELS);
            }
            View::Totals => {
                parameters.extend(RANGE_PARAMETERS);
                parameters.push(MODELS);
            }
            View::Paths | View::Transitions => parameters.extend(RANGE_PARAMETERS),
        }
        parameters.extend(RULE_PARAMETERS);
        if matches!(self, View::Rows | View::Credits) {
            parameters.push(REFUSED_DAYS);
        }
        parameters
    }

    fn schema(self) -> SchemaRef {
        match self {
            View::Rows => journeys_schema(),
            View::Credits => credits_schema(),
            View::Totals => totals_schema(),
            View::Paths => paths_schema(),
            View::Transitions => transitions_schema(),
        }
    }
}

/// A table function over one store's journeys.
#[derive(Debug)]
pub struct JourneyFunction {
    view: View,
    tables: JourneyTables,
}

impl JourneyFunction {
    /// Builds the function over a store's tables, with the columns of the raw tables of those names.
    pub fn new(view: View, tables: JourneyTables) -> Self {
        Self { view, tables }
    }
}

impl TableFunctionImpl for JourneyFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let arguments = Arguments::try_new(self.view.name(), self.view.parameters(), args.exprs())?;
        let day = |name: &str, open: i32| arguments.date(name).map(|day| day.unwrap_or(open));
        Ok(Arc::new(JourneyView {
            view: self.view,
            tables: self.tables.clone(),
            rules: Rules::try_new(&arguments)?,
            range: BookedRange {
                zone: self.tables.zone,
                days: (day("start", i32::MIN)?, day("end", i32::MAX)?),
            },
            models: arguments.models("models")?.unwrap_or_else(|| Model::ALL.to_vec()),
            is_bound: arguments.is_bound,
            schema: self.view.schema(),
        }))
    }
}

/// One call of the function.
#[derive(Debug)]
struct JourneyView {
    view: View,
    tables: JourneyTables,
    rules: Rules,
    range: BookedRange,
    models: Vec<Model>,
    is_bound: bool,
    schema: SchemaRef,
}

impl JourneyView {
    fn sink(&self, schema: &Schema, filters: &[Expr]) -> Sink {
        let has = |name: &str| schema.index_of(name).is_ok();
        let currency = self.rules.currency.clone();
        match self.view {
            View::Rows => Sink::Rows { range: self.range, models: None },
            View::Credits => Sink::Rows { range: self.range, models: Some(self.asked_models(filters)) },
            View::Totals => {
                let models = self.asked_models(filters);
                Sink::Totals(TotalsOptions { range: self.range, models, by_day: has("date"), currency })
            }
            View::Paths | View::Transitions => {
                let grain = match self.view {
                    View::Transitions => PathGrain::Link { by_step: has("step") },
                    _ => PathGrain::Path,
                };
                Sink::Paths(PathOptions { grain, range: self.range, idle: has("non_conversions"), currency })
            }
        }
    }

    /// The models that are asked for, in the order of their numbers.
    fn asked_models(&self, filters: &[Expr]) -> Vec<Model> {
        let is_asked = |model: &Model| {
            self.models.contains(model)
                && filters.iter().filter_map(models_of).all(|models| models.contains(model))
        };
        Model::ALL.into_iter().filter(is_asked).collect()
    }

    fn wanted_columns(&self, schema: &Schema, sink: &Sink) -> WantedColumns {
        let has = |name: &str| schema.index_of(name).is_ok();
        let wanted_models = match sink {
            Sink::Rows { models: Some(models), .. } => models.clone(),
            Sink::Rows { models: None, .. } => wanted(schema).models(),
            Sink::Totals(options) => options.models.clone(),
            Sink::Paths(_) => Vec::new(),
        };
        let gives_rows = matches!(sink, Sink::Rows { .. });
        let needs_channel = !gives_rows
            || self.rules.need_channels()
            || !self.rules.channels.is_empty()
            || wanted_models.iter().any(|model| model.needs_channels());
        let is_wanted = |name: &&str| match *name {
            "channel" => needs_channel || has("channel"),
            "campaign" => has("campaign") || !self.rules.campaigns.is_empty(),
            "milestone" => wanted_models.contains(&Model::WShaped),
            name => gives_rows && has(name),
        };
        WantedColumns {
            touches: ["touch_id", "channel", "source", "campaign", "milestone"]
                .into_iter()
                .filter(is_wanted)
                .collect(),
            profit: schema.fields().iter().any(|field| field.name().contains("profit")),
        }
    }
}

#[async_trait]
impl TableProvider for JourneyView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    /// A condition on the model says which are computed; all others must not change credits.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let has_models = matches!(self.view, View::Credits | View::Totals);
        let of_filter = |filter: &&Expr| match models_of(filter) {
            Some(_) if has_models => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of_filter).collect())
    }

    /// Reads the inputs as far as the rules reach, whatever the query filters: an order looks back beyond the range.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !self.is_bound {
            return plan_err!("{}: bind its parameters before the query is planned", self.view.name());
        }
        let schema = project_schema(&self.schema, projection)?;
        let sink = self.sink(&schema, filters);
        let wanted = self.wanted_columns(&schema, &sink);
        plan(&self.tables, state, self.rules.clone(), schema, sink, &wanted).await
    }
}
