//! What the log says of the table itself: written with the first entry, and anew when the table gets columns.

use deltalake_core::kernel::{DataType, StructField, StructType};
use serde_json::{Value, json};

use super::entry::{Metadata, VERSION, sealed};
use crate::error::{Error, Result};
use crate::schema::{
    ColumnKind, INGESTED_AT_COLUMN, MONEY_PRECISION, MONEY_SCALE, RATE_PRECISION, RATE_SCALE, TableSpec,
};

/// How long an idempotency key is remembered.
const TRANSACTION_RETENTION: (&str, &str) = ("delta.setTransactionRetentionDuration", "interval 72 hours");

/// The first entry of a table's log.
pub fn first_entry(spec: &TableSpec) -> Result<String> {
    let now_ms = chrono::Utc::now().timestamp_millis();
    let info = json!({"timestamp": now_ms, "operation": "CREATE TABLE", VERSION: 0});
    let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    let mut configuration = serde_json::Map::new();
    // What a derived table was computed from is remembered until it is computed again.
    if !spec.derived {
        configuration.insert(TRANSACTION_RETENTION.0.to_owned(), TRANSACTION_RETENTION.1.into());
    }
    let id = uuid::Uuid::new_v4().to_string();
    let metadata = metadata(spec, &id, now_ms, &schema_string(columns(spec))?, &configuration.into());
    Ok(sealed(info, &[protocol.to_string(), metadata.to_string()]))
}

/// The line that describes the table anew, if it has columns that the log does not know. Older files have nulls there.
/// A derived table's columns may have got other types, too: its rows are computed again.
pub fn description_anew(spec: &TableSpec, known: &Metadata) -> Result<Option<String>> {
    let mut schema: Value = serde_json::from_str(&known.schema_string).unwrap_or_default();
    let Some(fields) = schema["fields"].as_array_mut() else { return Ok(None) };
    let mut has_changed = false;
    let wanted: Value = serde_json::from_str(&schema_string(columns(spec))?).unwrap_or_default();
    for column in wanted["fields"].as_array().into_iter().flatten() {
        match fields.iter_mut().find(|field| field["name"] == column["name"]) {
            None => fields.push(column.clone()),
            Some(field) if spec.derived && field["type"] != column["type"] => *field = column.clone(),
            Some(_) => continue,
        }
        has_changed = true;
    }
    let line = || {
        let configuration = json!(known.configuration);
        metadata(spec, &known.id, known.created_time.unwrap_or_default(), &schema.to_string(), &configuration)
    };
    Ok(has_changed.then(|| line().to_string()))
}

fn metadata(spec: &TableSpec, id: &str, created_ms: i64, schema: &str, configuration: &Value) -> Value {
    json!({"metaData": {
        "id": id,
        "name": spec.name,
        "description": spec.summary,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema,
        "partitionColumns": spec.partition_columns(),
        "createdTime": created_ms,
        "configuration": configuration,
    }})
}

fn schema_string(columns: Vec<StructField>) -> Result<String> {
    let failed = |error: String| Error::internal(format!("describing a table: {error}"));
    let schema = StructType::try_new(columns).map_err(|error| failed(error.to_string()))?;
    serde_json::to_string(&schema).map_err(|error| failed(error.to_string()))
}

/// The columns of a table, as the protocol names their types.
fn columns(spec: &TableSpec) -> Vec<StructField> {
    let file_schema = spec.file_schema();
    let columns = file_schema.fields().iter().map(|field| {
        let kind = spec.column(field.name()).map_or(ColumnKind::Text, |column| column.kind);
        let kind = if field.name() == INGESTED_AT_COLUMN { ColumnKind::Instant } else { kind };
        // Nullable throughout: the protocol has no way to relax a column later; landing enforces the rest.
        StructField::new(field.name().clone(), delta_type(kind), true)
    });
    let partitions =
        spec.partition_columns().into_iter().map(|name| StructField::new(name, DataType::STRING, true));
    columns.chain(partitions).collect()
}

fn delta_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Text => DataType::STRING,
        ColumnKind::Instant => DataType::TIMESTAMP,
        ColumnKind::Date => DataType::DATE,
        ColumnKind::Count => DataType::LONG,
        ColumnKind::Ratio => DataType::DOUBLE,
        ColumnKind::Rate => decimal(RATE_PRECISION, RATE_SCALE),
        ColumnKind::Money => decimal(MONEY_PRECISION, MONEY_SCALE),
        ColumnKind::Decimal(precision, scale) => decimal(precision, scale),
    }
}

/// A decimal type: Arrow's precisions are the protocol's, up to 38 digits.
fn decimal(precision: u8, scale: i8) -> DataType {
    DataType::decimal(precision, scale.unsigned_abs()).unwrap_or(DataType::DOUBLE)
}
