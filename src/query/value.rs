//! Typed values of parameters, and their form as text and as SQL literals.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};
use datafusion::sql::parser::DFParser;
use datafusion::sql::sqlparser::ast;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Values by parameter name, ready to be bound.
pub type Values = BTreeMap<String, Value>;

/// The most digits that a decimal can have.
const DECIMAL_DIGITS: usize = 38;
const ARROW_INSTANT: &str = "Timestamp(Microsecond, Some(\"UTC\"))";

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    Text,
    Date,
    Instant,
    Int,
    Float,
    Decimal,
    Bool,
}

impl ParamType {
    pub const ALL: [ParamType; 7] = [
        ParamType::Text,
        ParamType::Date,
        ParamType::Instant,
        ParamType::Int,
        ParamType::Float,
        ParamType::Decimal,
        ParamType::Bool,
    ];

    /// The name that a header uses.
    pub fn name(self) -> &'static str {
        match self {
            ParamType::Text => "text",
            ParamType::Date => "date",
            ParamType::Instant => "instant",
            ParamType::Int => "int",
            ParamType::Float => "float",
            ParamType::Decimal => "decimal",
            ParamType::Bool => "bool",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The form that a caller must write, for error messages and documents.
    pub fn form(self) -> &'static str {
        match self {
            ParamType::Text => "text",
            ParamType::Date => "a date such as 2026-11-21, today or today-30d",
            ParamType::Instant => "an instant with its offset such as 2026-11-21T09:30:00Z",
            ParamType::Int => "a whole number such as 30",
            ParamType::Float => "a finite number such as 7.5",
            ParamType::Decimal => "an exact decimal of at most 38 digits such as 1234.56",
            ParamType::Bool => "true or false",
        }
    }

    /// The type that a placeholder for it has.
    pub fn data_type(self) -> DataType {
        match self {
            ParamType::Text => DataType::Utf8,
            ParamType::Date => DataType::Date32,
            ParamType::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ParamType::Int => DataType::Int64,
            ParamType::Float => DataType::Float64,
            ParamType::Decimal => DataType::Decimal128(38, 10),
            ParamType::Bool => DataType::Boolean,
        }
    }

    fn sql(self) -> String {
        match self {
            ParamType::Text => "varchar".to_owned(),
            ParamType::Date => "date".to_owned(),
            ParamType::Instant => format!("arrow_cast(null, '{ARROW_INSTANT}')"),
            ParamType::Int => "bigint".to_owned(),
            ParamType::Float => "double".to_owned(),
            ParamType::Decimal => "decimal(38, 10)".to_owned(),
            ParamType::Bool => "boolean".to_owned(),
        }
    }
}

/// One typed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null(ParamType),
    Text(String),
    Date(NaiveDate),
    Instant(DateTime<Utc>),
    Int(i64),
    Float(f64),
    /// Digits with an optional sign and point, as checked by [`Value::parse`].
    Decimal(String),
    Bool(bool),
    /// Values of one type, to be compared with by `= any(..)`.
    List(ParamType, Vec<Value>),
}

impl Value {
    /// Parses a text as a type; `None` where it does not have the type's form. `today` anchors relative dates.
    pub fn parse(kind: ParamType, text: &str, today: NaiveDate) -> Option<Self> {
        match kind {
            ParamType::Text => Some(Value::Text(text.to_owned())),
            ParamType::Date => parse_date(text, today).map(Value::Date),
            ParamType::Instant => parse_instant(text).map(Value::Instant),
            ParamType::Int => text.parse().ok().map(Value::Int),
            ParamType::Float => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
            ParamType::Decimal => is_decimal(text).then(|| Value::Decimal(text.to_owned())),
            ParamType::Bool => match text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
        }
    }

    pub fn kind(&self) -> ParamType {
        match self {
            Value::Null(kind) | Value::List(kind, _) => *kind,
            Value::Text(_) => ParamType::Text,
            Value::Date(_) => ParamType::Date,
            Value::Instant(_) => ParamType::Instant,
            Value::Int(_) => ParamType::Int,
            Value::Float(_) => ParamType::Float,
            Value::Decimal(_) => ParamType::Decimal,
            Value::Bool(_) => ParamType::Bool,
        }
    }

