//! Asking: ad-hoc SQL as a stream, named queries through the cache.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use chrono::{NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::journeys::{JOURNEYS, JOURNEYS_FUNCTION};
use super::open::Engine;
use crate::cache::{AnswerKey, EncodedAnswer};
use crate::error::{Error, Result};
use crate::lake::Scanned;
use crate::query::{
    self, Answer, BoundQuery, Described, Dialect, NamedQuery, Operator, Params, Planned, QUERIES,
    ResultLimit, ResultStream, Values,
};
use crate::schema::check_store;
use crate::session::{CATALOG, Pins, listed_views};

/// The least time in which a store's time zone is to be read.
const ZONE_TIMEOUT: Duration = Duration::from_secs(10);

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    Hit,
    Miss,
}

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

/// A named query, bound and pinned: everything that its answer depends on.
#[derive(Debug)]
pub struct Asked {
    store: String,
    bound: Arc<BoundQuery>,
    pins: Pins,
    fingerprint: String,
    key: String,
}

impl Asked {
    /// Names the answer: query, parameters, store, release and data. The answer is the same as long as the key is.
    pub fn key(&self) -> &str {
        &self.key
    }
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
        check_store(store)?;
        let bound = self.expand(store, query::bind_typed(dialect, text, values).await?).await?;
        let pins = self.pins(store, &bound).await?;
        self.run(store, bound, &pins).await
    }

    /// The same with another time limit than the engine's, for callers that wait for no answer.
    pub async fn sql_within(
        &self,
        store: &str,
        text: &str,
        params: &Params,
        limit: Duration,
    ) -> Result<ResultStream> {
        let (planned, version) = self.planned(store, text, params).await?;
        self.start(&planned, version, limit, Instant::now() + limit)
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

    /// Answers a named query (`topic/name`) from the cache, or computes it.
    ///
    /// `min_version` is a landing receipt's version: the answer sees that landing, or the call fails.
    pub async fn query(
        &self,
        store: &str,
        name: &str,
        params: &Params,
        min_version: Option<u64>,
    ) -> Result<(Arc<Answer>, CacheStatus)> {
        let asked = self.ask(store, name, params, min_version).await?;
        self.answer(asked).await
    }

    /// Answers what was asked, from the cache if it is there.
    pub async fn answer(&self, asked: Asked) -> Result<(Arc<Answer>, CacheStatus)> {
        if let Some(answer) = self.inner.cache.get(&asked.key).await {
            return Ok((answer, CacheStatus::Hit));
        }
        let key = asked.key.clone();
        let (answer, was_there) = Box::pin(self.inner.cache.get_or_compute(key, self.compute(asked))).await?;
        Ok((answer, if was_there { CacheStatus::Hit } else { CacheStatus::Miss }))
    }

    /// An encoding that is kept under a key of the caller's, in the memory of cached answers.
    pub async fn kept_encoding(&self, key: &str) -> Option<Arc<EncodedAnswer>> {
        self.inner.cache.get_encoded(key).await
    }

    /// Keeps an encoding under such a key, unless it is there.
    pub async fn keep_encoding(
        &self,
        key: String,
        encode: impl Future<Output = Result<EncodedAnswer>>,
    ) -> Result<Arc<EncodedAnswer>> {
        self.inner.cache.get_or_encode(key, encode).await
    }

    /// Plans every named query, and returns what is wrong with those that cannot be planned.
    pub async fn check(&self) -> Result<Vec<String>> {
        let session = self.inner.sessions.session("check", Tz::UTC, &Pins::default())?;
        let failures = query::check_plans(&session, &self.inner.registry, Utc::now().date_naive()).await;
        Ok(failures.into_iter().map(|failure| format!("{}: {}", failure.query, failure.message)).collect())
    }

    /// Binds a named query (`topic/name`) to the data as it is now, without planning or running it.
    pub async fn ask(
        &self,
        store: &str,
        name: &str,
        params: &Params,
        min_version: Option<u64>,
    ) -> Result<Asked> {
        check_store(store)?;
        let named = self.inner.registry.get(name)?;
        let today = query::today(Utc::now(), self.time_zone(store).await?);
        let bound = self.bind(named, params, today)?;
        let pins = self.pins(store, &bound).await?;
        if let Some(least) = min_version
            && pins.versions().all(|(_, version)| version.is_none_or(|version| version < least))
        {
            return Err(Error::conflict(format!(
                "min_version {least} is newer than every table that {name} reads; it is the version of another table"
            )));
        }
        let fingerprint = pins.fingerprint(store);
        let key = AnswerKey { store, text: &bound.text, fingerprint: &fingerprint }.digest();
        Ok(Asked { store: store.to_owned(), bound, pins, fingerprint, key })
    }

    /// Writes named queries out that SQL reads as relations.
    pub(super) async fn expand(&self, store: &str, bound: BoundQuery) -> Result<BoundQuery> {
        if !query::reads_named(&bound.tables) {
            return Ok(bound);
        }
        let today = query::today(Utc::now(), self.time_zone(store).await?);
        query::expand(bound, Arc::clone(&self.inner.registry), today).await
    }

    /// The versions that a query is to read: the newest, with journeys that have seen them.
    pub(super) async fn pins(&self, store: &str, bound: &BoundQuery) -> Result<Pins> {
        let journeys = &self.inner.journeys;
        let mut computed = None;
        if bound.tables.contains(JOURNEYS) {
            if journeys.is_kept(store).await? {
                journeys.refresh(store).await?;
            } else {
                computed = Some(JOURNEYS_FUNCTION);
            }
        }
        let mut tables: Vec<&str> = bound.tables.iter().map(String::as_str).collect();
        tables.extend(computed);
        Pins::newest(&self.inner.lake, tables).await
    }

    /// Parses a query once for every choice of parameters and day: dashboards ask the same again and again.
    fn bind(&self, named: &NamedQuery, params: &Params, today: NaiveDate) -> Result<Arc<BoundQuery>> {
        let key = (named.name.clone(), params.clone(), today);
        self.inner
            .bound
            .try_get_with(key, || named.bind(params, today).map(Arc::new))
            .map_err(|error| Error::new(error.kind(), error.message()).with_source(error))
    }

    async fn compute(&self, asked: Asked) -> Result<Answer> {
        let ResultStream { mut stream, .. } =
            self.run(&asked.store, BoundQuery::clone(&asked.bound), &asked.pins).await?;
        let schema = stream.schema();
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows();
            if rows > self.inner.options.answer_rows {
                return Err(Error::limit(format!(
                    "the answer has more than {} rows: narrow its parameters, or ask with SQL",
                    self.inner.options.answer_rows
                )));
            }
            batches.push(batch);
        }
        Ok(Answer {
            schema,
            batches,
            key: asked.key,
            data_version: asked.fingerprint,
            computed_at: Utc::now(),
        })
    }

    /// Plans and starts a query; its time limit covers both, and every wait for a batch.
    pub(super) async fn run(&self, store: &str, bound: BoundQuery, pins: &Pins) -> Result<ResultStream> {
        self.run_within(self.time_limit(), store, bound, pins).await
    }

    /// The same within a time limit of its own.
    pub(super) async fn run_within(
        &self,
        limit: Duration,
        store: &str,
        bound: BoundQuery,
        pins: &Pins,
    ) -> Result<ResultStream> {
        let zone = self.zone(store, pins).await?;
        self.run_in(limit, store, zone, bound, pins).await
    }

    async fn run_in(
        &self,
        limit: Duration,
        store: &str,
        zone: Tz,
        bound: BoundQuery,
        pins: &Pins,
    ) -> Result<ResultStream> {
        let deadline = Instant::now() + limit;
        let planned = self.plan_until(deadline, store, zone, bound, pins).await?;
        self.start(&planned, pins.fingerprint(store), limit, deadline)
    }

    /// The zone of the very version that is read: an answer is kept under it.
    pub(super) async fn zone(&self, store: &str, pins: &Pins) -> Result<Tz> {
        match pins.data_version("stores", store) {
            Some(version) => self.time_zone_at(store, version, pins).await,
            None => Ok(Tz::UTC),
        }
    }

    /// Plans ad-hoc SQL, within the time limit; and the version of the data that it is to read.
    async fn planned(&self, store: &str, text: &str, params: &Params) -> Result<(Planned, String)> {
        check_store(store)?;
        let bound = self.expand(store, query::bind_ad_hoc(text, params).await?).await?;
        let pins = self.pins(store, &bound).await?;
        let zone = self.zone(store, &pins).await?;
        let planned = self.plan_until(Instant::now() + self.time_limit(), store, zone, bound, &pins).await?;
        Ok((planned, pins.fingerprint(store)))
    }

    pub(super) async fn plan_until(
        &self,
        deadline: Instant,
        store: &str,
        zone: Tz,
        bound: BoundQuery,
        pins: &Pins,
    ) -> Result<Planned> {
        let planned = async {
            let session = self.session(store, zone, &bound, pins).await?;
            query::plan(&session, bound).await
        };
        tokio::time::timeout_at(deadline, planned).await.map_err(|_| timed_out(self.time_limit()))?
    }

    /// Starts a query. What it gives ends as a failure where there is too much of it, or the time is over.
    pub(super) fn start(
        &self,
        planned: &Planned,
        data_version: String,
        limit: Duration,
        deadline: Instant,
    ) -> Result<ResultStream> {
        let options = &self.inner.options;
        let left = ResultLimit::new(options.result_rows, options.result_bytes);
        let stream = planned.stream()?;
        let schema = stream.schema();
        let limited = futures::stream::unfold(Some((stream, left)), move |state| async move {
            let (mut stream, mut left) = state?;
            match tokio::time::timeout_at(deadline, stream.next()).await {
                Ok(Some(Ok(batch))) => match left.count(&batch) {
                    Ok(()) => Some((Ok(batch), Some((stream, left)))),
                    Err(error) => Some((Err(error), None)),
                },
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(None) => None,
                // Dropping the stream stops the query.
                Err(_) => Some((Err(DataFusionError::from(timed_out(limit))), None)),
            }
        });
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, limited));
        Ok(ResultStream { stream, data_version, progress: planned.progress() })
    }

    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_millis(self.inner.options.query_timeout_ms)
    }

    /// A session for one query.
    async fn session(
        &self,
        store: &str,
        zone: Tz,
        bound: &BoundQuery,
        pins: &Pins,
    ) -> Result<SessionContext> {
        let session = self.inner.sessions.session(store, zone, pins)?;
        if bound.is_listing() {
            let views = self.view_schemas().await?;
            let views = views.iter().map(|view| (view.name.clone(), view.schema.clone()));
            if let Some(catalog) = session.catalog(CATALOG) {
                catalog.register_schema(QUERIES, listed_views(views)?)?;
            }
        }
        if bound.dialect == Dialect::Postgres {
            self.inner.sessions.speak_postgres(&session, Box::pin(self.views())).await?;
        }
        if bound.tables.contains(JOURNEYS) && !self.inner.journeys.is_kept(store).await? {
            let rows = session.sql(&self.inner.journeys.view()).await?;
            session.deregister_table(JOURNEYS)?;
            session.register_table(JOURNEYS, rows.into_view())?;
        }
        Ok(session)
    }

    /// The zone in which a store's days begin; UTC where it has not said.
    async fn time_zone(&self, store: &str) -> Result<Tz> {
        let pins = Pins::newest(&self.inner.lake, ["stores"]).await?;
        let version = pins.data_version("stores", store).unwrap_or(0);
        self.time_zone_at(store, version, &pins).await
    }

    async fn time_zone_at(&self, store: &str, version: u64, pins: &Pins) -> Result<Tz> {
        if let Some((known, zone)) = self.inner.zones.get(store).await
            && known == version
        {
            return Ok(zone);
        }
        let bound = query::bind_ad_hoc("select timezone from stores", &Params::new()).await?;
        // One row, which no caller has asked for: it is not to fail by a limit that is meant for answers.
        let limit = self.time_limit().max(ZONE_TIMEOUT);
        let stream = self.run_in(limit, store, Tz::UTC, bound, pins).await?.stream;
        let rows: Vec<_> = stream.try_collect().await?;
        let zone = rows
            .iter()
            .filter(|rows| rows.num_rows() > 0)
            .find_map(|rows| {
                arrow::array::AsArray::as_string_opt::<i32>(rows.column(0)).map(|names| names.value(0))
            })
            .and_then(|name| name.parse().ok())
            .unwrap_or(Tz::UTC);
        self.inner.zones.insert(store.to_owned(), (version, zone)).await;
        Ok(zone)
    }
}

fn timed_out(limit: Duration) -> Error {
    Error::timeout(format!(
        "the query took longer than {} ms: narrow it, or raise the limit",
        limit.as_millis()
    ))
}
