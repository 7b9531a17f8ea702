//! The header of a query file: TOML in its leading block comment.

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::params::typed;
use super::rules::rule_params;
use super::value::ParamType;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::tables;

/// What a request says beside a query's parameters.
const TAKEN_PARAMS: [&str; 5] = ["format", "min_version", "numbers", "safe", "store"];
/// Tables beside the raw ones that no query makes.
const TAKEN_TABLES: [&str; 2] = ["benchmark_seeds", "journeys"];
const HEADER_KEYS: [&str; 6] = ["summary", "grain", "params", "rules", "materialize", "checks"];
const PARAM_KEYS: [&str; 6] = ["type", "default", "required", "values", "example", "doc"];

/// What a query file says about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Header {
    /// One sentence: what the answer says.
    pub summary: String,
    /// "one row per ..."
    pub grain: String,
    /// In the file's order; the rules of attribution follow where the query takes them.
    pub params: Vec<ParamSpec>,
    /// Whether the rules of attribution are parameters, and go to every call of a function over journeys.
    pub rules: bool,
    /// The table that the nightly batch writes the answer to.
    pub materialize: Option<String>,
    /// SQL over a relation `answer`, the query's result; each must return no row.
    pub checks: Vec<String>,
}

/// One parameter, `$name` in the query's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Taken where the caller gives nothing; a date may be relative, such as `today-30d`.
    pub default: Option<String>,
    pub required: bool,
    /// The only values allowed, where there are any.
    pub values: Vec<String>,
    /// A value that makes sense: planned with at start-up, shown in documents.
    pub example: Option<String>,
    pub doc: String,
}

impl Header {
    /// Parses the header of a file; `file` names it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let lead = text.len() - text.trim_start().len();
        let body = text[lead..].strip_prefix("/*").and_then(|rest| rest.split_once("*/"));
        let Some((body, _)) = body else {
            return Err(Error::invalid(format!(
                "{file}:1: a query starts with a header: /* summary = .. */"
            )));
        };
        let source = Source { file, first_line: 1 + newlines(&text[..lead]), body };
        let table = DeTable::parse(body).map_err(|error| {
            source
                .error(error.span().map_or(0, |span| span.start), error.message())
                .with_source(error.clone())
        })?;
        source.header(table.get_ref(), stem(file))
    }

    pub fn param(&self, name: &str) -> Option<&ParamSpec> {
        self.params.iter().find(|spec| spec.name == name)
    }
}

/// The file's name without topic and ending: what `materialize = true` means.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".sql").unwrap_or(name)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// A header's text with its place in the file, so that every refusal names a line.
struct Source<'a> {
    file: &'a str,
    first_line: usize,
    body: &'a str,
}

type Item<'a> = Spanned<DeValue<'a>>;

