//! Newline-delimited JSON: one object a line, its values taken from their text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::blocks::{LineFormat, Piece};
use super::body::{Bytes, empty};
use super::builder::{Layout, RowSink, Slot, problem};
use super::extras::{check_count, check_name, object, refuse_json};
use super::lines::{Line, Lines};
use super::read::RowSource;
use super::value::{Raw, Reason};
use crate::error::{Error, Problem, Result};

pub(super) struct Ndjson(Arc<Layout>);

impl Ndjson {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        Self(layout)
    }
}

impl LineFormat for Ndjson {
    fn rows(&self, bytes: Bytes, piece: Piece) -> Box<dyn RowSource> {
        let (lines, layout) = (Lines::new(bytes), Arc::clone(&self.0));
        Box::new(NdjsonSource { lines, layout, piece, line: Vec::new(), row: 0 })
    }

    fn without_rows(&self) -> Option<Error> {
        Some(empty())
    }
}

struct NdjsonSource {
    lines: Lines,
    layout: Arc<Layout>,
    piece: Piece,
    line: Vec<u8>,
    row: u64,
}

impl NdjsonSource {
    fn add_line(&self, sink: &mut RowSink) {
        let row = self.row;
        let Ok(line) = std::str::from_utf8(&self.line).map(str::trim_ascii) else {
            let raw = String::from_utf8_lossy(&self.line).into_owned();
            return sink.reject(row, vec![problem(row, "", "is not UTF-8")], raw);
        };
        let mut fields = Fields::new(&self.layout, row);
        let mut json = serde_json::Deserializer::from_str(line);
        if let Err(error) = fields.deserialize(&mut json).and_then(|()| json.end()) {
            let reason = if error.is_data() {
                "is not a JSON object: send one object a line".to_owned()
            } else {
                format!("is not valid JSON near byte {}", error.column())
            };
            return sink.reject(row, vec![problem(row, "", reason)], line.to_owned());
        }
        let Fields { values, unknown, problems, .. } = fields.close();
        let extras = object(unknown.iter().map(|(name, json)| (name.as_ref(), Cow::Borrowed(*json))));
        let values = values.into_iter().map(|value| value.unwrap_or(Raw::Null));
        sink.add(row, values, extras.as_deref(), problems, || line.to_owned());
    }
}

impl RowSource for NdjsonSource {
    fn fill(&mut self, sink: &mut RowSink) -> Result<bool> {
        while !sink.is_full() {
            self.line.clear();
            match self.lines.read(&mut self.line)? {
                Line::End if self.row == 0 && self.piece.begins && self.piece.ends => return Err(empty()),
                Line::End => return Ok(false),
                Line::TooLong => {
                    self.row += 1;
                    let raw = String::from_utf8_lossy(&self.line).into_owned();
                    let reason = "is longer than 1 MiB; only its beginning was read";
                    sink.reject(self.row, vec![problem(self.row, "", reason)], raw);
                }
                Line::Whole => {
                    if !self.line.trim_ascii().is_empty() {
                        self.row += 1;
                        self.add_line(sink);
                    }
                }
            }
        }
        Ok(true)
    }
}

/// One object's fields, sorted into the table's columns and the others.
struct Fields<'l, 'a> {
    layout: &'l Layout,
    row: u64,
    values: Vec<Option<Raw<'a>>>,
    unknown: Vec<(Cow<'a, str>, &'a str)>,
    has_store: bool,
    problems: Vec<Problem>,
    hint: usize,
}

impl<'l, 'a> Fields<'l, 'a> {
    fn new(layout: &'l Layout, row: u64) -> Self {
        let values = layout.spec.columns.iter().map(|_| None).collect();
        Self { layout, row, values, unknown: Vec::new(), has_store: false, problems: Vec::new(), hint: 0 }
    }

    fn put(&mut self, name: Cow<'a, str>, json: &'a str) {
        self.problems.extend(check_name(&name, self.row));
        let slot = self.layout.slot(&name, self.hint);
        if slot == Slot::Extra {
            self.problems.extend(refuse_json(json).map(|reason| self.about(&name, reason)));
            // The count is checked when the row is whole; what is beyond it need not be kept.
            if self.unknown.len() <= super::extras::MAX_FIELDS {
                self.unknown.push((name, json));
            }
            return;
        }
        let raw = match raw(json) {
            Ok(raw) => raw,
            Err(reason) => return self.problems.push(self.about(&name, reason)),
        };
        let is_twice = if let Slot::Column(at) = slot {
            self.hint = at + 1;
            self.values[at].replace(raw).is_some()
        } else {
            self.problems.extend(self.layout.check_store(raw, self.row));
            std::mem::replace(&mut self.has_store, true)
        };
        if is_twice {
            self.problems.push(self.about(&name, "is there twice"));
        }
    }

    fn close(mut self) -> Self {
        self.problems.extend(check_count(self.unknown.len(), self.row));
        self.unknown.sort_by(|left, right| left.0.cmp(&right.0));
        for pair in self.unknown.windows(2) {
            if pair[0].0 == pair[1].0 {
                self.problems.push(problem(self.row, short(&pair[0].0), "is there twice"));
            }
        }
        self
    }

    fn about(&self, name: &str, reason: impl Into<String>) -> Problem {
        problem(self.row, short(name), reason)
    }
}

/// A name to show: one that is too long is a problem of its own.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(super::extras::MAX_NAME_BYTES)]
}

fn raw(json: &str) -> Result<Raw<'_>, Reason> {
    Ok(match json.as_bytes()[0] {
        b'"' if !json.contains('\\') => Raw::Text(Cow::Borrowed(&json[1..json.len() - 1])),
        b'"' => {
            let text =
                serde_json::from_str::<String>(json).map_err(|_| "has an escape that is not Unicode")?;
            Raw::Text(Cow::Owned(text))
        }
        b'n' => Raw::Null,
        b't' | b'f' => Raw::Other("true or false"),
        b'[' => Raw::Other("a list"),
        b'{' => Raw::Other("an object"),
        _ => Raw::Number(json),
    })
}

impl<'de> DeserializeSeed<'de> for &mut Fields<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Fields<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Key(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            self.put(name, value.get());
        }
        Ok(())
    }
}

/// A name, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(name.to_owned())))
    }
}
