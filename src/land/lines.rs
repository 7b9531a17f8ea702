//! Lines of a text body, each of bounded length.

use std::io::{BufRead, BufReader, Cursor, Read};

use super::body::{Bytes, read_error};
use crate::error::Result;

/// The longest row, in bytes.
pub(super) const MAX_ROW_BYTES: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    End,
    Whole,
    /// The line was longer than a row may be; its end was skipped.
    TooLong,
}

pub(super) struct Lines {
    reader: BufReader<Bytes>,
    /// Lines that were given back, and how much of them was read again.
    returned: Vec<u8>,
    position: usize,
}

impl Lines {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { reader: BufReader::with_capacity(1 << 18, bytes), returned: Vec::new(), position: 0 }
    }

    /// Appends one line, its terminator included, to `row`.
    pub(super) fn read(&mut self, row: &mut Vec<u8>) -> Result<Line> {
        if let Some(rest) = self.returned.get(self.position..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            row.extend_from_slice(&rest[..end]);
            self.position += end;
            return Ok(Line::Whole);
        }
        let limit = MAX_ROW_BYTES as u64 + 1;
        let count = (&mut self.reader).take(limit).read_until(b'\n', row).map_err(read_error)?;
        if count == 0 {
            return Ok(Line::End);
        }
        if count as u64 == limit && row.last() != Some(&b'\n') {
            self.skip_line()?;
            return Ok(Line::TooLong);
        }
        Ok(Line::Whole)
    }

    /// Returns the bytes that have not been read yet.
    pub(super) fn into_rest(mut self) -> Bytes {
        let returned = self.returned.split_off(self.position.min(self.returned.len()));
        let buffered = self.reader.buffer().to_vec();
        Box::new(Cursor::new(returned).chain(Cursor::new(buffered)).chain(self.reader.into_inner()))
    }

    /// Gives whole lines back, to be read again before all others.
    pub(super) fn unread(&mut self, lines: &[u8]) {
        let rest = self.returned.split_off(self.position.min(self.returned.len()));
        self.returned = [lines, &rest].concat();
        self.position = 0;
    }

    fn skip_line(&mut self) -> Result<()> {
        loop {
            let buffer = self.reader.fill_buf().map_err(read_error)?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(buffer.len(), |at| at + 1);
            self.reader.consume(count);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}
