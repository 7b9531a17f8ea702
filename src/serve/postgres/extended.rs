//! Prepared statements and portals: parsed once, bound to values, and executed some rows at a time.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::sink::{Sink, SinkExt};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{
    ExtendedQueryHandler, send_describe_response, send_execution_response, send_partial_query_response,
};
use pgwire::api::results::{DescribePortalResponse, FieldInfo, Response, Tag};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, Sync as SyncMessage,
    TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery, TransactionStatus};

use super::command::{self, Command};
use super::copy;
use super::errors::error;
use super::parameters;
use super::rows::{Columns, pg_type};
use super::session::Session;
use super::simple::{Outcome, in_order};
use super::texts::{self, Piece, Text};

/// What the values of a connection's portals may take together, in messages of the greatest length.
const BOUND_MESSAGES: usize = 2;

/// A statement that was parsed, and what is known of it before it has values.
#[derive(Debug, Clone)]
pub struct Prepared {
    command: Arc<Command>,
    /// The types of its parameters, as far as the client or the text says.
    pub parameters: Vec<Type>,
    columns: Announced,
}

/// What a statement returns.
#[derive(Debug, Clone)]
enum Announced {
    Nothing,
    Columns(Arc<Columns>),
    /// Only its values will tell: what was wrong without them.
    WithValues(Arc<str>),
}

/// The session as the protocol's messages reach it; it is its own parser.
pub struct Speaker(pub Arc<Session>);

#[async_trait]
impl QueryParser for Session {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        self.check_size(sql)?;
        let statements = texts::cut(sql).await?;
        let statement = match &*statements {
            [] => return Ok(None),
            [statement] => statement,
            _ => return Err(error("42601", "a prepared statement is one statement")),
        };
        let command = in_order(client, command::read(statement))?;
        self.prepare(command, types).await.map(Some)
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(statement.parameters.clone())
    }

    fn get_result_schema(&self, statement: &Prepared, _: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        match &statement.columns {
            Announced::Nothing => Ok(Vec::new()),
            Announced::Columns(columns) => Ok(columns.fields.to_vec()),
            Announced::WithValues(problem) => Err(error("42P18", &**problem)),
        }
    }
}

impl Session {
    async fn prepare(&self, command: Command, types: &[Option<Type>]) -> PgWireResult<Prepared> {
        let (sql, has_rows) = match &command {
            Command::Query(sql) => (sql, true),
            Command::Copy { query, .. } | Command::Declare { query, .. } => (query, false),
            _ => {
                let columns = self.own_columns(&command)?;
                let columns = columns.map(|schema| self.announced(&schema)).transpose()?;
                let columns = columns.unwrap_or(Announced::Nothing);
                return Ok(Prepared { command: Arc::new(command), parameters: Vec::new(), columns });
            }
        };
        let (placeholders, lists) = placeholders(&texts::cut(sql).await?)?;
        let given = |place: usize| types.get(place).cloned().flatten().filter(|kind| *kind != Type::UNKNOWN);
        let fallback =
            |place: usize| if lists.contains(&(place + 1)) { Type::TEXT_ARRAY } else { Type::TEXT };
        let described = match self.describe(sql).await {
            Ok(described) => described,
            // Some texts can be planned with their values alone: a function's options, say.
            Err(PgWireError::UserError(info)) if placeholders > 0 && !info.is_fatal() => {
                let parameters =
                    (0..placeholders).map(|place| given(place).unwrap_or_else(|| fallback(place))).collect();
                let columns = if has_rows {
                    Announced::WithValues(info.message.as_str().into())
                } else {
                    Announced::Nothing
                };
                return Ok(Prepared { command: Arc::new(command), parameters, columns });
            }
            Err(error) => return Err(error),
        };
        let parameter = |place: usize| {
            let name = (place + 1).to_string();
            let known = described.parameters.iter().find(|(known, _)| *known == name);
            let planned = known.and_then(|(_, kind)| kind.as_ref()).map(pg_type).transpose();
            Ok(given(place).or(planned?).unwrap_or_else(|| fallback(place)))
        };
        let parameters = (0..placeholders).map(parameter).collect::<PgWireResult<_>>()?;
        let columns = if has_rows { self.announced(&described.columns)? } else { Announced::Nothing };
        Ok(Prepared { command: Arc::new(command), parameters, columns })
    }

    fn announced(&self, schema: &SchemaRef) -> PgWireResult<Announced> {
        let columns = Columns::new(schema, &Format::UnifiedText, &self.settings())?;
        Ok(Announced::Columns(Arc::new(columns)))
    }
}

/// A text's placeholders: the greatest number, and those that stand alone in `any(..)` or `all(..)`, which are lists.
fn placeholders(statements: &[Text]) -> PgWireResult<(usize, HashSet<usize>)> {
    let number = |piece: &Piece| match &piece.token {
        Token::Placeholder(name) => name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()),
        _ => None,
    };
    let pieces: Vec<&Piece> = statements.iter().flat_map(|statement| &statement.pieces).collect();
    let count = pieces.iter().filter_map(|piece| number(piece)).max().unwrap_or(0);
    if count > usize::from(u16::MAX) {
        return Err(error("54000", "a statement has at most 65535 parameters"));
    }
    let list = |window: &[&Piece]| match window {
        [word, open, inner, close]
            if matches!(word.word().as_str(), "any" | "all" | "some")
                && open.token == Token::LParen
                && close.token == Token::RParen =>
        {
            number(inner)
        }
        _ => None,
    };
    Ok((count, pieces.windows(4).filter_map(list).collect()))
}

