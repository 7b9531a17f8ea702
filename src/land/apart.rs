//! Parquet and Arrow, read in a process of its own. Their decoders take memory and stack by what a file says of itself: a
//! few kilobytes can ask for all there is. The process may have little of both; if it dies, the file is refused.
//!
//! The process gets the file as its standard input, and gives frames: a letter, a length of four bytes, and as many bytes.
//! `b` has bad rows as JSON, `r` good ones as an Arrow stream, which ends a chunk; `e` says what is wrong with the file as
//! JSON, and `z` is the end.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

use super::builder::{BadRow, Chunk, Layout, Limits};
use super::read::{FileKind, HereRows};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::schema;

/// The hidden command that reads for another process.
pub const COMMAND: &str = "read-rows";
/// Memory that such a process may have.
const MEMORY_BYTES: u64 = 1 << 30;
/// Seconds of a processor that it may have.
const CPU_SECONDS: u64 = 600;
/// Such processes at once. Others wait.
const AT_ONCE: usize = 4;
/// A chunk has 16 MiB, which escapes may make six times as long.
const MOST_FRAME_BYTES: u32 = 256 << 20;

/// The question of the other process: what kind of file this is, and of which table and store.
#[derive(Serialize, Deserialize)]
struct Asked {
    table: String,
    store: String,
    zone: Option<String>,
    kind: FileKind,
}

#[derive(Serialize, Deserialize)]
struct Fault {
    is_limit: bool,
    message: String,
    problems: Vec<Problem>,
}

/// Chunks that another process reads.
pub(super) struct ApartRows {
    child: Child,
    frames: BufReader<ChildStdout>,
    is_over: bool,
    _place: Place,
}

impl ApartRows {
    pub fn start(program: &Path, file: File, kind: FileKind, layout: &Layout) -> Result<Self> {
        let (table, store) = (layout.spec.name.clone(), layout.store.clone());
        let zone = layout.zone.map(|zone| zone.name().to_owned());
        let asked = serde_json::to_string(&Asked { table, store, zone, kind })
            .map_err(|error| Error::internal("asking another process").with_source(error))?;
        let place = Place::wait();
        let failed = |error: io::Error| {
            Error::unavailable("no process can be started to read the file").with_source(error)
        };
        let mut child = Command::new(program)
            .args([COMMAND, &asked])
            .env_clear()
            // In KiB: what the allocator takes beforehand counts as used.
            .env("MIMALLOC_ARENA_RESERVE", "65536")
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let frames = BufReader::with_capacity(1 << 18, stdout);
        Ok(Self { child, frames, is_over: false, _place: place })
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        let mut bad: Vec<BadRow> = Vec::new();
        let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::internal("another process wrote what cannot be read").with_source(error)
        };
        loop {
            let (kind, bytes) = read_frame(&mut self.frames).map_err(|error| {
                let megabytes = MEMORY_BYTES >> 20;
                let message = format!(
                    "the file cannot be read within {megabytes} MiB of memory: it is damaged, or has values that are far \
                     larger unpacked; send it in parts, or as CSV"
                );
                Error::limit(message).with_source(error)
            })?;
            match kind {
                b'b' => bad = serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?,
                b'r' => {
                    let rows = read_rows(bytes).map_err(|error| damaged(error.into()))?;
                    return Ok(Some(Chunk { rows, bad }));
                }
                b'e' => {
                    let Fault { is_limit, message, problems } =
                        serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?;
                    let kind = if is_limit { ErrorKind::LimitExceeded } else { ErrorKind::InvalidRequest };
                    return Err(Error::new(kind, message).with_problems(problems));
                }
                _ => return Ok(None),
            }
        }
    }
}

impl Iterator for ApartRows {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Result<Chunk>> {
        if self.is_over {
            return None;
        }
        let next = self.chunk().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Drop for ApartRows {
    fn drop(&mut self) {
        // It has ended by itself, or nobody waits for it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a file of columns for another process, and writes its rows as frames.
pub fn read_for_another(asked: &str, file: File, out: impl Write) -> io::Result<()> {
    limit_this_process()?;
    let asked: Asked = serde_json::from_str(asked)?;
    let mut out = BufWriter::new(out);
    match write_chunks(asked, file, &mut out)? {
        Ok(()) => write_frame(&mut out, b'z', &[])?,
        Err(error) => {
            let is_limit = error.kind() == ErrorKind::LimitExceeded;
            let (message, problems) = (error.message().to_owned(), error.problems().to_vec());
            write_frame(&mut out, b'e', &serde_json::to_vec(&Fault { is_limit, message, problems })?)?;
        }
    }
    out.flush()
}

fn write_chunks(asked: Asked, file: File, out: &mut impl Write) -> io::Result<Result<()>> {
    let rows = match begin(asked, file) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error)),
    };
    for chunk in rows {
        let Chunk { rows, bad } = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        };
        if !bad.is_empty() {
            write_frame(out, b'b', &serde_json::to_vec(&bad)?)?;
        }
        write_frame(out, b'r', &written_rows(&rows).map_err(io::Error::other)?)?;
    }
    Ok(Ok(()))
}

fn begin(asked: Asked, file: File) -> Result<HereRows> {
    let unknown = || Error::internal("another process asked for what is not there");
    let spec = schema::tables()?.get(&asked.table).ok_or_else(unknown)?;
    let zone = asked.zone.map(|zone| zone.parse()).transpose().map_err(|_| unknown())?;
    let layout = Arc::new(Layout::new(spec, &asked.store, zone));
    HereRows::of_file(file, asked.kind, layout, Limits::default())
}

/// Limits the memory and the processor time of this process. Systems without such limits have those of the machine.
fn limit_this_process() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    for (resource, most) in [
        (rlimit::Resource::DATA, MEMORY_BYTES),
        (rlimit::Resource::CPU, CPU_SECONDS),
        (rlimit::Resource::CORE, 0),
    ] {
        rlimit::setrlimit(resource, most, most)?;
    }
    Ok(())
}

fn written_rows(rows: &RecordBatch) -> Result<Vec<u8>, arrow::error::ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(rows)?;
    writer.into_inner()
}

fn read_rows(bytes: Vec<u8>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut batches = StreamReader::try_new(Cursor::new(bytes), None)?;
    let schema = batches.schema();
    batches.next().unwrap_or_else(|| Ok(RecordBatch::new_empty(schema)))
}

fn write_frame(out: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&[kind])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

fn read_frame(frames: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    frames.read_exact(&mut head)?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    if length > MOST_FRAME_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    frames.read_exact(&mut bytes)?;
    Ok((head[0], bytes))
}

/// A place among the processes that read, until it is dropped.
struct Place;

static READING: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

impl Place {
    fn wait() -> Self {
        let reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reading =
            FREED.wait_while(reading, |reading| *reading >= AT_ONCE).unwrap_or_else(PoisonError::into_inner);
        *reading += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *READING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}
