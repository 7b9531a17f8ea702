//! API keys: random, shown once, kept as hashes in one small file that every process may read.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{SecondsFormat, Utc};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::scram::Verifier;
use crate::error::{Error, Result};

/// Every key begins so, that leaks are found by searching for it.
const PREFIX: &str = "trb_";
const SECRET_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// What a key allows.
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
    /// Whether the key may do what needs `scope`; `admin` may do everything.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    info: KeyInfo,
    /// SHA-256 of the whole key, in hexadecimal. The key has 256 random bits: it needs no slow hash.
    hash: String,
    /// Proves the key over the Postgres protocol; absent from keys that were made before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram: Option<Verifier>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    keys: Vec<Record>,
    /// What all verifiers are salted with, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_salt: Option<String>,
}

impl Document {
    fn in_force(&self) -> impl Iterator<Item = &Record> {
        self.keys.iter().filter(|record| record.info.revoked_at.is_none())
    }
}

/// The keys in one file. What another process changes there is seen by the next request.
#[derive(Debug, Clone)]
pub struct KeyStore {
    path: PathBuf,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// Changes whenever the file is replaced.
type Stamp = (SystemTime, u64, u64);

/// The keys, and the file that they were read from.
type Seen = (Stamp, Arc<Document>);

/// Whether keys can be proved without being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provable {
    /// Every key in force, with this salt.
    All(Vec<u8>),
    /// Some, with this salt; others are older than verifiers.
    Some(Vec<u8>),
    None,
}

impl KeyStore {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: Arc::default() }
    }

    /// Makes a key for one store. The secret is returned here and never again.
    pub fn create(&self, store: &str, scopes: &[Scope]) -> Result<(KeyInfo, SecretString)> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if store.is_empty() || store.len() > 128 || !store.bytes().all(is_name) {
            return Err(Error::invalid("a store's name is made of letters, digits, '-', '_' and '.'"));
        }
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
        let new_salt = random_hex(SALT_BYTES)?;
        self.change(|document| {
            let salt = document.scram_salt.get_or_insert(new_salt);
            let secret = secret.expose_secret();
            let scram = Some(Verifier::of(secret, &salt_bytes(salt)?));
            document.keys.push(Record { info: info.clone(), hash: hash(secret), scram });
            Ok(())
        })?;
        Ok((info, secret))
    }

    /// Every key, revoked ones too, in the order of their making.
    pub fn list(&self) -> Result<Vec<KeyInfo>> {
        Ok(self.document()?.keys.iter().map(|record| record.info.clone()).collect())
    }

    /// Revokes a key for good; revoking it again changes nothing.
    pub fn revoke(&self, id: &str) -> Result<()> {
        self.change(|document| {
            let known = document.keys.iter_mut().find(|record| record.info.id == id);
            let record = known.ok_or_else(|| {
                Error::not_found(format!("there is no key {id}: `tributary keys list` shows them"))
            })?;
            record.info.revoked_at.get_or_insert_with(now);
            Ok(())
        })
    }

    /// Whether no key was ever made; revoked ones count, so that revoking the last one opens nothing.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.document()?.keys.is_empty())
    }

    /// Whether any key is in force.
    pub fn has_keys(&self) -> Result<bool> {
        Ok(self.document()?.in_force().next().is_some())
    }

    /// Finds who presents a secret; `None` for an unknown or a revoked key. Takes the same time for each.
    pub fn verify(&self, presented: &str) -> Result<Option<KeyInfo>> {
        let presented = hash(presented);
        let mut found = None;
        for record in self.document()?.in_force() {
            if bool::from(record.hash.as_bytes().ct_eq(presented.as_bytes())) {
                found = Some(record.info.clone());
            }
        }
        Ok(found)
    }

    /// A key in force by its id, for who has proved it before.
    pub fn find(&self, id: &str) -> Result<Option<KeyInfo>> {
        Ok(self.document()?.in_force().find(|record| record.info.id == id).map(|record| record.info.clone()))
    }

    /// Whether keys can be proved by SCRAM-SHA-256.
    pub fn provable(&self) -> Result<Provable> {
        let document = self.document()?;
        let Some(salt) = &document.scram_salt else { return Ok(Provable::None) };
        let salt = salt_bytes(salt)?;
        let can_prove = |record: &Record| record.scram.is_some();
        Ok(match (document.in_force().any(can_prove), document.in_force().all(can_prove)) {
            (true, true) => Provable::All(salt),
            (true, false) => Provable::Some(salt),
            (false, _) => Provable::None,
        })
    }

    /// Finds whose proof over these messages it is, and proves the server to them.
    pub fn verify_proof(&self, messages: &[u8], proof: &[u8]) -> Result<Option<(KeyInfo, Vec<u8>)>> {
        let mut found = None;
        for record in self.document()?.in_force() {
            if let Some(verifier) = record.scram.as_ref().filter(|known| known.is_proved(messages, proof)) {
                found = Some((record.info.clone(), verifier.signature(messages)));
            }
        }
        Ok(found)
    }

    fn document(&self) -> Result<Arc<Document>> {
        let Some(stamp) = stamp(&self.path)? else { return Ok(Arc::default()) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, document)) = seen.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(read(&self.path)?);
        *seen = Some((stamp, Arc::clone(&document)));
        Ok(document)
    }

    /// Reads, changes and replaces the file, alone among all processes.
    fn change(&self, change: impl FnOnce(&mut Document) -> Result<()>) -> Result<()> {
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unwritable)?;
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(self.path.with_extension("lock"))
            .map_err(unwritable)?;
        lock.lock().map_err(unwritable)?;
        let mut document = read(&self.path)?;
        change(&mut document)?;
        let text = serde_json::to_vec_pretty(&document)
            .map_err(|error| Error::internal("the keys cannot be written").with_source(error))?;
        // A temporary file of this crate is readable by its owner alone.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
        file.write_all(&text).map_err(unwritable)?;
        file.as_file().sync_all().map_err(unwritable)?;
        file.persist(&self.path).map_err(|error| unwritable(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)
    }
}

