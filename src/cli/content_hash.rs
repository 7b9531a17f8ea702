//! The hash of a file's bytes: what makes landing the same file twice harmless.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

const BUFFER_BYTES: usize = 256 << 10;

/// Reads to the end and gives the SHA-256 in lowercase hexadecimal.
pub fn sha256(mut reader: impl Read) -> io::Result<String> {
    copy_sha256(&mut reader, &mut io::sink())
}

/// Copies to the end and gives the SHA-256 of what was copied.
pub fn copy_sha256(reader: &mut impl Read, writer: &mut impl io::Write) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&buffer[..length]);
                writer.write_all(&buffer[..length])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..]).unwrap(), expected);
    }

    #[test]
    fn a_copy_is_complete() {
        let bytes = vec![7; BUFFER_BYTES * 2 + 1];
        let mut copy = Vec::new();
        let hash = copy_sha256(&mut bytes.as_slice(), &mut copy).unwrap();
        assert_eq!(copy, bytes);
        assert_eq!(hash, sha256(bytes.as_slice()).unwrap());
    }
}
