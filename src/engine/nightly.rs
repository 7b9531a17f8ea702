//! The nightly batch: compacts what was landed, then computes the rollups whose inputs have changed.

use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use futures::TryStreamExt;

use super::journeys::{JOURNEYS, Refreshed};
use super::open::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Fsck, LookedAt, Repairs, Vacuumed, is_computed_from, replace_store};
use crate::query::{self, NamedQuery, Params, Registry, ResultStream};
use crate::schema::{
    BATCH_ID_COLUMN, ColumnKind, ColumnSpec, EXTRAS_COLUMN, INGESTED_AT_COLUMN, STORE_COLUMN, TableSpec,
    check_store,
};
use crate::session::{Pins, Sessions};

/// A rollup may take as long as any commit may be prepared. The limit of queries is for those who wait for an answer.
const LONGEST_ROLLUP: Duration = Duration::from_hours(12);

/// What the nightly batch did for one store.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct NightlyReport {
    pub store: String,
    /// Tables whose landed files were merged.
    pub compacted: Vec<String>,
    /// Derived tables that were computed anew.
    pub materialized: Vec<String>,
    /// Tables that could not be compacted or computed. The batch went on with the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<NightlyFailure>,
}

/// A table that the nightly batch could not compact or compute.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NightlyFailure {
    pub table: String,
    pub error: String,
    #[serde(skip)]
    pub kind: ErrorKind,
}

impl NightlyReport {
    /// Notes a failure; gives what did not fail.
    fn note<T>(&mut self, table: &str, done: Result<T>) -> Option<T> {
        match done {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(table, store = self.store, error = ?error, "the nightly batch goes on without this");
                let (error, kind) = (error.to_string(), error.kind());
                self.failed.push(NightlyFailure { table: table.to_owned(), error, kind });
                None
            }
        }
    }
}

impl Engine {
    /// Runs the batch for one store, or for all. What has not changed since the last time is left alone; what fails is
    /// reported, and the batch goes on.
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
            reports.push(self.nightly_of(store).await);
        }
        Ok(reports)
    }

    async fn nightly_of(&self, store: String) -> NightlyReport {
        let (journeys, lake) = (&self.inner.journeys, &self.inner.lake);
        let mut report = NightlyReport { store: store.clone(), ..NightlyReport::default() };
        // What is compacted cannot be told from older rows any more.
        let is_kept = report.note(JOURNEYS, journeys.is_kept(&store).await) == Some(true);
        let mut followed = None;
        if is_kept {
            followed = report.note(JOURNEYS, journeys.refresh(&store).await);
        }
        let context = self.inner.sessions.task_context();
        for name in lake.names() {
            if report.note(name, lake.compact_table(&store, name, &context).await) == Some(true) {
                report.compacted.push(name.to_owned());
            }
        }
        if !is_kept {
            followed = report.note(JOURNEYS, journeys.refresh(&store).await);
        }
        for named in self.inner.registry.iter() {
            let Some(name) = &named.header.materialize else { continue };
            let mut done = self.materialize_one(&store, named, name).await;
            if done.as_ref().is_err_and(Error::is_overtaken) {
                // Another batch was faster: perhaps from the same data.
                done = self.materialize_one(&store, named, name).await;
            }
            if report.note(name, done) == Some(true) {
                report.materialized.push(name.clone());
            }
        }
        if followed.is_some_and(|refreshed| refreshed != Refreshed::Unchanged) {
            report.materialized.push(JOURNEYS.to_owned());
        }
        report
    }

    /// Deletes the files and log entries of every table that no version within the retention needs; only counts them
    /// if it is a `dry_run`.
    pub async fn vacuum(&self, dry_run: bool) -> Result<Vec<(String, Vacuumed)>> {
        let keep = self.inner.options.keep_versions_for;
        let mut tables = Vec::new();
        for table in self.inner.lake.tables() {
            tables.push((table.spec.name.clone(), table.vacuum(keep, dry_run).await?));
        }
        Ok(tables)
    }

    /// Looks whether the log and the files of every table are sound; reads every row if it is to go `deep`.
    pub async fn fsck(&self, deep: bool, repairs: Repairs) -> Result<Fsck> {
        self.fsck_watched(deep, repairs, &|_| {}).await
    }

    /// The same, and says the bytes of each file that it has looked at.
    pub async fn fsck_watched(&self, deep: bool, repairs: Repairs, looked: &LookedAt) -> Result<Fsck> {
        let mut fsck = Fsck::default();
        for table in self.inner.lake.tables() {
            fsck.add(table.fsck(deep, repairs, looked).await?);
        }
        Ok(fsck)
    }

    /// The bytes of all files of the newest version of every table.
    pub async fn live_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for table in self.inner.lake.tables() {
            bytes += table.snapshot().await?.files().map(|file| file.size_bytes).sum::<u64>();
        }
        Ok(bytes)
    }

    /// Brings a store's table `journeys` up to date; computes it where that was never done. The nightly batch does this,
    /// and from then on every landing in the background.
    pub async fn refresh_journeys(&self, store: &str) -> Result<Refreshed> {
        check_store(store)?;
        self.inner.journeys.refresh(store).await
    }

    async fn materialize_one(&self, store: &str, named: &NamedQuery, name: &str) -> Result<bool> {
        let table = self.inner.lake.table(name)?;
        let bound = named.bind(&Params::new(), chrono::Utc::now().date_naive())?;
        let pins = self.pins(store, &bound).await?;
        let inputs = pins.fingerprint(store);
        if is_computed_from(table, store, &inputs).await? {
            return Ok(false);
        }
        let ResultStream { stream, .. } = self.run_within(LONGEST_ROLLUP, store, bound, &pins).await?;
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
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            Some(ColumnKind::Decimal(*precision, *scale))
        }
        DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Some(ColumnKind::Count),
        DataType::Float64 => Some(ColumnKind::Ratio),
        _ => None,
    }
}
