//! A table's columns, as every door that lists them names their types.

use serde::{Deserialize, Serialize};

use super::encode::type_name;
use crate::engine::{Engine, REMARKS};
use crate::error::Result;

/// What a table is, and its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSheet {
    pub name: String,
    pub summary: String,
    pub grain: String,
    /// The columns that name a row.
    pub key: Vec<String>,
    pub columns: Vec<ColumnSheet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSheet {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub is_nullable: bool,
    pub doc: String,
}

/// Describes one table; an unknown one is refused with the known ones listed.
pub fn sheet(engine: &Engine, table: &str) -> Result<TableSheet> {
    let table = engine.table_schema(table)?;
    let columns = table.schema.fields().iter().map(|field| ColumnSheet {
        name: field.name().clone(),
        type_name: type_name(field.data_type()),
        is_nullable: field.is_nullable(),
        doc: field.metadata().get(REMARKS).cloned().unwrap_or_default(),
    });
    Ok(TableSheet {
        columns: columns.collect(),
        name: table.name,
        summary: table.summary,
        grain: table.grain,
        key: table.key,
    })
}
