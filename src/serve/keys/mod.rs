//! API keys: random, shown once, kept as hashes in one small document. In: a lake's place. Out: who presents a key, and
//! what the key allows. This room never keeps a secret, and never lets somebody in because it cannot read the keys.

mod document;
mod shown;
mod store;

mod bucket;
mod file;
mod place;

#[cfg(test)]
mod bucket_tests;
#[cfg(test)]
mod tests;

pub use bucket::{LONGEST_OUTAGE, LOOK_INTERVAL};
pub use document::{Document, KeyInfo, Provable, Scope};
pub use place::{Freshness, keys_file};
pub use shown::Shown;
pub use store::{KeyStore, create, list, revoke};
