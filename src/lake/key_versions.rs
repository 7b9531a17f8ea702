//! The newest version of each of many keys, in 16 bytes a key.
//!
//! A key is held as 96 bits of a keyed SipHash: two of a hundred million keys share them with a chance below
//! one in ten trillion, and nobody who does not know this process's secret can make two that do.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use rand::Rng;
use siphasher::sip128::{Hasher128, SipHasher13};

/// When a row was landed, and by which batch where two landed in the same microsecond.
pub type RowVersion = (i64, u128);

#[derive(Debug, Clone)]
pub struct KeyVersions {
    secret: SipHasher13,
    /// Versions by number: a landed file has few.
    versions: Vec<RowVersion>,
    numbers: HashMap<RowVersion, u32>,
    newest: HashMap<KeyHash, u32, BuildHasherDefault<FirstWord>>,
}

impl Default for KeyVersions {
    fn default() -> Self {
        let mut random = rand::rng();
        Self {
            secret: SipHasher13::new_with_keys(random.random(), random.random()),
            versions: Vec::new(),
            numbers: HashMap::new(),
            newest: HashMap::default(),
        }
    }
}

impl KeyVersions {
    /// Makes room for further keys at once: growing step by step would hold twice the memory at its peak.
    pub fn reserve(&mut self, keys: usize) {
        self.newest.reserve(keys);
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

    /// The newest version of a key, where it is known.
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
        let versions = &mut self.versions;
        *self.numbers.entry(version).or_insert_with(|| {
            versions.push(version);
            versions.len() as u32 - 1
        })
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

    #[test]
    fn the_newest_version_stays_whatever_the_order() {
        for order in [[0_usize, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let versions = [(1, 5), (2, 0), (2, 7)];
            let mut keys = KeyVersions::default();
            for version in order {
                keys.insert(b"a", versions[version]);
            }
            keys.insert(b"b", (0, 0));
            assert_eq!(keys.newest(b"a"), Some((2, 7)));
            assert_eq!(keys.newest(b"b"), Some((0, 0)));
            assert_eq!(keys.newest(b"c"), None);
            assert_eq!(keys.len(), 2);
        }
    }

    #[test]
    fn a_key_takes_sixteen_bytes() {
        assert_eq!(size_of::<(KeyHash, u32)>(), 16);
    }
}
