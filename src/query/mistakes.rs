//! Says what is wrong with a text as its author would see it: the name that is not known, the nearest one that is, and
//! the place of both in the text.

use std::collections::BTreeSet;

use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError};

use crate::error::{Error, ErrorKind, Place, nearest};

/// What the parser writes between a message and its place.
const PARSER_PLACE: &str = " at Line: ";

/// An error of planning, in the words of the text; what is not the text's fault is classified as everywhere.
pub(super) fn explain(state: &SessionState, sql: &str, error: DataFusionError) -> Error {
    let diagnostic = error.diagnostic().cloned();
    let place = diagnostic
        .as_ref()
        .and_then(|diagnostic| diagnostic.span)
        .and_then(|span| place_of(Location { line: span.start.line, column: span.start.column }));
    let explained = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let place = place.or_else(|| place_of_name(sql, field));
                Some(unknown_column(field, valid_fields).with_place(place))
            }
            SchemaError::AmbiguousReference { field } => {
                let place = place.or_else(|| place_of_name(sql, field));
                Some(ambiguous(field, diagnostic.as_ref()).with_place(place))
            }
            _ => None,
        },
        DataFusionError::Plan(message) => unknown_name(state, sql, message, place)
            .or_else(|| Some(Error::invalid(advice(diagnostic.as_ref()?)?))),
        _ => None,
    };
    match explained {
        Some(explained) => explained.with_place(place).with_source(error),
        None => {
            let other = Error::from(error);
            if other.kind() != ErrorKind::InvalidRequest {
                return other;
            }
            Error::invalid(tidy(other.message())).with_place(place).with_source(other)
        }
    }
}

/// A text that the parser does not understand.
pub(super) fn unreadable(sql: &str, error: DataFusionError) -> Error {
    let text = match error.find_root() {
        DataFusionError::SQL(parser, _) => match parser.as_ref() {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => {
                return Error::invalid("expressions are nested too deeply").with_source(error);
            }
        },
        _ => return Error::from(error),
    };
    let (message, place) = match text.rsplit_once(PARSER_PLACE).and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Place { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
    }) {
        Some((message, place)) => (message.to_owned(), place),
        None => (text, end_of(sql)),
    };
    syntax(&message, place).with_source(error)
}

/// A text that cannot even be cut into words.
pub(super) fn untokenizable(error: TokenizerError) -> Error {
    let place = place_of(error.location).unwrap_or(Place { line: 1, column: 1 });
    syntax(&error.message, place).with_source(error)
}

/// A place of the parser's; none where it knows none.
pub(super) fn place_of(location: Location) -> Option<Place> {
    (location.line > 0).then_some(Place { line: location.line, column: location.column })
}

fn syntax(message: &str, place: Place) -> Error {
    let message =
        message.replace("Expected: ", "expected ").replace("found: EOF", "found the end of the text");
    let message = message.replace("found: ", "found ").replace("before EOF.", "before the end of the text");
    let Place { line, column } = place;
    Error::invalid(format!("{} at line {line}, column {column}", tidy(&message))).with_place(Some(place))
}

/// The place after the last letter.
fn end_of(sql: &str) -> Place {
    let sql = sql.trim_end();
    let last = sql.rsplit('\n').next().unwrap_or_default();
    Place { line: 1 + sql.matches('\n').count() as u64, column: 1 + last.chars().count() as u64 }
}

fn unknown_column(field: &Column, valid: &[Column]) -> Error {
    let relation = |column: &Column| column.relation.as_ref().map(|relation| relation.table().to_owned());
    let name = field.name();
    if valid.is_empty() {
        return Error::invalid(format!("unknown column {name}: the query reads no table"));
    }
    let Some(asked) = relation(field) else {
        let known: BTreeSet<&str> = valid.iter().map(Column::name).collect();
        return Error::unknown("column", name, known).with_kind(ErrorKind::InvalidRequest);
    };
    let within: BTreeSet<&str> =
        valid.iter().filter(|column| relation(column).as_deref() == Some(&asked)).map(Column::name).collect();
    if within.is_empty() {
        let known: BTreeSet<String> = valid.iter().filter_map(relation).collect();
        return Error::unknown("table or alias", &asked, known.iter().map(String::as_str))
            .with_kind(ErrorKind::InvalidRequest);
    }
    Error::unknown(&format!("column of {asked}:"), name, within).with_kind(ErrorKind::InvalidRequest)
}

fn ambiguous(field: &Column, diagnostic: Option<&Diagnostic>) -> Error {
    let notes = diagnostic.into_iter().flat_map(|diagnostic| &diagnostic.notes);
    let columns: BTreeSet<&str> = notes
        .filter_map(|note| note.message.strip_prefix("possible column "))
        // A table's full name is longer than anybody writes.
        .map(|name| name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..]))
        .filter(|name| name.ends_with(&format!(".{}", field.name())))
        .collect();
    let choice = columns.into_iter().collect::<Vec<_>>().join(" or ");
    let choice = if choice.is_empty() { format!("table.{}", field.name()) } else { choice };
    Error::invalid(format!("several tables have a column {}: write {choice}", field.name()))
}

