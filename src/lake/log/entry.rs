//! One entry of the log: what a commit added, removed and noted.

use std::collections::HashMap;
use std::hash::Hasher;

use serde::Deserialize;
use serde_json::{Value, json};
use twox_hash::XxHash64;

/// A file that a commit added, as the log describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddedFile {
    /// Relative to the table's folder.
    pub path: String,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// The instant at which it was written, in milliseconds since 1970.
    pub modification_time: Option<i64>,
    #[serde(default)]
    pub partition_values: HashMap<String, Option<String>>,
    /// JSON: the number of rows, and the least and greatest values of columns.
    pub stats: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: HashMap<String, Option<String>>,
    #[serde(default)]
    pub deletion_vector: Option<serde::de::IgnoredAny>,
}

/// A file that a commit removed. It stays in the folder until it is vacuumed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedFile {
    pub path: String,
    /// When it was removed, in milliseconds since 1970.
    pub deletion_timestamp: Option<i64>,
}

/// A number that a commit noted under a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    pub app_id: String,
    pub version: i64,
    /// In milliseconds since 1970.
    pub last_updated: Option<i64>,
}

/// What the log says of the table itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Made with the table.
    pub id: String,
    /// In milliseconds since 1970.
    pub created_time: Option<i64>,
    /// JSON: the columns.
    pub schema_string: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub configuration: HashMap<String, Option<String>>,
}

/// What a reader has to know to read the table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    #[serde(default, deserialize_with = "null_as_default")]
    pub reader_features: Vec<String>,
}

/// All that one commit says.
#[derive(Debug, Default)]
pub struct Entry {
    pub added: Vec<AddedFile>,
    pub removed: Vec<RemovedFile>,
    pub noted: Vec<Noted>,
    pub metadata: Option<Metadata>,
    pub protocol: Option<Protocol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<AddedFile>,
    remove: Option<RemovedFile>,
    txn: Option<Noted>,
    meta_data: Option<Metadata>,
    protocol: Option<Protocol>,
}

/// The first line of an entry of ours has the checksum of the whole entry under this name. The checksum itself does not
/// count.
const CHECKSUM: &str = "tributary.checksum";
const BEFORE_CHECKSUM: &str = r#""tributary.checksum":""#;
/// A checksum is a number of so many hexadecimal digits.
const CHECKSUM_DIGITS: usize = 16;

/// The first line has the entry's version under this name, too: an entry in another's place is not as it was written.
pub const VERSION: &str = "tributary.version";

/// An entry of a first line, which says what kind of change it is, and of further lines; with their checksum.
pub fn sealed(mut info: Value, lines: &[String]) -> String {
    info[CHECKSUM] = "".into();
    let text = format!("{}\n{}", json!({"commitInfo": info}), lines.join("\n"));
    let text = text.trim_ascii_end();
    let (before, behind) = text.split_once(BEFORE_CHECKSUM).unwrap_or((text, ""));
    let sum = checksum(&[before, BEFORE_CHECKSUM, behind]);
    format!("{before}{BEFORE_CHECKSUM}{sum}{behind}")
}

/// Seals an entry again whose lines were changed; entries of other programs have no seal.
pub fn sealed_again(mut lines: Vec<String>) -> String {
    let first = lines.first().and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
    match first.get("commitInfo").filter(|info| info.get(CHECKSUM).is_some()) {
        Some(info) => sealed(info.clone(), &lines.split_off(1)),
        None => lines.join("\n"),
    }
}

fn checksum(parts: &[&str]) -> String {
    let mut hasher = XxHash64::with_seed(0);
    for part in parts {
        hasher.write(part.as_bytes());
    }
    format!("{:0CHECKSUM_DIGITS$x}", hasher.finish())
}

/// Returns true if an entry is as it was written, and in its place. Entries of other programs have nothing to check.
fn is_whole(text: &str, version: u64) -> bool {
    let text = text.trim_ascii_end();
    let (first, lines) = text.split_once('\n').unwrap_or((text, ""));
    let Some(at) = first.find(BEFORE_CHECKSUM) else {
        // If the name of the checksum is damaged, the name of the version is not.
        return !first.contains(VERSION);
    };
    let (before, rest) = text.split_at(at + BEFORE_CHECKSUM.len());
    let Some((sum, behind)) = rest.split_at_checked(CHECKSUM_DIGITS) else { return false };
    let info = &serde_json::from_str::<Value>(first).unwrap_or_default()["commitInfo"];
    // Earlier versions of Tributary left the first line out of the checksum.
    let is_unchanged = sum == checksum(&[before, behind]) || sum == checksum(&[lines]);
    is_unchanged && info.get(VERSION).is_none_or(|written| *written == version)
}

