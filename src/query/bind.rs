//! Binds parameters: every `$name` of a parsed text becomes a typed literal of its syntax tree.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Query, Select, SetExpr, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tributary_udfs::is_journey_function;

use super::answer::Params;
use super::dialect::{self, Dialect};
use super::limits;
use super::mistakes::{place_of, unreadable};
use super::params::infer;
use super::rules::pass_rules;
use super::stack::on_deep_stack;
use super::value::Values;
use crate::error::{Error, Result};

/// What is said of a statement that is none of these.
pub const READ_ONLY: &str =
    "only select, explain, describe of a table, show tables and show columns are allowed";

/// A text whose parameters are bound, ready to be planned.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    pub statement: Statement,
    /// The text as it was written, for errors that point into it.
    pub sql: Arc<str>,
    /// The text and the typed values, unambiguously: the query's part of the cache key.
    pub text: String,
    /// Tables and table functions that the text reads, by lowercase name, a function's with `()`; CTEs are not among them.
    pub tables: BTreeSet<String>,
    /// Placeholders without value whose types are known from where they stand.
    pub(super) typed: Vec<(String, DataType)>,
    pub dialect: Dialect,
}

impl BoundQuery {
    /// Whether the text asks what there is, instead of for rows of it.
    pub fn is_listing(&self) -> bool {
        let is_shown = matches!(&self.statement, Statement::Statement(inner) if is_listing(inner));
        let is_catalog =
            |table: &String| table.contains("information_schema.") || table.contains("pg_catalog.");
        is_shown || self.tables.iter().any(is_catalog)
    }
}

/// Binds a named query: one `select`, whose placeholders must all have a value; the rules of attribution are among them
/// where `rules`.
pub fn bind(text: &str, values: &Values, rules: bool) -> Result<BoundQuery> {
    let mut statement = parse(text)?;
    if let Some(tree) = tree_mut(&mut statement).filter(|_| rules) {
        pass_rules(tree);
    }
    if !matches!(&statement, Statement::Statement(inner) if is_read_only_query(inner)) {
        return Err(Error::invalid("a query is one select"));
    }
    finish(text.into(), statement, values, Dialect::Own)
}

/// Binds ad-hoc SQL: one read-only statement within the limits; the types of its parameters are inferred.
pub async fn bind_ad_hoc(text: &str, params: &Params) -> Result<BoundQuery> {
    bind_typed(Dialect::Own, text, &infer(params)).await
}

/// The same with values of known types, in a dialect.
pub async fn bind_typed(dialect: Dialect, text: &str, values: &Values) -> Result<BoundQuery> {
    let (text, values) = (Arc::<str>::from(text), values.clone());
    on_deep_stack(move || {
        let statement = read_ad_hoc(dialect, &text)?;
        let used = placeholders_of(&statement)?;
        // What a catalog's text asks for and is never there goes with the values that it takes.
        let is_whole = dialect == Dialect::Own;
        if let Some(name) = values.keys().find(|name| is_whole && !used.contains(*name)) {
            return Err(Error::invalid(format!(
                "parameter {name} is not in the text; write it there as ${name}"
            )));
        }
        let is_listing = matches!(&statement, Statement::Statement(inner) if is_listing(inner));
        refuse_settings(finish(text, statement, &values, dialect)?, is_listing)
    })
    .await
}

/// Ad-hoc SQL whose parameters have no values yet: to be planned, not to be run.
pub async fn without_values(dialect: Dialect, text: &str) -> Result<BoundQuery> {
    let text = Arc::<str>::from(text);
    on_deep_stack(move || {
        let statement = read_ad_hoc(dialect, &text)?;
        let is_listing = matches!(&statement, Statement::Statement(inner) if is_listing(inner));
        let (tables, key) = (tables(&statement)?, key_text(&text, &Values::new())?);
        let bound = BoundQuery { statement, sql: text, text: key, tables, typed: Vec::new(), dialect };
        refuse_settings(bound, is_listing)
    })
    .await
}

fn refuse_settings(bound: BoundQuery, is_listing: bool) -> Result<BoundQuery> {
    if !is_listing && bound.tables.contains("information_schema.df_settings") {
        return Err(Error::invalid("the engine's settings are not a table of the store"));
    }
    Ok(bound)
}

