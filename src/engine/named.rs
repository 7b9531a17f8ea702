//! Named queries: bound, pinned, and answered through the cache.

use std::sync::Arc;

use chrono::{NaiveDate, Utc};
use chrono_tz::Tz;
use futures::TryStreamExt;

use super::attempts::MOST_ATTEMPTS;
use super::moment::Moment;
use super::open::Engine;
use crate::cache::{AnswerKey, EncodedAnswer};
use crate::error::{Error, Result};
use crate::query::{self, Answer, BoundQuery, NamedQuery, Params, ResultStream};
use crate::schema::check_store;
use crate::session::Pins;

/// The way in which an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    Hit,
    Miss,
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
    fn new(store: &str, bound: Arc<BoundQuery>, pins: Pins) -> Self {
        let fingerprint = pins.fingerprint(store);
        let key = AnswerKey { store, text: &bound.text, fingerprint: &fingerprint }.digest();
        Self { store: store.to_owned(), bound, pins, fingerprint, key }
    }

    /// Names the answer: query, parameters, store, release and data. The answer is the same as long as the key is.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Engine {
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

    /// Answers what was asked, from the cache if it is there. If an erasure has deleted a file that the query reads, the
    /// answer is that of the newest data, under a key of its own.
    pub async fn answer(&self, mut asked: Asked) -> Result<(Arc<Answer>, CacheStatus)> {
        if let Some(answer) = self.inner.cache.get(&asked.key).await {
            return Ok((answer, CacheStatus::Hit));
        }
        let mut attempts = 1;
        loop {
            let computed = self.inner.cache.get_or_compute(asked.key.clone(), self.compute(&asked));
            let error = match Box::pin(computed).await {
                Ok((answer, true)) => return Ok((answer, CacheStatus::Hit)),
                Ok((answer, false)) => return Ok((answer, CacheStatus::Miss)),
                Err(error) => error,
            };
            if !error.is_overtaken() || attempts == MOST_ATTEMPTS {
                return Err(error);
            }
            attempts += 1;
            let pins = self.pins(&asked.store, &asked.bound).await?;
            let newer = Asked::new(&asked.store, asked.bound, pins);
            if newer.key == asked.key {
                return Err(error);
            }
            asked = newer;
        }
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
        self.ask_at(&Moment::now(), store, name, params, min_version).await
    }

    /// The same, as the data is at a moment.
    pub async fn ask_at(
        &self,
        moment: &Moment,
        store: &str,
        name: &str,
        params: &Params,
        min_version: Option<u64>,
    ) -> Result<Asked> {
        check_store(store)?;
        let named = self.inner.registry.get(name)?;
        let today = query::today(moment.at(), self.time_zone(moment, store).await?);
        let bound = self.bind(named, params, today)?;
        let pins = self.pins_at(moment, store, &bound).await?;
        if let Some(least) = min_version
            && pins.versions().all(|(_, version)| version.is_none_or(|version| version < least))
        {
            return Err(Error::conflict(format!(
                "min_version {least} is newer than every table that {name} reads; it is the version of another table"
            )));
        }
        Ok(Asked::new(store, bound, pins))
    }

    /// Parses a query once for every choice of parameters and day: dashboards ask the same again and again.
    fn bind(&self, named: &NamedQuery, params: &Params, today: NaiveDate) -> Result<Arc<BoundQuery>> {
        let key = (named.name.clone(), params.clone(), today);
        self.inner
            .bound
            .try_get_with(key, || named.bind(params, today).map(Arc::new))
            .map_err(|error| Error::new(error.kind(), error.message()).with_source(error))
    }

    async fn compute(&self, asked: &Asked) -> Result<Answer> {
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
            key: asked.key.clone(),
            data_version: asked.fingerprint.clone(),
            computed_at: Utc::now(),
        })
    }
}
