//! What there is, as tables for the terminal.

use super::catalog::Catalog;
use crate::cli::text_table;
use crate::engine::{QueryInfo, TableInfo};
use crate::error::{Error, Result};
use crate::query::ParamSpec;
use crate::serve::TableSheet;

/// The tables with their rows.
pub fn tables(tables: &[TableInfo], width: u16) -> String {
    let rows: Vec<Vec<String>> = tables
        .iter()
        .map(|table| vec![table.name.clone(), table.rows.to_string(), table.grain.clone()])
        .collect();
    list(&["table", "rows", "grain"], &rows, width)
}

/// A table's columns, those of its key marked.
pub fn columns(sheet: &TableSheet, width: u16) -> String {
    let rows: Vec<Vec<String>> = sheet
        .columns
        .iter()
        .map(|column| {
            let is_key = sheet.key.contains(&column.name);
            let null = if column.is_nullable { "" } else { "not null" };
            let mark = if is_key { "key" } else { null };
            vec![column.name.clone(), column.type_name.clone(), mark.to_owned(), column.doc.clone()]
        })
        .collect();
    head(&sheet.name, &sheet.summary, &sheet.grain) + &list(&["column", "type", "", "meaning"], &rows, width)
}

/// The functions whose names fit a pattern; one that is named exactly with its arguments.
pub fn functions(catalog: &Catalog, pattern: Option<&str>, width: u16) -> Result<String> {
    let pattern = pattern.unwrap_or("*");
    let found: Vec<_> = catalog.functions.iter().filter(|function| fits(&function.name, pattern)).collect();
    if found.is_empty() {
        let nearest =
            crate::error::nearest(pattern, catalog.functions.iter().map(|function| function.name.as_str()));
        let hint = nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
        return Err(Error::not_found(format!("no function fits {pattern}{hint}")));
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|function| vec![function.kind.clone(), function.syntax.clone(), function.summary.clone()])
        .collect();
    Ok(list(&["kind", "function", "meaning"], &rows, width))
}

/// The named queries whose names fit a pattern; one that is named exactly with its parameters.
pub fn queries(catalog: &Catalog, pattern: Option<&str>, width: u16) -> Result<String> {
    let pattern = pattern.unwrap_or("*");
    if let Some(query) = catalog.queries.iter().find(|query| query.name == pattern) {
        return Ok(parameters(query, width));
    }
    let found: Vec<_> = catalog.queries.iter().filter(|query| fits(&query.name, pattern)).collect();
    if found.is_empty() {
        return Err(Error::unknown(
            "query",
            pattern,
            catalog.queries.iter().map(|query| query.name.as_str()),
        ));
    }
    let row = |query: &&QueryInfo| vec![query.name.clone(), query.summary.clone(), query.grain.clone()];
    Ok(list(&["query", "answers", "grain"], &found.iter().map(row).collect::<Vec<_>>(), width))
}

fn parameters(query: &QueryInfo, width: u16) -> String {
    let takes = |spec: &ParamSpec| match (&spec.default, spec.required) {
        (Some(default), _) => default.clone(),
        (None, true) => "required".to_owned(),
        (None, false) => String::new(),
    };
    let kind = |spec: &ParamSpec| {
        if spec.values.is_empty() { spec.kind.name().to_owned() } else { spec.values.join(", ") }
    };
    let rows: Vec<Vec<String>> = query
        .params
        .iter()
        .map(|spec| vec![spec.name.clone(), kind(spec), takes(spec), spec.doc.clone()])
        .collect();
    head(&query.name, &query.summary, &query.grain)
        + &list(&["parameter", "type", "default", "meaning"], &rows, width)
}

fn head(name: &str, summary: &str, grain: &str) -> String {
    format!("{name}: {} ({grain})\n", summary.trim_end_matches('.'))
}

fn list(header: &[&str], rows: &[Vec<String>], width: u16) -> String {
    text_table::list(header, rows, Some(width)) + "\n"
}

/// Whether a name fits a pattern, in which `*` stands for any letters.
fn fits(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::source::tests::sample;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (name, pattern) in [
            ("sum", "*"),
            ("sum", "s*"),
            ("sum", "*m"),
            ("date_trunc", "d*_*c"),
            ("sum", "sum"),
            ("sum", "s**m"),
        ] {
            assert!(fits(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in
            [("sum", "su"), ("sum", "um"), ("sum", "x*"), ("sum", "s*x"), ("sum", "summ"), ("sum", "")]
        {
            assert!(!fits(name, pattern), "{name} {pattern}");
        }
    }

    #[tokio::test]
    async fn lists_come_from_the_session_and_say_what_is_near() {
        let source = sample().await;
        let catalog = Catalog::load(&source).await.unwrap();
        let orders = tables(&source.tables().await.unwrap(), 100);
        let line = orders.lines().find(|line| line.contains("orders")).unwrap();
        assert!(line.contains(" 2 "), "{line}");
        let sheet = columns(&source.table("orders").await.unwrap(), 100);
        assert!(sheet.starts_with("orders: "), "{sheet}");
        assert!(sheet.lines().any(|line| line.contains("order_id") && line.contains("key")), "{sheet}");
        let scalar = functions(&catalog, Some("safe_*"), 100).unwrap();
        assert!(scalar.contains("safe_ratio(") && !scalar.contains("journeys"), "{scalar}");
        assert!(functions(&catalog, Some("journeys"), 100).unwrap().contains("table"));
        let error = functions(&catalog, Some("safe_rato"), 100).unwrap_err();
        assert_eq!(error.message(), "no function fits safe_rato, did you mean safe_ratio?");
        let query = queries(&catalog, Some("attribution/by_channel"), 100).unwrap();
        assert!(query.contains("superseded, counted"), "{query}");
        assert!(queries(&catalog, Some("attribution/*"), 100).unwrap().contains("attribution/by_channel"));
        let error = queries(&catalog, Some("atribution/by_channel"), 100).unwrap_err();
        assert!(error.message().contains("did you mean attribution/by_channel?"), "{error}");
        let error = source.table("ordrs").await.unwrap_err();
        assert!(error.message().contains("did you mean orders?"), "{error}");
    }
}
