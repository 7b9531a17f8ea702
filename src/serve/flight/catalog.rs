//! What there is to ask: catalogs, schemas, tables and their keys, as the protocol lays them out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes, CommandGetTables};
use tonic::Status;

use super::access::status;
use super::wire::wire_schema;
use crate::engine::{Engine, TableSchema};
use crate::query::QUERIES;
use crate::session::{CATALOG, SCHEMA};

/// What is called what has rows of its own, and what is computed from others'.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

pub fn catalogs() -> Result<RecordBatch, Status> {
    let mut builder = GetCatalogsBuilder::new();
    builder.append(CATALOG);
    built(builder.build())
}

pub fn table_types() -> Result<RecordBatch, Status> {
    let mut builder = CommandGetTableTypes {}.into_builder();
    builder.append(TABLE);
    builder.append(VIEW);
    built(builder.build())
}

/// An absent catalog means all of them; patterns are those of `like`.
pub fn schemas(command: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(CATALOG, QUERIES);
    builder.append(CATALOG, SCHEMA);
    built(builder.build())
}

/// The same, with the columns of each table where they are asked for.
pub async fn tables(command: CommandGetTables, engine: &Engine) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    let views = engine.view_schemas().await.map_err(|error| status(&error))?;
    for table in engine.table_schemas().iter().chain(views.iter()) {
        let kind = if table.namespace == SCHEMA { TABLE } else { VIEW };
        builder
            .append(CATALOG, table.namespace, &table.name, kind, &wire_schema(&table.schema))
            .map_err(|_| Status::internal("a table's schema cannot be written"))?;
    }
    built(builder.build())
}

/// The columns that name a row of a table.
pub fn primary_keys(command: &CommandGetPrimaryKeys, tables: &[TableSchema]) -> Result<RecordBatch, Status> {
    let is_meant = |asked: &Option<String>, name: &str| asked.as_deref().is_none_or(|asked| asked == name);
    let is_here = is_meant(&command.catalog, CATALOG) && is_meant(&command.db_schema, SCHEMA);
    let table = tables.iter().find(|table| is_here && table.name == command.table);
    let columns: &[String] = table.map_or(&[], |table| &table.key);
    let all = |text: &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(columns.iter().map(|_| text)))
    };
    let arrays: Vec<ArrayRef> = vec![
        all(CATALOG),
        all(SCHEMA),
        Arc::new(StringArray::from_iter_values(columns.iter().map(|_| &command.table))),
        Arc::new(StringArray::from_iter_values(columns)),
        Arc::new(StringArray::from(vec![None::<&str>; columns.len()])),
        Arc::new(Int32Array::from_iter_values(1..=columns.len() as i32)),
    ];
    built(RecordBatch::try_new(primary_keys_schema(), arrays).map_err(Into::into))
}

pub fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The layout of keys that name rows of other tables, of which none are declared.
pub fn foreign_keys_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

fn built(batch: Result<RecordBatch, arrow_flight::error::FlightError>) -> Result<RecordBatch, Status> {
    batch.map_err(|error| {
        tracing::error!(error = ?error, "the catalog cannot be written");
        Status::internal("the catalog cannot be written")
    })
}
