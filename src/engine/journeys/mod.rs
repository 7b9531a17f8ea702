//! The table `journeys`: what the function of that name gives under the standard rules, kept in the lake and brought up to
//! date order by order.
//!
//! The table's log says which version of each input it has seen. What was landed since tells which orders it can reach:
//! those of the same customer near enough in time, those that the touch stood in before it was corrected, those of
//! customers who turned out to be one. These alone are computed again, by the same function over their customers' rows
//! alone, and put in the place of their old rows. So the table equals a computation from scratch, row for row.

mod affected;
mod changes;
mod spec;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::FieldRef;
use chrono_tz::Tz;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execute_stream_partitioned;
use tokio::sync::OwnedMutexGuard;

use self::affected::Affected;
use self::changes::Changes;
pub(super) use self::changes::texts;
pub(super) use self::spec::journeys_table;
use super::attempts::unless_overtaken;
use crate::error::{Error, Result};
use crate::lake::{Erased, Lake, LakeTable, Named, Refresh, Seen, SeenAnew};
use crate::session::{Pins, Sessions};

/// The table's name, and that of the function.
pub(super) const JOURNEYS: &str = "journeys";
/// What a query that calls the function is said to read.
pub(super) const JOURNEYS_FUNCTION: &str = "journeys()";
/// How far beyond its window an order lists refused touches, in days: each day more makes a touch reach further.
const REFUSED_DAYS: i64 = 1;
/// Raised where the same rows would be computed otherwise than before: the table is then computed from scratch.
const REVISION: u64 = 1;
/// The name under which the revision is kept, among the inputs.
const REVISION_KEY: &str = "revision";
/// The tables whose rows decide what the table holds.
pub(super) const INPUTS: [&str; 4] = ["touchpoints", "orders", "refunds", "identities"];
/// The table and its inputs.
pub(super) const JOURNEYS_AND_INPUTS: [&str; 5] =
    [JOURNEYS, "touchpoints", "orders", "refunds", "identities"];

/// What was done to bring the table up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refreshed {
    /// Nothing has changed.
    Unchanged,
    /// Some orders were computed again.
    Orders { orders: u64, rows: u64 },
    /// Everything was computed.
    All { rows: u64 },
}

/// Keeps the table of every store.
#[derive(Debug)]
pub(super) struct Journeys {
    lake: Arc<Lake>,
    sessions: Arc<Sessions>,
    /// One refresh of a store at a time: two would do the same work, and one in vain.
    refreshing: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The version of the table at which a store's rows were last found to be up to date, and what they had seen.
    current: Mutex<HashMap<String, (Option<u64>, Seen)>>,
}

impl Journeys {
    pub fn new(lake: Arc<Lake>, sessions: Arc<Sessions>) -> Self {
        Self { lake, sessions, refreshing: Mutex::default(), current: Mutex::default() }
    }

    /// Whether the store's table was computed once.
    pub async fn is_kept(&self, store: &str) -> Result<bool> {
        Ok(self.table()?.seen(store, REVISION_KEY).await?.is_some())
    }

