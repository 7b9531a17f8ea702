//! The messages of SCRAM-SHA-256 between a client and the server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::serve::scram::ITERATIONS;

/// The one mechanism that is offered.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// The server's first message, waiting for the client's last one.
#[derive(Debug)]
pub struct Exchange {
    gs2_header: String,
    client_first_bare: String,
    pub server_first: String,
    nonce: String,
}

/// The client's last message: a proof over all messages.
pub struct Proof {
    pub messages: String,
    pub proof: Vec<u8>,
}

impl Exchange {
    /// Answers the client's first message; none where it is damaged, or asks for channel binding, which is not offered.
    pub fn begin(client_first: &[u8], salt: &[u8], server_nonce: &str) -> Option<Self> {
        let message = std::str::from_utf8(client_first).ok()?;
        let (flag, rest) = message.split_once(',')?;
        let (authorization, bare) = rest.split_once(',')?;
        if !matches!(flag, "n" | "y") || !(authorization.is_empty() || authorization.starts_with("a=")) {
            return None;
        }
        // The user's name is passed over, as Postgres does: it stands in the start-up message.
        let mut attributes = bare.split(',');
        attributes.next()?.strip_prefix("n=")?;
        let client_nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(salt));
        Some(Self {
            gs2_header: format!("{flag},{authorization},"),
            client_first_bare: bare.to_owned(),
            server_first,
            nonce,
        })
    }

    /// Reads the client's last message; none where it is damaged or belongs to another exchange.
    pub fn finish(&self, client_final: &[u8]) -> Option<Proof> {
        let message = std::str::from_utf8(client_final).ok()?;
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if STANDARD.decode(binding).ok()? != self.gs2_header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let messages = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        Some(Proof { messages, proof: STANDARD.decode(proof).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::scram::Verifier;

    #[test]
    fn an_exchange_ends_with_a_proof_over_its_messages() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let exchange = Exchange::begin(first, &salt, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").unwrap();
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proof = exchange.finish(last).unwrap();
        assert!(Verifier::of("pencil", &salt).is_proved(proof.messages.as_bytes(), &proof.proof));
        let replayed = Exchange::begin(first, &salt, "another").unwrap();
        assert!(replayed.finish(last).is_none());
    }

    #[test]
    fn damaged_messages_and_channel_binding_are_not_taken() {
        for wrong in ["", "n,,", "p=tls-server-end-point,,n=u,r=x", "n,,n=u", "n,,n=u,r=", "n,b,n=u,r=x"] {
            assert!(Exchange::begin(wrong.as_bytes(), b"salt", "nonce").is_none(), "{wrong}");
        }
        let exchange = Exchange::begin(b"y,,n=,r=x", b"salt", "nonce").unwrap();
        // biws is `n,,`: the client would have been told of another header than it sent.
        assert!(exchange.finish(b"c=biws,r=xnonce,p=AAAA").is_none());
        assert!(exchange.finish(b"c=eSws,r=xnonce,p=AAAA").is_some());
        assert!(exchange.finish(b"c=eSws,r=xnonce").is_none());
    }
}
