//! A request's body as a blocking reader, a few chunks at a time in memory.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderValue, StatusCode, header};
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::problem::Problem;
use crate::error::Error;
use crate::serve::options::Limits;
use crate::serve::rates::Rates;

/// What is waited for before a thread begins to read: a body that is not longer keeps no thread waiting.
const FIRST_BYTES: usize = 256 << 10;
/// Chunks that wait between the network and the reader.
const CHUNKS_IN_FLIGHT: usize = 16;
/// Bytes still taken from a client whose body was refused, so that it reads the refusal.
const DRAINED_BYTES: u64 = 8 << 20;
/// The time of waiting over which the least rate of a body is taken.
const RATE_WINDOW: Duration = Duration::from_secs(30);

enum Part {
    Chunk(Bytes),
    /// The body is complete. A channel that closes without it is a body that was cut.
    End,
}

/// The reading end, for a blocking thread.
pub struct BodyReader {
    /// `None` once the body is complete.
    parts: Option<mpsc::Receiver<Part>>,
    current: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty()
            && let Some(parts) = &mut self.parts
        {
            match parts.blocking_recv() {
                Some(Part::Chunk(chunk)) => self.current = chunk,
                Some(Part::End) => self.parts = None,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body was cut")),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The sending end: what is left of a body behind its first bytes.
pub struct BodyPump {
    rest: Option<(Incoming, mpsc::Sender<Part>)>,
}

/// Waits for the first bytes of a body, and splits it into its two ends.
pub async fn reader(body: Body, limits: &Limits, pace: Pace) -> Result<(BodyPump, BodyReader), Problem> {
    ends(Incoming::new(body, limits, RATE_WINDOW, Some(pace))).await
}

async fn ends(mut incoming: Incoming) -> Result<(BodyPump, BodyReader), Problem> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    loop {
        let Some(chunk) = incoming.next().await? else {
            let current = if joined.is_empty() { first } else { joined.freeze() };
            return Ok((BodyPump { rest: None }, BodyReader { parts: None, current }));
        };
        if first.is_empty() {
            first = chunk;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&chunk);
        }
        if first.len().max(joined.len()) >= FIRST_BYTES {
            let current = if joined.is_empty() { first } else { joined.freeze() };
            let (sender, parts) = mpsc::channel(CHUNKS_IN_FLIGHT);
            let reader = BodyReader { parts: Some(parts), current };
            return Ok((BodyPump { rest: Some((incoming, sender)) }, reader));
        }
    }
}

impl BodyPump {
    /// Sends the body to its reader; says what is wrong with the body itself, if anything is.
    pub async fn run(self) -> Result<(), Problem> {
        let Some((mut incoming, parts)) = self.rest else { return Ok(()) };
        let mut drained = 0_u64;
        while let Some(chunk) = incoming.next().await? {
            let length = chunk.len() as u64;
            if parts.send(Part::Chunk(chunk)).await.is_err() {
                drained += length;
                if drained > DRAINED_BYTES {
                    return Ok(());
                }
            }
        }
        // A reader that has gone needs no end.
        let _ = parts.send(Part::End).await;
        Ok(())
    }
}

/// How fast a key may send.
pub struct Pace {
    pub rates: Arc<Rates>,
    pub key: String,
}

/// A body as it comes, within its limits.
struct Incoming {
    chunks: BodyDataStream,
    max_bytes: u64,
    sent: u64,
    idle_timeout: Duration,
    least_rate: u64,
    rate_window: Duration,
    pace: Option<Pace>,
    /// How long the client was waited for since the rate was last looked at, and what it sent meanwhile.
    waited: Duration,
    sent_meanwhile: u64,
}

impl Incoming {
    fn new(body: Body, limits: &Limits, rate_window: Duration, pace: Option<Pace>) -> Self {
        Self {
            chunks: body.into_data_stream(),
            max_bytes: limits.land_body_bytes,
            sent: 0,
            idle_timeout: limits.body_idle_timeout,
            least_rate: limits.body_bytes_per_second,
            rate_window,
            pace,
            waited: Duration::ZERO,
            sent_meanwhile: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let silent = Instant::now() + self.idle_timeout;
        let mut counted = Instant::now();
        let next = loop {
            let look = counted + self.rate_window.saturating_sub(self.waited);
            let next = tokio::time::timeout_at(silent.min(look), self.chunks.next()).await;
            self.waited += counted.elapsed();
            counted = Instant::now();
            match next {
                Ok(next) => break next,
                Err(_) if counted >= silent => {
                    return Err(too_slow("the client sent nothing for too long".to_owned()));
                }
                Err(_) => self.check_rate()?,
            }
        };
        let Some(chunk) = next else { return Ok(None) };
        let chunk = chunk.map_err(|error| {
            Error::invalid("the body was cut before its end: send it again").with_source(error)
        })?;
        self.sent += chunk.len() as u64;
        if self.sent > self.max_bytes {
            return Err(too_large(self.max_bytes));
        }
        self.sent_meanwhile += chunk.len() as u64;
        self.check_rate()?;
        if let Some(pace) = &self.pace {
            pace.rates.wait_for_bytes(&pace.key, chunk.len()).await;
        }
        Ok(Some(chunk))
    }

    /// Refuses a body of which too little came while its client was waited for.
    fn check_rate(&mut self) -> Result<(), Problem> {
        if self.waited < self.rate_window {
            return Ok(());
        }
        if self.sent_meanwhile < self.least_rate * self.waited.as_millis() as u64 / 1_000 {
            let message =
                format!("the body comes too slowly: send at least {} bytes a second", self.least_rate);
            return Err(too_slow(message));
        }
        (self.waited, self.sent_meanwhile) = (Duration::ZERO, 0);
        Ok(())
    }
}

/// What is left of the body is not read, so that the connection cannot be used again.
fn too_slow(message: String) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, Error::timeout(message))
        .with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

pub fn too_large(max_bytes: u64) -> Problem {
    Problem::too_large(format!("the body is larger than {max_bytes} bytes: land it in parts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(land_body_bytes: u64) -> Limits {
        Limits { land_body_bytes, ..Limits::default() }
    }

    /// What the reader reads, and what is wrong with the body.
    async fn read(body: Body, limits: Limits) -> (Result<(), Problem>, io::Result<Vec<u8>>) {
        let incoming = Incoming::new(body, &limits, Duration::from_millis(200), None);
        let (pump, mut reader) = match ends(incoming).await {
            Ok(ends) => ends,
            Err(problem) => return (Err(problem), Ok(Vec::new())),
        };
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let outcome = pump.run().await;
        (outcome, bytes.await.unwrap())
    }

    fn chunks(chunks: Vec<Result<Vec<u8>, io::Error>>) -> Body {
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_arrives_whole() {
        for length in [0, 1, 100_000, 300_000] {
            let parts = [vec![1; length], Vec::new(), vec![2; length], vec![3; 5]];
            let (outcome, bytes) = read(chunks(parts.clone().map(Ok).into()), limits(1 << 20)).await;
            assert!(outcome.is_ok());
            assert_eq!(bytes.unwrap(), parts.concat());
        }
    }

    #[tokio::test]
    async fn a_cut_body_is_an_error_for_its_reader_never_an_end() {
        let cut = || Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset"));
        let (outcome, _) = read(chunks(vec![Ok(vec![1; 2]), cut()]), limits(100)).await;
        assert_eq!(outcome.unwrap_err().status, 400);
        let (outcome, bytes) = read(chunks(vec![Ok(vec![1; FIRST_BYTES]), cut()]), limits(1 << 20)).await;
        assert_eq!(outcome.unwrap_err().status, 400);
        assert_eq!(bytes.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let (outcome, _) = read(chunks(vec![Ok(vec![1; 3]), Ok(vec![1])]), limits(3)).await;
        assert_eq!(outcome.unwrap_err().status, 413);
        let most = FIRST_BYTES as u64;
        let (outcome, bytes) = read(chunks(vec![Ok(vec![1; FIRST_BYTES]), Ok(vec![1])]), limits(most)).await;
        assert_eq!(outcome.unwrap_err().status, 413);
        assert!(bytes.is_err());
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_refused() {
        let sent = |bytes: usize| {
            let chunks = futures::stream::iter(0..40).then(move |_| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, io::Error>(vec![b'x'; bytes])
            });
            Body::from_stream(chunks)
        };
        let (outcome, _) = read(sent(1), limits(1 << 30)).await;
        assert_eq!(outcome.unwrap_err().status, 408);
        let silent = futures::stream::once(async { Ok::<_, io::Error>(vec![b'x'; 10]) });
        let silent = Body::from_stream(silent.chain(futures::stream::pending()));
        let begun = Instant::now();
        assert_eq!(read(silent, limits(1 << 30)).await.0.unwrap_err().status, 408);
        assert!(begun.elapsed() < Duration::from_secs(10), "the rate is looked at while nothing comes");
        let (outcome, bytes) = read(sent(20_000), limits(1 << 30)).await;
        assert!(outcome.is_ok());
        assert_eq!(bytes.unwrap().len(), 800_000);
    }
}
