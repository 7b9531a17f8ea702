//! `information_schema` with the columns that Postgres's clients ask for.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;

use super::rows::{Row, batch, int, text};
use super::shape::SchemaShape;
use crate::error::Result;
use crate::schema::TableSpec;
use crate::session::builder::{CATALOG, SCHEMA};

/// Columns by name: texts, and numbers behind a `#`.
const SCHEMATA: &str = "catalog_name schema_name schema_owner";
const TABLES: &str = "table_catalog table_schema table_name table_type is_insertable_into is_typed";
const COLUMNS: &str = "table_catalog table_schema table_name column_name #ordinal_position column_default is_nullable \
    data_type #character_maximum_length #character_octet_length #numeric_precision #numeric_precision_radix \
    #numeric_scale #datetime_precision interval_type character_set_name collation_name domain_name udt_catalog \
    udt_schema udt_name is_identity identity_generation is_generated generation_expression is_updatable";
const CONSTRAINTS: &str = "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name \
    constraint_type is_deferrable initially_deferred enforced";
const KEYS: &str = "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name \
    column_name #ordinal_position #position_in_unique_constraint";
const REFERENCES: &str = "constraint_catalog constraint_schema constraint_name unique_constraint_catalog \
    unique_constraint_schema unique_constraint_name match_option update_rule delete_rule";
const VIEWS: &str = "table_catalog table_schema table_name view_definition check_option is_updatable";
const ROUTINES: &str = "specific_catalog specific_schema specific_name routine_catalog routine_schema routine_name \
    routine_type data_type routine_definition external_language";

/// Every table with its rows.
pub fn tables(schemas: &[SchemaShape], specs: &[&TableSpec]) -> Result<Vec<(&'static str, RecordBatch)>> {
    let built = |name, columns: &str, rows: &[Row]| -> Result<(&'static str, RecordBatch)> {
        Ok((name, batch(&layout(columns), rows)?))
    };
    Ok(vec![
        built("schemata", SCHEMATA, &schema_rows(schemas))?,
        built("tables", TABLES, &table_rows(schemas))?,
        built("columns", COLUMNS, &column_rows(schemas))?,
        built("table_constraints", CONSTRAINTS, &constraint_rows(specs))?,
        built("key_column_usage", KEYS, &key_rows(specs))?,
        built("constraint_column_usage", KEYS, &key_rows(specs))?,
        built("referential_constraints", REFERENCES, &[])?,
        built("views", VIEWS, &view_rows(schemas))?,
        built("routines", ROUTINES, &routine_rows())?,
    ])
}

fn layout(columns: &str) -> SchemaRef {
    let field = |column: &str| match column.strip_prefix('#') {
        Some(name) => Field::new(name, DataType::Int32, true),
        None => Field::new(column, DataType::Utf8, true),
    };
    Arc::new(Schema::new(columns.split_whitespace().map(field).collect::<Vec<_>>()))
}

fn schema_rows(schemas: &[SchemaShape]) -> Vec<Row> {
    let row = |schema: &SchemaShape| {
        Row::from([
            ("catalog_name", text(CATALOG)),
            ("schema_name", text(schema.name)),
            ("schema_owner", text("postgres")),
        ])
    };
    schemas.iter().map(row).collect()
}

fn table_rows(schemas: &[SchemaShape]) -> Vec<Row> {
    let row = |schema: &SchemaShape, name: &str| {
        let kind = if schema.kind == TableType::View { "VIEW" } else { "BASE TABLE" };
        let mut row = of_table(schema.name, name);
        row.extend([
            ("table_type", text(kind)),
            ("is_insertable_into", text("NO")),
            ("is_typed", text("NO")),
        ]);
        row
    };
    schemas.iter().flat_map(|schema| schema.tables.iter().map(move |(name, _)| row(schema, name))).collect()
}

fn view_rows(schemas: &[SchemaShape]) -> Vec<Row> {
    let views = schemas.iter().filter(|schema| schema.kind == TableType::View);
    let row = |schema: &SchemaShape, name: &str| {
        let mut row = of_table(schema.name, name);
        row.extend([("check_option", text("NONE")), ("is_updatable", text("NO"))]);
        row
    };
    views.flat_map(|schema| schema.tables.iter().map(move |(name, _)| row(schema, name))).collect()
}

fn of_table(schema: &str, name: &str) -> Row {
    Row::from([("table_catalog", text(CATALOG)), ("table_schema", text(schema)), ("table_name", text(name))])
}

