//! The cache of whole answers, bounded by memory.

use std::sync::Arc;

use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::query::Answer;

/// Changes with every build: a new release never serves an old one's answers.
const BUILD: &str = concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"));

/// Everything that an answer depends on.
#[derive(Debug, Clone, Copy)]
pub struct AnswerKey<'a> {
    pub store: &'a str,
    /// The canonical text of the query, its parameters bound.
    pub text: &'a str,
    /// The versions of the store's data in the tables that it reads.
    pub fingerprint: &'a str,
}

impl AnswerKey<'_> {
    /// A hash in hexadecimal, fit for an `ETag`. Parts are set off by their lengths, so that no two keys meet.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [BUILD, self.store, self.text, self.fingerprint] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hex::encode(&hasher.finalize()[..16])
    }
}

#[derive(Debug)]
pub struct AnswerCache {
    answers: Cache<String, Arc<Answer>>,
}

impl AnswerCache {
    pub fn new(memory_bytes: u64) -> Self {
        let answers = Cache::builder()
            .max_capacity(memory_bytes)
            .weigher(|key: &String, answer: &Arc<Answer>| {
                u32::try_from(key.len() + answer.memory_bytes()).unwrap_or(u32::MAX)
            })
            .build();
        Self { answers }
    }

    pub async fn get(&self, key: &str) -> Option<Arc<Answer>> {
        self.answers.get(key).await
    }

    /// The answer under a key, computed by the first who asks while the others wait; says whether it was there.
    pub async fn get_or_compute(
        &self,
        key: String,
        compute: impl Future<Output = Result<Answer>>,
    ) -> Result<(Arc<Answer>, bool)> {
        let entry =
            self.answers
                .entry(key)
                .or_try_insert_with(async { compute.await.map(Arc::new) })
                .await
                .map_err(|error: Arc<Error>| Error::new(error.kind(), error.message()).with_source(error))?;
        let was_there = !entry.is_fresh();
        Ok((entry.into_value(), was_there))
    }
}
