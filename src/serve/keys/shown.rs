//! A secret that was shown before: to compare it takes less time than to look for it among all keys.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::document::{Document, KeyInfo};

/// A secret, and the key that it was found to be.
#[derive(Debug)]
pub struct Shown {
    secret: SecretString,
    /// The keys in which it was found.
    keys: Arc<Document>,
    key: Arc<KeyInfo>,
}

impl Shown {
    pub fn new(secret: &str, keys: &Arc<Document>, key: &Arc<KeyInfo>) -> Self {
        Self { secret: secret.into(), keys: Arc::clone(keys), key: Arc::clone(key) }
    }

    /// Returns the key if the same secret is shown again, and no key has been made or revoked since.
    pub fn again(&self, secret: &str, keys: &Arc<Document>) -> Option<Arc<KeyInfo>> {
        let is_same = self.secret.expose_secret().as_bytes().ct_eq(secret.as_bytes());
        (Arc::ptr_eq(&self.keys, keys) && bool::from(is_same)).then(|| Arc::clone(&self.key))
    }
}
