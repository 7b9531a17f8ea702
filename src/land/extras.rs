//! Fields that no column takes, as one JSON object sorted by name.

use std::borrow::Cow;

use super::builder::problem;
use crate::error::Problem;

pub(super) const MAX_FIELDS: usize = 1_000;
pub(super) const MAX_NAME_BYTES: usize = 256;
const MAX_DEPTH: usize = 64;

/// A JSON string literal of the text.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes an object of names and JSON texts, in the order given.
pub(super) fn object<'a>(fields: impl Iterator<Item = (&'a str, Cow<'a, str>)>) -> Option<String> {
    let mut json = String::new();
    for (name, value) in fields {
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push_str(&quote(name));
        json.push(':');
        json.push_str(&value);
    }
    (!json.is_empty()).then(|| json + "}")
}

/// Checks a field's name, of a column or of none.
pub(super) fn check_name(name: &str, row: u64) -> Option<Problem> {
    let reason = "a field's name is longer than 256 bytes";
    (name.len() > MAX_NAME_BYTES).then(|| problem(row, "", reason))
}

pub(super) fn check_count(count: usize, row: u64) -> Option<Problem> {
    let reason = "has more than 1,000 fields that the table does not know";
    (count > MAX_FIELDS).then(|| problem(row, "", reason))
}

/// Why a JSON text is not kept, if it is not: nested too deep, or with text that is not Unicode.
pub(super) fn refuse_json(json: &str) -> Option<&'static str> {
    if json.starts_with(['{', '[']) && depth(json) > MAX_DEPTH {
        return Some("is nested deeper than 64 levels");
    }
    // A lone surrogate is an escape that no text can hold; only a full parse finds it.
    let is_escaped = json.contains("\\u");
    (is_escaped && serde_json::from_str::<serde_json::Value>(json).is_err())
        .then_some("has an escape that is not Unicode")
}

fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
