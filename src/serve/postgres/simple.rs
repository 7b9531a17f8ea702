//! Simple queries: a text of one or several statements, each answered in turn as text. And what statements do that are
//! no questions.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt;
use futures::sink::{Sink, SinkExt};
use pgwire::api::portal::Format;
use pgwire::api::query::{
    SimpleQueryHandler, send_execution_response, send_query_response, send_ready_for_query,
};
use pgwire::api::results::{QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{EmptyQueryResponse, NoticeResponse, TransactionStatus};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::ParameterStatus;

use super::command::{self, Command};
use super::copy::{self, CopyFormat};
use super::errors::error;
use super::rows::Columns;
use super::session::{Session, encoded};
use super::texts;
use crate::query::Values;

/// The most statements of one text.
const STATEMENTS: usize = 100;

/// What came of a statement.
pub enum Outcome {
    Rows(QueryResponse),
    Copied(QueryResponse, CopyFormat),
    Done(Tag),
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.set_state(PgWireConnectionState::QueryInProgress);
        self.check_size(&query.query)?;
        let statements = texts::cut(&query.query).await?;
        if statements.len() > STATEMENTS {
            return Err(error("54000", format!("a text has at most {STATEMENTS} statements")));
        }
        if statements.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for statement in &statements {
            let command = in_order(client, command::read(statement))?;
            match self.run(client, &command, &Values::new(), &Format::UnifiedText).await? {
                Outcome::Rows(rows) => send_query_response(client, rows, true).await?,
                Outcome::Copied(rows, format) => copy::send(client, rows, format).await?,
                Outcome::Done(tag) => send_execution_response(client, tag).await?,
            }
        }
        if client.transaction_status() == TransactionStatus::Idle {
            self.state().cursors.clear();
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        send_ready_for_query(client, client.transaction_status()).await
    }

    /// The same, for one statement: `on_query` sends what comes of each before it starts the next.
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.on_query(client, Query::new(query.to_owned())).await?;
        Ok(Vec::new())
    }
}

/// In a transaction that has failed only its end is taken, whatever else is wrong with a statement.
pub fn in_order<C: ClientInfo>(client: &C, command: PgWireResult<Command>) -> PgWireResult<Command> {
    let ends = matches!(command, Ok(Command::Commit | Command::Rollback | Command::RollbackTo));
    if client.transaction_status() == TransactionStatus::Error && !ends {
        return Err(error(
            "25P02",
            "the transaction has failed: nothing is answered until it is rolled back",
        ));
    }
    command
}

impl Session {
    pub fn check_size(&self, sql: &str) -> PgWireResult<()> {
        let most = self.door.limits.sql_bytes;
        if sql.len() > most {
            return Err(error("54000", format!("a text has at most {most} bytes")));
        }
        Ok(())
    }

