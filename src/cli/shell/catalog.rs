//! What can be named in SQL: tables with their columns, functions and named queries, read once from whoever answers.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt as _;

use crate::cli::source::Source;
use crate::engine::QueryInfo;
use crate::error::{Error, Result};
use crate::query::Params;

const COLUMNS: &str = "select table_name, column_name from information_schema.columns \
    where table_schema <> 'information_schema' order by table_name, ordinal_position";
const FUNCTIONS: &str = "select routine_name, min(function_type) as kind, min(syntax_example) as syntax, \
    min(description) as description from information_schema.routines group by routine_name order by routine_name";

/// A function of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// `scalar`, `aggregate`, `window` or `table`.
    pub kind: String,
    pub syntax: String,
    pub summary: String,
    /// The names of its arguments, where they may be named.
    pub arguments: Vec<String>,
}

impl Function {
    pub fn is_table(&self) -> bool {
        self.kind == "table"
    }
}

/// All that there is to name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Columns by table.
    pub tables: BTreeMap<String, Vec<String>>,
    /// By name.
    pub functions: Vec<Function>,
    pub queries: Vec<QueryInfo>,
}

impl Catalog {
    pub async fn load(source: &Source) -> Result<Self> {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows(source, COLUMNS).await? {
            let [table, column] = cells(row)?;
            tables.entry(table).or_default().push(column);
        }
        let mut functions = Vec::new();
        let manual = tributary_udfs::documentation();
        for row in rows(source, FUNCTIONS).await? {
            let [name, kind, syntax, description] = cells(row)?;
            let page = manual.iter().find(|page| page.name == name);
            let syntax = page.map_or(syntax, |page| page.syntax.trim().to_owned());
            let description = page.map_or(description, |page| page.description.clone());
            functions.push(Function {
                kind: kind.to_lowercase(),
                syntax: if syntax.is_empty() { format!("{name}()") } else { syntax },
                summary: first_sentence(&description),
                arguments: page
                    .map(|page| page.arguments.iter().map(|(name, _)| name.clone()).collect())
                    .unwrap_or_default(),
                name,
            });
        }
        Ok(Self { tables, functions, queries: source.queries().await? })
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// A named query; an unknown one is refused with the known ones listed.
    pub fn query(&self, name: &str) -> Result<&QueryInfo> {
        let known = || self.queries.iter().map(|query| query.name.as_str());
        self.queries
            .iter()
            .find(|query| query.name == name)
            .ok_or_else(|| Error::unknown("query", name, known()))
    }
}

/// The cells of an answer, as text.
async fn rows(source: &Source, text: &str) -> Result<Vec<Vec<String>>> {
    let batches: Vec<RecordBatch> = source.sql(text, &Params::new()).await?.batches.try_collect().await?;
    let unshown = |error| Error::internal("a name cannot be shown").with_source(error);
    let options = FormatOptions::default().with_null("");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(unshown)?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}

fn cells<const N: usize>(row: Vec<String>) -> Result<[String; N]> {
    row.try_into().map_err(|_| Error::internal("the catalog has another shape than was asked for"))
}

fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = text.find(". ").unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}
