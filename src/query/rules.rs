//! `rules = true` in a header: the rules of attribution are parameters of the query, and go to its calls.
//!
//! Every query over journeys takes the same options. A file says so once, instead of declaring each and writing it
//! into each call of `journeys`, `journey_totals` and the like.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, ObjectName,
    TableFactor, Value, VisitMut, VisitorMut,
};
use tributary_udfs::{Parameter, ParameterKind, is_journey_function, profile_names, rule_parameters};

use super::header::ParamSpec;
use super::value::ParamType;

/// The rules as parameters of a query.
pub(super) fn rule_params() -> Vec<ParamSpec> {
    rule_parameters().iter().map(param).collect()
}

fn param(rule: &Parameter) -> ParamSpec {
    let (kind, values) = match rule.kind {
        ParameterKind::Days | ParameterKind::Weight => (ParamType::Float, Vec::new()),
        ParameterKind::Flag => (ParamType::Bool, Vec::new()),
        ParameterKind::Date => (ParamType::Date, Vec::new()),
        ParameterKind::Count => (ParamType::Int, Vec::new()),
        ParameterKind::Choice(choices) => {
            (ParamType::Text, choices.iter().map(|choice| (*choice).to_owned()).collect())
        }
        ParameterKind::Profile => (ParamType::Text, profile_names()),
        ParameterKind::Names | ParameterKind::Currency | ParameterKind::Models => {
            (ParamType::Text, Vec::new())
        }
    };
    ParamSpec {
        name: rule.name.to_owned(),
        kind,
        default: None,
        required: false,
        values,
        example: None,
        doc: format!("{} Without it: {}.", rule.doc, rule.default.trim_matches('\'')),
    }
}

/// Writes `rule => $rule` into every call of a function over journeys, but where the call gives the rule itself.
pub(super) fn pass_rules(tree: &mut impl VisitMut) {
    struct Passer(Vec<Parameter>);
    impl VisitorMut for Passer {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: Some(call), .. } = factor {
                self.pass(name, &mut call.args);
            }
            ControlFlow::Continue(())
        }

        /// A call may stand as the argument of another: `markov(journey_paths())`.
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && let FunctionArguments::List(list) = &mut function.args
            {
                self.pass(&function.name, &mut list.args);
            }
            ControlFlow::Continue(())
        }
    }
    impl Passer {
        fn pass(&self, function: &ObjectName, args: &mut Vec<FunctionArg>) {
            if !is_journey_function(&function.to_string().to_lowercase()) {
                return;
            }
            for rule in &self.0 {
                if !args.iter().any(|arg| is_named(arg, rule.name)) {
                    args.push(argument(rule.name));
                }
            }
        }
    }
    let _ = VisitMut::visit(tree, &mut Passer(rule_parameters()));
}

fn is_named(arg: &FunctionArg, rule: &str) -> bool {
    let is_rule = |name: &Ident| name.value.eq_ignore_ascii_case(rule);
    match arg {
        FunctionArg::Named { name, .. } | FunctionArg::ExprNamed { name: Expr::Identifier(name), .. } => {
            is_rule(name)
        }
        FunctionArg::ExprNamed { .. } | FunctionArg::Unnamed(_) => false,
    }
}

fn argument(rule: &str) -> FunctionArg {
    let placeholder = Value::Placeholder(format!("${rule}"));
    FunctionArg::Named {
        name: Ident::new(rule),
        arg: FunctionArgExpr::Expr(Expr::Value(placeholder.into())),
        operator: FunctionArgOperator::RightArrow,
    }
}