    /// Does what a statement asks.
    pub async fn run<C>(
        &self,
        client: &mut C,
        command: &Command,
        values: &Values,
        format: &Format,
    ) -> PgWireResult<Outcome>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(match command {
            Command::Query(sql) => Outcome::Rows(self.ask(sql, values, format).await?),
            Command::Copy { query, format } => {
                Outcome::Copied(self.ask(query, values, &format.values()).await?, *format)
            }
            Command::Declare { name, query } => {
                if client.transaction_status() == TransactionStatus::Idle {
                    return Err(error("25P01", "a cursor lives in a transaction: begin one first"));
                }
                Outcome::Done(self.declare(name, query, values).await?)
            }
            Command::Fetch { name, rows, moves: false } => {
                Outcome::Rows(self.fetch(name, *rows, format).await?)
            }
            Command::Fetch { name, rows, moves: true } => Outcome::Done(self.pass_over(name, *rows).await?),
            Command::CloseCursor(name) => Outcome::Done(self.close_cursors(name.as_deref())?),
            Command::Show(_) | Command::ShowAll => Outcome::Rows(self.show(command, format)?),
            Command::Set { .. } | Command::ResetAll => Outcome::Done(self.set(client, command).await?),
            Command::Begin(tag) => {
                if client.transaction_status() == TransactionStatus::Transaction {
                    notice(client, "25001", "there is already a transaction in progress").await?;
                }
                client.set_transaction_status(TransactionStatus::Transaction);
                Outcome::Done(Tag::new(tag))
            }
            Command::Commit | Command::Rollback => {
                Outcome::Done(self.end_transaction(client, *command == Command::Commit).await?)
            }
            Command::RollbackTo => {
                if client.transaction_status() == TransactionStatus::Idle {
                    return Err(error("25P01", "there is no transaction in progress"));
                }
                client.set_transaction_status(TransactionStatus::Transaction);
                Outcome::Done(Tag::new("ROLLBACK"))
            }
            Command::DiscardAll => {
                if client.transaction_status() != TransactionStatus::Idle {
                    return Err(error("25001", "discard all cannot run in a transaction"));
                }
                self.forget_statements(client, None)?;
                self.set(client, &Command::ResetAll).await?;
                Outcome::Done(Tag::new("DISCARD ALL"))
            }
            Command::Deallocate(name) => {
                self.forget_statements(client, name.as_deref())?;
                Outcome::Done(Tag::new(if name.is_none() { "DEALLOCATE ALL" } else { "DEALLOCATE" }))
            }
            Command::Nothing(tag) => Outcome::Done(Tag::new(tag)),
        })
    }

    /// The columns of what is answered here; none where no rows come.
    pub fn own_columns(&self, command: &Command) -> PgWireResult<Option<SchemaRef>> {
        Ok(match command {
            Command::Show(name) => Some(text_columns(&[&self.state().settings.show(name)?.0])),
            Command::ShowAll => Some(text_columns(&["name", "setting", "description"])),
            Command::Fetch { name, moves: false, .. } => Some(self.cursor_schema(name)?),
            _ => None,
        })
    }

    fn show(&self, command: &Command, format: &Format) -> PgWireResult<QueryResponse> {
        let settings = self.settings();
        let (names, rows) = match command {
            Command::Show(name) if name == "session_authorization" => {
                (vec![name.clone()], vec![vec![crate::session::CATALOG.to_owned()]])
            }
            Command::Show(name) => {
                let (name, value) = settings.show(name)?;
                (vec![name], vec![vec![value]])
            }
            _ => {
                let rows = settings.all().into_iter().map(|(name, value)| vec![name, value, String::new()]);
                (["name", "setting", "description"].map(str::to_owned).to_vec(), rows.collect())
            }
        };
        let schema = text_columns(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let column = |place: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row[place])))
        };
        let batch = RecordBatch::try_new(schema.clone(), (0..names.len()).map(column).collect())
            .map_err(|_| error("XX000", "settings cannot be written"))?;
        let columns = Columns::new(&schema, format, &settings)?;
        let mut response = encoded(&columns, futures::stream::once(async { Ok(batch) }).boxed());
        response.set_command_tag("SHOW");
        Ok(response)
    }

    /// Sets or resets, and tells the client what has changed.
    async fn set<C>(&self, client: &mut C, command: &Command) -> PgWireResult<Tag>
    where
        C: Sink<PgWireBackendMessage> + Unpin,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (told, tag) = {
            let settings = &mut self.state().settings;
            match command {
                Command::Set { name, value: Some(value) } => {
                    (settings.set(name, Some(value))?.into_iter().collect(), "SET")
                }
                Command::Set { name, value: None } => {
                    (settings.set(name, None)?.into_iter().collect(), "RESET")
                }
                _ => (settings.reset_all(), "RESET"),
            }
        };
        for (name, value) in told {
            client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
        }
        Ok(Tag::new(tag))
    }

    /// There is nothing to write or to undo; what the transaction held is let go.
    async fn end_transaction<C>(&self, client: &mut C, commits: bool) -> PgWireResult<Tag>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        if status == TransactionStatus::Idle {
            notice(client, "25P01", "there is no transaction in progress").await?;
        }
        client.set_transaction_status(TransactionStatus::Idle);
        self.state().cursors.clear();
        // A transaction that has failed is rolled back, whatever its end was called.
        let has_committed = commits && status != TransactionStatus::Error;
        Ok(Tag::new(if has_committed { "COMMIT" } else { "ROLLBACK" }))
    }

    fn forget_statements<C>(&self, client: &C, name: Option<&str>) -> PgWireResult<()>
    where
        C: ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        let mut state = self.state();
        match name {
            Some(name) if !state.statements.remove(name) => {
                let name: String = name.chars().take(63).collect();
                return Err(error("26000", format!("there is no prepared statement {name}")));
            }
            Some(name) => client.portal_store().rm_statement(name),
            None => state.statements.drain().for_each(|name| client.portal_store().rm_statement(&name)),
        }
        Ok(())
    }
}

fn text_columns(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(
        names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>(),
    ))
}

async fn notice<C>(client: &mut C, sqlstate: &str, message: &str) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let fields = [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', sqlstate), (b'M', message)];
    let notice = NoticeResponse::new(fields.map(|(key, value)| (key, value.to_owned())).to_vec());
    client.feed(PgWireBackendMessage::NoticeResponse(notice)).await?;
    Ok(())
}
