//! Bodies of lines, parsed by several threads: cut into blocks at ends of lines, each parsed by itself, and given on in their
//! order.
//!
//! A block is parsed as if a row began with it. That is so if the block before it ended with a whole row. If it did not,
//! which its own parser tells, a quoted cell goes on in the next block: the rest of the body is parsed by one thread.

use std::collections::VecDeque;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes as Block;

use super::body::{Bytes, read_error};
use super::builder::{Chunk, Layout, Limits};
use super::read::{HereRows, RowSource};
use crate::error::{Error, Result};

/// A piece's place in its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) begins: bool,
    pub(super) ends: bool,
}

/// A format whose rows end where lines do.
pub(super) trait LineFormat: Send + Sync {
    /// The rows of a piece that begins with a row.
    fn rows(&self, bytes: Bytes, piece: Piece) -> Box<dyn RowSource>;

    /// Returns the error of a body that has no rows, if it is one.
    fn without_rows(&self) -> Option<Error>;
}

pub(super) struct Blocks {
    parser: Parser,
    /// The bytes that have not been read yet; `None` at the body's end.
    unread: Option<Bytes>,
    /// The bytes that were read behind the end of the last block.
    carried: Vec<u8>,
    has_begun: bool,
    workers: Vec<Worker>,
    next_worker: usize,
    /// The blocks that are being parsed, and by which worker; none parses a block in which no line ends.
    parsing: VecDeque<(Block, Piece, Option<usize>)>,
    ready: VecDeque<Chunk>,
    /// Rows of the blocks before.
    rows: u64,
    /// The rest of the body, once one thread parses it.
    alone: Option<HereRows>,
    failed: Option<Error>,
}

#[derive(Clone)]
struct Parser {
    format: Arc<dyn LineFormat>,
    layout: Arc<Layout>,
    limits: Limits,
}

struct Parsed {
    chunks: Vec<Chunk>,
    /// False if the last row goes on in the next block.
    is_whole: bool,
}

struct Worker {
    blocks: Sender<(Block, Piece)>,
    parsed: Receiver<Result<Parsed>>,
}

impl Parser {
    fn rows(&self, bytes: Bytes, piece: Piece) -> HereRows {
        HereRows::new(self.format.rows(bytes, piece), Arc::clone(&self.layout), self.limits)
    }

    fn parse(&self, block: Block, piece: Piece) -> Result<Parsed> {
        let mut rows = self.rows(Box::new(Cursor::new(block)), piece);
        let chunks = rows.by_ref().collect::<Result<_>>()?;
        Ok(Parsed { chunks, is_whole: piece.ends || !rows.is_within_row() })
    }
}

