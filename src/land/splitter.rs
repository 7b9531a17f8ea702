//! One CSV row to the places of its cells; resumable, since a quoted cell may span lines.

use std::borrow::Cow;

/// What is wrong with a row's quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TextAfterQuote,
}

#[derive(Debug, Clone, Copy)]
struct CellPlace {
    start: usize,
    end: usize,
    /// Whether the cell has doubled quotes.
    is_escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    CellStart,
    Bare,
    Quoted,
    /// Behind a quote inside a quoted cell: its end, or the first half of a doubled quote.
    QuoteInQuoted,
}

#[derive(Debug, Default)]
pub(super) struct Splitter {
    cells: Vec<CellPlace>,
    state: State,
    start: usize,
    position: usize,
    is_escaped: bool,
}

impl Splitter {
    pub(super) fn reset(&mut self) {
        self.cells.clear();
        self.state = State::CellStart;
        self.start = 0;
        self.position = 0;
        self.is_escaped = false;
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The text of a cell of the row that was fed.
    pub(super) fn cell<'a>(&self, row: &'a str, at: usize) -> Cow<'a, str> {
        let place = self.cells[at];
        let text = &row[place.start..place.end];
        if place.is_escaped { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) }
    }

    /// Goes on with `row`, which ends at a line's end; false where a quoted cell goes on in the next line.
    pub(super) fn feed(&mut self, row: &[u8]) -> Result<bool, Fault> {
        let end = row.strip_suffix(b"\n").unwrap_or(row);
        let end = end.strip_suffix(b"\r").unwrap_or(end).len();
        while self.position < row.len() {
            let at = self.position;
            // A line's end belongs to a quoted cell, and to no other.
            if at >= end && self.state != State::Quoted {
                break;
            }
            self.position += 1;
            match (self.state, row[at]) {
                (State::CellStart, b'"') => {
                    self.state = State::Quoted;
                    self.start = at + 1;
                }
                (State::CellStart | State::Bare, b',') => self.close(at),
                (State::CellStart, _) => self.state = State::Bare,
                (State::Quoted, b'"') => self.state = State::QuoteInQuoted,
                (State::QuoteInQuoted, b'"') => {
                    self.state = State::Quoted;
                    self.is_escaped = true;
                }
                (State::QuoteInQuoted, b',') => self.close(at - 1),
                (State::QuoteInQuoted, _) => return Err(Fault::TextAfterQuote),
                (State::Bare | State::Quoted, _) => {}
            }
        }
        match self.state {
            State::Quoted => return Ok(false),
            State::QuoteInQuoted => self.close(end - 1),
            State::CellStart | State::Bare => self.close(end),
        }
        Ok(true)
    }

    fn close(&mut self, end: usize) {
        self.cells.push(CellPlace { start: self.start, end, is_escaped: self.is_escaped });
        self.state = State::CellStart;
        self.start = self.position;
        self.is_escaped = false;
    }
}
