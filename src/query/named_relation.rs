//! Named queries as relations of SQL: `queries.topic_name` reads one with its defaults, and
//! `queries.topic_name(param => constant, ...)` with parameters. Each is written out where it stands, its parameters checked
//! and bound as for a caller by name.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::NaiveDate;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, TableAlias, TableFactor,
    UnaryOperator, Value, VisitMut, VisitorMut,
};

use super::answer::Params;
use super::bind::{BoundQuery, tables, tree, tree_mut};
use super::limits;
use super::registry::{NamedQuery, Registry};
use super::stack::on_deep_stack;
use crate::error::{Error, Result};

/// The schema in which named queries stand.
pub const QUERIES: &str = "queries";

/// Whether a text reads a named query.
pub fn reads_named(tables: &BTreeSet<String>) -> bool {
    let is_named = |table: &String| {
        let mut parts = table.rsplit('.').skip(1);
        parts.next() == Some(QUERIES)
    };
    tables.iter().any(is_named)
}

/// Writes the named queries out that a bound text reads; `today` anchors their relative dates.
pub async fn expand(bound: BoundQuery, registry: Arc<Registry>, today: NaiveDate) -> Result<BoundQuery> {
    on_deep_stack(move || written_out(bound, &registry, today)).await
}

fn written_out(mut bound: BoundQuery, registry: &Registry, today: NaiveDate) -> Result<BoundQuery> {
    let mut expander = Expander { registry, today, open: Vec::new(), failure: None };
    if let Some(tree) = tree_mut(&mut bound.statement) {
        let _ = VisitMut::visit(tree, &mut expander);
    }
    if let Some(error) = expander.failure {
        return Err(error);
    }
    if let Some(tree) = tree(&bound.statement) {
        limits::check_tree(tree)?;
    }
    bound.tables = tables(&bound.statement)?;
    bound.typed.extend(expander.open);
    Ok(bound)
}

struct Expander<'a> {
    registry: &'a Registry,
    today: NaiveDate,
    /// Placeholders that stand for parameters of named queries, with the types of those.
    open: Vec<(String, DataType)>,
    failure: Option<Error>,
}

impl VisitorMut for Expander<'_> {
    type Break = ();

    // After its parts: what is written out is not looked at again.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match self.written_out(factor) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(query)) => {
                *factor = query;
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl Expander<'_> {
    fn written_out(&mut self, factor: &TableFactor) -> Result<Option<TableFactor>> {
        let TableFactor::Table { name, alias, args, .. } = factor else { return Ok(None) };
        let Some(relation) = relation_name(name) else { return Ok(None) };
        let named = self.registry.relation(&relation)?;
        let args = args.as_ref().map_or(&[][..], |call| &call.args);
        let bound = self.params(named, args).and_then(|params| named.bind(&params, self.today));
        let bound = bound.map_err(|error| {
            let message = format!("{QUERIES}.{relation}: {}", error.message());
            Error::new(error.kind(), message).with_source(error)
        })?;
        let Statement::Statement(statement) = bound.statement else {
            return Err(Error::internal("a named query is no statement"));
        };
        let ast::Statement::Query(subquery) = *statement else {
            return Err(Error::internal("a named query is no select"));
        };
        let own =
            TableAlias { explicit: true, name: Ident::with_quote('"', relation), columns: vec![], at: None };
        let alias = Some(alias.clone().unwrap_or(own));
        Ok(Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None }))
    }

    fn params(&mut self, named: &NamedQuery, args: &[FunctionArg]) -> Result<Params> {
        let mut params = Params::new();
        for arg in args {
            let (name, value) = named_arg(arg).ok_or_else(|| {
                let example = named.header.params.first().map_or("name", |spec| &spec.name);
                Error::invalid(format!("write each parameter with its name, such as {example} => ..."))
            })?;
            let spec = named.header.params.iter().find(|spec| spec.name == name).ok_or_else(|| {
                Error::unknown("parameter", &name, named.header.params.iter().map(|spec| spec.name.as_str()))
                    .with_kind(crate::error::ErrorKind::InvalidRequest)
            })?;
            let text = if let Some(placeholder) = placeholder(value) {
                self.open.push((placeholder.to_owned(), spec.kind.data_type()));
                // Only a text that is described has placeholders left, and an example describes as well as a value.
                named.sample_params().remove(&name)
            } else {
                constant(value)
                    .ok_or_else(|| Error::invalid(format!("parameter {name} has to be a constant")))?
            };
            if let Some(text) = text
                && params.insert(name.clone(), text).is_some()
            {
                return Err(Error::invalid(format!("parameter {name} is given twice")));
            }
        }
        Ok(params)
    }
}

/// What stands behind the schema `queries`, perhaps with the catalog before it.
fn relation_name(name: &ObjectName) -> Option<String> {
    let idents: Vec<&Ident> = name.0.iter().filter_map(ast::ObjectNamePart::as_ident).collect();
    let [.., schema, relation] = idents.as_slice() else { return None };
    (lower(schema) == QUERIES).then(|| lower(relation))
}

/// A name as the planner reads it: as it is where it is quoted.
fn lower(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn named_arg(arg: &FunctionArg) -> Option<(String, &Expr)> {
    match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
        | FunctionArg::ExprNamed {
            name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), ..
        } => Some((lower(name), value)),
        _ => None,
    }
}

/// The name of a parameter that has no value yet.
fn placeholder(value: &Expr) -> Option<&str> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name.trim_start_matches('$')),
            _ => None,
        },
        _ => None,
    }
}

/// A constant as the text that a caller by name would give; within, none for null.
#[expect(clippy::option_option, reason = "no constant, and a constant that is null, are two answers")]
fn constant(value: &Expr) -> Option<Option<String>> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => Some(Some(text.clone())),
            Value::Boolean(flag) => Some(Some(flag.to_string())),
            Value::Null => Some(None),
            _ => None,
        },
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => Some(Some(text.clone())),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match constant(expr)? {
            Some(number) if number.starts_with(|first: char| first.is_ascii_digit()) => {
                Some(Some(format!("-{number}")))
            }
            _ => None,
        },
        // As bound values are written.
        Expr::Cast { expr, .. } | Expr::Nested(expr) => constant(expr),
        Expr::Function(function) if function.name.to_string() == "arrow_cast" => match &function.args {
            FunctionArguments::List(list) => match list.args.first()? {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => constant(expr),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