/// Parses one statement that reads, and nothing else.
fn read_ad_hoc(dialect: Dialect, text: &str) -> Result<Statement> {
    let statement = match dialect {
        Dialect::Own => parse(text)?,
        Dialect::Postgres => dialect::parse(text)?,
    };
    let is_allowed = match &statement {
        Statement::Explain(explain) => {
            // All other plans than the logical one, as lines, may name files.
            let options = &explain.options;
            if options.analyze {
                return Err(Error::invalid(
                    "explain analyze is not a statement: ask POST /v1/sql?explain=analyze with the statement itself",
                ));
            }
            !options.verbose
                && options.format.is_none()
                && matches!(explain.statement.as_ref(), Statement::Statement(inner) if is_read_only_query(inner))
        }
        Statement::Statement(inner) => is_read_only_query(inner) || is_listing(inner),
        _ => false,
    };
    if !is_allowed {
        return Err(Error::invalid(READ_ONLY));
    }
    Ok(statement)
}

/// Binds a check: SQL over a CTE `answer` that holds the query's result.
pub fn bind_check(text: &str, check: &str, values: &Values, rules: bool) -> Result<BoundQuery> {
    let mut answer = into_query(parse(text)?)?;
    if rules {
        pass_rules(&mut answer);
    }
    let mut shell = into_query(parse("with answer as (select 1) select 1")?)?;
    let mut check_query = into_query(parse(check)?)?;
    let Some(with) = &mut shell.with else { return Err(Error::internal("a check has no answer")) };
    for cte in &mut with.cte_tables {
        cte.query.clone_from(&answer);
    }
    with.cte_tables.extend(check_query.with.take().into_iter().flat_map(|with| with.cte_tables));
    check_query.with = shell.with;
    let statement = Statement::Statement(Box::new(ast::Statement::Query(check_query)));
    finish(format!("{text}\n{check}").into(), statement, values, Dialect::Own)
}

/// The text and the typed values as one text; two of them are equal only where both parts are. A printed tree
/// would not do: it writes the literals `a'b` and `a''b` alike.
pub(super) fn key_text(text: &str, values: &Values) -> Result<String> {
    let typed: Vec<_> = values
        .iter()
        .map(|(name, value)| (name, value.kind().name(), value.is_list(), value.text()))
        .collect();
    serde_json::to_string(&(text.trim(), typed))
        .map_err(|error| Error::internal("the text cannot be made a key").with_source(error))
}

/// The names of a text's placeholders.
pub(super) fn placeholders(text: &str) -> Result<BTreeSet<String>> {
    placeholders_of(&parse(text)?)
}

/// Parses one statement of our own dialect, within the limits.
pub(super) fn parse(text: &str) -> Result<Statement> {
    let mut tokens = limits::tokens(&GenericDialect {}, text)?;
    number_marks(&mut tokens);
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(limits::NESTING)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| unreadable(text, error))?;
    let (Some(statement), None) = (statements.pop_front(), statements.pop_front()) else {
        return Err(Error::invalid("the text must be exactly one statement"));
    };
    if let Some(tree) = tree(&statement) {
        limits::check_tree(tree)?;
    }
    Ok(statement)
}

/// A parameter may be a question mark, as drivers write it: the first is $1.
fn number_marks(tokens: &mut [TokenWithSpan]) {
    let marks = tokens.iter_mut().filter_map(|token| match &mut token.token {
        Token::Placeholder(mark) if mark == "?" => Some(mark),
        _ => None,
    });
    for (place, mark) in (1..).zip(marks) {
        *mark = format!("${place}");
    }
}

fn into_query(statement: Statement) -> Result<Box<Query>> {
    match statement {
        Statement::Statement(inner) => match *inner {
            ast::Statement::Query(query) => Ok(query),
            _ => Err(Error::invalid("a check is one select")),
        },
        _ => Err(Error::invalid("a check is one select")),
    }
}

fn finish(sql: Arc<str>, mut statement: Statement, values: &Values, dialect: Dialect) -> Result<BoundQuery> {
    if let Some((name, _)) = values.iter().find(|(_, value)| value.is_longer_than(limits::LITERAL_BYTES)) {
        return Err(Error::limit(format!(
            "the value of parameter {name} is longer than {} bytes",
            limits::LITERAL_BYTES
        )));
    }
    let mut binder = Binder { values, failure: None };
    if let Some(tree) = tree_mut(&mut statement) {
        let _ = VisitMut::visit(tree, &mut binder);
    }
    if let Some(error) = binder.failure {
        return Err(error);
    }
    if let Some(name) = placeholders_of(&statement)?.first() {
        return Err(Error::invalid(format!("${name} stands where only a constant may stand")));
    }
    let tables = tables(&statement)?;
    let text = key_text(&sql, values)?;
    Ok(BoundQuery { statement, sql, text, tables, typed: Vec::new(), dialect })
}

