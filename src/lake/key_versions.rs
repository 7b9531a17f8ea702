//! The newest version of each of many keys, in 16 bytes a key, and 24 more if its source says when it changed it.
//!
//! A key is held as 96 bits of a keyed SipHash: two of a hundred million keys share them with a chance below
//! one in ten trillion, and nobody who does not know this process's secret can make two that do.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use rand::Rng;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::row_order::RowVersion;

#[derive(Debug, Clone)]
pub struct KeyVersions {
    secret: SipHasher13,
    /// Versions by number: rows without a source's time share that of their landing.
    versions: Vec<RowVersion>,
    newest: HashMap<KeyHash, u32, BuildHasherDefault<FirstWord>>,
}

impl Default for KeyVersions {
    fn default() -> Self {
        let mut random = rand::rng();
        Self {
            secret: SipHasher13::new_with_keys(random.random(), random.random()),
            versions: Vec::new(),
            newest: HashMap::default(),
        }
    }
}

impl KeyVersions {
    /// Makes room for further keys at once: growing step by step would hold twice the memory at its peak.
    pub fn reserve(&mut self, keys: usize) {
        self.newest.reserve(keys);
    }

    /// The bytes that the map takes once it has so many keys more.
    pub fn bytes_with(&self, keys: usize) -> usize {
        // As the library lays a table out: a power of two of places, of which one in eight stays free, with a byte each.
        let places = |keys: usize| (keys * 8 / 7).next_power_of_two();
        let needed = self.newest.capacity().max(self.newest.len() + keys);
        places(needed) * (size_of::<(KeyHash, u32)>() + 1)
            + self.versions.capacity() * size_of::<RowVersion>()
    }

    pub fn insert(&mut self, key: &[u8], version: RowVersion) {
        let number = self.number(version);
        let versions = &self.versions;
        self.newest
            .entry(self.secret_hash(key))
            .and_modify(|newest| {
                if versions[*newest as usize] < version {
                    *newest = number;
                }
            })
            .or_insert(number);
    }

    /// Takes the version of a key that is known already, if it is newer.
    pub fn update(&mut self, key: &[u8], version: RowVersion) {
        let hash = self.secret_hash(key);
        if self.newest.get(&hash).is_some_and(|newest| self.versions[*newest as usize] < version) {
            let number = self.number(version);
            self.newest.insert(hash, number);
        }
    }

    /// The newest version of a key, if it is known.
    pub fn newest(&self, key: &[u8]) -> Option<RowVersion> {
        self.newest.get(&self.secret_hash(key)).map(|number| self.versions[*number as usize])
    }

    pub fn len(&self) -> usize {
        self.newest.len()
    }

    fn number(&mut self, version: RowVersion) -> u32 {
        // Rows of one landing come one after another.
        if self.versions.last() == Some(&version) {
            return self.versions.len() as u32 - 1;
        }
        self.versions.push(version);
        self.versions.len() as u32 - 1
    }

    fn secret_hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.secret;
        hasher.write(key);
        let hash = hasher.finish128();
        KeyHash([hash.h1 as u32, (hash.h1 >> 32) as u32, hash.h2 as u32])
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyHash([u32; 3]);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) | u64::from(self.0[1]) << 32);
    }
}

/// Takes what is a hash already as it is.
#[derive(Default)]
struct FirstWord(u64);

impl Hasher for FirstWord {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(as_of_us: i64, landed_us: i64) -> RowVersion {
        RowVersion { as_of_us, landed_us, commit: 0 }
    }

    #[test]
    fn the_newest_version_stays_whatever_the_order() {
        for order in [[0_usize, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let versions = [(1, 5), (2, 0), (2, 7)].map(|(as_of_us, landed_us)| version(as_of_us, landed_us));
            let mut keys = KeyVersions::default();
            for version in order {
                keys.insert(b"a", versions[version]);
            }
            keys.insert(b"b", version(0, 0));
            keys.update(b"b", version(0, 1));
            keys.update(b"b", version(-1, 9));
            keys.update(b"c", version(0, 0));
            assert_eq!(keys.newest(b"a"), Some(version(2, 7)));
            assert_eq!(keys.newest(b"b"), Some(version(0, 1)));
            assert_eq!(keys.newest(b"c"), None);
            assert_eq!(keys.len(), 2);
        }
    }

    #[test]
    fn a_key_takes_sixteen_bytes() {
        assert_eq!(size_of::<(KeyHash, u32)>(), 16);
    }
}
