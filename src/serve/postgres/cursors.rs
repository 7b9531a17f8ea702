//! Cursors: `declare`, `fetch`, `move` and `close`.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use pgwire::api::portal::Format;
use pgwire::api::results::{QueryResponse, Tag};
use pgwire::error::PgWireResult;

use super::errors::error;
use super::rows::Columns;
use super::session::{Batches, Session, encoded};
use crate::query::Values;

/// The most rows of one `fetch`: they are held until they are sent. `fetch all` streams.
const FETCHED_ROWS: usize = 100_000;

/// An answer that is read bit by bit.
pub struct Cursor {
    schema: SchemaRef,
    batches: Batches,
    /// What is left of the batch that the last fetch ended in.
    rest: Option<RecordBatch>,
}

impl Cursor {
    /// Takes the next rows: up to a number of them.
    async fn take(&mut self, most: usize) -> PgWireResult<Vec<RecordBatch>> {
        let (mut taken, mut missing) = (Vec::new(), most);
        while missing > 0 {
            let batch = match self.rest.take() {
                Some(batch) => batch,
                None => match self.batches.next().await.transpose()? {
                    Some(batch) => batch,
                    None => break,
                },
            };
            let rows = batch.num_rows().min(missing);
            if rows < batch.num_rows() {
                self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            }
            missing -= rows;
            taken.push(batch.slice(0, rows));
        }
        Ok(taken)
    }
}

impl Session {
    pub async fn declare(&self, name: &str, sql: &str, values: &Values) -> PgWireResult<Tag> {
        {
            let state = self.state();
            if state.cursors.contains_key(name) {
                return Err(error("42P03", format!("cursor {name} exists already: close it first")));
            }
            if state.cursors.len() >= self.door.limits.statements {
                return Err(error("54000", "too many cursors are open: close some"));
            }
        }
        let (schema, batches) = self.start(sql, values).await?;
        let cursor = Cursor { schema, batches, rest: None };
        self.state().cursors.insert(name.to_owned(), cursor);
        Ok(Tag::new("DECLARE CURSOR"))
    }

    /// The next rows of a cursor; all that are left where no number is given.
    pub async fn fetch(
        &self,
        name: &str,
        rows: Option<usize>,
        format: &Format,
    ) -> PgWireResult<QueryResponse> {
        let mut cursor = self.take_cursor(name)?;
        let columns = Columns::new(&cursor.schema, format, &self.settings())?;
        let batches = match rows {
            Some(rows) if rows > FETCHED_ROWS => {
                self.put_back(name, cursor);
                return Err(error("54000", format!("fetch at most {FETCHED_ROWS} rows at once, or all")));
            }
            Some(rows) => {
                let taken = cursor.take(rows).await?;
                self.put_back(name, cursor);
                futures::stream::iter(VecDeque::from(taken).into_iter().map(Ok)).boxed()
            }
            None => {
                let left = cursor.rest.take();
                let batches = std::mem::replace(&mut cursor.batches, futures::stream::empty().boxed());
                self.put_back(name, cursor);
                futures::stream::iter(left.map(Ok)).chain(batches).boxed()
            }
        };
        let mut response = encoded(&columns, batches);
        response.set_command_tag("FETCH");
        Ok(response)
    }

    /// Passes over the next rows; returns how many there were.
    pub async fn pass_over(&self, name: &str, rows: Option<usize>) -> PgWireResult<Tag> {
        let mut cursor = self.take_cursor(name)?;
        let (mut passed, mut missing) = (0, rows.unwrap_or(usize::MAX));
        while missing > 0 {
            let taken: usize =
                cursor.take(missing.min(FETCHED_ROWS)).await?.iter().map(RecordBatch::num_rows).sum();
            if taken == 0 {
                break;
            }
            passed += taken;
            missing -= taken;
        }
        self.put_back(name, cursor);
        Ok(Tag::new("MOVE").with_rows(passed))
    }

    /// Closes one cursor, or all.
    pub fn close_cursors(&self, name: Option<&str>) -> PgWireResult<Tag> {
        let mut state = self.state();
        match name {
            None => state.cursors.clear(),
            Some(name) => drop(state.cursors.remove(name).ok_or_else(|| unknown(name))?),
        }
        Ok(Tag::new("CLOSE CURSOR"))
    }

    /// What a cursor's rows look like.
    pub fn cursor_schema(&self, name: &str) -> PgWireResult<SchemaRef> {
        self.state().cursors.get(name).map(|cursor| cursor.schema.clone()).ok_or_else(|| unknown(name))
    }

    /// A cursor is out of the session while it is read from; after an error it is gone, as its transaction is.
    fn take_cursor(&self, name: &str) -> PgWireResult<Cursor> {
        self.state().cursors.remove(name).ok_or_else(|| unknown(name))
    }

    fn put_back(&self, name: &str, cursor: Cursor) {
        self.state().cursors.insert(name.to_owned(), cursor);
    }
}

fn unknown(name: &str) -> pgwire::error::PgWireError {
    let name: String = name.chars().take(63).collect();
    error("34000", format!("there is no cursor {name}"))
}
