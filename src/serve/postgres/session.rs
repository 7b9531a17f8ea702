//! What a connection has: who asks, its settings, and the questions that it puts.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use pgwire::api::portal::Format;
use pgwire::api::results::QueryResponse;
use pgwire::api::{ConnectionGuard, ConnectionHandle};
use pgwire::error::{PgWireError, PgWireResult};
use tokio::time::Instant;

use super::cursors::Cursor;
use super::door::Door;
use super::errors::{engine_error, error, fatal, refused};
use super::rows::Columns;
use super::settings::Settings;
use super::startup::Handshake;
use crate::error::Error;
use crate::query::{Described, Dialect, ResultStream, Values};
use crate::serve::access::{Caller, Refusal};
use crate::serve::connections::Connection;
use crate::serve::keys::Scope;

/// Batches of an answer that is being computed.
pub type Batches = BoxStream<'static, PgWireResult<RecordBatch>>;

/// One connection's own.
pub struct Session {
    pub door: Arc<Door>,
    pub connection: Arc<Connection>,
    /// Whether the connection is within the limit; one beyond it may only cancel.
    pub has_place: bool,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    pub handshake: Handshake,
    /// Who asks, once it is known.
    pub who: Option<Who>,
    pub settings: Settings,
    pub cursors: HashMap<String, Cursor>,
    /// Names of prepared statements, to count them and to forget them all.
    pub statements: HashSet<String>,
    /// The same of portals, with the bytes of the values that each is bound to.
    pub portals: HashMap<String, usize>,
    /// What another connection cancels, and what ends that when this one does.
    pub cancel: Option<(Arc<ConnectionHandle>, ConnectionGuard)>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Who {
    pub store: String,
    /// The key's id; none on an open server.
    pub key: Option<String>,
}

impl Session {
    pub fn new(door: Arc<Door>, connection: Arc<Connection>, has_place: bool) -> Self {
        Self { door, connection, has_place, state: Mutex::default() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_admitted(&self) -> bool {
        self.state().who.is_some()
    }

    pub fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// Whether answers are being held for the client to ask for more of.
    pub fn holds_rows(&self) -> bool {
        let state = self.state();
        !state.portals.is_empty() || !state.cursors.is_empty()
    }

    pub fn forget_rows(&self) {
        let mut state = self.state();
        state.portals.clear();
        state.cursors.clear();
    }

    /// Completes when another connection cancels what runs from here on.
    pub async fn cancelled(&self) -> impl Future<Output = ()> + use<> {
        let handle = self.state().cancel.as_ref().map(|(handle, _)| handle.clone());
        let receiver = match handle {
            Some(handle) => Some(handle.start_query().await),
            None => None,
        };
        async move {
            let is_cancelled = match receiver {
                Some(receiver) => receiver.await.is_ok(),
                None => false,
            };
            if !is_cancelled {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says what a statement returns and takes.
    pub async fn describe(&self, sql: &str) -> PgWireResult<Described> {
        let (caller, deadline) = self.admit(sql).await?;
        let described = self.door.engine.describe_in(Dialect::Postgres, &caller.store, sql);
        self.within(deadline, described).await
    }

    /// Starts a question; its rows come encoded as they are asked for.
    pub async fn ask(&self, sql: &str, values: &Values, format: &Format) -> PgWireResult<QueryResponse> {
        let (schema, batches) = self.start(sql, values).await?;
        let columns = Columns::new(&schema, format, &self.settings())?;
        Ok(encoded(&columns, batches))
    }

    /// Starts a question; the key's place is held until its last batch, or until it is dropped.
    pub async fn start(&self, sql: &str, values: &Values) -> PgWireResult<(SchemaRef, Batches)> {
        let (caller, deadline) = self.admit(sql).await?;
        let asked = self.door.engine.sql_in(Dialect::Postgres, &caller.store, sql, values);
        let ResultStream { stream, .. } = self.within(deadline, asked).await?;
        let schema = stream.schema();
        let stream = stream.map_err(|cause| engine_error(&Error::from(cause)));
        let batches = futures::stream::unfold(Some((stream, caller)), move |running| async move {
            let (mut stream, caller) = running?;
            let next = stream.next();
            let batch = match deadline {
                Some(deadline) => match tokio::time::timeout_at(deadline, next).await {
                    Ok(batch) => batch,
                    Err(_) => return Some((Err(timed_out()), None)),
                },
                None => next.await,
            };
            let goes_on = matches!(batch, Some(Ok(_)));
            batch.map(|batch| (batch, goes_on.then_some((stream, caller))))
        });
        Ok((schema, batches.boxed()))
    }

    /// Whether the connection may still ask, and until when; its key may have been revoked since.
    async fn admit(&self, sql: &str) -> PgWireResult<(Caller, Option<Instant>)> {
        let (who, timeout) = {
            let state = self.state();
            (state.who.clone(), state.settings.statement_timeout())
        };
        let who = who.ok_or_else(|| fatal("28000", Refusal::NoKey.message()))?;
        if sql.len() > self.door.limits.sql_bytes {
            let message = format!("a statement has at most {} bytes", self.door.limits.sql_bytes);
            return Err(error("54000", message));
        }
        let deadline = timeout.map(|limit| Instant::now() + limit);
        let admitted = self.door.access.admit_again(who.key.as_deref(), &who.store, Scope::Query).await;
        let caller = admitted.map_err(|refusal| {
            let (code, message) = refused(&refusal);
            if matches!(refusal, Refusal::Busy | Refusal::TooFast(_)) {
                error(code, message)
            } else {
                fatal(code, message)
            }
        })?;
        Ok((caller, deadline))
    }

    /// Waits for the engine, no longer than the client has set; the engine has a limit of its own.
    async fn within<T>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> PgWireResult<T> {
        let outcome = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, work).await.map_err(|_| timed_out())?,
            None => work.await,
        };
        outcome.map_err(|cause| engine_error(&cause))
    }
}

fn timed_out() -> PgWireError {
    error("57014", "the statement took longer than statement_timeout allows")
}

/// Rows of batches, each encoded when it is asked for.
pub fn encoded(columns: &Columns, batches: Batches) -> QueryResponse {
    let fields = columns.fields.clone();
    let columns = columns.clone();
    let rows = batches
        .map(move |batch| batch.and_then(|batch| columns.rows(&batch)).map(futures::stream::iter))
        .try_flatten();
    QueryResponse::new(fields, rows)
}
