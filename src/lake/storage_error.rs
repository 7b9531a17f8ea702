//! Why a storage did not do what was asked, in words that say what to look at.

use std::error::Error as StdError;
use std::io::ErrorKind as IoErrorKind;

use crate::error::Error;

const REFUSED: &str = "the storage refuses these credentials: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the \
                       variables of your provider), and at what the bucket's policy allows";
const NO_BUCKET: &str =
    "there is no such bucket: look at the URL of --data, and at AWS_REGION and AWS_ENDPOINT_URL";
const NO_CREDENTIALS: &str = "there are no credentials for the storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the \
                              variables of your provider)";
const WRONG_CLOCK: &str =
    "the storage refuses this machine's clock, which is more than 15 minutes off: set the clock";
const UNREACHABLE: &str = "the storage cannot be reached: look at AWS_ENDPOINT_URL (or the variable of your provider) and at the network";
const TOO_SLOW: &str = "the storage does not answer in time: look at AWS_ENDPOINT_URL (or the variable of your provider) and at the network";

/// Parts of the addresses at which the machines of a provider find their credentials.
const METADATA_SERVICES: [&str; 4] =
    ["/latest/api/token", "/latest/meta-data", "metadata.google.internal", "/metadata/identity/oauth2/token"];

/// An error of the storage. If its cause is known, the message says that instead.
pub fn storage_error(
    message: impl Into<String>,
    source: impl Into<Box<dyn StdError + Send + Sync + 'static>>,
) -> Error {
    let source = source.into();
    match reason(source.as_ref()) {
        Some(reason) => Error::unavailable(reason).with_source(source),
        None => Error::storage(message, source),
    }
}

/// Returns true if the message of [`storage_error`] would say what to look at.
pub fn has_known_cause(error: &(dyn StdError + 'static)) -> bool {
    reason(error).is_some()
}

fn reason(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut found = None;
    for cause in causes {
        if let Some(
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. },
        ) = cause.downcast_ref::<object_store::Error>()
        {
            found = Some(REFUSED);
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            match error.kind() {
                IoErrorKind::ConnectionRefused
                | IoErrorKind::HostUnreachable
                | IoErrorKind::NetworkUnreachable => {
                    return Some(UNREACHABLE);
                }
                IoErrorKind::TimedOut => return Some(TOO_SLOW),
                // A folder of the machine refuses its user, not credentials.
                IoErrorKind::PermissionDenied => return None,
                _ => {}
            }
        }
        // The client keeps what the service answered as a text.
        let text = cause.to_string();
        if text.contains("NoSuchBucket") {
            return Some(NO_BUCKET);
        }
        if text.contains("RequestTimeTooSkewed") {
            return Some(WRONG_CLOCK);
        }
        // Lists have no error of their own for it.
        if text.contains("status code: 403") || text.contains("status code: 401") {
            found = found.or(Some(REFUSED));
        }
        // Without credentials in the environment the client asks the machine's provider for some.
        if METADATA_SERVICES.iter().any(|service| text.contains(service)) {
            return Some(NO_CREDENTIALS);
        }
        if text.contains("dns error") || text.contains("error sending request") {
            found = found.or(Some(UNREACHABLE));
        }
        if text.contains("operation timed out") {
            return Some(TOO_SLOW);
        }
    }
    found
}
