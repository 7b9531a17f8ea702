//! The lines of the report.

use std::io::Write as _;

use serde::Serialize;

use crate::cli::exit::{Failure, Outcome};
use crate::error::Error;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, and something should be done.
    Warn,
    /// Something does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    #[serde(rename = "check")]
    pub name: &'static str,
    pub status: Verdict,
    pub found: String,
    /// The next step for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Verdict::Ok, found: found.into(), advice: None }
    }

    pub fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Verdict::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    pub fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status: Verdict::Fail, found: found.into(), advice: Some(advice.into()) }
    }

    /// An error, whose message says what to do.
    pub fn failed(name: &'static str, error: &Error) -> Self {
        Self { name, status: Verdict::Fail, found: error.to_string(), advice: None }
    }

    fn line(&self) -> String {
        let status = match self.status {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let name = self.name.replace('_', " ");
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        format!("{status:<4}  {name:<16}  {}{advice}", self.found)
    }
}

/// Prints each check when it is done.
#[derive(Debug)]
pub struct Report {
    is_json: bool,
    failed_count: usize,
}

impl Report {
    pub fn new(is_json: bool) -> Self {
        Self { is_json, failed_count: 0 }
    }

    pub fn add(&mut self, check: &Check) -> Outcome {
        self.failed_count += usize::from(check.status == Verdict::Fail);
        let line = if self.is_json {
            serde_json::to_string(check)
                .map_err(|error| Error::internal("the report cannot be written").with_source(error))?
        } else {
            check.line()
        };
        let mut out = std::io::stdout();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    pub fn add_all(&mut self, checks: impl IntoIterator<Item = Check>) -> Outcome {
        checks.into_iter().try_for_each(|check| self.add(&check))
    }

    /// The answer of the command: no if anything is broken.
    pub fn finish(self) -> Outcome {
        if self.failed_count > 0 { Err(Failure::Negative) } else { Ok(()) }
    }
}

/// A number of bytes as people write it.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_verdict_what_was_found_and_what_to_do() {
        let check = Check::warn("open_files", "the limit is 256", "raise it");
        assert_eq!(check.line(), "warn  open files        the limit is 256; raise it");
        let json = serde_json::to_string(&check).unwrap();
        let wanted =
            r#"{"check":"open_files","status":"warn","found":"the limit is 256","advice":"raise it"}"#;
        assert_eq!(json, wanted);
        assert_eq!(Check::ok("clock", "right").line(), "ok    clock             right");
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        assert_eq!(
            [bytes(12), bytes(1536), bytes(3 << 30)],
            ["12 bytes", "1.5 KB", "3.0 GB"].map(str::to_owned)
        );
    }
}
