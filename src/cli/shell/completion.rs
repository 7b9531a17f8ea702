//! What may stand at the cursor.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::catalog::Catalog;
use super::command::COMMANDS;
use super::text::{Lexed, lex, parse};
use crate::cli::output::OutputFormat;
use crate::query::{ParamType, Params};

/// Words of SQL that people write; the parser knows hundreds.
const KEYWORDS: [&str; 62] = [
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "columns",
    "cross",
    "current_date",
    "date",
    "decimal",
    "desc",
    "describe",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "extract",
    "false",
    "filter",
    "from",
    "full",
    "group",
    "having",
    "ilike",
    "in",
    "inner",
    "intersect",
    "interval",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "right",
    "select",
    "show",
    "tables",
    "then",
    "true",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
    "with",
    "within",
];
/// Words that a statement begins with.
const OPENINGS: [&str; 5] = ["describe", "explain", "select", "show", "with"];

/// One proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What is listed.
    pub shown: String,
    /// What is written.
    pub written: String,
}

impl Proposal {
    fn plain(text: &str) -> Self {
        Self { shown: text.to_owned(), written: text.to_owned() }
    }

    fn with(text: &str, ending: &str) -> Self {
        Self { shown: text.to_owned(), written: format!("{text}{ending}") }
    }
}

/// Where the word at the cursor begins, and what it may become.
pub fn complete(typed: &str, cursor: usize, catalog: &Catalog, values: &Params) -> (usize, Vec<Proposal>) {
    let before = &typed[..cursor];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before[line_start..].trim_start();
    if line.starts_with('\\') && is_at_top(&before[..line_start]) {
        return command(before, line, catalog, values);
    }
    sql(typed, cursor, catalog, values)
}

/// Whether a command may begin here: not within a string or a comment.
fn is_at_top(above: &str) -> bool {
    lex(above).1.is_none()
}

fn command(before: &str, line: &str, catalog: &Catalog, values: &Params) -> (usize, Vec<Proposal>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let begins_word = line.ends_with(char::is_whitespace);
    let word = if begins_word { "" } else { words.last().copied().unwrap_or_default() };
    let start = before.len() - word.len();
    let earlier = &words[..words.len() - usize::from(!begins_word)];
    let names = |names: Vec<String>| names.iter().map(|name| Proposal::plain(name)).collect::<Vec<_>>();
    let found = match *earlier {
        [] => COMMANDS.iter().map(|(name, ..)| Proposal::plain(name)).collect(),
        ["\\d"] => names(catalog.tables.keys().cloned().collect()),
        ["\\df"] => names(catalog.functions.iter().map(|function| function.name.clone()).collect()),
        ["\\run"] => catalog.queries.iter().map(|query| Proposal::with(&query.name, " ")).collect(),
        ["\\queries"] => catalog.queries.iter().map(|query| Proposal::plain(&query.name)).collect(),
        ["\\run", name, ref given @ ..] => return argument(start, word, name, given, catalog),
        ["\\format"] => names(OutputFormat::shown()),
        ["\\set" | "\\unset"] => names(values.keys().cloned().collect()),
        ["\\explain", ..] => {
            let text = &before[before.len() - line.len() + "\\explain".len()..];
            let (at, found) = sql(text, text.len(), catalog, values);
            return (before.len() - text.len() + at, found);
        }
        _ => Vec::new(),
    };
    (start, matching(found, word))
}

/// A parameter of a named query, or one of its values.
fn argument(
    start: usize,
    word: &str,
    name: &str,
    given: &[&str],
    catalog: &Catalog,
) -> (usize, Vec<Proposal>) {
    let Ok(query) = catalog.query(name) else { return (start, Vec::new()) };
    if let Some((key, value)) = word.split_once('=') {
        let spec = query.params.iter().find(|spec| spec.name == key);
        let values: Vec<String> = match spec {
            Some(spec) if !spec.values.is_empty() => spec.values.clone(),
            Some(spec) if spec.kind == ParamType::Bool => vec!["true".into(), "false".into()],
            Some(spec) => spec.default.iter().chain(&spec.example).cloned().collect(),
            None => Vec::new(),
        };
        let found = values.iter().map(|value| Proposal::with(value, " ")).collect();
        return (start + key.len() + 1, matching(found, value));
    }
    let is_given = |name: &str| given.iter().any(|word| word.split('=').next() == Some(name));
    let open = query.params.iter().filter(|spec| !is_given(&spec.name));
    (start, matching(open.map(|spec| Proposal::with(&spec.name, "=")).collect(), word))
}

