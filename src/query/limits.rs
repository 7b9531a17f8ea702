//! What a text may be before it is planned: each limit stands for a text of a few kilobytes that would
//! otherwise take the process's stack, memory or days.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::mistakes::untokenizable;
use crate::error::{Error, Result};

/// The longest text of a statement.
pub const TEXT_BYTES: usize = 1_000_000;
/// The longest literal text, and the longest value of a parameter: a projection writes it out for each of the 8,192 rows
/// of a batch.
pub(super) const LITERAL_BYTES: usize = 64 << 10;
/// The longest name: one that is not known is compared with all that are.
const NAME_BYTES: usize = 1_000;
pub(super) const TOKEN_COUNT: usize = 100_000;
/// Operators in one expression, outside its parentheses. Planning has a deep stack, but each of them also
/// takes up to 4 KB of a worker's 2 MB while it runs.
pub(super) const CHAIN_LENGTH: usize = 250;
/// Expressions inside expressions, parentheses and subqueries included.
const EXPRESSION_DEPTH: usize = 300;
pub(super) const SET_OPERATIONS: usize = 200;
/// Expressions inside expressions, as the parser counts them.
pub(super) const NESTING: usize = 100;
/// Brackets inside brackets: the parser gives up at `NESTING`.
const BRACKET_DEPTH: usize = 90;
/// How often the parser may look at all tokens together. If it cannot read what is within `case`, `cast` and the like, it reads
/// the same again as if the word were a name. So each of them in another doubles its work: eighteen took half a second.
const READINGS: u64 = 1 << 22;
/// Subqueries of expressions inside each other: the planner looks at each twice as often as at the one around it.
const SUBQUERY_NESTING: usize = 10;
/// Sets of columns that a text may group by at once, as a power of two: a cube has two for each column.
const GROUPING_SETS_LOG2: u32 = 8;
/// `with` inside `with`: name resolution takes twice as long for each level.
const WITH_NESTING: usize = 8;
const RELATION_COUNT: u64 = 500;
/// Relations after each CTE is written out where it is used, as the planner does.
const EXPANDED_RELATIONS: u64 = 5_000;

/// Cuts a text into tokens, within the limits. The text is parsed from these tokens: in another dialect it has others.
pub(super) fn tokens(dialect: &dyn Dialect, text: &str) -> Result<Vec<TokenWithSpan>> {
    if text.len() > TEXT_BYTES {
        return Err(Error::limit(format!("the text is longer than {TEXT_BYTES} bytes")));
    }
    let tokens = Tokenizer::new(dialect, text).tokenize_with_location().map_err(untokenizable)?;
    let words = || tokens.iter().map(|token| &token.token).filter(|token| !is_space(token));
    if words().count() > TOKEN_COUNT {
        return Err(Error::limit(format!("the text has more than {TOKEN_COUNT} tokens")));
    }
    if words().filter_map(literal).any(|text| text.len() > LITERAL_BYTES) {
        return Err(Error::limit(format!("a literal is longer than {LITERAL_BYTES} bytes")));
    }
    let is_long = |token: &Token| matches!(token, Token::Word(word) if word.value.len() > NAME_BYTES);
    if words().any(is_long) {
        return Err(Error::limit(format!("a name is longer than {NAME_BYTES} bytes")));
    }
    if words().filter(|token| is_set_operator(token)).count() > SET_OPERATIONS {
        return Err(Error::limit(format!("the text has more than {SET_OPERATIONS} unions")));
    }
    if longest_chain(words()) > CHAIN_LENGTH {
        return Err(Error::limit(format!(
            "an expression has more than {CHAIN_LENGTH} operators; use in (..) or a join with values (..)"
        )));
    }
    if deepest_bracket(words()) > BRACKET_DEPTH {
        return Err(Error::invalid("expressions are nested too deeply"));
    }
    if readings(dialect, &words().collect::<Vec<_>>()) > READINGS {
        return Err(Error::limit(
            "case, cast and the like are nested too deeply: compute the inner ones in a subquery",
        ));
    }
    Ok(tokens)
}

