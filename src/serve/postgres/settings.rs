//! Settings of a connection: what clients set, show and reset.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use arrow::array::timezone::Tz;
use pgwire::error::PgWireResult;
use pgwire::types::format::FormatOptions;

use super::errors::error;
use crate::session::{POSTGRES_VERSION, SCHEMA};

/// The longest value that is kept.
const VALUE_BYTES: usize = 1024;

/// A setting: its name, what it is without being set, and what setting it does.
type Known = (&'static str, &'static str, Use);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The client is told when it changes, as Postgres does.
    Reported,
    Kept,
    /// Cannot be set.
    Fixed,
    /// May be set to anything and stays what it is: writes are refused whatever it says.
    Ignored,
}

/// In the spelling that clients are told.
const KNOWN: [Known; 34] = [
    ("application_name", "", Use::Reported),
    ("bytea_output", "hex", Use::Kept),
    ("client_encoding", "UTF8", Use::Reported),
    ("client_min_messages", "notice", Use::Kept),
    ("constraint_exclusion", "partition", Use::Kept),
    ("cursor_tuple_fraction", "0.1", Use::Kept),
    ("DateStyle", "ISO, MDY", Use::Reported),
    ("default_transaction_isolation", "read committed", Use::Ignored),
    ("default_transaction_read_only", "on", Use::Ignored),
    ("enable_seqscan", "on", Use::Kept),
    ("escape_string_warning", "on", Use::Kept),
    ("extra_float_digits", "1", Use::Kept),
    ("geqo", "on", Use::Kept),
    ("idle_in_transaction_session_timeout", "0", Use::Kept),
    ("idle_session_timeout", "0", Use::Kept),
    ("in_hot_standby", "off", Use::Fixed),
    ("integer_datetimes", "on", Use::Fixed),
    ("IntervalStyle", "postgres", Use::Reported),
    ("is_superuser", "off", Use::Fixed),
    ("jit", "off", Use::Kept),
    ("lc_messages", "C", Use::Kept),
    ("lc_monetary", "C", Use::Kept),
    ("lc_numeric", "C", Use::Kept),
    ("lc_time", "C", Use::Kept),
    ("lock_timeout", "0", Use::Kept),
    ("max_identifier_length", "63", Use::Fixed),
    ("row_security", "on", Use::Kept),
    ("search_path", SCHEMA, Use::Kept),
    ("server_encoding", "UTF8", Use::Fixed),
    ("server_version", POSTGRES_VERSION, Use::Fixed),
    ("server_version_num", "150013", Use::Fixed),
    ("standard_conforming_strings", "on", Use::Fixed),
    ("statement_timeout", "0", Use::Kept),
    ("synchronous_commit", "on", Use::Kept),
];
/// Known beside the others: a client that sets it is told.
const MORE: [Known; 5] = [
    ("TimeZone", "UTC", Use::Reported),
    ("transaction_deferrable", "off", Use::Ignored),
    ("transaction_isolation", "read committed", Use::Ignored),
    ("transaction_read_only", "on", Use::Ignored),
    ("work_mem", "4MB", Use::Kept),
];

/// What a connection has set; the rest is as it was at the start.
#[derive(Debug, Default, Clone)]
pub struct Settings {
    /// By name in lower case.
    set: BTreeMap<String, String>,
    /// What the start-up message said: `RESET` goes back to it.
    initial: BTreeMap<String, String>,
}

impl Settings {
    /// Takes a setting of the start-up message; what is not known there is passed over, as poolers send much.
    pub fn start(&mut self, name: &str, value: &str) -> PgWireResult<()> {
        if find(name).is_none() {
            return Ok(());
        }
        // Some clients quote what they would write in SQL.
        self.set(name, Some(value.trim_matches('\'')))?;
        self.initial.clone_from(&self.set);
        Ok(())
    }

    /// Sets, or resets without a value. Returns what the client is to be told of.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> PgWireResult<Option<(String, String)>> {
        let Some((shown, _, usage)) = find(name) else {
            // A name with a point belongs to an extension or an application: there is nothing that would read it.
            if name.contains('.') {
                return Ok(None);
            }
            return Err(error("42704", format!("there is no setting {}", shorten(name))));
        };
        let key = shown.to_ascii_lowercase();
        match usage {
            Use::Fixed => return Err(error("55P02", format!("setting {shown} cannot be changed"))),
            Use::Ignored => return Ok(None),
            Use::Reported | Use::Kept => {}
        }
        match value {
            None => match self.initial.get(&key) {
                Some(initial) => self.set.insert(key.clone(), initial.clone()),
                None => self.set.remove(&key),
            },
            Some(value) => self.set.insert(key.clone(), checked(shown, value)?),
        };
        Ok((usage == Use::Reported).then(|| (shown.to_owned(), self.get(&key))))
    }

    /// Forgets all that was set since the start; returns what the client is to be told.
    pub fn reset_all(&mut self) -> Vec<(String, String)> {
        self.set.clone_from(&self.initial);
        self.reported()
    }

    pub fn show(&self, name: &str) -> PgWireResult<(String, String)> {
        match find(name) {
            Some((shown, ..)) => Ok((shown.to_owned(), self.get(shown))),
            None => Err(error("42704", format!("there is no setting {}", shorten(name)))),
        }
    }

    /// Every setting and its value, by name.
    pub fn all(&self) -> Vec<(String, String)> {
        all().map(|(name, ..)| (name.to_owned(), self.get(name))).collect()
    }

    /// What a client is told at the start, and when it changes.
    pub fn reported(&self) -> Vec<(String, String)> {
        let is_told = |usage: Use, name: &str| {
            matches!(usage, Use::Reported)
                || (usage == Use::Fixed && !matches!(name, "max_identifier_length" | "server_version_num"))
                || name == "default_transaction_read_only"
        };
        all()
            .filter(|(name, _, usage)| is_told(*usage, name))
            .map(|(name, ..)| (name.to_owned(), self.get(name)))
            .collect()
    }

    /// The limit that the client puts on its own statements.
    pub fn statement_timeout(&self) -> Option<Duration> {
        duration(&self.get("statement_timeout")).filter(|limit| !limit.is_zero())
    }

    /// The zone that instants are shown in.
    pub fn time_zone(&self) -> String {
        self.get("timezone")
    }

    pub fn format_options(&self) -> FormatOptions {
        let set = ["datestyle", "intervalstyle", "bytea_output", "extra_float_digits"];
        FormatOptions::from_client_metadata(
            &set.iter().map(|name| ((*name).to_owned(), self.get(name))).collect(),
        )
    }

    fn get(&self, name: &str) -> String {
        let key = name.to_ascii_lowercase();
        let known = || find(name).map(|(_, value, _)| value.to_owned());
        self.set.get(&key).cloned().or_else(known).unwrap_or_default()
    }
}

