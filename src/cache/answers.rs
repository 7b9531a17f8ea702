//! The cache of whole answers, bounded by memory.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::query::Answer;

/// Changes with every release: a new one never serves an old one's answers.
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

/// An answer as the bytes that leave: in one format, packed in one way.
#[derive(Debug)]
pub struct EncodedAnswer {
    pub bytes: Bytes,
    /// As `Content-Encoding` names it; `None` for plain bytes.
    pub packing: Option<&'static str>,
    /// The version of the data that the answer was computed from.
    pub data_version: String,
    pub computed_at: DateTime<Utc>,
}

/// Answers, and their encodings, in one bounded memory.
#[derive(Debug)]
pub struct AnswerCache {
    kept: Cache<String, Kept>,
}

#[derive(Debug, Clone)]
enum Kept {
    Answer(Arc<Answer>),
    Encoded(Arc<EncodedAnswer>),
}

impl Kept {
    fn memory_bytes(&self) -> usize {
        match self {
            Kept::Answer(answer) => answer.memory_bytes(),
            Kept::Encoded(encoded) => encoded.bytes.len(),
        }
    }
}

impl AnswerCache {
    pub fn new(memory_bytes: u64) -> Self {
        let kept = Cache::builder()
            .max_capacity(memory_bytes)
            .weigher(|key: &String, kept: &Kept| {
                u32::try_from(key.len() + kept.memory_bytes()).unwrap_or(u32::MAX)
            })
            .build();
        Self { kept }
    }

    pub async fn get(&self, key: &str) -> Option<Arc<Answer>> {
        match self.kept.get(key).await? {
            Kept::Answer(answer) => Some(answer),
            Kept::Encoded(_) => None,
        }
    }

    /// The answer under a key, computed by the first who asks while the others wait; says whether it was there.
    pub async fn get_or_compute(
        &self,
        key: String,
        compute: impl Future<Output = Result<Answer>>,
    ) -> Result<(Arc<Answer>, bool)> {
        let kept = self.entry(key, async { Ok(Kept::Answer(Arc::new(compute.await?))) }).await?;
        match kept {
            (Kept::Answer(answer), was_there) => Ok((answer, was_there)),
            (Kept::Encoded(_), _) => Err(Error::internal("an answer has the key of an encoding")),
        }
    }

    pub async fn get_encoded(&self, key: &str) -> Option<Arc<EncodedAnswer>> {
        match self.kept.get(key).await? {
            Kept::Encoded(encoded) => Some(encoded),
            Kept::Answer(_) => None,
        }
    }

    /// The encoding under a key, made by the first who asks while the others wait.
    pub async fn get_or_encode(
        &self,
        key: String,
        encode: impl Future<Output = Result<EncodedAnswer>>,
    ) -> Result<Arc<EncodedAnswer>> {
        match self.entry(key, async { Ok(Kept::Encoded(Arc::new(encode.await?))) }).await? {
            (Kept::Encoded(encoded), _) => Ok(encoded),
            (Kept::Answer(_), _) => Err(Error::internal("an encoding has the key of an answer")),
        }
    }

    /// Returns the entry of a cache key, and true if it was there before.
    async fn entry(&self, key: String, make: impl Future<Output = Result<Kept>>) -> Result<(Kept, bool)> {
        let entry = self
            .kept
            .entry(key)
            .or_try_insert_with(make)
            .await
            .map_err(|error: Arc<Error>| Error::new(error.kind(), error.message()).with_source(error))?;
        let was_there = !entry.is_fresh();
        Ok((entry.into_value(), was_there))
    }
}