/// Refuses recursive CTEs and texts that grow beyond measure when CTEs are written out.
pub(super) fn check_tree(tree: &impl Visit) -> Result<()> {
    let mut nesting = Nesting::default();
    if let ControlFlow::Break(message) = tree.visit(&mut nesting) {
        return Err(Error::limit(message));
    }
    let mut weight = Weight::default();
    if tree.visit(&mut weight).is_break() {
        return Err(Error::limit(format!(
            "the text reads more than {RELATION_COUNT} relations, or {EXPANDED_RELATIONS} after its CTEs are written out"
        )));
    }
    Ok(())
}

fn literal(token: &Token) -> Option<&str> {
    match token {
        Token::SingleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text)
        | Token::NationalStringLiteral(text)
        | Token::HexStringLiteral(text)
        | Token::SingleQuotedByteStringLiteral(text)
        | Token::SingleQuotedRawStringLiteral(text)
        | Token::DoubleQuotedString(text)
        | Token::DoubleQuotedByteStringLiteral(text)
        | Token::DoubleQuotedRawStringLiteral(text)
        | Token::TripleSingleQuotedString(text)
        | Token::TripleSingleQuotedByteStringLiteral(text)
        | Token::TripleSingleQuotedRawStringLiteral(text)
        | Token::TripleDoubleQuotedString(text)
        | Token::TripleDoubleQuotedByteStringLiteral(text)
        | Token::TripleDoubleQuotedRawStringLiteral(text) => Some(text),
        Token::DollarQuotedString(text) => Some(&text.value),
        Token::QuoteDelimitedStringLiteral(text) | Token::NationalQuoteDelimitedStringLiteral(text) => {
            Some(&text.value)
        }
        _ => None,
    }
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

fn is_set_operator(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(
        word.keyword,
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS
    ))
}

fn deepest_bracket<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// A bracket or a `case` that is open at a token, and how often it doubles the work within it.
struct Open {
    is_case: bool,
    doublings: u32,
}

/// Counts how often the parser may look at the tokens.
fn readings(dialect: &dyn Dialect, tokens: &[&Token]) -> u64 {
    // An argument is read as a name's first, and again as one without a name.
    let of_function = u32::from(dialect.supports_named_fn_args_with_expr_name());
    let (mut open, mut readings) = (Vec::<Open>::new(), 0_u64);
    let (mut before, mut intervals) = (None::<&Token>, 0);
    for (at, token) in tokens.iter().enumerate() {
        let keyword = keyword(token);
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let doublings = match before {
                    _ if **token == Token::LBrace => 1,
                    Some(Token::Word(word)) => u32::from(is_read_again(word.keyword)) + of_function,
                    _ => 0,
                };
                open.push(Open { is_case: false, doublings });
            }
            // A bracket closes each `case` that is still open within it.
            Token::RParen | Token::RBracket | Token::RBrace => {
                while open.pop().is_some_and(|closed| closed.is_case) {}
            }
            _ if keyword == Some(Keyword::CASE) => open.push(Open { is_case: true, doublings: 1 }),
            _ if keyword == Some(Keyword::END) && open.last().is_some_and(|open| open.is_case) => {
                open.pop();
            }
            _ => {}
        }
        // An interval of anything but a literal may be one of an interval.
        let next = tokens.get(at + 1).and_then(|next| self::keyword(next));
        if keyword == Some(Keyword::INTERVAL) && next == Some(Keyword::INTERVAL) {
            intervals += 1;
        } else if keyword != Some(Keyword::INTERVAL) {
            intervals = 0;
        }
        let doublings = open.iter().map(|open| open.doublings).sum::<u32>() + intervals;
        readings = readings.saturating_add(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
        if readings > READINGS {
            break;
        }
        before = Some(*token);
    }
    readings
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Words that begin an expression of their own kind, and are read again as names of functions if it is none.
fn is_read_again(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::ARRAY
            | Keyword::CAST
            | Keyword::CEIL
            | Keyword::CONVERT
            | Keyword::EXISTS
            | Keyword::EXTRACT
            | Keyword::FLOOR
            | Keyword::INTERVAL
            | Keyword::MAP
            | Keyword::OVERLAY
            | Keyword::POSITION
            | Keyword::ROW
            | Keyword::SAFE_CAST
            | Keyword::STRUCT
            | Keyword::SUBSTR
            | Keyword::SUBSTRING
            | Keyword::TRIM
            | Keyword::TRY_CAST
            | Keyword::TRY_CONVERT
    )
}

