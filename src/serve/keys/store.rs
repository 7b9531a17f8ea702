//! The keys of one lake: read by every server, changed by `tributary keys`.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::document::{Document, KeyInfo, NewKey, Scope};
use super::file::KeyFile;
use super::place::{Freshness, Place};
use crate::error::Result;
use crate::lake::{Glance, Watch};

/// The keys of a lake, wherever they are. Clones share what was read.
#[derive(Debug, Clone)]
pub struct KeyStore {
    pub(super) place: Arc<Place>,
}

impl KeyStore {
    /// The keys in a file.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { place: Arc::new(Place::File(KeyFile::new(file))) }
    }

    /// The keys of the lake at `data`, a folder or a URL.
    pub fn of_lake(data: &str) -> Result<Self> {
        Ok(Self { place: Arc::new(Place::of(data)?) })
    }

    /// Looks at the keys by a watch of their folder, if they are in a file: that takes less time than a look at the file.
    pub fn follow(&self, watch: &Arc<Watch>) {
        if let Place::File(file) = &*self.place {
            file.follow(watch);
        }
    }

    /// The keys as they are now, or as they were a moment ago: [`Self::freshness`] says how long.
    pub async fn look(&self) -> Result<Arc<Document>> {
        match &*self.place {
            Place::File(file) => file.look(),
            Place::Bucket(object) => object.look().await,
        }
    }

    /// The same after a look at the folders that [`Self::follow`] was told of.
    pub async fn look_after(&self, glance: Option<Glance>) -> Result<Arc<Document>> {
        match &*self.place {
            Place::File(file) => file.look_after(glance),
            Place::Bucket(object) => object.look().await,
        }
    }

    /// The keys as they are kept now; changes nothing.
    pub async fn read(&self) -> Result<Arc<Document>> {
        match &*self.place {
            Place::File(file) => file.look(),
            Place::Bucket(object) => Ok(Arc::new(object.read().await?.0)),
        }
    }

    /// The file in which an older version kept keys for this lake, if there is one with keys.
    pub fn old_file(&self) -> Result<Option<PathBuf>> {
        match &*self.place {
            Place::File(_) => Ok(None),
            Place::Bucket(object) => object.old_file(),
        }
    }

    /// The time until other processes see a change.
    pub fn freshness(&self) -> Freshness {
        self.place.freshness()
    }

    /// Makes a key for one store. The secret is returned here and never again.
    pub async fn create(&self, store: &str, scopes: &[Scope]) -> Result<(KeyInfo, SecretString)> {
        let key = NewKey::make(store, scopes)?;
        self.change(|document| document.add(&key)).await?;
        Ok((key.info, key.secret))
    }

    /// Every key, revoked ones too, in the order of their making.
    pub async fn list(&self) -> Result<Vec<KeyInfo>> {
        Ok(self.look().await?.infos())
    }

    /// Revokes a key for good; revoking it again changes nothing.
    pub async fn revoke(&self, id: &str) -> Result<()> {
        self.change(|document| document.revoke(id)).await
    }

    /// Changes the keys, alone among all processes. `change` may run several times, and returns whether it changed
    /// something.
    pub(super) async fn change(&self, change: impl Fn(&mut Document) -> Result<bool>) -> Result<()> {
        match &*self.place {
            Place::File(file) => file.change(change),
            Place::Bucket(object) => object.change(change).await,
        }
    }
}

/// Makes a key for a store of the lake at `data`.
pub async fn create(data: &str, store: &str, scopes: &[Scope]) -> Result<SecretString> {
    Ok(KeyStore::of_lake(data)?.create(store, scopes).await?.1)
}

/// The keys of the lake at `data`.
pub async fn list(data: &str) -> Result<Vec<KeyInfo>> {
    KeyStore::of_lake(data)?.list().await
}

/// Revokes a key of the lake at `data`, and says how soon servers refuse it.
pub async fn revoke(data: &str, id: &str) -> Result<Freshness> {
    let keys = KeyStore::of_lake(data)?;
    keys.revoke(id).await?;
    Ok(keys.freshness())
}