    /// The value as canonical text; `None` for null.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Null(_) => None,
            Value::Text(text) | Value::Decimal(text) => Some(text.clone()),
            Value::Date(date) => Some(date.format("%Y-%m-%d").to_string()),
            Value::Instant(at) => Some(at.to_rfc3339_opts(SecondsFormat::Micros, true)),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(format!("{number:?}")),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::List(_, values) => {
                let texts: Vec<_> = values.iter().map(Value::text).collect();
                serde_json::to_string(&texts).ok()
            }
        }
    }

    pub fn is_longer_than(&self, bytes: usize) -> bool {
        matches!(self, Value::Text(text) | Value::Decimal(text) if text.len() > bytes)
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Value::List(..))
    }

    /// The value as a typed literal of the syntax tree. Only templates written here are parsed as SQL; the
    /// value itself enters the tree as one literal node.
    pub fn literal(&self) -> Result<ast::Expr> {
        let quoted = ast::Value::SingleQuotedString(self.text().unwrap_or_default());
        match self {
            Value::List(kind, values) => list(*kind, values),
            Value::Null(ParamType::Instant) => template(&ParamType::Instant.sql(), None),
            Value::Null(kind) => template(&format!("cast(null as {})", kind.sql()), None),
            Value::Text(_) => Ok(ast::Expr::Value(quoted.into())),
            Value::Bool(flag) => Ok(ast::Expr::Value(ast::Value::Boolean(*flag).into())),
            Value::Int(number) if *number >= 0 => {
                Ok(ast::Expr::Value(ast::Value::Number(number.to_string(), false).into()))
            }
            Value::Int(_) => template("cast($value as bigint)", Some(quoted)),
            Value::Float(_) => template("cast($value as double)", Some(quoted)),
            Value::Date(_) => template("cast($value as date)", Some(quoted)),
            Value::Instant(_) => template(&format!("arrow_cast($value, '{ARROW_INSTANT}')"), Some(quoted)),
            Value::Decimal(digits) => {
                let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                let precision = digits.bytes().filter(u8::is_ascii_digit).count();
                template(&format!("cast($value as decimal({precision}, {scale}))"), Some(quoted))
            }
        }
    }
}

/// Parses `2026-11-21`, `today`, `today-30d` or `today+1d`.
fn parse_date(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    let Some(offset) = text.strip_prefix("today") else {
        let is_padded = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        return is_padded.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    };
    if offset.is_empty() {
        return Some(today);
    }
    let (sign, days) = offset.strip_suffix('d')?.split_at_checked(1)?;
    let days =
        Days::new(days.bytes().all(|byte| byte.is_ascii_digit()).then(|| days.parse().ok()).flatten()?);
    match sign {
        "+" => today.checked_add_days(days),
        "-" => today.checked_sub_days(days),
        _ => None,
    }
}

/// Parses RFC 3339; the microsecond is the finest instant that a table can hold.
fn parse_instant(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    DateTime::from_timestamp_micros(at.timestamp_micros())
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole) && are_digits(fraction) && whole.len() + fraction.len() <= DECIMAL_DIGITS
}

/// Parses a fixed expression and puts a literal at its `$value`.
fn template(text: &str, literal: Option<ast::Value>) -> Result<ast::Expr> {
    let mut expression = DFParser::parse_sql_into_expr(text)
        .map_err(|error| Error::internal("a literal's template does not parse").with_source(error))?
        .expr;
    let hole = match &mut expression {
        ast::Expr::Cast { expr, .. } => Some(expr.as_mut()),
        ast::Expr::Function(function) => first_argument(function),
        _ => None,
    };
    if let (Some(hole), Some(literal)) = (hole, literal) {
        *hole = ast::Expr::Value(literal.into());
    }
    Ok(expression)
}

/// An array of typed literals.
fn list(kind: ParamType, values: &[Value]) -> Result<ast::Expr> {
    let elem = values.iter().map(Value::literal).collect::<Result<Vec<_>>>()?;
    if elem.is_empty() {
        let kind = if kind == ParamType::Instant { "timestamp".to_owned() } else { kind.sql() };
        return template(&format!("cast(make_array() as {kind}[])"), None);
    }
    Ok(ast::Expr::Array(ast::Array { elem, named: true }))
}

