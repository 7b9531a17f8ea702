//! A request's body as a blocking reader, a few chunks at a time in memory.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::problem::Problem;
use crate::error::Error;

/// Chunks that wait between the network and the reader.
const CHUNKS_IN_FLIGHT: usize = 16;
/// Bytes still taken from a client whose body was refused, so that it reads the refusal.
const DRAINED_BYTES: u64 = 8 << 20;

enum Part {
    Chunk(Bytes),
    /// The body is complete. A channel that closes without it is a body that was cut.
    End,
}

/// The reading end, for a blocking thread.
pub struct BodyReader {
    parts: mpsc::Receiver<Part>,
    current: Bytes,
    has_ended: bool,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.has_ended {
            match self.parts.blocking_recv() {
                Some(Part::Chunk(chunk)) => self.current = chunk,
                Some(Part::End) => self.has_ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body was cut")),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The sending end.
pub struct BodyPump {
    body: Body,
    parts: mpsc::Sender<Part>,
    max_bytes: u64,
    idle_timeout: Duration,
}

/// Splits a body into its two ends.
pub fn reader(body: Body, max_bytes: u64, idle_timeout: Duration) -> (BodyPump, BodyReader) {
    let (sender, parts) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let reader = BodyReader { parts, current: Bytes::new(), has_ended: false };
    (BodyPump { body, parts: sender, max_bytes, idle_timeout }, reader)
}

impl BodyPump {
    /// Sends the body to its reader; says what is wrong with the body itself, if anything is.
    pub async fn run(self) -> Result<(), Problem> {
        let mut chunks = self.body.into_data_stream();
        let (mut sent, mut drained) = (0_u64, 0_u64);
        loop {
            let next = tokio::time::timeout(self.idle_timeout, chunks.next())
                .await
                .map_err(|_| Error::timeout("the client sent nothing for too long"))?;
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|error| {
                Error::invalid("the body was cut before its end: send it again").with_source(error)
            })?;
            sent += chunk.len() as u64;
            if sent > self.max_bytes {
                return Err(too_large(self.max_bytes));
            }
            let length = chunk.len() as u64;
            if self.parts.send(Part::Chunk(chunk)).await.is_err() {
                drained += length;
                if drained > DRAINED_BYTES {
                    return Ok(());
                }
            }
        }
        // A reader that has gone needs no end.
        let _ = self.parts.send(Part::End).await;
        Ok(())
    }
}

pub fn too_large(max_bytes: u64) -> Problem {
    Problem::too_large(format!("the body is larger than {max_bytes} bytes: land it in parts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pump: BodyPump, mut reader: BodyReader) -> (Result<(), Problem>, io::Result<Vec<u8>>) {
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let outcome = pump.run().await;
        (outcome, bytes.await.unwrap())
    }

    fn chunks(chunks: Vec<Result<&'static str, io::Error>>) -> Body {
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_arrives_whole() {
        let (pump, reader) = reader(chunks(vec![Ok("ab"), Ok(""), Ok("cd")]), 4, Duration::from_secs(5));
        let (outcome, bytes) = read(pump, reader).await;
        assert!(outcome.is_ok());
        assert_eq!(bytes.unwrap(), b"abcd");
    }

    #[tokio::test]
    async fn a_cut_body_is_an_error_for_its_reader_never_an_end() {
        let cut = io::Error::new(io::ErrorKind::ConnectionReset, "reset");
        let (pump, reader) = reader(chunks(vec![Ok("ab"), Err(cut)]), 100, Duration::from_secs(5));
        let (outcome, bytes) = read(pump, reader).await;
        assert_eq!(outcome.unwrap_err().status, 400);
        assert_eq!(bytes.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let (pump, reader) = reader(chunks(vec![Ok("abc"), Ok("d")]), 3, Duration::from_secs(5));
        let (outcome, bytes) = read(pump, reader).await;
        assert_eq!(outcome.unwrap_err().status, 413);
        assert!(bytes.is_err());
    }
}
