//! SQL as clients of Postgres write it: their catalog's names, casts and operators, read into what the planner knows.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::datafusion_pg_catalog::sql::rules::{
    RewriteArrayAnyAllOperation, SqlStatementRewriteRule as _,
};

use super::bind;
use super::limits;
use crate::error::{Error, ErrorKind, Result};

/// In whose SQL a text is written, and whose catalog it may ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    #[default]
    Own,
    /// The same, and what Postgres's clients ask of its catalog.
    Postgres,
}

/// Words that only the catalog's SQL has, beside names that begin with `pg_`.
const CATALOG_WORDS: [&str; 13] = [
    "information_schema",
    "regclass",
    "regproc",
    "regprocedure",
    "regtype",
    "regnamespace",
    "regrole",
    "current_schema",
    "current_catalog",
    "current_user",
    "session_user",
    "collate",
    "operator",
];

static PARSER: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);

/// Parses one statement. One that names nothing of the catalog's means what it means on every other door: it is rewritten
/// only where it cannot be read without.
pub(super) fn parse(text: &str) -> Result<Statement> {
    let plain = with_plain_functions(text);
    let tokens = match limits::tokens(&PostgreSqlDialect {}, &plain) {
        // What is too much in this dialect is not to be tried in the other.
        Err(error) if error.kind() == ErrorKind::LimitExceeded => return Err(error),
        tokens => tokens,
    };
    if tokens.as_deref().is_ok_and(|tokens| plain != text || names_catalog(tokens)) {
        return rewritten(&plain, tokens?);
    }
    match bind::parse(text) {
        Ok(Statement::Statement(statement)) => {
            // `<> all(list)`, which the planner does not know.
            Ok(understood(RewriteArrayAnyAllOperation.rewrite(*statement)))
        }
        Ok(statement) => Ok(statement),
        Err(error) => tokens.and_then(|tokens| rewritten(&plain, tokens)).map_err(|_| error),
    }
}

fn names_catalog(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().any(|token| match &token.token {
        Token::Word(word) => {
            let word = word.value.to_ascii_lowercase();
            word.starts_with("pg_") || CATALOG_WORDS.contains(&word.as_str())
        }
        _ => false,
    })
}

/// Parses a text of these tokens, which are within the limits. Its tree is within them before any rule rewrites it, and
/// after. Nothing is printed and parsed again: printing is not faithful to quotes.
fn rewritten(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
    limits::check_tree(&only(parser.parse_statements())?)?;
    let statement = only(PARSER.parse(text))?;
    limits::check_tree(&statement)?;
    Ok(understood(without_absent(statement)))
}

fn only(statements: std::result::Result<Vec<ast::Statement>, ParserError>) -> Result<ast::Statement> {
    let statements = statements.map_err(|error| Error::invalid(error.to_string()).with_source(error))?;
    let [statement] = <[_; 1]>::try_from(statements)
        .map_err(|_| Error::invalid("the text must be exactly one statement"))?;
    Ok(statement)
}

/// What a catalog's subqueries would look up that is never there: defaults, sequences and collations of columns. They depend
/// on the row around them, which the planner takes only where they are aggregated.
const ABSENT: [&str; 4] = ["pg_attrdef", "pg_sequence", "pg_collation", "typcollation"];

/// Columns of a type's functions: they hold names, and `-` where Postgres compares with 0.
const FUNCTIONS: [&str; 4] = ["typinput", "typoutput", "typreceive", "typsend"];

fn without_absent(mut statement: ast::Statement) -> ast::Statement {
    struct Absent;
    impl VisitorMut for Absent {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Subquery(query) = expr {
                let text = query.to_string();
                if ABSENT.iter().any(|name| text.contains(name)) {
                    *expr = Expr::Value(ast::Value::Null.into());
                }
            } else if let Expr::BinaryOp { left, right, .. } = expr
                && FUNCTIONS.iter().any(|name| left.to_string().ends_with(name))
                && right.to_string() == "0"
            {
                **right = Expr::Value(ast::Value::SingleQuotedString("-".to_owned()).into());
            } else if let Expr::Function(function) = expr
                && matches!(function.args, ast::FunctionArguments::Subquery(_))
                && function.name.to_string().eq_ignore_ascii_case("array")
            {
                // Roles of policies and options of storage: there are none.
                *expr = Expr::Value(ast::Value::Null.into());
            } else if let Expr::Function(function) = expr
                && function.name.to_string().eq_ignore_ascii_case("generate_subscripts")
                && let ast::FunctionArguments::List(list) = &function.args
                && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(of)), ..] = list.args.as_slice()
            {
                *expr = places(of);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(&mut statement, &mut Absent);
    statement
}

/// A list's places, a row each: `unnest(generate_series(1, cast(cardinality(list) as bigint)))`.
fn places(list: &Expr) -> Expr {
    let one = Expr::Value(ast::Value::Number("1".to_owned(), false).into());
    let count = Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(call("cardinality", vec![list.clone()])),
        data_type: ast::DataType::BigInt(None),
        array: false,
        format: None,
    };
    call("unnest", vec![call("generate_series", vec![one, count])])
}