/// Where the keys of a lake are kept: beside a local one, in the working folder for one that is elsewhere.
pub fn keys_file(data: &str) -> PathBuf {
    let local = data.strip_prefix("file://").unwrap_or(data);
    if local.contains("://") || local.starts_with("memory:") {
        return PathBuf::from("tributary-keys.json");
    }
    Path::new(local).join("keys.json")
}

/// Makes a key for a store of the lake at `data`.
#[allow(clippy::unused_async)]
pub async fn create(data: &str, store: &str, scopes: &[Scope]) -> Result<SecretString> {
    Ok(KeyStore::new(keys_file(data)).create(store, scopes)?.1)
}

/// The keys of the lake at `data`.
#[allow(clippy::unused_async)]
pub async fn list(data: &str) -> Result<Vec<KeyInfo>> {
    KeyStore::new(keys_file(data)).list()
}

/// Revokes a key of the lake at `data`.
#[allow(clippy::unused_async)]
pub async fn revoke(data: &str, id: &str) -> Result<()> {
    KeyStore::new(keys_file(data)).revoke(id)
}

fn read(path: &Path) -> Result<Document> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            Error::unavailable("the file of the keys is damaged: restore it from a copy").with_source(error)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Document::default()),
        Err(error) => Err(Error::unavailable("the file of the keys cannot be read").with_source(error)),
    }
}