/// Counts operators between commas on each level of parentheses. A closed parenthesis counts as one.
fn longest_chain<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    let mut levels = vec![0_usize];
    let mut longest = 0;
    for token in tokens {
        if matches!(token, Token::LParen | Token::LBracket | Token::LBrace) {
            levels.push(0);
            continue;
        }
        if matches!(token, Token::RParen | Token::RBracket | Token::RBrace) && levels.len() > 1 {
            levels.pop();
        }
        let Some(level) = levels.last_mut() else { continue };
        match token {
            Token::Comma | Token::SemiColon => *level = 0,
            Token::Word(word) if word.keyword == Keyword::SELECT => *level = 0,
            token if is_operator(token) => *level += 1,
            _ => {}
        }
        longest = longest.max(*level);
    }
    longest
}

/// Whatever may make a tree deeper: all but names, values, and what separates them.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::DIV
                | Keyword::JOIN
        ),
        Token::EOF
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period => false,
        _ => true,
    }
}

fn has_query(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

#[derive(Default)]
struct Nesting {
    withs: usize,
    expressions: usize,
    subqueries: usize,
    grouping_sets_log2: u32,
}

impl Visitor for Nesting {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        // Side by side they multiply.
        self.grouping_sets_log2 += match expr {
            Expr::Cube(columns) => columns.len() as u32,
            Expr::Rollup(sets) | Expr::GroupingSets(sets) => usize::BITS - sets.len().leading_zeros(),
            _ => 0,
        };
        if self.grouping_sets_log2 > GROUPING_SETS_LOG2 {
            let most = 1 << GROUPING_SETS_LOG2;
            return ControlFlow::Break(format!("cube, rollup and grouping sets make more than {most} sets"));
        }
        self.subqueries += usize::from(has_query(expr));
        if self.subqueries > SUBQUERY_NESTING {
            let message = format!("subqueries of expressions are nested more than {SUBQUERY_NESTING} times");
            return ControlFlow::Break(message);
        }
        self.expressions += 1;
        if self.expressions > EXPRESSION_DEPTH {
            return ControlFlow::Break(format!("expressions are nested more than {EXPRESSION_DEPTH} times"));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        self.subqueries -= usize::from(has_query(expr));
        self.expressions -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if let Some(with) = &query.with {
            self.withs += 1;
            if with.recursive {
                return ControlFlow::Break("recursive CTEs are not allowed".to_owned());
            }
            if self.withs > WITH_NESTING {
                return ControlFlow::Break(format!("with is nested more than {WITH_NESTING} times"));
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        self.withs -= usize::from(query.with.is_some());
        ControlFlow::Continue(())
    }
}

/// Counts relations, as written and as written out. A name stays known after its scope, which can only
/// count too many.
#[derive(Default, Clone)]
struct Weight {
    ctes: HashMap<String, u64>,
    relations: u64,
    expanded: u64,
}

impl Visitor for Weight {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let mut inner = Weight { ctes: self.ctes.clone(), ..Weight::default() };
            cte.query.visit(&mut inner)?;
            self.ctes.insert(cte.alias.name.value.to_lowercase(), inner.expanded.max(1));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let weight = match factor {
            TableFactor::Table { name, .. } => {
                self.ctes.get(&name.to_string().replace('"', "").to_lowercase()).copied().unwrap_or(1)
            }
            _ => 1,
        };
        self.relations += 1;
        self.expanded = self.expanded.saturating_add(weight);
        if self.relations > RELATION_COUNT || self.expanded > EXPANDED_RELATIONS {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
