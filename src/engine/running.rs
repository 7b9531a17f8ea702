//! Running: a session for each query, its plan, its time limit, and the zone in which the store's days begin.

use std::time::Duration;

use chrono_tz::Tz;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::journeys::JOURNEYS;
use super::moment::Moment;
use super::open::Engine;
use crate::error::{Error, Result};
use crate::query::{
    self, BoundQuery, DataVersion, Dialect, Params, Planned, QUERIES, ResultLimit, ResultStream,
};
use crate::session::{CATALOG, Pins, listed_views};

/// The least time in which a store's time zone is to be read.
const ZONE_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
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

    /// Starts a query within its limits.
    pub(super) fn start(
        &self,
        planned: &Planned,
        data_version: String,
        limit: Duration,
        deadline: Instant,
    ) -> Result<ResultStream> {
        let stream = self.limited(planned.stream()?, limit, deadline);
        Ok(ResultStream {
            stream,
            data_version: DataVersion::from(data_version),
            progress: planned.progress(),
        })
    }

    /// Ends a stream with an error if it gives too many rows, or if the time is over.
    pub(super) fn limited(
        &self,
        stream: SendableRecordBatchStream,
        limit: Duration,
        deadline: Instant,
    ) -> SendableRecordBatchStream {
        let options = &self.inner.options;
        let left = ResultLimit::new(options.result_rows, options.result_bytes);
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
        Box::pin(RecordBatchStreamAdapter::new(schema, limited))
    }

    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_millis(self.inner.options.query_timeout_ms)
    }

    /// A session for one query.
    pub(super) async fn session(
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
    pub(super) async fn time_zone(&self, moment: &Moment, store: &str) -> Result<Tz> {
        let pins = moment.pins(&self.inner.lake, ["stores"]).await?;
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

pub(super) fn timed_out(limit: Duration) -> Error {
    Error::timeout(format!(
        "the query took longer than {} ms: narrow it, or raise the limit",
        limit.as_millis()
    ))
}
