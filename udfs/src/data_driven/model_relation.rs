//! Plans `markov(journeys, ...)` and the like: an aggregate over any relation of journeys, unnested into rows.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::functions::core::expr_fn::{get_field, nullif};
use datafusion::functions_nested::expr_fn::string_to_array;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, TableFactor, TableFunctionArgs,
};

use super::model_function::{ModelOptions, PathModel};
use super::path_aggregate::{PathAggregate, column_types};
use crate::attribution::{Arguments, View, positional};

/// What stands between the channels of a path.
const ARROW: &str = " > ";
/// How a path without a touch is written.
const NO_TOUCH: &str = "(unattributed)";
const ANSWER: &str = "answer";

/// Plans the table functions that take a relation of journeys.
#[derive(Debug)]
pub struct ModelRelations;

impl RelationPlanner for ModelRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, alias, args: Some(call), .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(model) = PathModel::named(&name.to_string().to_lowercase()) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = plan(model, call.args.clone(), context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

fn plan(
    model: PathModel,
    mut args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let journeys = match args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) => {
            let journeys = journeys_of(first).map_or_else(|| plan_err!("{}", usage(model)), Ok)?;
            args.remove(0);
            journeys
        }
        Some(FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. }) | None => all_journeys(),
        Some(FunctionArg::Unnamed(_)) => return plan_err!("{}", usage(model)),
    };
    let options = options(model, args, context)?;
    let input = context.plan(journeys)?;
    let columns = columns(model, input.schema())?;
    let aggregate = AggregateUDF::from(PathAggregate::new(model, options));
    let rows = LogicalPlanBuilder::from(input)
        .aggregate(Vec::<Expr>::new(), vec![Arc::new(aggregate).call(columns).alias(ANSWER)])?
        .unnest_column(ANSWER)?;
    let fields = model.fields();
    let of_row = fields.iter().map(|field| get_field(col(ANSWER), field.name().clone()).alias(field.name()));
    // A list without elements unnests to a row of nulls.
    let rows = rows.filter(col(ANSWER).is_not_null())?.project(of_row)?;
    rows.alias(model.name())?.build()
}

fn usage(model: PathModel) -> String {
    let name = model.name();
    format!(
        "{name}: its journeys are a call or a query in parentheses, such as {name}(journey_paths()) or \
         {name}((select path, conversions, value, non_conversions from my_paths))"
    )
}

/// The relation that an argument means.
fn journeys_of(argument: &ast::Expr) -> Option<TableFactor> {
    match argument {
        ast::Expr::Subquery(query) => {
            Some(TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None })
        }
        ast::Expr::Nested(inner) => journeys_of(inner),
        ast::Expr::Function(function) => match &function.args {
            FunctionArguments::List(list) => Some(call(function.name.clone(), list.args.clone())),
            FunctionArguments::None | FunctionArguments::Subquery(_) => None,
        },
        _ => None,
    }
}

fn all_journeys() -> TableFactor {
    call(ObjectName::from(vec![Ident::new(View::Paths.name())]), Vec::new())
}

fn call(name: ObjectName, args: Vec<FunctionArg>) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: Some(TableFunctionArgs { args, settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn options(
    model: PathModel,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<ModelOptions> {
    let parameters = model.parameters();
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
    let schema = DFSchema::empty();
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().build());
    let mut values = Vec::new();
    for arg in positional(model.name(), &names, args)? {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = arg else {
            return plan_err!("{}", usage(model));
        };
        let value = context.sql_to_expr(value, &schema)?;
        values.push(simplifier.simplify(simplifier.coerce(value, &schema)?)?);
    }
    let arguments = Arguments::try_new(model.name(), parameters, &values)?;
    if !arguments.is_bound {
        return plan_err!("{}: bind its parameters before the query is planned", model.name());
    }
    ModelOptions::try_new(&arguments)
}

/// The four columns of journeys, in the types that the aggregate takes.
fn columns(model: PathModel, schema: &DFSchema) -> Result<Vec<Expr>> {
    let found = |name: &str| {
        let mut fields = schema.iter().filter(|(_, field)| field.name() == name);
        fields.next().map(|(qualifier, field)| Expr::Column((qualifier, field).into()))
    };
    let [channels, count, value, _] = column_types();
    let missing = |what: &str| plan_err!("{}: its journeys have no column {what}", model.name());
    let path = match (found("channels"), found("path")) {
        (Some(list), _) => cast(list, channels),
        (None, Some(path)) => cast(
            string_to_array(
                nullif(cast(path, DataType::Utf8), lit(NO_TOUCH)),
                lit(ARROW),
                lit(ScalarValue::Utf8(None)),
            ),
            channels,
        ),
        (None, None) => return missing("channels (a list) or path (a text such as 'email > search')"),
    };
    let Some(conversions) = found("conversions") else { return missing("conversions") };
    let worth = found("value").or_else(|| found("revenue"));
    let non_conversions = found("non_conversions").unwrap_or_else(|| lit(0_i64));
    Ok(vec![
        path,
        cast(conversions, count.clone()),
        cast(worth.unwrap_or_else(|| lit(0_i64)), value),
        cast(non_conversions, count),
    ])
}
