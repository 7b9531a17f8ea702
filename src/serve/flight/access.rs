//! Who asks over Flight: a key as a bearer, or as the password of basic credentials.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::error::{Error, ErrorKind};
use crate::serve::access::{Access, Caller, Refusal};
use crate::serve::connections::Connection;
use crate::serve::keys::Scope;

/// Names the store of an open server.
const STORE_HEADER: &str = "x-tributary-store";
/// Signs the handles of an open server, where there is nothing to hide.
const OPEN_SECRET: &str = "open";
/// Clients leave out the padding, or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who asks, and what signs their handles.
pub struct Asking {
    pub caller: Caller,
    pub secret: String,
}

/// Lets in who presents a key that may query.
pub async fn admit(
    access: &Access,
    metadata: &MetadataMap,
    connection: Option<&Arc<Connection>>,
) -> Result<Asking, Status> {
    let secret = secret(metadata)?;
    let store = metadata.get(STORE_HEADER).and_then(|store| store.to_str().ok()).map(str::to_owned);
    let door = access.door().await.map_err(|error| status(&error))?;
    let caller =
        access.admit(&door, connection, secret.as_deref(), store, Scope::Query).await.map_err(refused)?;
    Ok(Asking { caller, secret: secret.unwrap_or_else(|| OPEN_SECRET.to_owned()) })
}

/// The key that is presented; none without an `authorization` header.
pub fn secret(metadata: &MetadataMap) -> Result<Option<String>, Status> {
    let Some(given) = metadata.get("authorization") else { return Ok(None) };
    let unreadable = || {
        Status::unauthenticated("the authorization has to be `Bearer KEY`, or basic with the key as password")
    };
    let (scheme, value) =
        given.to_str().ok().and_then(|given| given.split_once(' ')).ok_or_else(unreadable)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(value.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let decoded = BASE64.decode(value.trim()).map_err(|_| unreadable())?;
    let decoded = String::from_utf8(decoded).map_err(|_| unreadable())?;
    let (_, password) = decoded.split_once(':').ok_or_else(unreadable)?;
    Ok(Some(password.to_owned()))
}

fn refused(refusal: Refusal) -> Status {
    let message = refusal.message();
    match refusal {
        Refusal::NoKey => Status::unauthenticated("a key is needed, as bearer or as password"),
        Refusal::UnknownKey => Status::unauthenticated(message),
        Refusal::Scope(_) | Refusal::Store => Status::permission_denied(message),
        Refusal::Busy | Refusal::Connections | Refusal::TooFast(_) => Status::resource_exhausted(message),
        Refusal::Failed(error) => status(&error),
    }
}

/// An error as gRPC says it. What an internal one was about stays in the log.
pub fn status(error: &Error) -> Status {
    let message = error.message().to_owned();
    match error.kind() {
        ErrorKind::InvalidRequest => Status::invalid_argument(message),
        ErrorKind::NotFound => Status::not_found(message),
        ErrorKind::Unauthorized => Status::unauthenticated(message),
        ErrorKind::Conflict | ErrorKind::KeyReused => Status::aborted(message),
        ErrorKind::LimitExceeded | ErrorKind::StorageFull => Status::resource_exhausted(message),
        ErrorKind::Timeout => Status::deadline_exceeded(message),
        ErrorKind::Cancelled => Status::cancelled(message),
        ErrorKind::Unavailable => Status::unavailable(message),
        ErrorKind::Internal => {
            tracing::error!(error = ?error, "a Flight request failed");
            Status::internal("a fault of the engine; its log has the details")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_as_bearer_or_as_password_with_padding_or_without() {
        let of = |value: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", value.parse().unwrap());
            secret(&metadata)
        };
        assert_eq!(of("Bearer trb_1").unwrap().unwrap(), "trb_1");
        for basic in ["Basic dXNlcjp0cmJfMQ==", "basic dXNlcjp0cmJfMQ"] {
            assert_eq!(of(basic).unwrap().unwrap(), "trb_1");
        }
        for wrong in ["trb_1", "Digest x", "Basic ???", "Basic dXNlcg=="] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(secret(&MetadataMap::new()).unwrap().is_none());
    }
}
