//! The nightly batch: compacts what was landed, then computes the rollups whose inputs have changed.

use arrow::datatypes::{DataType, SchemaRef};
use futures::TryStreamExt;

use super::journeys::{JOURNEYS, Refreshed};
use super::open::{Engine, check_store};
use crate::error::{Error, Result};
use crate::lake::{is_computed_from, replace_store};
use crate::query::{self, NamedQuery, Params, Registry, ResultStream};
use crate::schema::{
    BATCH_ID_COLUMN, ColumnKind, ColumnSpec, EXTRAS_COLUMN, INGESTED_AT_COLUMN, STORE_COLUMN, TableSpec,
};
use crate::session::{Pins, Sessions};

/// What the nightly batch did for one store.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NightlyReport {
    pub store: String,
    /// Tables whose landed files were merged.
    pub compacted: Vec<String>,
    /// Derived tables that were computed anew.
    pub materialized: Vec<String>,
}

impl Engine {
    /// Runs the batch for one store, or for all. What has not changed since the last time is left alone.
    pub async fn nightly(&self, store: Option<&str>) -> Result<Vec<NightlyReport>> {
        let stores = match store {
            Some(store) => {
                check_store(store)?;
                vec![store.to_owned()]
            }
            None => self.stores().await?,
        };
        let mut reports = Vec::with_capacity(stores.len());
        for store in stores {
            let journeys = &self.inner.journeys;
            // What is compacted cannot be told from older rows any more.
            let followed =
                if journeys.is_kept(&store).await? { Some(journeys.refresh(&store).await?) } else { None };
            let compacted = self.inner.lake.compact(&store, &self.inner.sessions.task_context()).await?;
            let followed = match followed {
                Some(refreshed) => refreshed,
                None => journeys.refresh(&store).await?,
            };
            let mut materialized = self.materialize(&store).await?;
            if followed != Refreshed::Unchanged {
                materialized.push(JOURNEYS.to_owned());
            }
            reports.push(NightlyReport { store, compacted, materialized });
        }
        Ok(reports)
    }

    /// Brings a store's table `journeys` up to date; computes it where that was never done. The nightly batch does this,
    /// and from then on every landing in the background.
    pub async fn refresh_journeys(&self, store: &str) -> Result<Refreshed> {
        check_store(store)?;
        self.inner.journeys.refresh(store).await
    }

    async fn materialize(&self, store: &str) -> Result<Vec<String>> {
        let mut materialized = Vec::new();
        for named in self.inner.registry.iter() {
            let Some(name) = &named.header.materialize else { continue };
            if self.materialize_one(store, named, name).await? {
                materialized.push(name.clone());
            }
        }
        Ok(materialized)
    }

    async fn materialize_one(&self, store: &str, named: &NamedQuery, name: &str) -> Result<bool> {
        let table = self.inner.lake.table(name)?;
        let bound = named.bind(&Params::new(), chrono::Utc::now().date_naive())?;
        let pins = self.pins(store, &bound).await?;
        let inputs = pins.fingerprint(store);
        if is_computed_from(table, store, &inputs).await? {
            return Ok(false);
        }
        let ResultStream { stream, .. } = self.run(store, bound, &pins).await?;
        let rows: Vec<_> = stream.try_collect().await?;
        replace_store(table, store, &rows, &inputs).await?;
        Ok(true)
    }
}

/// The tables that the registry's queries are materialised to, with the columns that they return.
pub(super) async fn derived_tables(sessions: &Sessions, registry: &Registry) -> Result<Vec<TableSpec>> {
    let session = sessions.session("check", chrono_tz::Tz::UTC, &Pins::default())?;
    let mut tables = Vec::new();
    for named in registry.iter() {
        let Some(table) = &named.header.materialize else { continue };
        let bound = named.bind(&Params::new(), chrono::Utc::now().date_naive())?;
        let schema = query::describe(&session, bound).await?.columns;
        tables.push(derived_table(named, table, &schema)?);
    }
    Ok(tables)
}

fn derived_table(named: &NamedQuery, table: &str, schema: &SchemaRef) -> Result<TableSpec> {
    let own = [STORE_COLUMN, EXTRAS_COLUMN, INGESTED_AT_COLUMN, BATCH_ID_COLUMN];
    let columns = schema
        .fields()
        .iter()
        .filter(|field| !own.contains(&field.name().as_str()))
        .map(|field| {
            let kind = column_kind(field.data_type()).ok_or_else(|| {
                Error::invalid(format!(
                    "query {}: column {} is {}, which a materialised table cannot keep: cast it",
                    named.name,
                    field.name(),
                    field.data_type()
                ))
            })?;
            Ok(ColumnSpec {
                name: field.name().clone(),
                kind,
                required: false,
                person: false,
                values: Vec::new(),
                default: None,
                doc: String::new(),
            })
        })
        .collect::<Result<_>>()?;
    Ok(TableSpec {
        name: table.to_owned(),
        summary: named.header.summary.clone(),
        grain: named.header.grain.clone(),
        key: Vec::new(),
        sort: Vec::new(),
        month: None,
        derived: true,
        group_marker: None,
        lookup_columns: Vec::new(),
        columns,
    })
}

pub(super) fn column_kind(data_type: &DataType) -> Option<ColumnKind> {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Some(ColumnKind::Text),
        DataType::Timestamp(..) => Some(ColumnKind::Instant),
        DataType::Date32 => Some(ColumnKind::Date),
        DataType::Decimal128(..) => Some(ColumnKind::Money),
        DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Some(ColumnKind::Count),
        DataType::Float64 => Some(ColumnKind::Ratio),
        _ => None,
    }
}
