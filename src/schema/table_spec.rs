//! What a raw table is: one folder `data/tables/<name>/` with `table.toml`, embedded in the binary.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rust_embed::RustEmbed;
use serde::Deserialize;

use crate::error::{Error, Result};

/// Decimal digits of money, in all and after the point.
pub const MONEY_PRECISION: u8 = 18;
pub const MONEY_SCALE: i8 = 4;
pub const RATE_PRECISION: u8 = 24;
pub const RATE_SCALE: i8 = 12;

/// The partition column that every table has first.
pub const STORE_COLUMN: &str = "store_id";
/// Unknown fields of a landed row, as a JSON object.
pub const EXTRAS_COLUMN: &str = "extras";
/// When the row's source last changed it, if the source says so. Every raw table has it.
pub const SOURCE_UPDATED_AT_COLUMN: &str = "source_updated_at";
/// When the row was landed: later from commit to commit.
pub const INGESTED_AT_COLUMN: &str = "ingested_at";
/// The batch that brought the row, as its receipt names it.
pub const BATCH_ID_COLUMN: &str = "batch_id";

/// What a column holds; decides how it is parsed, stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// UTF-8 text.
    Text,
    /// An instant: microseconds, UTC.
    Instant,
    /// A calendar date.
    Date,
    /// An exact amount, `Decimal128(18, 4)`.
    Money,
    /// What one currency buys of another, `Decimal128(24, 12)`.
    Rate,
    /// A whole number.
    Count,
    /// A fraction or a ratio, in derived tables only: money is never a float.
    Ratio,
    /// An exact sum or quotient, in derived tables only: its digits in all, and after the point.
    #[serde(skip)]
    Decimal(u8, i8),
}

impl ColumnKind {
    pub fn data_type(self) -> DataType {
        match self {
            ColumnKind::Text => DataType::Utf8,
            ColumnKind::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnKind::Date => DataType::Date32,
            ColumnKind::Money => DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE),
            ColumnKind::Rate => DataType::Decimal128(RATE_PRECISION, RATE_SCALE),
            ColumnKind::Count => DataType::Int64,
            ColumnKind::Ratio => DataType::Float64,
            ColumnKind::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnKind,
    /// A required column must be there and must not be null or empty.
    #[serde(default)]
    pub required: bool,
    /// The only values allowed, where a column is an enumeration.
    #[serde(default)]
    pub values: Vec<String>,
    /// Whether it names a person, by an id that `identities` may link to others: erasure looks for them here.
    #[serde(default)]
    pub person: bool,
    /// Taken where a row has no value.
    pub default: Option<String>,
    pub doc: String,
}

/// The second partition column: the UTC month (`2026-11`) of an instant or a date.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthPartition {
    pub name: String,
    pub of: String,
}

/// One raw table: its columns, key, order inside a partition, and partitions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    #[serde(skip)]
    pub name: String,
    pub summary: String,
    /// "one row per ..."
    pub grain: String,
    /// The columns that, beside the store, name a row.
    pub key: Vec<String>,
    /// The order of rows inside a file.
    pub sort: Vec<String>,
    pub month: Option<MonthPartition>,
    /// Whether the rows are computed from other tables.
    #[serde(skip)]
    pub derived: bool,
    /// For a table in which a key stands for several rows, which are replaced together: the column that is null in the one
    /// row of a key that has none any more.
    #[serde(skip)]
    pub group_marker: Option<String>,
    /// Columns whose values are looked up one by one: files can tell which they do not have.
    #[serde(skip)]
    pub lookup_columns: Vec<String>,
    pub columns: Vec<ColumnSpec>,
}

impl TableSpec {
    /// Columns of a landed row: the spec's own, then `extras`.
    pub fn landed_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.landed_fields()))
    }

    /// Columns of a data file: a landed row's, then `ingested_at` and `batch_id`. Partition columns are in the path.
    pub fn file_schema(&self) -> SchemaRef {
        let mut fields = self.landed_fields();
        fields.push(Field::new(INGESTED_AT_COLUMN, ColumnKind::Instant.data_type(), false));
        fields.push(Field::new(BATCH_ID_COLUMN, DataType::Utf8, false));
        Arc::new(Schema::new(fields))
    }

    /// The partition columns: the store, then the month where the table has one. All text.
    pub fn partition_columns(&self) -> Vec<String> {
        let mut columns = vec![STORE_COLUMN.to_owned()];
        columns.extend(self.month.as_ref().map(|month| month.name.clone()));
        columns
    }

    /// Columns of the table as SQL sees it: a file's, then the partition columns.
    pub fn table_schema(&self) -> SchemaRef {
        let file = self.file_schema();
        let partitions = self
            .partition_columns()
            .into_iter()
            .map(|name| Arc::new(Field::new(name, DataType::Utf8, false)));
        Arc::new(Schema::new(file.fields().iter().cloned().chain(partitions).collect::<Vec<_>>()))
    }

    pub fn is_derived(&self) -> bool {
        self.derived
    }

    pub fn column(&self, name: &str) -> Option<&ColumnSpec> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn landed_fields(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = self
            .columns
            .iter()
            .map(|column| Field::new(&column.name, column.kind.data_type(), !column.required))
            .collect();
        fields.push(Field::new(EXTRAS_COLUMN, DataType::Utf8, true));
        fields
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut spec: TableSpec = toml::from_str(text)
            .map_err(|error| Error::invalid(format!("data/tables/{name}/table.toml: {}", error.message())))?;
        name.clone_into(&mut spec.name);
        if spec.column(SOURCE_UPDATED_AT_COLUMN).is_none() {
            spec.columns.push(source_updated_at());
        }
        spec.verify()?;
        Ok(spec)
    }

    /// Names every column that another part of the spec speaks of.
    fn verify(&self) -> Result<()> {
        let file_schema = self.file_schema();
        let named = self.key.iter().chain(&self.sort).chain(self.month.as_ref().map(|month| &month.of));
        for column in named {
            if file_schema.field_with_name(column).is_err() {
                return Err(Error::invalid(format!(
                    "data/tables/{}/table.toml: key, sort or month names {column}, which is not a column",
                    self.name
                )));
            }
        }
        Ok(())
    }
}

fn source_updated_at() -> ColumnSpec {
    ColumnSpec {
        name: SOURCE_UPDATED_AT_COLUMN.to_owned(),
        kind: ColumnKind::Instant,
        required: false,
        values: Vec::new(),
        person: false,
        default: None,
        doc: "When the source last changed the row. Of the versions of a key the one as of the latest instant counts; \
              a version without it is as of its landing."
            .to_owned(),
    }
}

#[derive(RustEmbed)]
#[folder = "data/tables/"]
#[include = "*/table.toml"]
struct TableFiles;

static TABLES: LazyLock<Result<BTreeMap<String, Arc<TableSpec>>>> = LazyLock::new(|| {
    TableFiles::iter()
        .map(|path| {
            let name = path.trim_end_matches("/table.toml").to_owned();
            let file =
                TableFiles::get(&path).ok_or_else(|| Error::internal(format!("{path} is not embedded")))?;
            let text = String::from_utf8_lossy(&file.data).into_owned();
            Ok((name.clone(), Arc::new(TableSpec::parse(&name, &text)?)))
        })
        .collect()
});

/// Every raw table, by name.
pub fn tables() -> Result<&'static BTreeMap<String, Arc<TableSpec>>> {
    TABLES.as_ref().map_err(|error| Error::internal(error.message().to_owned()))
}

#[cfg(test)]
#[path = "table_spec_tests.rs"]
mod tests;