    /// Returns true if the store's rows are known to be up to date at these versions of the table and its inputs.
    pub fn are_current(&self, store: &str, pins: &Pins) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let version = pins.snapshot(JOURNEYS).and_then(|snapshot| snapshot.version);
        current.get(store).is_some_and(|(at, seen_then)| *at == version && *seen_then == seen(store, pins))
    }

    /// Brings the store's table up to date, from scratch where it is not kept yet.
    pub async fn refresh(&self, store: &str) -> Result<Refreshed> {
        let _only = self.hold(store).await;
        self.refresh_held(store).await
    }

    /// Keeps others in this process from refreshing a store's table.
    pub async fn hold(&self, store: &str) -> OwnedMutexGuard<()> {
        let only = {
            let mut refreshing = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            refreshing.entry(store.to_owned()).or_default().clone()
        };
        only.lock_owned().await
    }

    /// The same as [`Journeys::refresh`], for whoever holds the store's table.
    pub async fn refresh_held(&self, store: &str) -> Result<Refreshed> {
        unless_overtaken(|| self.try_refresh(store)).await
    }

    /// Takes a person's rows out. Nobody else's depend on them: where the table had seen the inputs as they were right
    /// before they forgot the person, it has seen them as they are now.
    pub async fn erase(
        &self,
        store: &str,
        named: &Named,
        erasure: &BTreeMap<String, Erased>,
        context: &Arc<TaskContext>,
    ) -> Result<Erased> {
        let Some(before) = self.known(store).await? else {
            return self.table()?.erase(store, named, None, context).await;
        };
        let mut after = before.clone();
        for (name, version) in &mut after {
            for (before, after) in erasure.get(name).map_or(&[][..], |erased| &erased.versions) {
                if before == version {
                    *version = *after;
                }
            }
        }
        self.table()?.erase(store, named, Some(SeenAnew { before, after }), context).await
    }

    async fn try_refresh(&self, store: &str) -> Result<Refreshed> {
        let table = self.table()?;
        let inputs: Vec<&str> = INPUTS.into_iter().chain([REVISION_KEY]).collect();
        let refresh = Refresh::begin(table, store, &inputs).await?;
        let pins = Pins::newest(&self.lake, INPUTS).await?;
        let seen = seen(store, &pins);
        let before = table.snapshot().await?.version;
        let known = self.known(store).await?;
        if known.as_ref() == Some(&seen) {
            // No version sees more than it did when it was committed.
            if table.snapshot().await?.version == before {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                current.insert(store.to_owned(), (before, seen));
            }
            return Ok(Refreshed::Unchanged);
        }
        let changes = match &known {
            Some(known) => Changes::since(&self.lake, &pins, store, known).await?,
            None => None,
        };
        match changes {
            Some(changes) => self.recompute(store, &pins, changes, refresh.of(seen)).await,
            None => self.compute(store, &pins, refresh.of(seen)).await,
        }
    }

    /// Computes again what changes can reach.
    async fn recompute(
        &self,
        store: &str,
        pins: &Pins,
        changes: Changes,
        refresh: Refresh,
    ) -> Result<Refreshed> {
        let table = self.table()?;
        let reading = affected::Reading { lake: &self.lake, pins, store, sessions: &self.sessions };
        let affected = Affected::by(&reading, table, changes).await?;
        let orders = affected.orders.len() as u64;
        let mut rows = Vec::new();
        if orders > 0 {
            let only = affected.only(&reading).await?;
            let session = self.sessions.session_of(store, Tz::UTC, pins, Some(&only))?;
            rows = session.sql(&statement()).await?.collect().await?;
        }
        let gone = gone(table, &affected.without(&rows)?)?;
        let rows = table.replace_keys(refresh, rows, gone).await?;
        Ok(Refreshed::Orders { orders, rows })
    }

    /// Computes everything.
    async fn compute(&self, store: &str, pins: &Pins, refresh: Refresh) -> Result<Refreshed> {
        let session = self.sessions.session_of(store, Tz::UTC, pins, None)?;
        let plan = session.sql(&statement()).await?.create_physical_plan().await?;
        let rows = execute_stream_partitioned(plan, session.task_ctx())?;
        let rows = self.table()?.rebuild(refresh, rows).await?;
        Ok(Refreshed::All { rows })
    }

    /// The table as a view, for a store whose rows are not kept.
    pub fn view(&self) -> String {
        let Ok(table) = self.table() else { return statement() };
        let columns = table.spec.table_schema();
        let function = tributary_udfs::journeys_schema();
        let of_column = |field: &FieldRef| match field.name().as_str() {
            name if function.index_of(name).is_ok() => name.to_owned(),
            "booked_month" => "substr(cast(booked_at as varchar), 1, 7) as booked_month".to_owned(),
            name => format!("arrow_cast(null, '{}') as {name}", field.data_type()),
        };
        let columns: Vec<String> = columns.fields().iter().map(of_column).collect();
        statement().replacen('*', &columns.join(", "), 1)
    }

    fn table(&self) -> Result<&Arc<LakeTable>> {
        self.lake.table(JOURNEYS)
    }

    /// What the table has seen; none where it is to be computed from scratch.
    async fn known(&self, store: &str) -> Result<Option<Seen>> {
        let table = self.table()?;
        let mut known = Seen::new();
        for name in INPUTS.into_iter().chain([REVISION_KEY]) {
            match table.seen(store, name).await? {
                Some(version) => known.push((name.to_owned(), version)),
                None => return Ok(None),
            }
        }
        let is_current = known.last().is_some_and(|(_, revision)| *revision == REVISION);
        Ok(is_current.then_some(known))
    }
}

/// What the table will have seen at these versions.
fn seen(store: &str, pins: &Pins) -> Seen {
    let version = |name: &str| (name.to_owned(), pins.data_version(name, store).unwrap_or(0));
    INPUTS.map(version).into_iter().chain([(REVISION_KEY.to_owned(), REVISION)]).collect()
}

/// Rows that say of orders that they have none.
fn gone(table: &LakeTable, orders: &[String]) -> Result<RecordBatch> {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(orders));
    let at = Arc::new(TimestampMicrosecondArray::from(vec![0; orders.len()]).with_timezone("UTC"));
    RecordBatch::try_from_iter([("order_id", ids), ("booked_at", at)])
        .map_err(|error| Error::internal(format!("rows of {}", table.spec.name)).with_source(error))
}

/// The rows of the table, as SQL computes them.
fn statement() -> String {
    format!("select * from {JOURNEYS}(include_refused => true, refused_days => {REFUSED_DAYS})")
}