impl Entry {
    /// Reads an entry. One without a line is refused: a table that skipped it would silently lack its rows.
    pub fn parse(text: &[u8], version: u64) -> Result<Self, serde_json::Error> {
        let mut entry = Self::default();
        let text = std::str::from_utf8(text).map_err(serde::de::Error::custom)?;
        if !is_whole(text, version) {
            return Err(serde::de::Error::custom("the entry is not as it was written"));
        }
        let mut lines = 0;
        for line in text.split('\n').filter(|line| !line.trim_ascii().is_empty()) {
            let Line { add, remove, txn, meta_data, protocol } = serde_json::from_str(line)?;
            entry.added.extend(add.map(decoded));
            entry
                .removed
                .extend(remove.map(|removed| RemovedFile { path: decode(&removed.path), ..removed }));
            entry.noted.extend(txn);
            entry.metadata = meta_data.or(entry.metadata);
            entry.protocol = protocol.or(entry.protocol);
            lines += 1;
        }
        if lines == 0 {
            return Err(serde::de::Error::custom("the entry has no line"));
        }
        Ok(entry)
    }
}

fn decoded(added: AddedFile) -> AddedFile {
    AddedFile { path: decode(&added.path), ..added }
}

/// The log writes paths as URLs do.
pub fn decode(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_what_its_lines_say() {
        let text = br#"{"commitInfo":{"operation":"WRITE"}}
{"add":{"path":"store_id=a%20b/x.parquet","partitionValues":{"store_id":"a b"},"size":7,"modificationTime":1,"dataChange":true,"stats":"{}","tags":null}}
{"remove":{"path":"y.parquet","dataChange":true,"deletionTimestamp":5}}
{"txn":{"appId":"w","version":3}}"#;
        let entry = Entry::parse(text, 1).unwrap();
        assert_eq!(entry.added[0].path, "store_id=a b/x.parquet");
        assert_eq!((entry.added[0].size_bytes, entry.removed[0].deletion_timestamp), (7, Some(5)));
        assert_eq!((entry.noted[0].app_id.as_str(), entry.noted[0].version), ("w", 3));
    }

    #[test]
    fn an_entry_that_was_changed_is_refused() {
        let line = r#"{"txn":{"appId":"writer","version":3}}"#;
        let text = sealed(json!({"operation": "WRITE", VERSION: 7}), &[line.to_owned()]);
        assert_eq!(Entry::parse(text.as_bytes(), 7).unwrap().noted[0].version, 3);
        assert!(Entry::parse(text.as_bytes(), 8).is_err(), "another's place");
        assert!(Entry::parse(text.replace("version\":3", "version\":2").as_bytes(), 7).is_err());
        assert!(Entry::parse(text.lines().next().unwrap().as_bytes(), 7).is_err());
        let lines = text.lines().map(|line| line.replace("\"version\":3", "\"version\":4")).collect();
        assert_eq!(Entry::parse(sealed_again(lines).as_bytes(), 7).unwrap().noted[0].version, 4);
    }

    #[test]
    fn an_entry_is_refused_whichever_bit_of_it_is_flipped() {
        let line = r#"{"txn":{"appId":"writer","version":3}}"#;
        let info = json!({"operation": "WRITE", "timestamp": 1_767_225_600_000_i64, VERSION: 7});
        let text = sealed(info, &[line.to_owned()]).into_bytes();
        assert!(Entry::parse(&text, 7).is_ok());
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::parse(&damaged, 7).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&damaged));
        }
        for length in 0..text.len() {
            assert!(Entry::parse(&text[..length], 7).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn an_entry_whose_checksum_leaves_the_first_line_out_is_read() {
        let line = r#"{"txn":{"appId":"writer","version":3}}"#;
        let sum = checksum(&[line]);
        let first = json!({"commitInfo": {"operation": "WRITE", CHECKSUM: sum, VERSION: 7}});
        let text = format!("{first}\n{line}");
        assert!(Entry::parse(text.as_bytes(), 7).is_ok());
        assert!(Entry::parse(text.replace("\"version\":3", "\"version\":2").as_bytes(), 7).is_err());
    }

    #[test]
    fn an_entry_that_is_empty_or_cut_off_is_refused() {
        for text in [&b""[..], b"\n\n", b"\0\0\0\0", br#"{"add":{"path":"x"#] {
            assert!(Entry::parse(text, 0).is_err(), "{text:?}");
        }
    }
}
