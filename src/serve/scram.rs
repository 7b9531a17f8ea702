//! SCRAM-SHA-256 (RFC 5802, 7677): proving a key without sending it, and without the server knowing it.
//!
//! All keys of a file share one salt. A salt protects guessable passwords from tables made beforehand; a key has 256
//! random bits. So whose proof it is can be told from the proof alone: the user's name chooses nothing.

use hmac::{Hmac, Mac};
use pgwire::api::auth::sasl::scram::gen_salted_password;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Rounds of hashing, the least that clients take: a key cannot be guessed with fewer either.
pub const ITERATIONS: usize = 4096;
const HASH_BYTES: usize = 32;

/// What proves a key, and proves the server to its holder; the key cannot be found from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// In hexadecimal, both.
    stored_key: String,
    server_key: String,
}

impl Verifier {
    pub fn of(secret: &str, salt: &[u8]) -> Self {
        let salted = gen_salted_password(secret, salt, ITERATIONS);
        let stored_key = Sha256::digest(mac(&salted, b"Client Key"));
        Self { stored_key: hex::encode(stored_key), server_key: hex::encode(mac(&salted, b"Server Key")) }
    }

    /// Whether a proof was made with the key, over these messages.
    pub fn is_proved(&self, messages: &[u8], proof: &[u8]) -> bool {
        let Ok(stored_key) = hex::decode(&self.stored_key) else { return false };
        if proof.len() != HASH_BYTES {
            return false;
        }
        let signature = mac(&stored_key, messages);
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        bool::from(Sha256::digest(client_key).as_slice().ct_eq(&stored_key))
    }

    /// The server's own proof, over the same messages.
    pub fn signature(&self, messages: &[u8]) -> Vec<u8> {
        mac(&hex::decode(&self.server_key).unwrap_or_default(), messages).to_vec()
    }
}

fn mac(key: &[u8], text: &[u8]) -> [u8; HASH_BYTES] {
    // A block's length of key or less is taken as it is, more is hashed: no length is refused.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_standards_own_example_is_proved() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let messages = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let verifier = Verifier::of("pencil", &salt);
        assert!(verifier.is_proved(messages.as_bytes(), &proof));
        let signature = verifier.signature(messages.as_bytes());
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(!Verifier::of("pencils", &salt).is_proved(messages.as_bytes(), &proof));
        assert!(!verifier.is_proved(b"other", &proof));
        assert!(!verifier.is_proved(messages.as_bytes(), &proof[..31]));
    }
}
