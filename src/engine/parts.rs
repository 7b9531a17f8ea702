//! Large answers in parts: a statement that reads one table row by row is cut by the table's files, and each part runs
//! for itself, over the same version.

use std::sync::Arc;

use tokio::time::Instant;

use super::open::Engine;
use crate::error::{Error, Result};
use crate::query::{self, BoundQuery, Dialect, Planned, ResultStream, Values};
use crate::schema::check_store;
use crate::session::Pins;

/// More streams than this make no client faster.
const MOST_PARTS: usize = 8;

/// Functions that say when a statement is planned, which is not the same moment for all of its parts.
const OF_THE_MOMENT: [&str; 5] = ["now", "today", "current_date", "current_time", "current_timestamp"];

/// How a statement was cut, and what it is to read.
#[derive(Debug, Clone)]
pub struct Parts {
    pub count: usize,
    /// The version of the table in its log.
    pub version: u64,
    /// Into how many parts it could have been cut.
    groups: usize,
    pins: Arc<Pins>,
}

impl Engine {
    /// Cuts a statement over a table of at least so many rows; `None` where it is to run as a whole.
    pub async fn parts(
        &self,
        store: &str,
        text: &str,
        values: &Values,
        least_rows: u64,
    ) -> Result<Option<Parts>> {
        check_store(store)?;
        let bound = self.expand(store, query::bind_typed(Dialect::Own, text, values).await?).await?;
        if tells_the_moment(&bound.statement.to_string()) {
            return Ok(None);
        }
        let pins = self.pins(store, &bound).await?;
        let mut tables = bound.tables.iter();
        let (Some(table), None) = (tables.next(), tables.next()) else { return Ok(None) };
        let Some(snapshot) = pins.snapshot(table) else { return Ok(None) };
        let rows: u64 = snapshot.files_of(store).iter().map(|file| file.row_count).sum();
        let Some(version) = snapshot.version.filter(|_| rows >= least_rows) else { return Ok(None) };
        let groups = self.planned_over(store, bound, &pins).await?.parts();
        let count = groups.min(self.inner.options.threads.max(2)).min(MOST_PARTS);
        Ok((count > 1).then(|| Parts { count, version, groups, pins: Arc::new(pins) }))
    }

    /// Runs one part of a statement.
    pub async fn part(
        &self,
        store: &str,
        text: &str,
        values: &Values,
        parts: &Parts,
        index: usize,
    ) -> Result<ResultStream> {
        check_store(store)?;
        let limit = self.time_limit();
        let deadline = Instant::now() + limit;
        let bound = self.expand(store, query::bind_typed(Dialect::Own, text, values).await?).await?;
        let planned = self.planned_over(store, bound, &parts.pins).await?;
        // What the other parts leave out depends on how this one is cut.
        if index >= parts.count || planned.parts() != parts.groups {
            return Err(Error::conflict("the statement is planned anew by now: ask it again"));
        }
        let planned = planned.part(index, parts.count)?;
        self.start(&planned, parts.pins.fingerprint(store), limit, deadline)
    }

    async fn planned_over(&self, store: &str, bound: BoundQuery, pins: &Pins) -> Result<Planned> {
        let zone = self.zone(store, pins).await?;
        self.plan_until(Instant::now() + self.time_limit(), store, zone, bound, pins).await
    }
}

/// Whether one of those functions may be called; a text that only has its name is not cut either.
fn tells_the_moment(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| OF_THE_MOMENT.iter().any(|name| word.eq_ignore_ascii_case(name)))
}
