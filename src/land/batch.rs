//! What names a batch: the hash of its bytes.

use std::fmt::Write;
use std::io::Read;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The SHA-256 of a file's bytes in hex, read in pieces; the idempotency key of a landed file.
pub fn content_hash(mut body: impl Read) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::invalid("the file could not be read").with_source(error)),
        }
    }
    Ok(hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}
