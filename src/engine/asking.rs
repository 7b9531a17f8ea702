//! Ad-hoc SQL: its rows as a stream, its plan, and what it returns.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::Utc;
use chrono_tz::Tz;
use futures::TryStreamExt;
use tokio::time::Instant;

use super::journeys::{JOURNEYS, JOURNEYS_AND_INPUTS, JOURNEYS_FUNCTION};
use super::moment::Moment;
use super::open::{Engine, Inner};
use super::running::timed_out;
use crate::error::Result;
use crate::lake::Scanned;
use crate::query::{self, BoundQuery, Described, Dialect, Operator, Params, Planned, ResultStream, Values};
use crate::schema::check_store;
use crate::session::Pins;

/// What a statement would return and read.
#[derive(Debug, Clone)]
pub struct DryRun {
    pub columns: SchemaRef,
    /// What it would read of each table.
    pub tables: Vec<Scanned>,
    pub data_version: String,
}

/// How a statement is computed.
#[derive(Debug, Clone)]
pub struct Explained {
    pub operators: Operator,
    pub planning: Duration,
    /// What running it gave; `None` where it was only planned.
    pub run: Option<Ran>,
    pub data_version: String,
}

/// A statement that was run for its figures.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    pub rows: u64,
    /// With the planning.
    pub elapsed: Duration,
    pub peak_memory_bytes: usize,
}

impl Engine {
    /// Runs read-only SQL over one store's tables; `$name` parameters are bound as typed values.
    pub async fn sql(&self, store: &str, text: &str, params: &Params) -> Result<ResultStream> {
        self.sql_with(store, text, &query::infer(params)).await
    }

    /// The same with values of known types, by the parameters' names; those written `?` are 1, 2 and so on.
    pub async fn sql_with(&self, store: &str, text: &str, values: &Values) -> Result<ResultStream> {
        self.sql_in(Dialect::Own, store, text, values).await
    }

    /// The same in another dialect.
    pub async fn sql_in(
        &self,
        dialect: Dialect,
        store: &str,
        text: &str,
        values: &Values,
    ) -> Result<ResultStream> {
        let bound = query::bind_typed(dialect, text, values).await?;
        self.run_statement(store, bound, self.time_limit()).await
    }

    /// The same with another time limit than the engine's, for callers that wait for no answer.
    pub async fn sql_within(
        &self,
        store: &str,
        text: &str,
        params: &Params,
        limit: Duration,
    ) -> Result<ResultStream> {
        let bound = query::bind_ad_hoc(text, params).await?;
        self.run_statement(store, bound, limit).await
    }

    /// Plans read-only SQL, and says what it would return and read, without running it.
    pub async fn dry_run(&self, store: &str, text: &str, params: &Params) -> Result<DryRun> {
        let (planned, data_version) = self.planned(store, text, params).await?;
        let progress = planned.progress();
        Ok(DryRun { columns: planned.schema(), tables: progress.scans(), data_version })
    }

    /// Plans read-only SQL and gives its operators; runs it to its end first where they are to be `measured`.
    pub async fn explain(
        &self,
        store: &str,
        text: &str,
        params: &Params,
        measured: bool,
    ) -> Result<Explained> {
        let begun = Instant::now();
        let (planned, data_version) = self.planned(store, text, params).await?;
        let progress = planned.progress();
        let planning = begun.elapsed();
        let mut run = None;
        if measured {
            let limit = self.time_limit();
            let mut stream = self.start(&planned, data_version.clone(), limit, begun + limit)?.stream;
            let mut rows = 0;
            while let Some(batch) = stream.try_next().await? {
                rows += batch.num_rows() as u64;
            }
            run =
                Some(Ran { rows, elapsed: begun.elapsed(), peak_memory_bytes: progress.peak_memory_bytes() });
        }
        Ok(Explained { operators: progress.operators(measured), planning, run, data_version })
    }

    /// Says what read-only SQL returns and takes, without running it; its parameters have no values yet.
    pub async fn describe(&self, store: &str, text: &str) -> Result<Described> {
        self.describe_in(Dialect::Own, store, text).await
    }

    /// The same in another dialect.
    pub async fn describe_in(&self, dialect: Dialect, store: &str, text: &str) -> Result<Described> {
        self.describe_bound(store, query::without_values(dialect, text).await?).await
    }

    /// The same with values: a column without a name of its own is called by what is in it.
    pub async fn describe_with(&self, store: &str, text: &str, values: &Values) -> Result<Described> {
        self.describe_bound(store, query::bind_typed(Dialect::Own, text, values).await?).await
    }

    async fn describe_bound(&self, store: &str, bound: BoundQuery) -> Result<Described> {
        check_store(store)?;
        let limit = self.time_limit();
        let described = async {
            let bound = self.expand(store, bound).await?;
            let pins = self.pins(store, &bound).await?;
            let session = self.session(store, Tz::UTC, &bound, &pins).await?;
            query::describe(&session, bound).await
        };
        tokio::time::timeout(limit, described).await.map_err(|_| timed_out(limit))?
    }

    /// Writes named queries out that SQL reads as relations.
    pub(super) async fn expand(&self, store: &str, bound: BoundQuery) -> Result<BoundQuery> {
        if !query::reads_named(&bound.tables) {
            return Ok(bound);
        }
        let today = query::today(Utc::now(), Box::pin(self.time_zone(&Moment::now(), store)).await?);
        query::expand(bound, Arc::clone(&self.inner.registry), today).await
    }

    /// The versions that a query is to read: the newest, with journeys that have seen them.
    pub(super) async fn pins(&self, store: &str, bound: &BoundQuery) -> Result<Pins> {
        self.pins_at(&Moment::now(), store, bound).await
    }

    /// The same, as they are at a moment.
    pub(super) async fn pins_at(&self, moment: &Moment, store: &str, bound: &BoundQuery) -> Result<Pins> {
        let Inner { lake, journeys, .. } = &*self.inner;
        let mut tables: Vec<&str> = bound.tables.iter().map(String::as_str).collect();
        if bound.tables.contains(JOURNEYS) {
            let pins = moment.pins(lake, JOURNEYS_AND_INPUTS).await?;
            if !journeys.are_current(store, &pins) {
                if journeys.is_kept(store).await? {
                    Box::pin(journeys.refresh(store)).await?;
                    moment.pass().await;
                } else {
                    tables.push(JOURNEYS_FUNCTION);
                }
            }
        }
        moment.pins(lake, tables).await
    }

    /// Plans ad-hoc SQL within the time limit. Returns the version of the data that it is to read, too.
    async fn planned(&self, store: &str, text: &str, params: &Params) -> Result<(Planned, String)> {
        check_store(store)?;
        let bound = query::bind_ad_hoc(text, params).await?;
        self.plan_newest(store, &bound, Instant::now() + self.time_limit()).await
    }

    /// Plans a statement over the newest versions. Returns the version of the data that it is to read, too.
    pub(super) async fn plan_newest(
        &self,
        store: &str,
        bound: &BoundQuery,
        deadline: Instant,
    ) -> Result<(Planned, String)> {
        let bound = self.expand(store, bound.clone()).await?;
        let pins = self.pins(store, &bound).await?;
        let zone = self.zone(store, &pins).await?;
        let planned = self.plan_until(deadline, store, zone, bound, &pins).await?;
        Ok((planned, pins.fingerprint(store)))
    }
}