/// `like 'a/%b' escape '/'`: the planner knows no other escape than the backslash, so the pattern is written with it.
fn understood(mut statement: ast::Statement) -> Statement {
    struct Escapes;
    impl VisitorMut for Escapes {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } = expr
                && let Some(escape) = escape_char.take()
            {
                let text = |text: &str| Expr::Value(ast::Value::SingleQuotedString(text.to_owned()).into());
                let doubled = replaced(pattern, text("\\"), text("\\\\"));
                match &escape.value {
                    ast::Value::SingleQuotedString(own) if own == "\\" => {}
                    ast::Value::SingleQuotedString(none) if none.is_empty() => **pattern = doubled,
                    _ => **pattern = replaced(&doubled, Expr::Value(escape), text("\\")),
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(&mut statement, &mut Escapes);
    Statement::Statement(Box::new(statement))
}

fn replaced(text: &Expr, from: Expr, to: Expr) -> Expr {
    call("replace", vec![text.clone(), from, to])
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Writes `'pg_catalog.array_in'::regproc` as `'array_in'`: the catalog's columns of functions hold their names.
fn with_plain_functions(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find("'::") {
        let cast =
            ["'::regproc", "'::pg_catalog.regproc"].into_iter().find(|cast| rest[end..].starts_with(cast));
        let Some(cast) = cast else {
            plain.push_str(&rest[..=end]);
            rest = &rest[end + 1..];
            continue;
        };
        let (before, after) = (&rest[..end], &rest[end + cast.len()..]);
        let start = before.rfind('\'').map_or(0, |quote| quote + 1);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        let name = &before[start..];
        if start > 0 && !name.is_empty() && name.bytes().all(is_name) && !after.starts_with(is_word) {
            plain.push_str(&before[..start]);
            plain.push_str(name.rsplit('.').next().unwrap_or(name));
            plain.push('\'');
        } else {
            plain.push_str(&rest[..end + cast.len()]);
        }
        rest = after;
    }
    plain + rest
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).unwrap().to_string()
    }

    #[test]
    fn what_names_no_catalog_is_read_as_on_every_door() {
        let text = "select (select max(revenue) from orders) as most, 'a''b' as quoted from orders";
        assert_eq!(shown(text), bind::parse(text).unwrap().to_string());
        assert!(!shown(text).contains("LIMIT"), "{}", shown(text));
    }

    #[test]
    fn the_catalogs_names_and_casts_are_understood() {
        assert!(shown("select oid from pg_class").contains("pg_catalog.pg_class"));
        assert!(shown("select 'orders'::regclass").contains("pg_catalog.pg_class"));
        assert!(shown("select relname OPERATOR(pg_catalog.~) 'x' from pg_class").contains("~ 'x'"));
    }

    #[test]
    fn a_functions_name_is_compared_as_text() {
        let plain = with_plain_functions(
            "select a='pg_catalog.array_in'::regproc, 'b'::pg_catalog.regproc, 'x''::regproc'",
        );
        assert_eq!(plain, "select a='array_in', 'b', 'x''::regproc'");
        assert_eq!(with_plain_functions("select 'a'::regprocedure"), "select 'a'::regprocedure");
    }

    #[test]
    fn lists_are_compared_with_all() {
        assert!(shown("select 1 where 2 <> all(array[1])").contains("array_contains"));
    }

    #[test]
    fn a_pattern_has_the_escape_that_the_planner_knows() {
        let like = shown("select 1 where 'a' not like 'b/_' escape '/'");
        assert!(like.contains(r"NOT LIKE replace(replace('b/_', '\', '\\'), '/', '\')"), "{like}");
    }

    #[test]
    fn a_text_is_measured_as_the_dialect_reads_it_that_parses_it() {
        // One literal of Oracle's to our own dialect, and many unions to Postgres's.
        let unions = ", 1 union all select 1".repeat(10_000);
        let error = parse(&format!("select q'[' {unions}, r ']' from pg_class")).unwrap_err();
        assert!(error.message().contains("unions"), "{error}");
        let sums = " + 1".repeat(10_000);
        let error = parse(&format!("select q'[' , 1 {sums}, r ']' from pg_class")).unwrap_err();
        assert!(error.message().contains("operators"), "{error}");
        let literal = "x".repeat(100_000);
        let error = bind::parse(&format!("select q'[{literal}]'")).unwrap_err();
        assert!(error.message().contains("literal"), "{error}");
    }

    #[test]
    fn limits_hold_before_anything_is_rewritten() {
        let long = format!("select 1 from pg_class where {}", vec!["1 = 1"; 5_000].join(" or "));
        assert!(parse(&long).unwrap_err().message().contains("operators"));
        let recursive = "with recursive t as (select 1 union all select 1 from t) select * from t, pg_class";
        assert!(parse(recursive).unwrap_err().message().contains("recursive"));
        assert!(parse("select 1 from pg_class; select 2").is_err());
    }
}