/// A table or function that is not known, by the planner's message.
fn unknown_name(state: &SessionState, sql: &str, message: &str, place: Option<Place>) -> Option<Error> {
    let quoted = |prefix: &str| {
        let rest = message.get(prefix.len()..)?;
        let is_it = message[..prefix.len()].eq_ignore_ascii_case(prefix);
        is_it.then(|| rest.split('\'').next()).flatten()
    };
    let (unknown, name) = if let Some(name) = quoted("table function '") {
        let known = table_functions(state);
        (Error::unknown("table function", name, known.iter().map(String::as_str)), name)
    } else if let Some(name) = quoted("table '") {
        (unknown_table(state, name), name.rsplit('.').next().unwrap_or(name))
    } else if let Some(name) = quoted("invalid function '") {
        (unknown_function(state, name), name)
    } else {
        return unfit_arguments(sql, message).or_else(|| unknown_argument(sql, message));
    };
    let place = place.or_else(|| place_of_name(sql, &Column::new_unqualified(name)));
    Some(unknown.with_kind(ErrorKind::InvalidRequest).with_place(place))
}

/// A function that takes other arguments than it was given.
fn unfit_arguments(sql: &str, message: &str) -> Option<Error> {
    let (_, rest) = message.split_once("No function matches the given name and argument types '")?;
    let (call, rest) = rest.split_once('\'')?;
    let (_, candidates) = rest.split_once("Candidate functions:")?;
    let candidates: Vec<&str> = candidates.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let name = call.split('(').next().unwrap_or(call);
    let message = format!("no function fits {call}: there is {}", candidates.join(", "));
    Some(Error::invalid(message).with_place(place_of_name(sql, &Column::new_unqualified(name))))
}

/// An argument `name => value` of a table function that has no such parameter.
fn unknown_argument(sql: &str, message: &str) -> Option<Error> {
    let (function, known) = message.split_once(" has no parameter of that name; it has ")?;
    let known: Vec<&str> = known.split(", ").collect();
    let tokens = words(sql)?;
    let (name, place) = tokens.windows(2).find_map(|pair| match &pair[0].token {
        Token::Word(word) if pair[1].token == Token::RArrow && !known.contains(&word.value.as_str()) => {
            Some((word.value.clone(), place_of(pair[0].span.start)))
        }
        _ => None,
    })?;
    let unknown = Error::unknown(&format!("parameter of {function}:"), &name, known);
    Some(unknown.with_kind(ErrorKind::InvalidRequest).with_place(place))
}

fn unknown_table(state: &SessionState, full_name: &str) -> Error {
    let mut parts = full_name.rsplit('.');
    let name = parts.next().unwrap_or(full_name);
    let catalog = &state.config_options().catalog;
    let schema = parts.next().unwrap_or(&catalog.default_schema);
    if table_functions(state).iter().any(|function| function == name) {
        return Error::invalid(format!("{name} is a function: write {name}()"));
    }
    let catalog = state.catalog_list().catalog(parts.next().unwrap_or(&catalog.default_catalog));
    let Some(tables) = catalog.as_ref().and_then(|catalog| catalog.schema(schema)) else {
        let schemas = catalog.map(|catalog| catalog.schema_names()).unwrap_or_default();
        return Error::unknown("schema", schema, schemas.iter().map(String::as_str));
    };
    Error::unknown("table", name, tables.table_names().iter().map(String::as_str))
}

fn unknown_function(state: &SessionState, name: &str) -> Error {
    if table_functions(state).iter().any(|function| function == name) {
        return Error::invalid(format!("{name} gives a table: write it after from"));
    }
    let scalar = state.scalar_functions().keys();
    let known: BTreeSet<&str> = scalar
        .chain(state.aggregate_functions().keys())
        .chain(state.window_functions().keys())
        .map(String::as_str)
        .collect();
    // There are hundreds: too many to list.
    match nearest(name, known) {
        Some(nearest) => Error::invalid(format!("unknown function {name}, did you mean {nearest}?")),
        None => Error::invalid(format!("unknown function {name}: information_schema.routines lists them")),
    }
}

fn table_functions(state: &SessionState) -> Vec<String> {
    let mut names: Vec<String> = state.table_functions().keys().cloned().collect();
    names.sort_unstable();
    names
}

/// What a diagnostic advises, where it does.
fn advice(diagnostic: &Diagnostic) -> Option<String> {
    let help = diagnostic.helps.first()?;
    Some(format!("{}: {}", tidy(&diagnostic.message), tidy(&help.message)))
}

/// A message in one line, without a capital or a full stop.
fn tidy(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    let mut letters = line.chars();
    match (letters.next(), letters.clone().next()) {
        // `CAST` stays; `Cannot` does not.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => line.to_owned(),
    }
}

/// Finds a name in the text where the planner has lost its place.
fn place_of_name(sql: &str, column: &Column) -> Option<Place> {
    let words = words(sql)?;
    let is_word = |token: &TokenWithSpan, name: &str| match &token.token {
        Token::Word(word) if word.quote_style.is_some() => word.value == name,
        Token::Word(word) => word.value.to_lowercase() == name,
        _ => false,
    };
    let found = match &column.relation {
        None => words.iter().find(|token| is_word(token, column.name()))?,
        Some(relation) => {
            let is_reference = |window: &&[TokenWithSpan]| {
                is_word(&window[0], relation.table())
                    && window[1].token == Token::Period
                    && is_word(&window[2], column.name())
            };
            words.windows(3).find(is_reference)?.first()?
        }
    };
    place_of(found.span.start)
}

/// The tokens of a text, without blanks and comments.
fn words(sql: &str) -> Option<Vec<TokenWithSpan>> {
    let mut tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    Some(tokens)
}

#[cfg(test)]
#[path = "mistakes_tests.rs"]
mod tests;
