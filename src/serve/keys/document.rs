//! The keys of a lake at one moment, as they are kept: hashes, scopes and what proves a key.

use chrono::{SecondsFormat, Utc};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::schema::check_store;
use crate::serve::scram::Verifier;

/// Every key begins so, that leaks are found by searching for it.
const PREFIX: &str = "trb_";
const SECRET_BYTES: usize = 32;
pub(super) const SALT_BYTES: usize = 16;

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Landing rows.
    Land,
    /// Asking queries and SQL.
    Query,
    /// Both, and the server's metrics.
    Admin,
}

/// A key as it is kept and listed; the secret itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    pub id: String,
    pub store: String,
    pub scopes: Vec<Scope>,
    pub created_at: String,
    #[serde(default)]
    pub revoked_at: Option<String>,
}

impl KeyInfo {
    /// Returns true if the key has `scope`; `admin` has every scope.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub info: KeyInfo,
    /// SHA-256 of the whole key, in hexadecimal. The key has 256 random bits: it needs no slow hash.
    hash: String,
    /// Proves the key over the Postgres protocol; absent from keys that were made before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram: Option<Verifier>,
}

/// Every key of a lake, revoked ones too.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Document {
    pub(super) keys: Vec<Record>,
    /// The salt of all verifiers, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_salt: Option<String>,
}

/// Says which keys can be proved without being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provable {
    /// Every key in force, with this salt.
    All(Vec<u8>),
    /// Some, with this salt; others are older than verifiers.
    Some(Vec<u8>),
    None,
}

/// A key that is made and in no document yet.
pub(super) struct NewKey {
    pub info: KeyInfo,
    pub secret: SecretString,
    /// Salts the verifiers of a document that has none.
    salt: String,
}

impl NewKey {
    pub fn make(store: &str, scopes: &[Scope]) -> Result<Self> {
        check_store(store)?;
        if scopes.is_empty() {
            return Err(Error::invalid("a key needs at least one scope: land, query or admin"));
        }
        let secret = SecretString::from(format!("{PREFIX}{}", random_hex(SECRET_BYTES)?));
        let info = KeyInfo {
            id: format!("key_{}", random_hex(8)?),
            store: store.to_owned(),
            scopes: scopes.to_vec(),
            created_at: now(),
            revoked_at: None,
        };
        Ok(Self { info, secret, salt: random_hex(SALT_BYTES)? })
    }
}

impl Document {
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| damaged().with_source(error))
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("the keys cannot be written").with_source(error))
    }

    /// Adds a key; returns false if it is there already.
    pub(super) fn add(&mut self, key: &NewKey) -> Result<bool> {
        if self.keys.iter().any(|record| record.info.id == key.info.id) {
            return Ok(false);
        }
        let salt = salt_bytes(self.scram_salt.get_or_insert_with(|| key.salt.clone()))?;
        let secret = key.secret.expose_secret();
        let scram = Some(Verifier::of(secret, &salt));
        self.keys.push(Record { info: key.info.clone(), hash: hash(secret), scram });
        Ok(true)
    }

    /// Revokes a key; returns false if it was revoked before.
    pub(super) fn revoke(&mut self, id: &str) -> Result<bool> {
        let known = self.keys.iter_mut().find(|record| record.info.id == id);
        let record = known.ok_or_else(|| {
            Error::not_found(format!("there is no key {id}: `tributary keys list` shows them"))
        })?;
        let is_in_force = record.info.revoked_at.is_none();
        record.info.revoked_at.get_or_insert_with(now);
        Ok(is_in_force)
    }

    /// Every key in the order of their making.
    pub fn infos(&self) -> Vec<KeyInfo> {
        self.keys.iter().map(|record| record.info.clone()).collect()
    }

    /// Returns true if no key was ever made. Revoked keys count, so that revoking the last one opens nothing.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns true if any key is in force.
    pub fn has_keys(&self) -> bool {
        self.in_force().next().is_some()
    }

    /// Finds who presents a secret; `None` for an unknown or a revoked key. Takes the same time for each.
    pub fn verify(&self, presented: &str) -> Option<KeyInfo> {
        let presented = hash(presented);
        let mut found = None;
        for record in self.in_force() {
            if bool::from(record.hash.as_bytes().ct_eq(presented.as_bytes())) {
                found = Some(record.info.clone());
            }
        }
        found
    }

    /// A key in force by its id, for who has proved it before.
    pub fn find(&self, id: &str) -> Option<KeyInfo> {
        self.in_force().find(|record| record.info.id == id).map(|record| record.info.clone())
    }

    /// Says which keys can be proved by SCRAM-SHA-256.
    pub fn provable(&self) -> Result<Provable> {
        let Some(salt) = &self.scram_salt else { return Ok(Provable::None) };
        let salt = salt_bytes(salt)?;
        let can_prove = |record: &Record| record.scram.is_some();
        Ok(match (self.in_force().any(can_prove), self.in_force().all(can_prove)) {
            (true, true) => Provable::All(salt),
            (true, false) => Provable::Some(salt),
            (false, _) => Provable::None,
        })
    }

    /// Finds whose proof over these messages it is, and proves the server to them.
    pub fn verify_proof(&self, messages: &[u8], proof: &[u8]) -> Option<(KeyInfo, Vec<u8>)> {
        let mut found = None;
        for record in self.in_force() {
            if let Some(verifier) = record.scram.as_ref().filter(|known| known.is_proved(messages, proof)) {
                found = Some((record.info.clone(), verifier.signature(messages)));
            }
        }
        found
    }

    fn in_force(&self) -> impl Iterator<Item = &Record> {
        self.keys.iter().filter(|record| record.info.revoked_at.is_none())
    }
}

fn damaged() -> Error {
    Error::unavailable("the file of the keys is damaged: restore it from a copy")
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| Error::unavailable("the system gives no random bytes").with_source(error))?;
    Ok(hex::encode(random))
}

fn salt_bytes(salt: &str) -> Result<Vec<u8>> {
    hex::decode(salt).map_err(|error| damaged().with_source(error))
}

fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}
