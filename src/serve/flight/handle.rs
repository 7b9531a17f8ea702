//! Tickets and prepared statements: the SQL and its parameters, signed by the key that asked.
//!
//! A server that was started again, or another one beside it, takes them all the same; another key's it does not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tonic::Status;

/// How long a handle is good for.
const LIFETIME: Duration = Duration::from_hours(24);
/// Bytes of a signature.
const SIGNATURE: usize = 32;

/// A statement on its way to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub sql: String,
    /// Values of the parameters in their order, as one row of Arrow IPC; none where there are no values yet.
    pub values: Option<Vec<u8>>,
    /// What a running statement is cancelled by.
    pub id: uuid::Uuid,
    /// Which part of its rows is meant, where not all.
    pub part: Option<Part>,
    /// Seconds since 1970.
    expires: u64,
}

/// One of the parts that an answer is fetched in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub index: usize,
    pub count: usize,
    /// The version of the table that they are of.
    pub version: u64,
}

impl Statement {
    pub fn new(sql: String) -> Self {
        Self { sql, values: None, id: uuid::Uuid::now_v7(), part: None, expires: now() + LIFETIME.as_secs() }
    }

    /// The same statement with an identity of its own.
    pub fn again(&self) -> Self {
        Self { values: self.values.clone(), ..Self::new(self.sql.clone()) }
    }

    pub fn with_values(&self, values: Vec<u8>) -> Self {
        Self { values: Some(values), ..self.again() }
    }

    /// One part of the statement, which is cancelled with the others.
    pub fn with_part(&self, part: Part) -> Self {
        Self { part: Some(part), ..self.clone() }
    }

    /// Writes the statement down, signed with the caller's secret.
    pub fn seal(&self, secret: &str) -> Result<Vec<u8>, Status> {
        let text = serde_json::to_vec(self).map_err(|_| Status::internal("a statement cannot be written"))?;
        let mut sealed = mac(secret, &text)?.finalize().into_bytes().to_vec();
        sealed.extend(text);
        Ok(sealed)
    }

    /// Reads what `seal` wrote; refuses what another secret has signed, and what has expired.
    pub fn open(sealed: &[u8], secret: &str) -> Result<Self, Status> {
        let foreign = || Status::invalid_argument("the handle is not one of this server's for this key");
        let (signature, text) = sealed.split_at_checked(SIGNATURE).ok_or_else(foreign)?;
        mac(secret, text)?.verify_slice(signature).map_err(|_| foreign())?;
        let statement: Self = serde_json::from_slice(text).map_err(|_| foreign())?;
        if statement.expires < now() {
            return Err(Status::invalid_argument("the handle has expired: prepare the statement again"));
        }
        Ok(statement)
    }
}

fn mac(secret: &str, text: &[u8]) -> Result<Hmac<Sha256>, Status> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|_| Status::internal("a handle cannot be signed"))?;
    mac.update(text);
    Ok(mac)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_opened_by_the_key_that_sealed_it_until_it_expires() {
        let statement = Statement::new("select 1".into()).with_values(vec![1, 2]);
        let sealed = statement.seal("trb_a").unwrap();
        assert_eq!(Statement::open(&sealed, "trb_a").unwrap(), statement);
        assert!(Statement::open(&sealed, "trb_b").is_err());
        for at in [0, SIGNATURE, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(Statement::open(&changed, "trb_a").is_err());
        }
        assert!(Statement::open(&sealed[..10], "trb_a").is_err());
        let expired = Statement { expires: now() - 1, ..statement };
        let refused = Statement::open(&expired.seal("trb_a").unwrap(), "trb_a").unwrap_err();
        assert!(refused.message().contains("expired"));
    }
}
