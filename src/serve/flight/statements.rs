//! Statements and catalogs: what they return, where their rows are, and the rows.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Any, Command, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use arrow_ipc::writer::IpcWriteOptions;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status};

use super::access::{Asking, admit, status};
use super::handle::Statement;
use super::parameters;
use super::parts::PartedStatements;
use super::running::Running;
use super::wire::{wire_batch, wire_schema};
use crate::engine::Engine;
use crate::error::Error;
use crate::query::{ResultStream, Values};
use crate::serve::access::Access;

/// Bytes of one message, about: clients refuse more than 4 MB unless they are told otherwise.
const MESSAGE_BYTES: usize = 2 << 20;

pub type Answer<T> = Result<Response<T>, Status>;
pub type Rows = Pin<Box<dyn Stream<Item = Result<arrow_flight::FlightData, Status>> + Send>>;

/// Flight SQL over one engine.
#[derive(Clone)]
pub struct SqlService {
    pub engine: Engine,
    access: Access,
    running: Running,
    parts: PartedStatements,
}

impl SqlService {
    /// Answers from tables of at least so many rows are fetched in parts.
    pub fn new(engine: Engine, access: Access, part_rows: u64) -> Self {
        Self { engine, access, running: Running::default(), parts: PartedStatements::new(part_rows) }
    }

    pub async fn asking(&self, metadata: &MetadataMap, extensions: &Extensions) -> Result<Asking, Status> {
        admit(&self.access, metadata, extensions.get()).await
    }

    /// What a statement returns, and where its rows are.
    pub async fn info_of(
        &self,
        asking: &Asking,
        statement: &Statement,
        ticket: impl Fn(Bytes) -> Any,
        descriptor: FlightDescriptor,
    ) -> Answer<FlightInfo> {
        let store = &asking.caller.store;
        let described = match values_of(statement)? {
            Some(values) => self.engine.describe_with(store, &statement.sql, &values).await,
            None => self.engine.describe(store, &statement.sql).await,
        };
        let described = described.map_err(|error| status(&error))?;
        let statements = if described.parameters.is_empty() || statement.values.is_some() {
            self.parts.cut(&self.engine, store, statement).await?
        } else {
            vec![statement.clone()]
        };
        let sealed = |statement: &Statement| {
            let handle = statement.seal(&asking.secret)?;
            Ok(Ticket::new(ticket(handle.into()).encode_to_vec()))
        };
        let tickets = statements.iter().map(sealed).collect::<Result<_, Status>>()?;
        info(&wire_schema(&described.columns), tickets, descriptor)
    }

    /// Runs a statement; the caller's place is held until its rows have left.
    pub async fn run(&self, asking: Asking, statement: Statement) -> Answer<Rows> {
        let store = asking.caller.store.clone();
        let ResultStream { stream, .. } = match statement.part {
            Some(part) => self.parts.run(&self.engine, &store, &statement, part).await?,
            None => {
                let values = values_of(&statement)?.unwrap_or_default();
                let asked = self.engine.sql_with(&store, &statement.sql, &values);
                asked.await.map_err(|error| status(&error))?
            }
        };
        let schema = wire_schema(&stream.schema());
        let batches = self.running.register(statement.id, stream);
        let (announced, caller) = (schema.clone(), asking.caller);
        let batches = batches.map(move |batch| {
            let _place = &caller;
            let batch = batch.map_err(Error::from).and_then(|batch| wire_batch(&batch, &announced));
            batch.map_err(|error| FlightError::Tonic(Box::new(status(&error))))
        });
        Ok(Response::new(encoded(&schema, batches)))
    }

    /// Cancels the statement of a ticket.
    fn cancel(&self, ticket: &Ticket, secret: &str) -> Result<bool, Status> {
        let any =
            Any::decode(&*ticket.ticket).map_err(|_| Status::invalid_argument("the ticket is damaged"))?;
        let handle = match Command::try_from(any) {
            Ok(Command::TicketStatementQuery(ticket)) => ticket.statement_handle,
            Ok(Command::CommandPreparedStatementQuery(command)) => command.prepared_statement_handle,
            // Catalogs are answered at once.
            _ => return Ok(false),
        };
        Ok(self.running.cancel(Statement::open(&handle, secret)?.id))
    }

    pub async fn cancel_info(
        &self,
        metadata: &MetadataMap,
        extensions: &Extensions,
        info: &FlightInfo,
    ) -> Result<bool, Status> {
        let asking = self.asking(metadata, extensions).await?;
        let mut has_cancelled = false;
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            has_cancelled |= self.cancel(ticket, &asking.secret)?;
        }
        Ok(has_cancelled)
    }

    /// A catalog's columns, and the command as the ticket of its rows.
    pub async fn catalog_info(
        &self,
        request: Request<FlightDescriptor>,
        command: &impl ProstMessageExt,
        schema: &Schema,
    ) -> Answer<FlightInfo> {
        self.asking(request.metadata(), request.extensions()).await?;
        info(schema, vec![Ticket::new(command.as_any().encode_to_vec())], request.into_inner())
    }

    pub async fn catalog_rows(
        &self,
        request: &Request<Ticket>,
        rows: impl Future<Output = Result<RecordBatch, Status>>,
    ) -> Answer<Rows> {
        self.asking(request.metadata(), request.extensions()).await?;
        let batch = rows.await?;
        let schema = batch.schema();
        Ok(Response::new(encoded(&schema, stream::once(async { Ok(batch) }))))
    }
}

pub fn values_of(statement: &Statement) -> Result<Option<Values>, Status> {
    let values = statement.values.as_deref().map(parameters::read).transpose();
    values.map_err(|error| status(&error))
}

fn info(schema: &Schema, tickets: Vec<Ticket>, descriptor: FlightDescriptor) -> Answer<FlightInfo> {
    let is_whole = tickets.len() == 1;
    let mut info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|_| Status::internal("the schema cannot be written"))?
        .with_descriptor(descriptor)
        .with_total_records(-1)
        .with_total_bytes(-1)
        .with_ordered(is_whole);
    for ticket in tickets {
        // No location: where the question was asked.
        info = info.with_endpoint(FlightEndpoint::new().with_ticket(ticket));
    }
    Ok(Response::new(info))
}

fn encoded(
    schema: &SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
) -> Rows {
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(schema.clone())
        .with_max_flight_data_size(MESSAGE_BYTES)
        .build(batches);
    Box::pin(messages.map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        other => {
            tracing::error!(error = ?other, "rows cannot be written");
            Status::internal("rows cannot be written")
        }
    }))
}

/// A schema as messages carry it.
pub fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let message = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    let IpcMessage(bytes) = message.map_err(|_| Status::internal("the schema cannot be written"))?;
    Ok(bytes)
}
