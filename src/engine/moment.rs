//! The newest versions, as one request sees them.

use std::sync::{Arc, Mutex as BriefMutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use futures::future::try_join_all;
use tokio::sync::Mutex;

use super::open::Engine;
use crate::error::Result;
use crate::lake::{Glance, Lake, LakeTable};
use crate::query;
use crate::session::Pins;

/// A moment has one day, and one version of each table, which is looked at once. All that a request asks is asked at its moment.
#[derive(Debug)]
pub struct Moment {
    at: DateTime<Utc>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pins: Pins,
    /// True if a table was changed meanwhile, and the others were looked at again.
    has_passed: bool,
}

/// The day in the store's time zone, and the versions of the store's data: with what was asked, the answers of a moment depend
/// on nothing else.
#[derive(Debug)]
pub struct Basis {
    store: String,
    zone: Tz,
    day: NaiveDate,
    versions: Vec<(Arc<LakeTable>, u64)>,
    /// The last look at the lake's folder after which the versions were these.
    seen: BriefMutex<Option<Glance>>,
}

impl Moment {
    pub fn now() -> Self {
        Self { at: Utc::now(), seen: Mutex::default() }
    }

    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// The versions of some tables.
    pub(super) async fn pins<'a>(
        &self,
        lake: &Lake,
        tables: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<Pins> {
        let mut seen = self.seen.lock().await;
        seen.pins.add_newest(lake, tables.clone()).await?;
        Ok(seen.pins.of(tables))
    }

    /// Looks at every table again when it is asked for: one has been changed.
    pub(super) async fn pass(&self) {
        *self.seen.lock().await = Seen { pins: Pins::default(), has_passed: true };
    }
}

impl Engine {
    /// Returns the basis of all that was asked at a moment; `None` if the data changed meanwhile.
    pub async fn basis(&self, moment: &Moment, store: &str) -> Result<Option<Basis>> {
        let zone = self.time_zone(moment, store).await?;
        let seen = moment.seen.lock().await;
        if seen.has_passed {
            return Ok(None);
        }
        let versions = seen.pins.versions().map(|(name, _)| {
            let version = seen.pins.data_version(name, store).unwrap_or(0);
            Ok((Arc::clone(self.inner.lake.table(name)?), version))
        });
        let (day, versions) = (query::today(moment.at, zone), versions.collect::<Result<_>>()?);
        Ok(Some(Basis { store: store.to_owned(), zone, day, versions, seen: BriefMutex::default() }))
    }

    /// Returns true if answers on this basis were the answers at the time of a look at the lake's folder, or are by now.
    pub async fn is_current(&self, basis: &Basis, glance: Option<Glance>) -> Result<bool> {
        if query::today(Utc::now(), basis.zone) != basis.day {
            return Ok(false);
        }
        if glance.is_some() && *basis.seen() == glance {
            return Ok(true);
        }
        let looks = basis.versions.iter().map(async |(table, version)| {
            table.snapshot().await.map(|snapshot| snapshot.data_version(&basis.store) == *version)
        });
        let is_current = try_join_all(looks).await?.into_iter().all(|is_same| is_same);
        if is_current {
            *basis.seen() = glance;
        }
        Ok(is_current)
    }
}

impl Basis {
    fn seen(&self) -> MutexGuard<'_, Option<Glance>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
