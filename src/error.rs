//! The one error type of the engine, and the one place that classifies foreign errors.
//!
//! A kind tells the caller what to do; a message is safe to show: lowercase, names the input, never a
//! data value, a file path or another store's name. Details stay in `source`, for the log.

use std::fmt;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use tributary_udfs::ModelError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong: change it.
    InvalidRequest,
    /// There is no such table, query or function: choose another name.
    NotFound,
    /// The key is missing, wrong or not allowed to do this: use another key.
    Unauthorized,
    /// The request contradicts what happened before: read again, then decide.
    Conflict,
    /// An idempotency key stands for another body: send this one under a key of its own.
    KeyReused,
    /// A limit was reached: ask for less.
    LimitExceeded,
    /// The time allowed for the request is over: ask for less, or allow more.
    Timeout,
    /// The request was cancelled while it ran: send it again if it was not you.
    Cancelled,
    /// The store or the server cannot answer now: try again later.
    Unavailable,
    /// The storage has no room left: free some, then send it again.
    StorageFull,
    /// A fault of the engine: report it with the request's id.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tests and documents that list them.
    pub const ALL: [ErrorKind; 11] = [
        ErrorKind::InvalidRequest,
        ErrorKind::NotFound,
        ErrorKind::Unauthorized,
        ErrorKind::Conflict,
        ErrorKind::KeyReused,
        ErrorKind::LimitExceeded,
        ErrorKind::Timeout,
        ErrorKind::Cancelled,
        ErrorKind::Unavailable,
        ErrorKind::StorageFull,
        ErrorKind::Internal,
    ];

    /// The stable code that clients match on.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::Conflict => "conflict",
            ErrorKind::KeyReused => "idempotency_key_reused",
            ErrorKind::LimitExceeded => "limit_exceeded",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::StorageFull => "storage_full",
            ErrorKind::Internal => "internal",
        }
    }
}

/// One thing that is wrong with one landed row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// 1-based number of the row in its file; 0 where the problem is the file's.
    pub row: u64,
    /// The column, or empty where the problem is the row's.
    pub field: String,
    /// What is wrong and what would be right; never the value itself.
    pub reason: String,
}

/// Where in a text an error is; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    problems: Vec<Problem>,
    place: Option<Place>,
    source: Option<Source>,
}

/// Returns true if a disk without room caused the error.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
    })
}

/// Returns true if an object that is not there caused the error.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let object = cause.downcast_ref::<object_store::Error>();
        // DataFusion's reader of footers keeps the cause as a text; this goes once it keeps the error.
        let is_footer = || {
            let text = cause.to_string();
            text.contains("Failed to fetch metadata for file") && text.contains("not found")
        };
        matches!(object, Some(object_store::Error::NotFound { .. })) || is_footer()
    })
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), problems: Vec::new(), place: None, source: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthorized, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The storage did not do what was asked. If it has no room left, the message says that instead.
    pub fn storage(message: impl Into<String>, source: impl Into<Source>) -> Self {
        let source = source.into();
        if is_full(source.as_ref()) {
            let message = "the storage has no room left, and nothing was kept: free some, then send it again";
            return Self { source: Some(source), ..Self::new(ErrorKind::StorageFull, message) };
        }
        Self { source: Some(source), ..Self::unavailable(message) }
    }

    /// A fault of the engine. The message says what was being done; the cause goes to `with_source`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Names the unknown thing, the nearest known one and the whole choice.
    pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.sort_unstable();
        let hint = nearest(name, known.iter().copied())
            .map(|name| format!(", did you mean {name}?"))
            .unwrap_or_default();
        let known = if known.is_empty() { String::new() } else { format!(" (known: {})", known.join(", ")) };
        Self::not_found(format!("unknown {what} {name}{hint}{known}"))
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// Says where in the caller's text the error is; an earlier place stays.
    #[must_use]
    pub fn with_place(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place);
        self
    }

    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns true if another writer was faster: it has replaced what this one read, or deleted it behind an erasure.
    /// A new attempt reads the newest version.
    pub fn is_overtaken(&self) -> bool {
        self.kind == ErrorKind::Conflict || is_gone(self)
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Where in the caller's text the error is, where that is known.
    pub fn place(&self) -> Option<Place> {
        self.place
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A longer name was not meant to be a known one, and is not compared with all of them.
const LONGEST_GUESSED: usize = 64;

/// The known name that a name was most likely meant to be; none where all are far from it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_GUESSED {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, name), candidate))
        .min()
        .filter(|(distance, _)| *distance <= name.len().max(3) / 2)
        .map(|(_, candidate)| candidate)
}

/// Classifies by the root cause. Planning errors speak of the caller's own text and are shown;
/// errors met while running may carry data values or file paths, so their text stays in the log.
impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        // An error of ours says what happened, whatever the library's error is that it came from.
        if let Some(own) = own_cause(&error) {
            let (kind, message, place) = (own.kind, own.message.clone(), own.place);
            return Self::new(kind, message).with_place(place).with_source(error);
        }
        let (kind, message) = match error.find_root() {
            DataFusionError::SQL(parser, _) => (ErrorKind::InvalidRequest, format!("{parser}")),
            DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
                (ErrorKind::InvalidRequest, message.clone())
            }
            DataFusionError::SchemaError(schema, _) => (ErrorKind::InvalidRequest, schema_message(schema)),
            DataFusionError::NotImplemented(message) => {
                (ErrorKind::InvalidRequest, format!("not supported: {message}"))
            }
            DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
                (ErrorKind::InvalidRequest, inner.strip_backtrace())
            }
            DataFusionError::Collection(errors) => (
                ErrorKind::InvalidRequest,
                errors.first().map_or_else(|| "invalid query".into(), DataFusionError::strip_backtrace),
            ),
            DataFusionError::ResourcesExhausted(_) => {
                (ErrorKind::LimitExceeded, "the query needs more memory than it may use: aggregate or filter earlier, or raise the limit".into())
            }
            DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => (
                ErrorKind::InvalidRequest,
                "a value could not be computed: a cast, a division or an overflow failed".into(),
            ),
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
                (ErrorKind::Unavailable, "the storage did not answer".into())
            }
            DataFusionError::External(source) => match source.downcast_ref::<ModelError>() {
                Some(model) => (ErrorKind::InvalidRequest, model.to_string()),
                None => (ErrorKind::Internal, "the query failed".into()),
            },
            DataFusionError::ParquetError(_) => {
                (ErrorKind::Unavailable, "a data file could not be read; run `tributary fsck --deep`".into())
            }
            DataFusionError::Internal(_)
            | DataFusionError::Substrait(_)
            | DataFusionError::ExecutionJoin(_)
            | DataFusionError::Shared(_)
            | DataFusionError::Ffi(_) => (ErrorKind::Internal, "the query failed".into()),
        };
        Self::new(kind, message).with_source(error)
    }
}

fn own_cause(error: &DataFusionError) -> Option<&Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source()).find_map(|cause| cause.downcast_ref::<Error>())
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

fn schema_message(error: &SchemaError) -> String {
    error.to_string()
}