fn sql(typed: &str, cursor: usize, catalog: &Catalog, values: &Params) -> (usize, Vec<Proposal>) {
    let before = &typed[..cursor];
    let (tokens, failure) = lex(before);
    let is_in_comment = tokens
        .last()
        .is_some_and(|last| before[last.range.clone()].starts_with("--") && !before.ends_with('\n'));
    if failure.is_some() || is_in_comment {
        return (cursor, Vec::new());
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let start = before
        .rfind(|letter: char| !is_part(letter))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    // Only the statement at the cursor counts.
    let first = tokens.iter().rposition(|lexed| lexed.token == Token::SemiColon).map_or(0, |at| at + 1);
    let within: Vec<&Lexed> = tokens[first..]
        .iter()
        .filter(|lexed| lexed.range.start < start && !matches!(lexed.token, Token::Whitespace(_)))
        .collect();
    let statement = statement_at(typed, cursor);
    if before[..start].ends_with('$') {
        let found = values.keys().map(|name| Proposal::plain(name)).collect();
        return (start, matching(found, word));
    }
    if let [.., Lexed { token: Token::Word(owner), .. }, Lexed { token: Token::Period, .. }] =
        within.as_slice()
    {
        let columns = columns_of(&owner.value.to_lowercase(), statement, catalog);
        return (start, matching(columns.iter().map(|name| Proposal::plain(name)).collect(), word));
    }
    let expected = clause(&within);
    let is_relation = matches!(expected, Clause::Relations);
    let mut found = match expected {
        _ if within.is_empty() => OPENINGS.map(|word| Proposal::with(word, " ")).to_vec(),
        Clause::Relations => relations(catalog),
        Clause::Expressions => expressions(&within, statement, word, catalog),
    };
    if !word.is_empty() && !is_relation {
        let is_upper = word.chars().all(|letter| !letter.is_lowercase());
        found.extend(KEYWORDS.map(|keyword| {
            Proposal::plain(&if is_upper { keyword.to_uppercase() } else { keyword.to_owned() })
        }));
    }
    (start, matching(found, word))
}

/// The statement that the cursor is in, with what stands behind the cursor.
fn statement_at(typed: &str, cursor: usize) -> &str {
    let ended: usize = typed[..cursor].rfind(';').map_or(0, |at| at + 1);
    let text = &typed[ended..];
    match parse(text).parts.first() {
        Some(_) => text.split_once(';').map_or(text, |(statement, _)| statement),
        None => text,
    }
}

enum Clause {
    /// Tables and table functions.
    Relations,
    Expressions,
}

/// What is expected after these tokens.
fn clause(within: &[&Lexed]) -> Clause {
    let is_table_word = |token: &Token| {
        matches!(token, Token::Word(word) if matches!(
            word.keyword,
            Keyword::FROM | Keyword::JOIN | Keyword::DESCRIBE | Keyword::DESC | Keyword::TABLE
        ))
    };
    let Some(last) = within.last() else { return Clause::Expressions };
    if is_table_word(&last.token) && (within.len() == 1 || !is_descending(within)) {
        return Clause::Relations;
    }
    // `from a, b`: the clause goes on.
    if last.token != Token::Comma {
        return Clause::Expressions;
    }
    let mut depth = 0_i32;
    for lexed in within.iter().rev() {
        match &lexed.token {
            Token::RParen => depth += 1,
            Token::LParen => depth -= 1,
            Token::Word(word) if depth == 0 => match word.keyword {
                Keyword::FROM => return Clause::Relations,
                Keyword::SELECT | Keyword::WHERE | Keyword::BY | Keyword::ON | Keyword::HAVING => break,
                _ => {}
            },
            _ => {}
        }
        if depth < 0 {
            break;
        }
    }
    Clause::Expressions
}

/// `order by a desc` names no table, `desc orders` does.
fn is_descending(within: &[&Lexed]) -> bool {
    matches!(within.last(), Some(Lexed { token: Token::Word(word), .. }) if word.keyword == Keyword::DESC)
}

fn relations(catalog: &Catalog) -> Vec<Proposal> {
    let tables = catalog.tables.keys().map(|name| Proposal::plain(name));
    let functions = catalog.functions.iter().filter(|function| function.is_table());
    tables.chain(functions.map(|function| Proposal::with(&function.name, "("))).collect()
}

fn expressions(within: &[&Lexed], statement: &str, word: &str, catalog: &Catalog) -> Vec<Proposal> {
    // The arguments of the call at the cursor come first.
    let mut found: Vec<Proposal> = called(within)
        .and_then(|name| catalog.function(name))
        .filter(|function| function.is_table())
        .map(|function| function.arguments.iter().map(|name| Proposal::with(name, " => ")).collect())
        .unwrap_or_default();
    let read = tables_in(statement, catalog);
    let columns: BTreeSet<&String> = if read.is_empty() {
        catalog.tables.values().flatten().collect()
    } else {
        read.iter().filter_map(|table| catalog.tables.get(*table)).flatten().collect()
    };
    found.extend(columns.into_iter().map(|name| Proposal::plain(name)));
    if !word.is_empty() {
        found.extend(read.iter().map(|table| Proposal::plain(table)));
        let functions = catalog.functions.iter().filter(|function| !function.is_table());
        found.extend(functions.map(|function| Proposal::with(&function.name, "(")));
    }
    found
}

/// The name of the function whose parentheses are open.
fn called<'a>(within: &[&'a Lexed]) -> Option<&'a str> {
    let mut depth = 0;
    for (at, lexed) in within.iter().enumerate().rev() {
        match &lexed.token {
            Token::RParen => depth += 1,
            Token::LParen if depth > 0 => depth -= 1,
            Token::LParen => {
                return match &within.get(at.checked_sub(1)?)?.token {
                    Token::Word(word) => Some(&word.value),
                    _ => None,
                };
            }
            _ => {}
        }
    }
    None
}

