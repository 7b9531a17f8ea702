//! Arguments by name: `journeys(lookback_days => 90, collapse => 'unique')`.

use std::collections::HashMap;

use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableFactor, Value,
};

/// Puts the arguments that a table function gets by name where its parameters are.
#[derive(Debug)]
pub struct NamedArguments {
    /// By function: the names of its parameters, in order.
    parameters: HashMap<&'static str, Vec<&'static str>>,
}

impl NamedArguments {
    pub fn new(parameters: HashMap<&'static str, Vec<&'static str>>) -> Self {
        Self { parameters }
    }
}

/// Returns the arguments in the order of the parameters; null where none was given.
pub fn positional(function: &str, parameters: &[&str], args: Vec<FunctionArg>) -> Result<Vec<FunctionArg>> {
    let mut given: Vec<Option<FunctionArgExpr>> = vec![None; parameters.len()];
    let mut is_named = false;
    for (position, arg) in args.into_iter().enumerate() {
        let (at, value) = match arg {
            FunctionArg::Named { name, arg, .. }
            | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => {
                is_named = true;
                (place(function, parameters, &name)?, arg)
            }
            FunctionArg::Unnamed(value) if !is_named && position < parameters.len() => (position, value),
            FunctionArg::Unnamed(_) if is_named => {
                return plan_err!("{function}: an argument without a name comes after one with a name");
            }
            FunctionArg::Unnamed(_) => {
                return plan_err!("{function} takes at most {} arguments", parameters.len());
            }
            FunctionArg::ExprNamed { .. } => {
                return plan_err!("{function}: the name of an argument is not a plain name");
            }
        };
        if given[at].replace(value).is_some() {
            return plan_err!("{function}: {} is given twice", parameters[at]);
        }
    }
    while given.last().is_some_and(Option::is_none) {
        given.pop();
    }
    let null = || FunctionArgExpr::Expr(Expr::Value(Value::Null.into()));
    Ok(given.into_iter().map(|value| FunctionArg::Unnamed(value.unwrap_or_else(null))).collect())
}

fn place(function: &str, parameters: &[&str], name: &Ident) -> Result<usize> {
    match parameters.iter().position(|known| name.value.eq_ignore_ascii_case(known)) {
        Some(at) => Ok(at),
        None => plan_err!("{function} has no parameter of that name; it has {}", parameters.join(", ")),
    }
}

/// The lower-case name of a function without a schema.
fn function_name(name: &ObjectName) -> Option<String> {
    match &*name.0 {
        [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
        _ => None,
    }
}

impl RelationPlanner for NamedArguments {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table {
            name,
            alias,
            args: Some(mut call),
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if let Some(function) = function_name(&name)
            && let Some(parameters) = self.parameters.get(&*function)
        {
            call.args = positional(&function, parameters, call.args)?;
        }
        let args = Some(call);
        let relation = TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        };
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}