impl Session {
    /// Runs a portal, unless it runs already.
    async fn begin_portal<C>(&self, client: &mut C, portal: &Portal<Prepared>) -> PgWireResult<Outcome>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = &portal.statement.statement;
        let command = in_order(client, Ok((*prepared.command).clone()))?;
        let values = parameters::bound(portal)?;
        self.run(client, &command, &values, &portal.result_column_format).await
    }

    /// Whether there is room for a portal that is bound to so many bytes. One of the same name is replaced.
    fn check_portal(&self, name: &str, bytes: usize) -> PgWireResult<()> {
        let state = self.state();
        self.check_count(state.portals.len(), state.portals.contains_key(name))?;
        let others = state.portals.iter().filter(|(other, _)| *other != name);
        let bound: usize = others.map(|(_, bytes)| bytes).sum();
        let most = BOUND_MESSAGES * self.door.limits.message_bytes;
        if bound + bytes > most {
            let message =
                format!("the portals of a connection are bound to at most {most} bytes: close some");
            return Err(error("54000", message));
        }
        Ok(())
    }

    fn check_count(&self, count: usize, is_there: bool) -> PgWireResult<()> {
        let most = self.door.limits.statements;
        if count >= most && !is_there {
            return Err(error("54000", format!("a connection keeps at most {most} statements: close some")));
        }
        Ok(())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Speaker {
    type Statement = Prepared;
    type QueryParser = Session;

    fn query_parser(&self) -> Arc<Session> {
        self.0.clone()
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        {
            let statements = &self.0.state().statements;
            self.0.check_count(statements.len(), statements.contains(&name))?;
        }
        let types: Vec<_> = message.type_oids.iter().map(|oid| Type::from_oid(*oid)).collect();
        match self.0.parse_sql(client, &message.query, &types).await? {
            Some(prepared) => {
                let stored = StoredStatement::new(name.clone(), prepared, types);
                client.portal_store().put_statement(Arc::new(stored));
            }
            None => client.portal_store().put_empty_statement(&name),
        }
        self.0.state().statements.insert(name);
        client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = message.portal_name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let bytes = message.parameters.iter().flatten().map(Bytes::len).sum();
        self.0.check_portal(&name, bytes)?;
        match client.portal_store().get_statement(statement) {
            Some(Entry::Value(statement)) => {
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => client.portal_store().put_empty_portal(&name),
            None => return Err(PgWireError::StatementNotFound(statement.to_owned())),
        }
        self.0.state().portals.insert(name, bytes);
        client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    /// A cursor is described as a portal of its name is.
    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let is_cursor = message.target_type == TARGET_TYPE_BYTE_PORTAL
            && client.portal_store().get_portal(name).is_none();
        match self.0.cursor_schema(name) {
            Ok(schema) if is_cursor => {
                let columns = Columns::new(&schema, &Format::UnifiedText, &self.0.settings())?;
                let described = DescribePortalResponse::new(columns.fields.to_vec());
                send_describe_response(client, &described).await
            }
            _ => self._on_describe(client, message).await,
        }
    }

    /// A portal is started when it is described: what it returns may depend on its values.
    async fn do_describe_portal<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if matches!(portal.statement.statement.columns, Announced::Nothing) {
            return Ok(DescribePortalResponse::new(Vec::new()));
        }
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(&*state, PortalExecutionState::Initial)
            && let Outcome::Rows(rows) = self.0.begin_portal(client, portal).await?
        {
            *state = PortalExecutionState::Suspended(rows);
        }
        let fields = match &*state {
            PortalExecutionState::Suspended(rows) => rows.row_schema().to_vec(),
            _ => Vec::new(),
        };
        Ok(DescribePortalResponse::new(fields))
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.set_state(PgWireConnectionState::QueryInProgress);
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                client.set_state(PgWireConnectionState::ReadyForQuery);
                return Ok(());
            }
            None => {
                return Err(error(
                    "34000",
                    "there is no such portal: it was closed, or its transaction ended",
                ));
            }
        };
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(&*state, PortalExecutionState::Initial) {
            match self.0.begin_portal(client, &portal).await? {
                Outcome::Rows(rows) => *state = PortalExecutionState::Suspended(rows),
                Outcome::Copied(rows, format) => {
                    *state = PortalExecutionState::Finished;
                    copy::send(client, rows, format).await?;
                }
                Outcome::Done(tag) => {
                    *state = PortalExecutionState::Finished;
                    send_execution_response(client, tag).await?;
                }
            }
        } else if matches!(&*state, PortalExecutionState::Finished) {
            send_execution_response(client, Tag::new("SELECT").with_rows(0)).await?;
        }
        if let PortalExecutionState::Suspended(rows) = &mut *state {
            let most = usize::try_from(message.max_rows).unwrap_or(0);
            if !send_partial_query_response(client, rows, most).await? {
                *state = PortalExecutionState::Finished;
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    /// Outside a transaction every portal ends here, as its own transaction does.
    async fn on_sync<C>(&self, client: &mut C, _: SyncMessage) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        if status == TransactionStatus::Idle {
            client.portal_store().clear_portals();
            self.0.forget_rows();
        }
        client.send(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                client.portal_store().rm_statement(name);
                self.0.state().statements.remove(name);
            }
            TARGET_TYPE_BYTE_PORTAL => {
                client.portal_store().rm_portal(name);
                self.0.state().portals.remove(name);
            }
            other => return Err(PgWireError::InvalidTargetType(other)),
        }
        client.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Prepared>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(match self.0.begin_portal(client, portal).await? {
            Outcome::Rows(rows) | Outcome::Copied(rows, _) => Response::Query(rows),
            Outcome::Done(tag) => Response::Execution(tag),
        })
    }
}