fn all() -> impl Iterator<Item = Known> {
    KNOWN.into_iter().chain(MORE)
}

fn find(name: &str) -> Option<Known> {
    all().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn shorten(name: &str) -> String {
    name.chars().take(63).collect()
}

/// Refuses values that could not be honoured.
fn checked(name: &str, value: &str) -> PgWireResult<String> {
    let wrong = |form: &str| Err(error("22023", format!("setting {name} must be {form}")));
    if value.len() > VALUE_BYTES {
        return wrong("shorter");
    }
    let plain = value.to_ascii_lowercase();
    match name {
        "client_encoding" => match plain.replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" | "sqlascii" => Ok("UTF8".to_owned()),
            _ => wrong("UTF8"),
        },
        "DateStyle" => {
            let is_known = |part: &str| {
                matches!(
                    part.trim(),
                    "iso"
                        | "sql"
                        | "postgres"
                        | "german"
                        | "ymd"
                        | "dmy"
                        | "mdy"
                        | "us"
                        | "euro"
                        | "european"
                )
            };
            if plain.split(',').all(is_known) { Ok(value.to_owned()) } else { wrong("such as ISO, YMD") }
        }
        "IntervalStyle" => match plain.as_str() {
            "postgres" | "postgres_verbose" | "sql_standard" | "iso_8601" => Ok(plain),
            _ => wrong("postgres, postgres_verbose, sql_standard or iso_8601"),
        },
        "bytea_output" => match plain.as_str() {
            "hex" | "escape" => Ok(plain),
            _ => wrong("hex or escape"),
        },
        "extra_float_digits" => match plain.parse::<i8>() {
            Ok(digits) if (-15..=3).contains(&digits) => Ok(plain),
            _ => wrong("a whole number from -15 to 3"),
        },
        "statement_timeout" => match duration(&plain) {
            Some(_) => Ok(plain),
            None => wrong("milliseconds, or a number with its unit such as 5s"),
        },
        "TimeZone" => match Tz::from_str(value) {
            Ok(_) => Ok(value.to_owned()),
            Err(_) if ["default", "local", "gmt"].contains(&plain.as_str()) => Ok("UTC".to_owned()),
            Err(_) => wrong("the name of a zone such as Europe/Berlin, or an offset such as +01:00"),
        },
        _ => Ok(value.to_owned()),
    }
}

/// Milliseconds, or a number with its unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_shown_and_reset() {
        let mut settings = Settings::default();
        settings.start("application_name", "psql").unwrap();
        settings.start("datestyle", "ISO, DMY").unwrap();
        settings.start("client_encoding", "'utf-8'").unwrap();
        settings.start("something_of_a_pooler", "x").unwrap();
        assert_eq!(settings.show("DATESTYLE").unwrap(), ("DateStyle".into(), "ISO, DMY".into()));
        let told = settings.set("Application_Name", Some("dbeaver")).unwrap().unwrap();
        assert_eq!(told, ("application_name".into(), "dbeaver".into()));
        settings.set("application_name", None).unwrap();
        assert_eq!(settings.show("application_name").unwrap().1, "psql");
        assert!(settings.set("no_such_setting", Some("1")).is_err());
        assert!(settings.set("my.own", Some("1")).unwrap().is_none());
        assert!(settings.set("server_version", Some("1")).is_err());
        assert_eq!(settings.show("transaction_read_only").unwrap().1, "on");
    }

    #[test]
    fn what_could_not_be_honoured_is_refused() {
        let mut settings = Settings::default();
        for (name, wrong) in [
            ("client_encoding", "LATIN1"),
            ("timezone", "Atlantis"),
            ("statement_timeout", "-1"),
            ("statement_timeout", "5 parsecs"),
            ("extra_float_digits", "9"),
            ("datestyle", "fuzzy"),
        ] {
            assert!(settings.set(name, Some(wrong)).is_err(), "{name} {wrong}");
        }
        settings.set("statement_timeout", Some("2min")).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_mins(2)));
        settings.set("statement_timeout", Some("0")).unwrap();
        assert_eq!(settings.statement_timeout(), None);
        settings.set("timezone", Some("Europe/Berlin")).unwrap();
        assert_eq!(settings.time_zone(), "Europe/Berlin");
    }
}
