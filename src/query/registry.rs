//! Every named query: the files embedded in the binary and those of a configured folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use rust_embed::RustEmbed;

use super::answer::Params;
use super::bind::{BoundQuery, bind, bind_check, key_text, placeholders};
use super::header::Header;
use super::params::check;
use super::rules::rule_params;
use super::value::{Value, Values};
use crate::error::{Error, Result};

#[derive(RustEmbed)]
#[folder = "queries/"]
#[include = "*.sql"]
struct Embedded;

/// One `.sql` file.
#[derive(Debug, Clone)]
pub struct NamedQuery {
    /// `topic/name`.
    pub name: String,
    pub topic: String,
    pub header: Header,
    /// The whole file, header included.
    pub sql: String,
}

impl NamedQuery {
    /// Types the parameters by the header and binds them; `today` anchors relative dates.
    pub fn bind(&self, params: &Params, today: NaiveDate) -> Result<BoundQuery> {
        bind(&self.sql, &check(&self.header, params, today)?, self.header.rules)
    }

    /// The `text` that [`NamedQuery::bind`] would give, without parsing: for keys that are looked up first.
    pub fn key_text(&self, params: &Params, today: NaiveDate) -> Result<String> {
        key_text(&self.sql, &check(&self.header, params, today)?)
    }

    /// Binds each check of the header, with the same parameters.
    pub fn bind_checks(&self, params: &Params, today: NaiveDate) -> Result<Vec<BoundQuery>> {
        let values = check(&self.header, params, today)?;
        self.header
            .checks
            .iter()
            .map(|check| bind_check(&self.sql, check, &values, self.header.rules))
            .collect()
    }

    /// Its name in the schema `queries` of SQL.
    pub fn relation(&self) -> String {
        self.name.replace('/', "_")
    }

    /// Parameters to plan with: an example or the first allowed value where there is no default.
    pub fn sample_params(&self) -> Params {
        let sample = |spec: &super::header::ParamSpec| {
            let text = spec.example.as_ref().or(spec.values.first())?;
            (spec.required).then(|| (spec.name.clone(), text.clone()))
        };
        self.header.params.iter().filter_map(sample).collect()
    }

    /// Reads the header; the SQL is parsed when it is bound.
    fn parse(name: &str, sql: String) -> Result<Self> {
        let header = Header::parse(&format!("{name}.sql"), &sql)?;
        let topic = name.split_once('/').map_or_else(String::new, |(topic, _)| topic.to_owned());
        Ok(Self { name: name.to_owned(), topic, header, sql })
    }

    /// Refuses SQL that cannot be bound, and parameters that the header and the SQL do not agree on.
    fn validate(&self) -> Result<()> {
        let Self { name, header, sql, .. } = self;
        let file = format!("{name}.sql");
        let context =
            |error: Error| Error::invalid(format!("{file}: {}", error.message())).with_source(error);
        let declared: BTreeSet<String> = header.params.iter().map(|spec| spec.name.clone()).collect();
        let mut used = placeholders(sql).map_err(context)?;
        if header.rules {
            used.extend(rule_params().into_iter().map(|rule| rule.name));
        }
        for check in &header.checks {
            used.extend(placeholders(check).map_err(context)?);
        }
        if let Some(name) = used.difference(&declared).next() {
            return Err(Error::invalid(format!("{file}: ${name} is not declared: add [params.{name}]")));
        }
        if let Some(name) = declared.difference(&used).next() {
            return Err(Error::invalid(format!("{file}: parameter {name} is declared but never used")));
        }
        let nulls: Values =
            header.params.iter().map(|spec| (spec.name.clone(), Value::Null(spec.kind))).collect();
        bind(sql, &nulls, header.rules).map_err(context)?;
        for check in &header.checks {
            bind_check(sql, check, &nulls, header.rules).map_err(context)?;
        }
        Ok(())
    }
}

/// The queries by name.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    queries: BTreeMap<String, Arc<NamedQuery>>,
}

