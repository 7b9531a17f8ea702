//! Errors as the protocol says them: the same messages as on every other door, with SQLSTATE.

use std::error::Error as _;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use pgwire::error::{ErrorInfo, PgWireError};

use crate::error::{Error, ErrorKind};
use crate::query::READ_ONLY;
use crate::serve::access::Refusal;

/// An error after which the connection goes on.
pub fn error(sqlstate: &str, message: impl Into<String>) -> PgWireError {
    of_severity("ERROR", sqlstate, message)
}

/// An error that ends the connection.
pub fn fatal(sqlstate: &str, message: impl Into<String>) -> PgWireError {
    of_severity("FATAL", sqlstate, message)
}

fn of_severity(severity: &str, sqlstate: &str, message: impl Into<String>) -> PgWireError {
    let mut info = ErrorInfo::new(severity.to_owned(), sqlstate.to_owned(), message.into());
    info.severity_nonlocalized = Some(severity.to_owned());
    PgWireError::UserError(Box::new(info))
}

/// An error of the engine. What an internal one was about stays in the log.
pub fn engine_error(cause: &Error) -> PgWireError {
    if cause.kind() == ErrorKind::Internal {
        tracing::error!(error = ?cause, "a Postgres request failed");
        return error("XX000", "a fault of the engine; its log has the details");
    }
    error(sqlstate(cause), cause.message())
}

/// Why somebody is not let in: before a connection is made that ends it, afterwards the statement alone.
pub fn refused(refusal: &Refusal) -> (&'static str, String) {
    let code = match refusal {
        Refusal::NoKey | Refusal::Scope(_) | Refusal::Store => "28000",
        Refusal::UnknownKey => "28P01",
        Refusal::Busy | Refusal::Connections | Refusal::TooFast(_) => "53300",
        Refusal::Failed(cause) => sqlstate(cause),
    };
    (code, refusal.message())
}

fn sqlstate(cause: &Error) -> &'static str {
    if cause.message() == READ_ONLY {
        return "25006";
    }
    let mut causes = std::iter::successors(cause.source(), |cause| (*cause).source());
    let planning = causes.find_map(|cause| cause.downcast_ref::<DataFusionError>());
    match cause.kind() {
        ErrorKind::InvalidRequest => planning.map_or("42601", of_planning),
        ErrorKind::NotFound => "42704",
        ErrorKind::Unauthorized => "28000",
        ErrorKind::Conflict => "40001",
        ErrorKind::KeyReused => "22023",
        ErrorKind::StorageFull => "53100",
        ErrorKind::LimitExceeded => match planning.map(DataFusionError::find_root) {
            Some(DataFusionError::ResourcesExhausted(_)) => "53200",
            _ => "54000",
        },
        ErrorKind::Timeout | ErrorKind::Cancelled => "57014",
        ErrorKind::Unavailable => "58000",
        ErrorKind::Internal => "XX000",
    }
}

fn of_planning(error: &DataFusionError) -> &'static str {
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => of_planning(inner),
        DataFusionError::Shared(inner) => of_planning(inner),
        DataFusionError::Collection(errors) => errors.first().map_or("42000", of_planning),
        DataFusionError::SQL(..) => "42601",
        DataFusionError::SchemaError(error, _) => match **error {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            _ => "42701",
        },
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::Plan(message) => of_plan(message),
        DataFusionError::ArrowError(error, _) => match **error {
            ArrowError::DivideByZero => "22012",
            ArrowError::ArithmeticOverflow(_) => "22003",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => "22P02",
            _ => "22000",
        },
        DataFusionError::Execution(_) => "22000",
        DataFusionError::External(source) => source.downcast_ref::<Error>().map_or("22023", sqlstate),
        _ => "42000",
    }
}

/// The planner says in words alone what was not found.
fn of_plan(message: &str) -> &'static str {
    let is_missing = message.contains("not found") || message.contains("does not exist");
    if is_missing && message.starts_with("table") {
        "42P01"
    } else if message.contains("Invalid function") || message.contains("function") && is_missing {
        "42883"
    } else if message.contains("ambiguous") {
        "42702"
    } else {
        "42000"
    }
}
