//! Rows as a stream of bytes: drawn while they are read, never held whole.

use std::io::{self, Read};
use std::ops::Range;

use indicatif::ProgressBar;

use super::journey::{Journey, JourneySource};

/// Writes one journey's rows of one table.
pub type JourneyTable = fn(&JourneySource, &Journey, &mut Vec<u8>);

/// Bytes drawn at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Reads the rows that a range of journeys has in one table, as NDJSON.
pub struct JourneyReader {
    source: JourneySource,
    table: JourneyTable,
    journeys: Range<u64>,
    buffer: Vec<u8>,
    read: usize,
    progress: ProgressBar,
}

impl JourneyReader {
    pub fn new(
        source: JourneySource,
        table: JourneyTable,
        journeys: Range<u64>,
        progress: ProgressBar,
    ) -> Self {
        Self { source, table, journeys, buffer: Vec::with_capacity(BUFFER_BYTES), read: 0, progress }
    }

    /// Whether there is no row at all; draws up to the first one.
    pub fn is_empty(&mut self) -> bool {
        self.fill();
        self.buffer.is_empty()
    }

    fn fill(&mut self) {
        if self.read < self.buffer.len() {
            return;
        }
        self.buffer.clear();
        self.read = 0;
        let before = self.journeys.start;
        while self.buffer.len() < BUFFER_BYTES {
            let Some(index) = self.journeys.next() else { break };
            (self.table)(&self.source, &self.source.journey(index), &mut self.buffer);
        }
        self.progress.inc(self.journeys.start - before);
    }
}

impl Read for JourneyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill();
        let length = out.len().min(self.buffer.len() - self.read);
        out[..length].copy_from_slice(&self.buffer[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}