impl Worker {
    fn start(parser: Parser) -> Result<Self> {
        let (blocks, asked) = channel();
        let (answers, parsed) = channel();
        let work = move || {
            for (block, piece) in asked {
                if answers.send(parser.parse(block, piece)).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("tributary-parse".to_owned()).spawn(work);
        started.map_err(|error| Error::unavailable("no threads to read the body with").with_source(error))?;
        Ok(Self { blocks, parsed })
    }
}

impl Blocks {
    pub(super) fn new(
        bytes: Bytes,
        format: Arc<dyn LineFormat>,
        layout: Arc<Layout>,
        limits: Limits,
    ) -> Self {
        Self {
            parser: Parser { format, layout, limits },
            unread: Some(bytes),
            carried: Vec::new(),
            has_begun: false,
            workers: Vec::new(),
            next_worker: 0,
            parsing: VecDeque::new(),
            ready: VecDeque::new(),
            rows: 0,
            alone: None,
            failed: None,
        }
    }

    /// Gives blocks to the workers, one ahead of each.
    fn read_ahead(&mut self) -> Result<()> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        while self.parsing.len() < threads {
            let Some((block, piece)) = self.read_block()? else { return Ok(()) };
            if piece.begins && piece.ends {
                self.alone = Some(self.parser.rows(Box::new(Cursor::new(block)), piece));
                return Ok(());
            }
            if !piece.ends && block.last() != Some(&b'\n') {
                self.parsing.push_back((block, piece, None));
                continue;
            }
            let worker = self.next_worker;
            self.next_worker = (worker + 1) % threads;
            if worker == self.workers.len() {
                self.workers.push(Worker::start(self.parser.clone())?);
            }
            self.workers[worker].blocks.send((block.clone(), piece)).map_err(|_| stopped())?;
            self.parsing.push_back((block, piece, Some(worker)));
        }
        Ok(())
    }

    fn read_block(&mut self) -> Result<Option<(Block, Piece)>> {
        let Some(unread) = &mut self.unread else { return Ok(None) };
        let mut block = std::mem::take(&mut self.carried);
        let wanted = self.parser.limits.block_bytes.max(2 * block.len()) - block.len();
        let read = unread.take(wanted as u64).read_to_end(&mut block).map_err(read_error)?;
        let piece = Piece { begins: !self.has_begun, ends: read < wanted };
        self.has_begun = true;
        if piece.ends {
            self.unread = None;
        } else {
            self.carried = block.split_off(end_of_rows(&block));
        }
        Ok(Some((block.into(), piece)))
    }

    /// Lets one thread parse a block and all behind it.
    fn go_on_alone(&mut self, block: Block, piece: Piece) {
        let others = std::mem::take(&mut self.parsing).into_iter().map(|(block, ..)| block);
        let blocks = std::iter::once(block).chain(others).chain([std::mem::take(&mut self.carried).into()]);
        let mut bytes: Bytes = Box::new(std::io::empty());
        for block in blocks {
            bytes = Box::new(bytes.chain(Cursor::new(block)));
        }
        if let Some(unread) = self.unread.take() {
            bytes = Box::new(bytes.chain(unread));
        }
        self.workers.clear();
        self.alone = Some(self.parser.rows(bytes, Piece { ends: true, ..piece }));
    }

    /// Takes the rows of the next block; false if there is none.
    fn advance(&mut self) -> Result<bool> {
        self.read_ahead()?;
        let Some((block, piece, worker)) = self.parsing.pop_front() else { return Ok(self.alone.is_some()) };
        let parsed = match worker {
            Some(worker) => Some(self.workers[worker].parsed.recv().map_err(|_| stopped())??),
            None => None,
        };
        let Some(parsed) = parsed.filter(|parsed| parsed.is_whole) else {
            self.go_on_alone(block, piece);
            return Ok(true);
        };
        let before = self.rows;
        for chunk in parsed.chunks {
            self.rows += (chunk.rows.num_rows() + chunk.bad.len()) as u64;
            self.ready.push_back(chunk.behind(before));
        }
        Ok(true)
    }
}

/// Ends of lines that are looked at before the last one is taken.
const LINES_LOOKED_AT: usize = 10_000;

/// The end of the last line that is likely to be the end of a row: quotes before it come in pairs. All of the bytes if no line
/// ends in them.
fn end_of_rows(block: &[u8]) -> usize {
    let quotes = |bytes: &[u8]| bytes.iter().map(|byte| usize::from(*byte == b'"')).sum::<usize>();
    let end_of_line = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let Some(last) = end_of_line(block) else { return block.len() };
    let (mut end, mut before) = (last, quotes(&block[..last]));
    for _ in 0..LINES_LOOKED_AT {
        if before.is_multiple_of(2) {
            return end;
        }
        let Some(earlier) = end_of_line(&block[..end - 1]) else { break };
        before -= quotes(&block[earlier..end]);
        end = earlier;
    }
    last
}

fn stopped() -> Error {
    Error::internal("a thread that read the body stopped unexpectedly")
}

impl Iterator for Blocks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Result<Chunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if let Some(alone) = &mut self.alone {
                return Some(alone.next()?.map(|chunk| chunk.behind(self.rows)));
            }
            if let Some(error) = self.failed.take() {
                (self.unread, self.rows) = (None, self.rows.max(1));
                self.parsing.clear();
                return Some(Err(error));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) if self.rows == 0 => {
                    self.rows = 1;
                    return self.parser.format.without_rows().map(Err);
                }
                Ok(false) => return None,
                Err(error) => self.failed = Some(error),
            }
        }
    }
}