fn column_rows(schemas: &[SchemaShape]) -> Vec<Row> {
    let mut rows = Vec::new();
    for schema in schemas {
        for (table, columns) in &schema.tables {
            for (place, field) in (1..).zip(columns.fields()) {
                rows.push(column_row(schema.name, table, place, field));
            }
        }
    }
    rows
}

fn column_row(schema: &str, table: &str, place: i32, field: &Field) -> Row {
    let (name, short) = type_names(field.data_type());
    let (precision, radix, scale) = match field.data_type() {
        DataType::Decimal128(precision, scale) => {
            (Some(i32::from(*precision)), Some(10), Some(i32::from(*scale)))
        }
        DataType::Int16 => (Some(16), Some(2), Some(0)),
        DataType::Int32 => (Some(32), Some(2), Some(0)),
        DataType::Int64 => (Some(64), Some(2), Some(0)),
        DataType::Float64 => (Some(53), Some(2), None),
        _ => (None, None, None),
    };
    let is_time = matches!(field.data_type(), DataType::Timestamp(..));
    let absent = ScalarValue::Int32(None);
    let mut row = of_table(schema, table);
    row.extend([
        ("column_name", text(field.name())),
        ("ordinal_position", int(place)),
        ("is_nullable", text(if field.is_nullable() { "YES" } else { "NO" })),
        ("data_type", text(name)),
        ("character_maximum_length", absent.clone()),
        ("character_octet_length", absent),
        ("numeric_precision", ScalarValue::Int32(precision)),
        ("numeric_precision_radix", ScalarValue::Int32(radix)),
        ("numeric_scale", ScalarValue::Int32(scale)),
        ("datetime_precision", ScalarValue::Int32(is_time.then_some(6))),
        ("udt_catalog", text(CATALOG)),
        ("udt_schema", text("pg_catalog")),
        ("udt_name", text(short)),
        ("is_identity", text("NO")),
        ("is_generated", text("NEVER")),
        ("is_updatable", text("NO")),
    ]);
    row
}

/// The standard's name of a type, and Postgres's own.
fn type_names(data_type: &DataType) -> (&'static str, &'static str) {
    match data_type {
        DataType::Boolean => ("boolean", "bool"),
        DataType::Int16 => ("smallint", "int2"),
        DataType::Int32 => ("integer", "int4"),
        DataType::Int64 => ("bigint", "int8"),
        DataType::Float32 => ("real", "float4"),
        DataType::Float64 => ("double precision", "float8"),
        DataType::Decimal128(..) => ("numeric", "numeric"),
        DataType::Date32 => ("date", "date"),
        DataType::Timestamp(_, Some(_)) => ("timestamp with time zone", "timestamptz"),
        DataType::Timestamp(_, None) => ("timestamp without time zone", "timestamp"),
        DataType::List(_) => ("ARRAY", "_text"),
        _ => ("text", "text"),
    }
}

fn of_key(spec: &TableSpec) -> Row {
    let mut row = of_table(SCHEMA, &spec.name);
    row.extend([
        ("constraint_catalog", text(CATALOG)),
        ("constraint_schema", text(SCHEMA)),
        ("constraint_name", text(format!("{}_key", spec.name))),
    ]);
    row
}

fn constraint_rows(specs: &[&TableSpec]) -> Vec<Row> {
    let row = |spec: &&TableSpec| {
        let mut row = of_key(spec);
        row.extend([
            ("constraint_type", text("PRIMARY KEY")),
            ("is_deferrable", text("NO")),
            ("initially_deferred", text("NO")),
            ("enforced", text("YES")),
        ]);
        row
    };
    specs.iter().filter(|spec| !spec.key.is_empty()).map(row).collect()
}

fn key_rows(specs: &[&TableSpec]) -> Vec<Row> {
    let mut rows = Vec::new();
    for spec in specs {
        for (place, column) in (1..).zip(&spec.key) {
            let mut row = of_key(spec);
            row.extend([("column_name", text(column)), ("ordinal_position", int(place))]);
            rows.push(row);
        }
    }
    rows
}

fn routine_rows() -> Vec<Row> {
    let row = |page: tributary_udfs::FunctionDoc| {
        Row::from([
            ("specific_catalog", text(CATALOG)),
            ("specific_schema", text(SCHEMA)),
            ("specific_name", text(&page.name)),
            ("routine_catalog", text(CATALOG)),
            ("routine_schema", text(SCHEMA)),
            ("routine_name", text(&page.name)),
            ("routine_type", text("FUNCTION")),
            ("data_type", text("record")),
            ("external_language", text("INTERNAL")),
        ])
    };
    tributary_udfs::documentation().into_iter().map(row).collect()
}