pub(super) fn tree(statement: &Statement) -> Option<&ast::Statement> {
    match statement {
        Statement::Statement(inner) => Some(inner),
        Statement::Explain(explain) => tree(&explain.statement),
        _ => None,
    }
}

pub(super) fn tree_mut(statement: &mut Statement) -> Option<&mut ast::Statement> {
    match statement {
        Statement::Statement(inner) => Some(inner),
        Statement::Explain(explain) => tree_mut(&mut explain.statement),
        _ => None,
    }
}

struct Binder<'a> {
    values: &'a Values,
    failure: Option<Error>,
}

impl VisitorMut for Binder<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Value(value) = &*expr else { return ControlFlow::Continue(()) };
        let ast::Value::Placeholder(placeholder) = &value.value else { return ControlFlow::Continue(()) };
        let literal = name_of(placeholder).and_then(|name| match self.values.get(name) {
            Some(value) => value.literal(),
            None => Err(Error::unknown("placeholder", placeholder, self.values.keys().map(String::as_str))
                .with_kind(crate::error::ErrorKind::InvalidRequest)
                .with_place(place_of(value.span.start))),
        });
        match literal {
            Ok(literal) => *expr = literal,
            Err(error) => {
                self.failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

fn name_of(placeholder: &str) -> Result<&str> {
    placeholder
        .strip_prefix('$')
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Error::invalid("write a parameter as $name"))
}

fn placeholders_of(statement: &Statement) -> Result<BTreeSet<String>> {
    struct Finder(BTreeSet<String>);
    impl Visitor for Finder {
        type Break = Error;

        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<Error> {
            if let ast::Value::Placeholder(placeholder) = &value.value {
                match name_of(placeholder) {
                    Ok(name) => self.0.insert(name.to_owned()),
                    Err(error) => return ControlFlow::Break(error),
                };
            }
            ControlFlow::Continue(())
        }
    }
    let mut finder = Finder(BTreeSet::new());
    match tree(statement).map(|tree| Visit::visit(tree, &mut finder)) {
        Some(ControlFlow::Break(error)) => Err(error),
        _ => Ok(finder.0),
    }
}

pub(super) fn tables(statement: &Statement) -> Result<BTreeSet<String>> {
    #[derive(Default)]
    struct Named {
        tables: BTreeSet<String>,
        functions: BTreeSet<String>,
    }
    impl Visitor for Named {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } =
                factor
            {
                self.functions.insert(name.to_string().to_lowercase());
            } else if let TableFactor::Table { name, .. } = factor {
                self.tables.insert(name.to_string().to_lowercase());
            }
            ControlFlow::Continue(())
        }

        /// A call may stand as the argument of another: `markov(journey_paths())`.
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr {
                let name = function.name.to_string().to_lowercase();
                if is_journey_function(&name) {
                    self.functions.insert(name);
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut named = Named::default();
    if let Some(tree) = tree(statement) {
        let _ = Visit::visit(tree, &mut named);
    }
    let (relations, _) = resolve_table_references(statement, true)?;
    // The name of a function is resolved as a table's would be.
    let is_table = |name: &String| !named.functions.contains(name) || named.tables.contains(name);
    let tables = relations.iter().map(table_name).filter(is_table);
    Ok(tables.chain(named.functions.iter().map(|name| format!("{name}()"))).collect())
}

/// A table's name; with its schema where that is not the store's own.
fn table_name(reference: &TableReference) -> String {
    match reference.schema() {
        None | Some("public") => reference.table().to_lowercase(),
        Some(schema) => format!("{schema}.{}", reference.table()).to_lowercase(),
    }
}

fn is_listing(statement: &ast::Statement) -> bool {
    matches!(
        statement,
        ast::Statement::ShowTables { .. }
            | ast::Statement::ShowColumns { .. }
            | ast::Statement::ExplainTable { .. }
    )
}

/// Refuses what hides a write inside a query: `with x as (insert ..)`, `select into`, `for update`.
fn is_read_only_query(statement: &ast::Statement) -> bool {
    struct Writes;
    impl Visitor for Writes {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let is_write = !query.locks.is_empty()
                || matches!(
                    *query.body,
                    SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
                );
            if is_write { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            if select.into.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    matches!(statement, ast::Statement::Query(_)) && Visit::visit(statement, &mut Writes).is_continue()
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