impl Source<'_> {
    fn error(&self, offset: usize, message: impl std::fmt::Display) -> Error {
        let line = self.first_line + self.body.get(..offset).map_or(0, newlines);
        Error::invalid(format!("{}:{line}: {message}", self.file))
    }

    fn header(&self, table: &DeTable<'_>, stem: &str) -> Result<Header> {
        self.known(table, &HEADER_KEYS, "header key")?;
        let materialize = match table.get("materialize") {
            None => None,
            Some(item) => match item.get_ref() {
                DeValue::Boolean(false) => None,
                DeValue::Boolean(true) => Some(stem.to_owned()),
                DeValue::String(name)
                    if TAKEN_TABLES.contains(&name.as_ref()) || tables()?.contains_key(name.as_ref()) =>
                {
                    let message =
                        format!("materialize names {name}, which is another table: choose another name");
                    return Err(self.error(item.span().start, message));
                }
                DeValue::String(name) if is_name(name) => Some(name.to_string()),
                _ => return Err(self.error(item.span().start, "materialize must be true or a table's name")),
            },
        };
        let rules = self.flag(table, "rules")?;
        let mut params = self.params(table)?;
        if rules {
            params.extend(rule_params());
        }
        Ok(Header {
            summary: self.required_text(table, "summary")?,
            grain: self.required_text(table, "grain")?,
            params,
            rules,
            materialize,
            checks: self.texts(table, "checks")?,
        })
    }

    fn params(&self, table: &DeTable<'_>) -> Result<Vec<ParamSpec>> {
        let Some(item) = table.get("params") else { return Ok(Vec::new()) };
        let DeValue::Table(params) = item.get_ref() else {
            return Err(self.error(item.span().start, "params must be tables: [params.name]"));
        };
        let mut specs = Vec::new();
        for (key, item) in params {
            let DeValue::Table(param) = item.get_ref() else {
                return Err(self.error(key.span().start, format!("params.{} must be a table", key.get_ref())));
            };
            specs.push((key.span().start, self.param(key.get_ref(), key.span().start, param)?));
        }
        specs.sort_by_key(|(offset, _)| *offset);
        Ok(specs.into_iter().map(|(_, spec)| spec).collect())
    }

    fn param(&self, name: &str, offset: usize, table: &DeTable<'_>) -> Result<ParamSpec> {
        if !is_name(name) {
            return Err(self.error(offset, "a parameter's name has lowercase letters, digits and _"));
        }
        if TAKEN_PARAMS.contains(&name) {
            let message =
                format!("a parameter cannot be called {name}: requests say something else by that name");
            return Err(self.error(offset, message));
        }
        self.known(table, &PARAM_KEYS, "parameter key")?;
        let Some(kind) = table.get("type") else {
            return Err(self.error(offset, format!("parameter {name} needs a type")));
        };
        let spec = ParamSpec {
            name: name.to_owned(),
            kind: self.kind(kind)?,
            default: self.scalar(table, "default")?,
            required: self.flag(table, "required")?,
            values: self.texts(table, "values")?,
            example: self.scalar(table, "example")?,
            doc: self
                .scalar(table, "doc")?
                .ok_or_else(|| self.error(offset, format!("parameter {name} needs a doc")))?,
        };
        self.verify(&spec, offset)?;
        Ok(spec)
    }

    /// Refuses a parameter that contradicts itself.
    fn verify(&self, spec: &ParamSpec, offset: usize) -> Result<()> {
        let refuse = |what: &str| Err(self.error(offset, format!("parameter {} {what}", spec.name)));
        if spec.required && spec.default.is_some() {
            return refuse("is required and has a default: choose one");
        }
        if spec.required && spec.example.is_none() && spec.values.is_empty() {
            return refuse("is required and needs an example, to be planned with");
        }
        for text in spec.default.iter().chain(&spec.example).chain(&spec.values) {
            typed(spec, text, chrono::NaiveDate::default())
                .map_err(|error| self.error(offset, error.message()).with_source(error))?;
        }
        Ok(())
    }

    fn kind(&self, item: &Item<'_>) -> Result<ParamType> {
        let at = item.span().start;
        let DeValue::String(name) = item.get_ref() else {
            return Err(self.error(at, "type must be text in quotes"));
        };
        ParamType::from_name(name).ok_or_else(|| {
            let known = ParamType::ALL.into_iter().map(ParamType::name);
            self.error(at, Error::unknown("type", name, known))
        })
    }

    fn known(&self, table: &DeTable<'_>, known: &[&str], what: &str) -> Result<()> {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let unknown = Error::unknown(what, key.get_ref(), known.iter().copied());
                return Err(self.error(key.span().start, unknown).with_kind(ErrorKind::InvalidRequest));
            }
        }
        Ok(())
    }

    fn flag(&self, table: &DeTable<'_>, key: &str) -> Result<bool> {
        match table.get(key).map(|item| (item.span().start, item.get_ref())) {
            None => Ok(false),
            Some((_, DeValue::Boolean(flag))) => Ok(*flag),
            Some((at, _)) => Err(self.error(at, format!("{key} must be true or false"))),
        }
    }

    fn required_text(&self, table: &DeTable<'_>, key: &str) -> Result<String> {
        match table.get(key).map(|item| (item.span().start, item.get_ref())) {
            Some((_, DeValue::String(text))) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Some((at, _)) => Err(self.error(at, format!("{key} must be text in quotes"))),
            None => Err(self.error(0, format!("the header needs a {key}"))),
        }
    }

    fn scalar(&self, table: &DeTable<'_>, key: &str) -> Result<Option<String>> {
        let Some(item) = table.get(key) else { return Ok(None) };
        match item.get_ref() {
            DeValue::String(text) => Ok(Some(text.to_string())),
            DeValue::Integer(number) => Ok(Some(number.as_str().to_owned())),
            DeValue::Float(number) => Ok(Some(number.as_str().to_owned())),
            DeValue::Boolean(flag) => Ok(Some(flag.to_string())),
            DeValue::Datetime(at) => Ok(Some(at.to_string())),
            DeValue::Array(_) | DeValue::Table(_) => {
                Err(self.error(item.span().start, format!("{key} must be one value")))
            }
        }
    }

    fn texts(&self, table: &DeTable<'_>, key: &str) -> Result<Vec<String>> {
        let Some(item) = table.get(key) else { return Ok(Vec::new()) };
        let refusal = || self.error(item.span().start, format!("{key} must be a list of texts"));
        let DeValue::Array(items) = item.get_ref() else { return Err(refusal()) };
        items.iter().map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(refusal)).collect()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let error = Header::parse("sales/daily.sql", text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        error.message().to_owned()
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        let head = "/*\nsummary = 's'\ngrain = 'g'\n";
        for name in ["format", "store", "safe"] {
            let param = format!("{head}[params.{name}]\ntype = 'int'\ndefault = 1\ndoc = 'd'\n*/ select 1");
            assert!(refusal(&param).contains(&format!("cannot be called {name}")));
        }
        for table in ["orders", "benchmark_seeds", "journeys"] {
            let text = format!("{head}materialize = '{table}'\n*/ select 1");
            assert!(refusal(&text).contains("another table"), "{table}");
        }
    }

    #[test]
    fn a_whole_header_is_read_in_its_own_order() {
        let header = Header::parse(
            "sales/daily.sql",
            "/*\nsummary = 'Sales.'\ngrain = 'one row per day'\nmaterialize = true\n\
             checks = ['select * from answer where x < 0']\n\
             [params.start]\ntype = 'date'\ndefault = 'today-30d'\ndoc = 'First day.'\n\
             [params.limit]\ntype = 'int'\ndefault = 10\ndoc = 'Rows.'\n*/\nselect 1",
        )
        .unwrap();
        assert_eq!(header.summary, "Sales.");
        assert_eq!(header.materialize.as_deref(), Some("daily"));
        assert_eq!(header.checks.len(), 1);
        let names: Vec<_> = header.params.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["start", "limit"]);
        assert_eq!(header.param("limit").unwrap().default.as_deref(), Some("10"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
        assert_eq!(
            refusal("\n/*\nsummary = 's'\ngrain = 'g'\nmaterialise = true\n*/ select 1"),
            "sales/daily.sql:5: unknown header key materialise, did you mean materialize? \
             (known: checks, grain, materialize, params, rules, summary)"
        );
        assert!(
            refusal("/*\nsummary = 's'\ngrain = 'g'\n[params.a]\ntyp = 'int'\ndoc = 'd'\n*/")
                .starts_with("sales/daily.sql:5: unknown parameter key typ, did you mean type?")
        );
    }

    #[test]
    fn every_fault_names_its_line() {
        let head = "/*\nsummary = 's'\ngrain = 'g'\n";
        let cases = [
            ("select 1".to_owned(), "sales/daily.sql:1: a query starts with a header"),
            ("/*\ngrain = 'g'\n*/".to_owned(), "sales/daily.sql:1: the header needs a summary"),
            ("/*\nsummary = 's'\ngrain = 3\n*/".to_owned(), "sales/daily.sql:3: grain must be text"),
            ("/*\nsummary = 's'\nsummary = 't'\n*/".to_owned(), "sales/daily.sql:3: "),
            (format!("{head}checks = 'x'\n*/"), "sales/daily.sql:4: checks must be a list of texts"),
            (
                format!("{head}[params.a]\ntype = 'number'\ndoc = 'd'\n*/"),
                "sales/daily.sql:5: unknown type number",
            ),
            (format!("{head}[params.a]\ntype = 'int'\n*/"), "sales/daily.sql:4: parameter a needs a doc"),
            (format!("{head}[params.a]\ndoc = 'd'\n*/"), "sales/daily.sql:4: parameter a needs a type"),
            (
                format!("{head}[params.A]\ntype = 'int'\ndoc = 'd'\n*/"),
                "sales/daily.sql:4: a parameter's name",
            ),
            (
                format!("{head}[params.a]\ntype = 'int'\ndefault = 'x'\ndoc = 'd'\n*/"),
                "sales/daily.sql:4: parameter a must be a whole number",
            ),
            (
                format!("{head}[params.a]\ntype = 'int'\nrequired = true\ndefault = 1\ndoc = 'd'\n*/"),
                "sales/daily.sql:4: parameter a is required and has a default",
            ),
            (
                format!("{head}[params.a]\ntype = 'int'\nrequired = true\ndoc = 'd'\n*/"),
                "sales/daily.sql:4: parameter a is required and needs an example",
            ),
        ];
        for (text, expected) in cases {
            let message = refusal(&text);
            assert!(message.starts_with(expected), "{message} does not start with {expected}");
        }
    }
}