fn stamp(path: &Path) -> Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(data) => {
            #[cfg(unix)]
            let inode = std::os::unix::fs::MetadataExt::ino(&data);
            #[cfg(not(unix))]
            let inode = 0;
            Ok(Some((data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len(), inode)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unavailable("the file of the keys cannot be read").with_source(error)),
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn unwritable(error: std::io::Error) -> Error {
    Error::unavailable("the file of the keys cannot be written").with_source(error)
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| Error::unavailable("the system gives no random bytes").with_source(error))?;
    Ok(hex::encode(random))
}

fn salt_bytes(salt: &str) -> Result<Vec<u8>> {
    hex::decode(salt).map_err(|error| {
        Error::unavailable("the file of the keys is damaged: restore it from a copy").with_source(error)
    })
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, KeyStore) {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyStore::new(folder.path().join("keys.json"));
        (folder, keys)
    }

    #[test]
    fn a_key_opens_its_own_store_until_it_is_revoked() {
        let (_folder, keys) = keys();
        let (a, secret_a) = keys.create("a", &[Scope::Query]).unwrap();
        let (_, secret_b) = keys.create("b", &[Scope::Admin]).unwrap();
        assert_eq!(keys.verify(secret_a.expose_secret()).unwrap().unwrap().store, "a");
        assert_eq!(keys.verify(secret_b.expose_secret()).unwrap().unwrap().store, "b");
        assert!(keys.verify("trb_").unwrap().is_none());
        // Another process revokes: this one sees it at once.
        KeyStore::new(&keys.path).revoke(&a.id).unwrap();
        assert!(keys.verify(secret_a.expose_secret()).unwrap().is_none());
        assert!(keys.verify(secret_b.expose_secret()).unwrap().is_some());
        assert!(keys.list().unwrap()[0].revoked_at.is_some());
        assert!(keys.revoke("key_none").is_err());
    }

    #[test]
    fn scopes_allow_what_they_say_and_admin_allows_all() {
        let (_folder, keys) = keys();
        let (land, _) = keys.create("a", &[Scope::Land]).unwrap();
        let (admin, _) = keys.create("a", &[Scope::Admin]).unwrap();
        assert!(land.allows(Scope::Land) && !land.allows(Scope::Query) && !land.allows(Scope::Admin));
        assert!(admin.allows(Scope::Land) && admin.allows(Scope::Query) && admin.allows(Scope::Admin));
    }

    #[test]
    fn the_file_holds_no_secret_and_is_its_owners_alone() {
        let (_folder, keys) = keys();
        let (_, secret) = keys.create("a", &[Scope::Query]).unwrap();
        let text = fs::read_to_string(&keys.path).unwrap();
        assert!(!text.contains(secret.expose_secret()) && !text.contains(&secret.expose_secret()[4..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&keys.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn concurrent_makers_lose_no_key() {
        let (_folder, keys) = keys();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| KeyStore::new(&keys.path).create("a", &[Scope::Land]).unwrap());
            }
        });
        assert_eq!(keys.list().unwrap().len(), 8);
    }

    #[test]
    fn a_key_that_was_made_before_verifiers_still_opens_and_cannot_be_proved() {
        let (_folder, keys) = keys();
        assert_eq!(keys.provable().unwrap(), Provable::None);
        let (info, secret) = keys.create("a", &[Scope::Query]).unwrap();
        assert!(matches!(keys.provable().unwrap(), Provable::All(salt) if salt.len() == SALT_BYTES));
        keys.change(|document| {
            document.keys[0].scram = None;
            Ok(())
        })
        .unwrap();
        assert_eq!(keys.provable().unwrap(), Provable::None);
        assert_eq!(keys.verify(secret.expose_secret()).unwrap().unwrap().id, info.id);
        let (newer, _) = keys.create("a", &[Scope::Query]).unwrap();
        assert!(matches!(keys.provable().unwrap(), Provable::Some(_)));
        keys.revoke(&info.id).unwrap();
        assert!(matches!(keys.provable().unwrap(), Provable::All(_)));
        assert!(keys.find(&info.id).unwrap().is_none() && keys.find(&newer.id).unwrap().is_some());
        assert!(keys.verify_proof(b"messages", &[0; 32]).unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_lets_nobody_in() {
        let (_folder, keys) = keys();
        fs::write(&keys.path, b"{").unwrap();
        assert!(keys.verify("trb_x").is_err());
        assert!(keys.has_keys().is_err());
        assert!(keys.create("../a", &[Scope::Land]).is_err());
    }
}