impl Registry {
    /// Reads every file; a broken one, or two of one name, is an error that names the file. The embedded files are
    /// validated by the tests, not by every process that starts.
    pub fn load(extra_folder: Option<&Path>) -> Result<Self> {
        let mut registry = Self::default();
        for path in Embedded::iter() {
            let file = Embedded::get(&path)
                .ok_or_else(|| Error::internal(format!("queries/{path} is not embedded")))?;
            registry.add(&path, utf8(&path, file.data.into_owned())?)?;
        }
        if let Some(folder) = extra_folder {
            for path in files(folder)? {
                let bytes = std::fs::read(folder.join(&path))
                    .map_err(|error| Error::invalid(format!("{path}: cannot be read")).with_source(error))?;
                registry.add(&path, utf8(&path, bytes)?)?.validate()?;
            }
        }
        Ok(registry)
    }

    pub fn get(&self, name: &str) -> Result<&Arc<NamedQuery>> {
        self.queries
            .get(name)
            .ok_or_else(|| Error::unknown("query", name, self.queries.keys().map(String::as_str)))
    }

    /// The query that SQL knows by a name: its topic and its own name with `_` between.
    pub fn relation(&self, relation: &str) -> Result<&Arc<NamedQuery>> {
        self.iter().find(|query| query.relation() == relation).ok_or_else(|| {
            let relations: Vec<String> = self.iter().map(|query| query.relation()).collect();
            Error::unknown("query", relation, relations.iter().map(String::as_str))
        })
    }

    /// The queries, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<NamedQuery>> {
        self.queries.values()
    }

    /// The queries that the nightly batch materialises, with the names of their tables.
    pub fn rollups(&self) -> impl Iterator<Item = (&str, &Arc<NamedQuery>)> {
        self.iter().filter_map(|query| Some((query.header.materialize.as_deref()?, query)))
    }

    fn add(&mut self, path: &str, sql: String) -> Result<Arc<NamedQuery>> {
        let name = path.strip_suffix(".sql").unwrap_or(path);
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !matches!(name.split_once('/'), Some((topic, stem)) if is_part(topic) && is_part(stem)) {
            return Err(Error::invalid(format!(
                "{path}: a query is a file topic/name.sql, in lowercase letters, digits and _"
            )));
        }
        let query = Arc::new(NamedQuery::parse(name, sql)?);
        let taken = query.header.materialize.as_ref().and_then(|table| {
            self.rollups().find(|(other, _)| other == table).map(|(_, query)| (table, query.name.clone()))
        });
        if let Some((table, other)) = taken {
            return Err(Error::invalid(format!("{path}: {other} already materialises {table}")));
        }
        if let Some(other) =
            self.iter().find(|other| other.relation() == query.relation() && other.name != name)
        {
            return Err(Error::invalid(format!(
                "{path}: {} is called the same in SQL; rename the file",
                other.name
            )));
        }
        if self.queries.insert(name.to_owned(), Arc::clone(&query)).is_some() {
            return Err(Error::invalid(format!("{path}: there is already a query {name}; rename the file")));
        }
        Ok(query)
    }
}

fn utf8(path: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|error| Error::invalid(format!("{path}: is not UTF-8")).with_source(error))
}

fn is_sql(name: &str) -> bool {
    name.strip_suffix(".sql").is_some()
}

/// The `.sql` files of a folder's topics, as `topic/name.sql`, in order.
fn files(folder: &Path) -> Result<Vec<String>> {
    let list = |path: &Path| -> Result<Vec<(String, bool)>> {
        let unreadable = |error| Error::invalid("the queries folder cannot be read").with_source(error);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Follows links, since a mounted folder may consist of them.
            let is_folder = std::fs::metadata(entry.path()).map_err(unreadable)?.is_dir();
            if !name.starts_with('.') {
                entries.push((name, is_folder));
            }
        }
        entries.sort();
        Ok(entries)
    };
    let mut paths = Vec::new();
    for (topic, is_folder) in list(folder)? {
        if !is_folder {
            if is_sql(&topic) {
                paths.push(topic);
            }
            continue;
        }
        let names = list(&folder.join(&topic))?;
        let is_query = |name: &&(String, bool)| !name.1 && is_sql(&name.0);
        paths.extend(names.iter().filter(is_query).map(|(name, _)| format!("{topic}/{name}")));
    }
    Ok(paths)
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