/// The tables that a statement names.
fn tables_in<'a>(statement: &str, catalog: &'a Catalog) -> BTreeSet<&'a str> {
    let (tokens, _) = lex(statement);
    let known = |lexed: &Lexed| match &lexed.token {
        Token::Word(word) => {
            catalog.tables.get_key_value(&word.value.to_lowercase()).map(|(name, _)| name.as_str())
        }
        _ => None,
    };
    tokens.iter().filter_map(known).collect()
}

/// The columns behind a table's name or alias.
fn columns_of(owner: &str, statement: &str, catalog: &Catalog) -> Vec<String> {
    if let Some(columns) = catalog.tables.get(owner) {
        return columns.clone();
    }
    let (tokens, _) = lex(statement);
    let words: Vec<&Token> = tokens
        .iter()
        .map(|lexed| &lexed.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let text = |token: &Token| match token {
        Token::Word(word) => word.value.to_lowercase(),
        _ => String::new(),
    };
    for (at, token) in words.iter().enumerate() {
        let Some(columns) = catalog.tables.get(&text(token)) else { continue };
        let next = words.get(at + 1).map(|token| text(token)).unwrap_or_default();
        let alias = if next == "as" { words.get(at + 2).map(|token| text(token)) } else { Some(next) };
        if alias.as_deref() == Some(owner) {
            return columns.clone();
        }
    }
    // What it stands for is said later: `from` comes behind the columns.
    if tables_in(statement, catalog).is_empty() {
        return catalog.tables.values().flatten().cloned().collect();
    }
    Vec::new()
}

/// Those that begin with the word, each once, in their order.
fn matching(found: Vec<Proposal>, word: &str) -> Vec<Proposal> {
    let word = word.to_lowercase();
    let mut seen = BTreeSet::new();
    let fits = |proposal: &Proposal| proposal.shown.to_lowercase().starts_with(&word);
    found.into_iter().filter(|proposal| fits(proposal) && seen.insert(proposal.shown.clone())).collect()
}

#[cfg(test)]
#[path = "completion_tests.rs"]
mod tests;
