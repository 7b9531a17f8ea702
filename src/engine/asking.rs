//! Asking: ad-hoc SQL as a stream, named queries through the cache.

use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use super::journeys::{JOURNEYS, JOURNEYS_FUNCTION};
use super::open::{Engine, check_store};
use crate::cache::AnswerKey;
use crate::error::{Error, Result};
use crate::query::{self, Answer, BoundQuery, Described, NamedQuery, Params, QUERIES, ResultStream, Values};
use crate::session::{CATALOG, Pins, listed_views};

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    Hit,
    Miss,
}

/// A named query, bound and pinned: everything that its answer depends on.
struct Asked {
    bound: Arc<BoundQuery>,
    pins: Pins,
    fingerprint: String,
    key: String,
}

impl Engine {
    /// Runs read-only SQL over one store's tables; `$name` parameters are bound as typed values.
    pub async fn sql(&self, store: &str, text: &str, params: &Params) -> Result<ResultStream> {
        self.sql_with(store, text, &query::infer(params)).await
    }

    /// The same with values of known types, by the parameters' names; those written `?` are 1, 2 and so on.
    pub async fn sql_with(&self, store: &str, text: &str, values: &Values) -> Result<ResultStream> {
        check_store(store)?;
        let bound = self.expand(store, query::bind_typed(text, values)?).await?;
        let pins = self.pins(store, &bound).await?;
        self.run(store, bound, &pins).await
    }

    /// Says what read-only SQL returns and takes, without running it; its parameters have no values yet.
    pub async fn describe(&self, store: &str, text: &str) -> Result<Described> {
        self.describe_bound(store, query::without_values(text)?).await
    }

    /// The same with values: a column without a name of its own is called by what is in it.
    pub async fn describe_with(&self, store: &str, text: &str, values: &Values) -> Result<Described> {
        self.describe_bound(store, query::bind_typed(text, values)?).await
    }

    async fn describe_bound(&self, store: &str, bound: BoundQuery) -> Result<Described> {
        check_store(store)?;
        let limit = Duration::from_millis(self.inner.options.query_timeout_ms);
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
        if let Some(answer) = self.inner.cache.get(&asked.key).await {
            return Ok((answer, CacheStatus::Hit));
        }
        let key = asked.key.clone();
        let (answer, was_there) =
            Box::pin(self.inner.cache.get_or_compute(key, self.compute(store, asked))).await?;
        Ok((answer, if was_there { CacheStatus::Hit } else { CacheStatus::Miss }))
    }

    /// The key that `query` would answer under now, without planning or running: for `If-None-Match`.
    pub async fn query_key(
        &self,
        store: &str,
        name: &str,
        params: &Params,
        min_version: Option<u64>,
    ) -> Result<String> {
        Ok(self.ask(store, name, params, min_version).await?.key)
    }

    /// Plans every named query, and returns what is wrong with those that cannot be planned.
    pub async fn check(&self) -> Result<Vec<String>> {
        let session = self.inner.sessions.session("check", Tz::UTC, &Pins::default())?;
        let failures = query::check_plans(&session, &self.inner.registry, Utc::now().date_naive()).await;
        Ok(failures.into_iter().map(|failure| format!("{}: {}", failure.query, failure.message)).collect())
    }

    async fn ask(&self, store: &str, name: &str, params: &Params, min_version: Option<u64>) -> Result<Asked> {
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
        Ok(Asked { bound, pins, fingerprint, key })
    }

    /// Writes named queries out that SQL reads as relations.
    async fn expand(&self, store: &str, bound: BoundQuery) -> Result<BoundQuery> {
        if !query::reads_named(&bound.tables) {
            return Ok(bound);
        }
        let today = query::today(Utc::now(), self.time_zone(store).await?);
        query::expand(bound, &self.inner.registry, today)
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

    async fn compute(&self, store: &str, asked: Asked) -> Result<Answer> {
        let ResultStream { mut stream, .. } =
            self.run(store, BoundQuery::clone(&asked.bound), &asked.pins).await?;
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
        // The zone of the very version that is read: an answer is kept under it.
        let zone = match pins.data_version("stores", store) {
            Some(version) => self.time_zone_at(store, version, pins).await?,
            None => Tz::UTC,
        };
        self.run_in(store, zone, bound, pins).await
    }

    async fn run_in(&self, store: &str, zone: Tz, bound: BoundQuery, pins: &Pins) -> Result<ResultStream> {
        let limit = Duration::from_millis(self.inner.options.query_timeout_ms);
        let deadline = tokio::time::Instant::now() + limit;
        let started = async {
            let session = self.session(store, zone, &bound, pins).await?;
            query::plan(&session, bound).await?.stream()
        };
        let stream = tokio::time::timeout_at(deadline, started).await.map_err(|_| timed_out(limit))??;
        let schema = stream.schema();
        let limited = futures::stream::unfold(Some(stream), move |stream| async move {
            let mut stream = stream?;
            match tokio::time::timeout_at(deadline, stream.next()).await {
                Ok(Some(batch)) => Some((batch, Some(stream))),
                Ok(None) => None,
                // Dropping the stream stops the query.
                Err(_) => Some((Err(DataFusionError::from(timed_out(limit))), None)),
            }
        });
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, limited));
        Ok(ResultStream { stream, data_version: pins.fingerprint(store) })
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
        let bound = query::bind_ad_hoc("select timezone from stores", &Params::new())?;
        let stream = self.run_in(store, Tz::UTC, bound, pins).await?.stream;
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
