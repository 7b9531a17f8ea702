//! The keys of a lake are with the lake. A local folder has a file, and a bucket has an object.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bucket::{KeyObject, LONGEST_OUTAGE, LOOK_INTERVAL};
use super::file::KeyFile;
use crate::error::{Error, Result};
use crate::lake::Storage;

/// The name of the file or object in the lake's folder.
const NAME: &str = "keys.json";
/// Older versions kept the keys of a lake in this file if it is not in a local folder. A lake in memory still does.
const WORKING_FOLDER_NAME: &str = "tributary-keys.json";

/// The place of the keys.
#[derive(Debug)]
pub enum Place {
    File(KeyFile),
    Bucket(Box<KeyObject>),
}

/// The time until servers see a change of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// With the next request.
    AtOnce,
    /// At most `usual` after it; at most `outage` after it if the bucket cannot be read meanwhile.
    Within { usual: Duration, outage: Duration },
}

impl Place {
    /// The place of the keys of the lake at `data`. Makes nothing.
    pub fn of(data: &str) -> Result<Self> {
        if let Some(file) = keys_file(data) {
            return Ok(Place::File(KeyFile::new(file)));
        }
        let storage = Storage::open(data)?;
        Ok(Place::Bucket(Box::new(KeyObject::new(storage, NAME, WORKING_FOLDER_NAME)?)))
    }

    pub fn freshness(&self) -> Freshness {
        match self {
            Place::File(_) => Freshness::AtOnce,
            Place::Bucket(_) => Freshness::Within { usual: LOOK_INTERVAL, outage: LONGEST_OUTAGE },
        }
    }
}

/// The file of the keys of the lake at `data`: beside a local lake, and in the working folder for one in memory. `None` for a
/// lake in a bucket, whose keys are an object there.
pub fn keys_file(data: &str) -> Option<PathBuf> {
    let local = data.strip_prefix("file://").unwrap_or(data);
    if local.starts_with("memory:") {
        return Some(PathBuf::from(WORKING_FOLDER_NAME));
    }
    (!local.contains("://")).then(|| Path::new(local).join(NAME))
}

/// Keys that were there are not there any more: that must not open a server.
pub fn gone() -> Error {
    Error::unavailable("the keys of this lake are gone: restore keys.json from a copy, or make new keys")
}