fn first_argument(function: &mut ast::Function) -> Option<&mut ast::Expr> {
    let ast::FunctionArguments::List(list) = &mut function.args else { return None };
    match list.args.first_mut()? {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_relative_date_counts_from_the_day_it_is_given() {
        let today = day("2026-03-01");
        let parse = |text| parse_date(text, today);
        assert_eq!(parse("today"), Some(today));
        assert_eq!(parse("today-1d"), Some(day("2026-02-28")));
        assert_eq!(parse("today+30d"), Some(day("2026-03-31")));
        for wrong in ["today-", "today-d", "today--1d", "today-1", "today-+1d", "todayé1d", "yesterday"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse("today-99999999999999999999d"), None);
    }

    #[test]
    fn a_date_has_ten_characters_and_is_in_the_calendar() {
        let today = day("2026-03-01");
        assert_eq!(parse_date("2028-02-29", today), Some(day("2028-02-29")));
        for wrong in ["2026-02-29", "2026-2-1", "20260201", "+026-01-01", "2026-01-01 ", ""] {
            assert_eq!(parse_date(wrong, today), None, "{wrong}");
        }
    }

    #[test]
    fn a_decimal_has_digits_on_both_sides_and_at_most_38() {
        for right in ["0", "-1.50", "00.1", &"9".repeat(37)] {
            assert!(is_decimal(right), "{right}");
        }
        for wrong in ["", "-", ".5", "5.", "1e3", "+1", "1_0", "٣", &"9".repeat(39)] {
            assert!(!is_decimal(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_instant_needs_its_offset_and_is_kept_in_utc() {
        let at = Value::parse(ParamType::Instant, "2026-03-29T03:30:00.1234567+02:00", day("2026-01-01"));
        assert_eq!(at.unwrap().text().unwrap(), "2026-03-29T01:30:00.123456Z");
        assert_eq!(Value::parse(ParamType::Instant, "2026-03-29T03:30:00", day("2026-01-01")), None);
    }

    #[test]
    fn a_float_is_finite() {
        assert_eq!(Value::parse(ParamType::Float, "7.5", day("2026-01-01")), Some(Value::Float(7.5)));
        for wrong in ["NaN", "inf", "1e999", "seven"] {
            assert_eq!(Value::parse(ParamType::Float, wrong, day("2026-01-01")), None, "{wrong}");
        }
    }

    #[test]
    fn literals_carry_their_type() {
        let today = day("2026-03-01");
        let literal = |kind, text| Value::parse(kind, text, today).unwrap().literal().unwrap().to_string();
        assert_eq!(literal(ParamType::Text, "it's"), "'it''s'");
        assert_eq!(literal(ParamType::Date, "today"), "CAST('2026-03-01' AS DATE)");
        assert_eq!(literal(ParamType::Int, "30"), "30");
        assert_eq!(literal(ParamType::Int, "-30"), "CAST('-30' AS BIGINT)");
        assert_eq!(literal(ParamType::Float, "7.5"), "CAST('7.5' AS DOUBLE)");
        assert_eq!(literal(ParamType::Decimal, "-12.50"), "CAST('-12.50' AS DECIMAL(4,2))");
        assert_eq!(literal(ParamType::Bool, "true"), "true");
        assert_eq!(
            literal(ParamType::Instant, "2026-03-01T00:00:00Z"),
            "arrow_cast('2026-03-01T00:00:00.000000Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        );
        let list = |values| Value::List(ParamType::Int, values).literal().unwrap().to_string();
        assert_eq!(list(vec![Value::Int(1), Value::Null(ParamType::Int)]), "ARRAY[1, CAST(NULL AS BIGINT)]");
        assert_eq!(list(Vec::new()), "CAST(make_array() AS BIGINT[])");
        assert_eq!(Value::Null(ParamType::Text).literal().unwrap().to_string(), "CAST(NULL AS VARCHAR)");
    }
}
