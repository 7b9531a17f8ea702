//! The protocol's commands, each answered by the engine.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
    CommandStatementQuery, CommandStatementSubstraitPlan, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor,
    FlightInfo, HandshakeRequest, HandshakeResponse, Ticket,
};
use futures::{Stream, TryStreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::access::{secret, status};
use super::handle::Statement;
use super::info::{SQL_INFO, TYPES};
use super::statements::{Answer, SqlService, schema_bytes};
use super::wire::wire_schema;
use super::{catalog, parameters};

/// Bytes of the parameters of a statement: they travel in its handle.
const MOST_PARAMETER_BYTES: usize = 256 << 10;
const CANCEL_ACTION: &str = "CancelFlightInfo";
const READ_ONLY: &str = "this server only reads: land rows with `tributary land`";

fn read_only<T>() -> Result<T, Status> {
    Err(Status::invalid_argument(READ_ONLY))
}

#[tonic::async_trait]
impl FlightSqlService for SqlService {
    type FlightService = Self;

    /// Takes basic credentials and returns the key as the bearer of all calls that follow: nothing is kept, so a restart
    /// changes nothing, and a revoked key is refused at its next call.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>> {
        self.asking(request.metadata(), request.extensions()).await?;
        let token = secret(request.metadata())?.unwrap_or_default();
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let answers: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream::once(async { Ok(answer) }));
        let mut response = Response::new(answers);
        if !token.is_empty() {
            let bearer = format!("Bearer {token}").parse();
            let bearer = bearer.map_err(|_| Status::unauthenticated("the key is unknown or revoked"))?;
            response.metadata_mut().insert("authorization", bearer);
        }
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let asking = self.asking(request.metadata(), request.extensions()).await?;
        let ticket = |statement_handle| TicketStatementQuery { statement_handle }.as_any();
        self.info_of(&asking, &Statement::new(query.query), ticket, request.into_inner()).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let asking = self.asking(request.metadata(), request.extensions()).await?;
        // Each execution has an identity of its own, to be cancelled by.
        let statement = Statement::open(&query.prepared_statement_handle, &asking.secret)?.again();
        let ticket =
            |prepared_statement_handle| CommandPreparedStatementQuery { prepared_statement_handle }.as_any();
        self.info_of(&asking, &statement, ticket, request.into_inner()).await
    }

    async fn get_flight_info_substrait_plan(
        &self,
        _: CommandStatementSubstraitPlan,
        _: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        Err(Status::unimplemented("Substrait plans are not taken: send SQL"))
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.catalog_info(request, &query, &catalog::catalogs()?.schema()).await
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let schema = query.clone().into_builder().schema();
        self.catalog_info(request, &query, &schema).await
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let schema = query.clone().into_builder().schema();
        self.catalog_info(request, &query, &schema).await
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.catalog_info(request, &query, &catalog::table_types()?.schema()).await
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let schema = figures()?.schema();
        self.catalog_info(request, &query, &schema).await
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.catalog_info(request, &query, &catalog::primary_keys_schema()).await
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.catalog_info(request, &query, &catalog::foreign_keys_schema()).await
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.catalog_info(request, &query, &catalog::foreign_keys_schema()).await
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        self.catalog_info(request, &query, &catalog::foreign_keys_schema()).await
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Answer<FlightInfo> {
        let schema = types()?.schema();
        self.catalog_info(request, &query, &schema).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        let asking = self.asking(request.metadata(), request.extensions()).await?;
        let statement = Statement::open(&ticket.statement_handle, &asking.secret)?;
        self.run(asking, statement).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        let asking = self.asking(request.metadata(), request.extensions()).await?;
        let statement = Statement::open(&query.prepared_statement_handle, &asking.secret)?;
        self.run(asking, statement).await
    }

    async fn do_get_catalogs(
        &self,
        _: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { catalog::catalogs() }).await
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { catalog::schemas(query) }).await
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { catalog::tables(query, &self.engine).await }).await
    }

    async fn do_get_table_types(
        &self,
        _: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { catalog::table_types() }).await
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        let damaged = |_| Status::internal("the server's figures are damaged");
        let rows = async { query.into_builder(figures()?).build().map_err(damaged) };
        self.catalog_rows(&request, rows).await
    }

    async fn do_get_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { catalog::primary_keys(&query, &self.engine.table_schemas()) })
            .await
    }

    async fn do_get_exported_keys(
        &self,
        _: CommandGetExportedKeys,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { Ok(RecordBatch::new_empty(catalog::foreign_keys_schema())) })
            .await
    }

    async fn do_get_imported_keys(
        &self,
        _: CommandGetImportedKeys,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { Ok(RecordBatch::new_empty(catalog::foreign_keys_schema())) })
            .await
    }

    async fn do_get_cross_reference(
        &self,
        _: CommandGetCrossReference,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        self.catalog_rows(&request, async { Ok(RecordBatch::new_empty(catalog::foreign_keys_schema())) })
            .await
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<Ticket>,
    ) -> Answer<<Self as FlightService>::DoGetStream> {
        let damaged = |_| Status::internal("the types are damaged");
        let rows = async { types()?.record_batch(query.data_type).map_err(damaged) };
        self.catalog_rows(&request, rows).await
    }

    /// Prepares without running: the handle carries the statement, the answer says what it takes and returns.
    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let asking = self.asking(request.metadata(), request.extensions()).await?;
        let described = self.engine.describe(&asking.caller.store, &query.query);
        let described = described.await.map_err(|error| status(&error))?;
        let parameters: Vec<Field> = described
            .parameters
            .iter()
            .map(|(name, kind)| Field::new(name, kind.clone().unwrap_or(DataType::Utf8), true))
            .collect();
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: Statement::new(query.query).seal(&asking.secret)?.into(),
            dataset_schema: schema_bytes(&wire_schema(&described.columns))?,
            parameter_schema: schema_bytes(&wire_schema(&Schema::new(parameters)))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        // Nothing was kept.
        self.asking(request.metadata(), request.extensions()).await.map(drop)
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let asking = self.asking(request.metadata(), request.extensions()).await?;
        let statement = Statement::open(&query.prepared_statement_handle, &asking.secret)?;
        let sent = parameters::bounded(request.into_inner());
        let rows = FlightRecordBatchStream::new_from_flight_data(sent);
        let unreadable = |error| match error {
            FlightError::Tonic(status) => *status,
            _ => Status::invalid_argument("the parameters cannot be read"),
        };
        let rows: Vec<RecordBatch> = rows.try_collect().await.map_err(unreadable)?;
        let mut rows = rows.iter().filter(|rows| rows.num_rows() > 0);
        let values = match (rows.next(), rows.next()) {
            (Some(row), None) if row.num_rows() == 1 => {
                parameters::write(row).map_err(|error| status(&error))?
            }
            (None, _) => Vec::new(),
            _ => return Err(Status::invalid_argument("a query takes one row of parameters")),
        };
        if values.len() > MOST_PARAMETER_BYTES {
            return Err(Status::resource_exhausted("the parameters are too large"));
        }
        let statement = if values.is_empty() { statement } else { statement.with_values(values) };
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(statement.seal(&asking.secret)?.into()),
        })
    }

    async fn do_put_statement_update(
        &self,
        _: CommandStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_put_statement_ingest(
        &self,
        _: CommandStatementIngest,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_put_prepared_statement_update(
        &self,
        _: CommandPreparedStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_put_substrait_plan(
        &self,
        _: CommandStatementSubstraitPlan,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only()
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let damaged = |_| Status::invalid_argument("the info is damaged");
        let info = FlightInfo::decode(&*query.info).map_err(damaged)?;
        let has_cancelled = self.cancel_info(request.metadata(), request.extensions(), &info).await?;
        // Cancelled, or not cancellable: nothing runs under it.
        Ok(ActionCancelQueryResult { result: if has_cancelled { 1 } else { 3 } })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Answer<<Self as FlightService>::DoActionStream> {
        let (metadata, extensions, action) = request.into_parts();
        let answer = match action.r#type.as_str() {
            CANCEL_ACTION => {
                let damaged = |_| Status::invalid_argument("the info is damaged");
                let info = CancelFlightInfoRequest::decode(&*action.body).map_err(damaged)?.info;
                let has_cancelled =
                    self.cancel_info(&metadata, &extensions, &info.unwrap_or_default()).await?;
                let cancelled =
                    if has_cancelled { CancelStatus::Cancelled } else { CancelStatus::NotCancellable };
                CancelFlightInfoResult::new(cancelled).encode_to_vec()
            }
            "CloseSession" => {
                self.asking(&metadata, &extensions).await?;
                // A session is nothing but its key; 1 is closed.
                vec![8, 1]
            }
            _ => return Err(Status::unimplemented("there is no such action")),
        };
        let answer = arrow_flight::Result::new(answer);
        Ok(Response::new(Box::pin(stream::once(async { Ok(answer) }))))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let action = |name: &str, description: &str| {
            Ok(ActionType { r#type: name.to_owned(), description: description.to_owned() })
        };
        Some(vec![
            action(CANCEL_ACTION, "Stops the statement of a flight info."),
            action("CloseSession", "Ends a session; there is nothing to end."),
        ])
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

fn figures() -> Result<&'static SqlInfoData, Status> {
    SQL_INFO.as_ref().ok_or_else(|| Status::internal("the server's figures are damaged"))
}

fn types() -> Result<&'static XdbcTypeInfoData, Status> {
    TYPES.as_ref().ok_or_else(|| Status::internal("the types are damaged"))
}
