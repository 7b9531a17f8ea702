//! The bytes of a body, unpacked; and what its read errors mean.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use twox_hash::XxHash64;

use super::Reading;
use crate::error::{Error, ErrorKind, Result};

/// A packed body may unpack to so many times its size, once it has unpacked to so much at all. Rows as text seldom reach
/// fifty times.
const MAX_RATIO: u64 = 250;
const UNPACKED_ANYHOW: u64 = 16 << 20;
/// Long enough for every magic number behind a byte order mark and some blanks.
const HEAD_BYTES: usize = 64;

/// Of UTF-8; some programs write it before the text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) type Bytes = Box<dyn Read + Send>;

/// An unpacked body and its first bytes, which are read again from `bytes`.
pub(super) struct Body {
    pub(super) head: Vec<u8>,
    pub(super) bytes: Bytes,
    /// Of what has been read of the bytes.
    pub(super) hash: ContentHash,
}

/// The hash of a body as it is read: equal bodies, equal hashes, however they were packed.
#[derive(Clone, Default)]
pub(super) struct ContentHash(Arc<Mutex<XxHash64>>);

impl ContentHash {
    pub(super) fn value(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).finish()
    }
}

impl Body {
    /// The bytes of a body of text, without its byte order mark.
    pub(super) fn text(mut self) -> Result<Bytes> {
        if self.head.starts_with(BYTE_ORDER_MARK) {
            let mut mark = [0; BYTE_ORDER_MARK.len()];
            self.bytes.read_exact(&mut mark).map_err(read_error)?;
        }
        Ok(self.bytes)
    }
}

struct Hashed {
    inner: Bounded,
    hash: ContentHash,
}

/// Counts the bytes that are read of a body as it was sent.
struct Counted<R> {
    inner: R,
    size: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.size.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Ends as an error if a body unpacks to too much.
struct Bounded {
    inner: Bytes,
    packed: Arc<AtomicU64>,
    unpacked: u64,
    most: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.unpacked += length as u64;
        let refused = |message| Err(io::Error::other(Error::limit(message)));
        if self.unpacked > self.most {
            return refused(format!("the body unpacks to more than {} bytes: send it in parts", self.most));
        }
        let by_ratio = self.packed.load(Ordering::Relaxed).saturating_mul(MAX_RATIO).max(UNPACKED_ANYHOW);
        if self.unpacked > by_ratio {
            return refused(format!(
                "the body unpacks to more than {MAX_RATIO} times its size, as rows do not: send it less packed"
            ));
        }
        Ok(length)
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.0.lock().unwrap_or_else(PoisonError::into_inner).write(&buffer[..length]);
        Ok(length)
    }
}

/// Reads a body to its end and gives its hash, as it is known after its rows were read.
pub fn content_hash(body: Box<dyn Read + Send>, reading: &Reading) -> Result<u64> {
    let Body { mut bytes, hash, .. } = open(body, reading)?;
    io::copy(&mut bytes, &mut io::sink()).map_err(read_error)?;
    Ok(hash.value())
}

/// Unpacks gzip and zstd, by their magic numbers; refuses a body without bytes.
pub(super) fn open(body: Bytes, reading: &Reading) -> Result<Body> {
    let plain = Tagged { inner: body, message: "the body could not be read to its end" };
    let size = Arc::new(AtomicU64::new(0));
    let packed = peek(Box::new(Counted { inner: plain, size: size.clone() }))?;
    let body = if packed.head.starts_with(&[0x1f, 0x8b]) {
        let decoder = flate2::read::MultiGzDecoder::new(BufReader::new(packed.bytes));
        let message = "the body is not whole gzip: it is damaged or cut off";
        peek(Box::new(Tagged { inner: decoder, message }))?
    } else if packed.head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::stream::read::Decoder::new(packed.bytes).map_err(read_error)?;
        let message = "the body is not whole zstd: it is damaged or cut off";
        peek(Box::new(Tagged { inner: decoder, message }))?
    } else {
        packed
    };
    if body.head.is_empty() {
        return Err(empty());
    }
    let bounded = Bounded { inner: body.bytes, packed: size, unpacked: 0, most: reading.unpacked_bytes };
    let hash = ContentHash::default();
    let body = Body { head: body.head, bytes: Box::new(Hashed { inner: bounded, hash: hash.clone() }), hash };
    if body.head.starts_with(&[0xff, 0xfe]) || body.head.starts_with(&[0xfe, 0xff]) {
        return Err(Error::invalid("the body is UTF-16: send UTF-8"));
    }
    Ok(body)
}

pub(super) fn empty() -> Error {
    Error::invalid("the body is empty: send rows as CSV, NDJSON, Parquet or Arrow IPC")
}

/// Copies the body to a file without a name, for formats that are read from their end.
pub(super) fn spool(bytes: Bytes, reading: &Reading) -> Result<File> {
    let failed = |error: io::Error| Error::storage("the body could not be kept for reading", error);
    let mut file = tempfile::tempfile_in(&reading.folder).map_err(failed)?;
    let mut bytes = BufReader::with_capacity(1 << 20, bytes);
    loop {
        let chunk = io::BufRead::fill_buf(&mut bytes).map_err(read_error)?;
        if chunk.is_empty() {
            break;
        }
        io::Write::write_all(&mut file, chunk).map_err(failed)?;
        let len = chunk.len();
        io::BufRead::consume(&mut bytes, len);
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

/// An error of this crate that travelled inside an I/O error comes out as it was.
pub(super) fn read_error(error: io::Error) -> Error {
    if is_own(&error) {
        if let Ok(own) = error.downcast::<Error>() {
            return own;
        }
        return Error::invalid("the body could not be read to its end");
    }
    Error::new(ErrorKind::InvalidRequest, "the body could not be read to its end").with_source(error)
}

fn is_own(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Error>())
}

/// A body and its first bytes.
struct Peeked {
    head: Vec<u8>,
    bytes: Bytes,
}

fn peek(mut bytes: Bytes) -> Result<Peeked> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    bytes.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(read_error)?;
    let bytes = Box::new(Cursor::new(head.clone()).chain(bytes));
    Ok(Peeked { head, bytes })
}

/// Says what a reader's failure means, unless a reader below already did.
struct Tagged<R> {
    inner: R,
    message: &'static str,
}

impl<R: Read> Read for Tagged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let is_known = is_own(&error);
            if is_known || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::other(Error::invalid(self.message).with_source(error))
        })
    }
}
