//! What there is: stores, tables and queries.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use futures::TryStreamExt;

use super::open::Engine;
use crate::error::Result;
use crate::lake::{History, LakeTable};
use crate::query::{self, ParamSpec, Params, QUERIES};
use crate::schema::check_store;
use crate::session::{Pins, SCHEMA, View, Views};

/// One table as a store sees it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct TableInfo {
    pub name: String,
    pub summary: String,
    pub grain: String,
    /// Rows that a query sees: of each key the newest.
    pub rows: u64,
    pub files: usize,
    /// Those of them that are landed and not compacted yet.
    #[serde(default)]
    pub landed_files: usize,
    pub size_bytes: u64,
    /// `None` where nothing has been landed yet, by any store.
    pub version: Option<u64>,
    /// Versions of the table that can be read.
    #[serde(default)]
    pub versions: usize,
    /// The instant at which the newest of the store's compacted files was written, as RFC 3339 in UTC.
    #[serde(default)]
    pub compacted_at: Option<String>,
    /// The instant of the table's last vacuum, as RFC 3339 in UTC.
    #[serde(default)]
    pub vacuumed_at: Option<String>,
}

/// The columns of a table, or of a named query as a view.
#[derive(Debug, Clone)]
pub struct TableSchema {
    /// The schema of SQL that it is in: `store` or `queries`.
    pub namespace: &'static str,
    pub name: String,
    pub summary: String,
    pub grain: String,
    /// The columns that name a row.
    pub key: Vec<String>,
    /// The columns as SQL sees them; what each means is under `REMARKS` of its metadata.
    pub schema: SchemaRef,
}

/// The key under which a column's metadata says what it means.
pub const REMARKS: &str = "remarks";

/// One named query.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct QueryInfo {
    pub name: String,
    pub summary: String,
    pub grain: String,
    pub params: Vec<ParamSpec>,
    /// The table that the nightly batch writes the answer to.
    pub materialize: Option<String>,
}

impl Engine {
    /// The stores that have landed rows, by name.
    pub async fn stores(&self) -> Result<Vec<String>> {
        self.inner.lake.stores().await
    }

    /// Every table, as one store sees it.
    pub async fn tables(&self, store: &str) -> Result<Vec<TableInfo>> {
        check_store(store)?;
        let mut tables = Vec::new();
        for table in self.inner.lake.tables() {
            let snapshot = table.snapshot().await?;
            let files = snapshot.files_of(store);
            let size_bytes = files.iter().map(|file| file.size_bytes).sum();
            let (compacted, landed): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.is_compacted());
            let written_ms = compacted.iter().filter_map(|file| file.written_ms).max();
            let files = files.len();
            let spec = &table.spec;
            let History { versions, vacuumed_at } = table.history().await?;
            tables.push(TableInfo {
                name: spec.name.clone(),
                summary: spec.summary.clone(),
                grain: spec.grain.clone(),
                rows: if files == 0 { 0 } else { self.row_count(store, &spec.name).await? },
                files,
                landed_files: landed.len(),
                size_bytes,
                version: snapshot.version,
                versions,
                compacted_at: written_ms.and_then(DateTime::from_timestamp_millis).map(in_utc),
                vacuumed_at: vacuumed_at.map(in_utc),
            });
        }
        Ok(tables)
    }

    /// Every table's columns; they are the same for every store.
    pub fn table_schemas(&self) -> Vec<TableSchema> {
        self.inner.lake.tables().map(described).collect()
    }

    /// One table's columns.
    pub fn table_schema(&self, name: &str) -> Result<TableSchema> {
        self.inner.lake.table(name).map(described)
    }

    /// Every named query that SQL can read as a view: those without a required parameter.
    pub async fn view_schemas(&self) -> Result<Arc<[TableSchema]>> {
        self.inner.views.get_or_try_init(|| self.describe_views()).await.cloned()
    }

    /// The named queries as Postgres's catalog has them.
    pub(super) async fn views(&self) -> Result<Views> {
        let view = |view: &TableSchema| View {
            name: view.name.clone(),
            summary: view.summary.clone(),
            schema: view.schema.clone(),
        };
        Ok(Views { schema: QUERIES, views: self.view_schemas().await?.iter().map(view).collect() })
    }

    async fn describe_views(&self) -> Result<Arc<[TableSchema]>> {
        let session = self.inner.sessions.session("views", Tz::UTC, &Pins::default())?;
        let mut views = Vec::new();
        for named in self.inner.registry.iter() {
            if named.header.params.iter().any(|param| param.required) {
                continue;
            }
            let bound = named.bind(&Params::new(), Utc::now().date_naive())?;
            let schema = query::describe(&session, bound).await?.columns;
            views.push(TableSchema {
                namespace: QUERIES,
                name: named.relation(),
                summary: named.header.summary.clone(),
                grain: named.header.grain.clone(),
                key: Vec::new(),
                schema,
            });
        }
        Ok(views.into())
    }

    /// Every named query, by name.
    pub fn queries(&self) -> Vec<QueryInfo> {
        let info = |query: &std::sync::Arc<crate::query::NamedQuery>| QueryInfo {
            name: query.name.clone(),
            summary: query.header.summary.clone(),
            grain: query.header.grain.clone(),
            params: query.header.params.clone(),
            materialize: query.header.materialize.clone(),
        };
        self.inner.registry.iter().map(info).collect()
    }

    async fn row_count(&self, store: &str, table: &str) -> Result<u64> {
        let text = format!("select count(*) from \"{table}\"");
        let batches: Vec<_> = self.sql(store, &text, &Params::new()).await?.stream.try_collect().await?;
        let counts = batches.iter().flat_map(|batch| {
            arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(0))
                .values()
                .to_vec()
        });
        Ok(counts.map(i64::cast_unsigned).sum())
    }
}

fn in_utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn described(table: &Arc<LakeTable>) -> TableSchema {
    let spec = &table.spec;
    let remark = |field: &FieldRef| match spec.column(field.name()) {
        Some(column) => {
            let remarks = HashMap::from([(REMARKS.to_owned(), column.doc.clone())]);
            field.as_ref().clone().with_metadata(remarks)
        }
        None => field.as_ref().clone(),
    };
    let fields: Vec<_> = spec.table_schema().fields().iter().map(remark).collect();
    TableSchema {
        namespace: SCHEMA,
        name: spec.name.clone(),
        summary: spec.summary.clone(),
        grain: spec.grain.clone(),
        key: spec.key.clone(),
        schema: Arc::new(Schema::new(fields)),
    }
}
