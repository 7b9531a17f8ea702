//! Checks the lengths that Arrow IPC data claims, before a reader reserves memory by them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use arrow_ipc::{Buffer, Message, root_as_footer, root_as_message};

use crate::error::{Error, Result};

/// The most that one record batch may hold, unpacked.
const MAX_BATCH_BYTES: u64 = 256 << 20;
const MAX_METADATA_BYTES: u64 = 16 << 20;
const CONTINUATION: u32 = 0xffff_ffff;

/// Walks a stream from message to message, and goes back to its begin.
pub(super) fn check_stream(file: &mut File) -> Result<()> {
    let end = seek(file, SeekFrom::End(0))?;
    let mut position = 0;
    while position < end {
        match check_message(file, position, end)? {
            Some(next) => position = next,
            None => break,
        }
    }
    seek(file, SeekFrom::Start(0))?;
    Ok(())
}

/// Checks every block that a file's footer names, and goes back to its begin.
pub(super) fn check_file(file: &mut File) -> Result<()> {
    let end = seek(file, SeekFrom::End(0))?;
    let trailer = end.checked_sub(10).ok_or_else(damaged)?;
    let bytes = read(file, trailer, 10)?;
    let length = u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    if &bytes[4..] != b"ARROW1" || length > trailer.min(MAX_METADATA_BYTES) {
        return Err(damaged());
    }
    let footer = read(file, trailer - length, length)?;
    let footer = root_as_footer(&footer).map_err(|error| damaged().with_source(error.to_string()))?;
    let blocks =
        footer.recordBatches().into_iter().flatten().chain(footer.dictionaries().into_iter().flatten());
    for block in blocks {
        let start = u64::try_from(block.offset()).map_err(|error| damaged().with_source(error))?;
        let metadata = u64::try_from(block.metaDataLength()).map_err(|error| damaged().with_source(error))?;
        let body = u64::try_from(block.bodyLength()).map_err(|error| damaged().with_source(error))?;
        let stop = start.checked_add(metadata).and_then(|at| at.checked_add(body)).ok_or_else(damaged)?;
        if stop > trailer || check_message(file, start, stop)?.is_none() {
            return Err(damaged());
        }
    }
    seek(file, SeekFrom::Start(0))?;
    Ok(())
}

/// Checks one message; gives where the next begins, or none at the mark of the stream's end.
fn check_message(file: &mut File, start: u64, end: u64) -> Result<Option<u64>> {
    let mut position = start;
    let mut length = read_u32(file, position, end)?;
    position += 4;
    if length == CONTINUATION {
        length = read_u32(file, position, end)?;
        position += 4;
    }
    if length == 0 {
        return Ok(None);
    }
    let length = u64::from(length);
    if length > MAX_METADATA_BYTES || length > end - position {
        return Err(damaged());
    }
    let metadata = read(file, position, length)?;
    position += length;
    let message = root_as_message(&metadata).map_err(|error| damaged().with_source(error.to_string()))?;
    let body = u64::try_from(message.bodyLength()).map_err(|error| damaged().with_source(error))?;
    if body > end - position {
        return Err(damaged());
    }
    if body > MAX_BATCH_BYTES {
        return Err(too_large());
    }
    check_buffers(file, &message, position, body)?;
    Ok(Some(position + body))
}

/// A packed buffer begins with its unpacked length.
fn check_buffers(file: &mut File, message: &Message<'_>, start: u64, body: u64) -> Result<()> {
    let batch = message
        .header_as_record_batch()
        .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some(batch) = batch else { return Ok(()) };
    let is_packed = batch.compression().is_some();
    let buffers: Vec<Buffer> =
        batch.buffers().map(|buffers| buffers.iter().copied().collect()).unwrap_or_default();
    let mut unpacked = 0_u64;
    for buffer in buffers {
        let offset = u64::try_from(buffer.offset()).map_err(|error| damaged().with_source(error))?;
        let length = u64::try_from(buffer.length()).map_err(|error| damaged().with_source(error))?;
        if offset.checked_add(length).is_none_or(|stop| stop > body) {
            return Err(damaged());
        }
        if is_packed && length >= 8 {
            let bytes = read(file, start + offset, 8)?;
            let claimed = i64::from_le_bytes(bytes.try_into().map_err(|_| damaged())?);
            // -1 says that the buffer is not packed after all.
            unpacked = unpacked.saturating_add(u64::try_from(claimed).unwrap_or(length));
        }
    }
    if unpacked > MAX_BATCH_BYTES { Err(too_large()) } else { Ok(()) }
}

fn read_u32(file: &mut File, at: u64, end: u64) -> Result<u32> {
    if end.saturating_sub(at) < 4 {
        return Err(damaged());
    }
    let bytes = read(file, at, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn read(file: &mut File, at: u64, length: u64) -> Result<Vec<u8>> {
    seek(file, SeekFrom::Start(at))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(|error| damaged().with_source(error))?;
    Ok(bytes)
}

fn seek(file: &mut File, to: SeekFrom) -> Result<u64> {
    file.seek(to).map_err(|error| damaged().with_source(error))
}

fn damaged() -> Error {
    Error::invalid("the Arrow data cannot be read: it is damaged or cut off")
}

fn too_large() -> Error {
    Error::invalid("the Arrow data has a record batch of more than 256 MiB: write smaller batches")
}
