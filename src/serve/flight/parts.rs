//! Large answers over several streams at once: a statement that is cut, and what its parts are to read.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tonic::Status;
use uuid::Uuid;

use super::access::status;
use super::handle::{Part, Statement};
use super::statements::values_of;
use crate::engine::{Engine, Parts};
use crate::error::Error;
use crate::query::ResultStream;

/// How long a client may take until it has asked for every part.
const KEPT: Duration = Duration::from_mins(10);
const MOST_KEPT: u64 = 1_000;

/// What statements are to read whose parts are fetched: the version at which they were asked.
#[derive(Debug, Clone)]
pub struct PartedStatements {
    kept: Cache<Uuid, Arc<Parts>>,
    least_rows: u64,
}

impl PartedStatements {
    pub fn new(least_rows: u64) -> Self {
        Self { kept: Cache::builder().max_capacity(MOST_KEPT).time_to_live(KEPT).build(), least_rows }
    }

    /// The statement, or its parts where it is large and can be cut.
    pub async fn cut(
        &self,
        engine: &Engine,
        store: &str,
        statement: &Statement,
    ) -> Result<Vec<Statement>, Status> {
        let Some(parts) = self.parts(engine, store, statement).await? else {
            return Ok(vec![statement.clone()]);
        };
        let Parts { count, version, .. } = parts;
        self.kept.insert(statement.id, Arc::new(parts));
        Ok((0..count).map(|index| statement.with_part(Part { index, count, version })).collect())
    }

    /// Runs a part. A server that was started again, or another one, cuts the statement anew: the parts are the same as
    /// long as the table is.
    pub async fn run(
        &self,
        engine: &Engine,
        store: &str,
        statement: &Statement,
        part: Part,
    ) -> Result<ResultStream, Status> {
        let parts = match self.kept.get(&statement.id) {
            Some(parts) => parts,
            None => {
                let anew = self.parts(engine, store, statement).await?.filter(|parts| {
                    let Parts { count, version, .. } = *parts;
                    (count, version) == (part.count, part.version)
                });
                let gone =
                    || status(&Error::conflict("the table has changed since: ask the statement again"));
                Arc::new(anew.ok_or_else(gone)?)
            }
        };
        let values = values_of(statement)?.unwrap_or_default();
        let running = engine.part(store, &statement.sql, &values, &parts, part.index);
        running.await.map_err(|error| status(&error))
    }

    async fn parts(
        &self,
        engine: &Engine,
        store: &str,
        statement: &Statement,
    ) -> Result<Option<Parts>, Status> {
        let values = values_of(statement)?.unwrap_or_default();
        let parts = engine.parts(store, &statement.sql, &values, self.least_rows).await;
        parts.map_err(|error| status(&error))
    }
}
