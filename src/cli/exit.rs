//! Exit codes and how an error is shown.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use super::excerpt::excerpt;
use crate::error::{Error, ErrorKind};

/// What the exit codes mean; shown by `tributary --help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: a fault of the engine, or `check`, `fsck` or `doctor` found a problem
  2  usage: the command line or the configuration is wrong
  3  refused: the data, the SQL or a name in it is wrong; nothing was landed
  4  unauthorized
  5  a limit or the time allowed was reached
  6  the storage cannot answer now, or has no room left; try again";

/// A command's failure: an error of the engine, or of the command line itself.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the configuration is wrong.
    Usage(Error),
    /// The engine refused or failed.
    Engine(Error),
    /// The engine refused a text; the excerpt shows the place.
    Text { error: Error, excerpt: String },
    /// The command ran and its answer is no; it has said why.
    Negative,
    /// Whoever read the output has stopped reading: no fault of ours.
    BrokenPipe,
}

pub type Outcome<T = ()> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let pipe = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe);
        if pipe { Failure::BrokenPipe } else { Failure::Engine(error) }
    }
}

/// Writing to standard output is the only plain I/O of a command.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::BrokenPipe;
        }
        Failure::Engine(Error::unavailable("the output cannot be written").with_source(error))
    }
}

impl Failure {
    /// An error of the command line, with a text that says what would be right.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage(Error::invalid(message))
    }

    /// The engine's error about a text, which is shown where the error knows its place in it.
    pub fn in_text(error: Error, text: &str) -> Self {
        match excerpt(&error, text) {
            Some(excerpt) => Failure::Text { error, excerpt },
            None => error.into(),
        }
    }

    fn code(&self) -> u8 {
        match self {
            Failure::BrokenPipe => 0,
            Failure::Negative => 1,
            Failure::Usage(_) => 2,
            Failure::Engine(error) | Failure::Text { error, .. } => match error.kind() {
                ErrorKind::Internal => 1,
                ErrorKind::InvalidRequest
                | ErrorKind::NotFound
                | ErrorKind::Conflict
                | ErrorKind::KeyReused => 3,
                ErrorKind::Unauthorized => 4,
                ErrorKind::LimitExceeded | ErrorKind::Timeout | ErrorKind::Cancelled => 5,
                ErrorKind::Unavailable | ErrorKind::StorageFull => 6,
            },
        }
    }
}

/// Shows the failure on standard error and gives its exit code.
pub fn report(failure: &Failure) -> ExitCode {
    if let Failure::Usage(error) | Failure::Engine(error) | Failure::Text { error, .. } = failure {
        // Standard error may be closed as well: there is nobody left to tell.
        let _ = std::io::stderr().lock().write_all(message(failure).as_bytes());
        tracing::debug!(kind = error.kind().code(), source = ?std::error::Error::source(error), "failed");
    }
    ExitCode::from(failure.code())
}

/// What is shown of a failure; nothing where it has spoken for itself.
pub fn message(failure: &Failure) -> String {
    match failure {
        Failure::Usage(error) | Failure::Engine(error) => describe(error),
        Failure::Text { error, excerpt } => describe(error) + excerpt,
        Failure::Negative | Failure::BrokenPipe => String::new(),
    }
}

fn describe(error: &Error) -> String {
    let mut text = format!("error: {error}\n");
    for problem in error.problems() {
        let place = match (problem.row, problem.field.as_str()) {
            (0, "") => String::new(),
            (0, field) => format!("{field}: "),
            (row, "") => format!("row {row}: "),
            (row, field) => format!("row {row}, {field}: "),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {place}{}", problem.reason);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem;

    #[test]
    fn every_kind_has_the_code_that_the_help_lists() {
        for kind in ErrorKind::ALL {
            let code = Failure::from(Error::new(kind, "x")).code();
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{kind:?} exits with {code}");
        }
        assert_eq!(Failure::usage("x").code(), 2);
    }

    #[test]
    fn a_refused_landing_lists_its_problems() {
        let problem = |row, field: &str| Problem { row, field: field.into(), reason: "is not a date".into() };
        let error =
            Error::invalid("2 rows are wrong").with_problems(vec![problem(7, "revenue"), problem(0, "")]);
        assert_eq!(
            describe(&error),
            "error: 2 rows are wrong\n  row 7, revenue: is not a date\n  is not a date\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(pipe()).code(), 0);
        assert_eq!(Failure::from(Error::unavailable("x").with_source(pipe())).code(), 0);
    }
}
