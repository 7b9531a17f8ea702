//! The lake at hand.

use futures::{StreamExt as _, stream};

use super::{Reading, Reply};
use crate::cli::exit::Outcome;
use crate::cli::{start, store};
use crate::config::Config;
use crate::engine::{Engine, QueryInfo, TableInfo};
use crate::error::{Error, Result};
use crate::query::Params;
use crate::serve::{TableSheet, sheet};

/// One store of an open lake.
pub struct Local {
    engine: Engine,
    store: String,
}

impl Local {
    pub async fn open(config: &Config, store: Option<String>) -> Outcome<Self> {
        let engine = start::open(config).await?;
        let store = store::resolve_existing(&engine, store.as_deref()).await?;
        Ok(Self::of(engine, store))
    }

    pub fn of(engine: Engine, store: String) -> Self {
        Self { engine, store }
    }

    pub fn store(&self) -> &str {
        &self.store
    }

    pub async fn sql(&self, text: &str, params: &Params) -> Result<Reply> {
        let answer = self.engine.sql(&self.store, text, params).await?;
        let progress = answer.progress;
        Ok(Reply {
            schema: answer.stream.schema(),
            batches: answer.stream.map(|batch| batch.map_err(Error::from)).boxed(),
            data_version: answer.data_version,
            reading: Box::new(move || Reading { rows: progress.rows_read(), bytes: progress.bytes_read() }),
        })
    }

    pub async fn named(&self, name: &str, params: &Params) -> Result<Reply> {
        let (answer, _) = self.engine.query(&self.store, name, params, None).await?;
        let reading = Reading { rows: answer.row_count() as u64, bytes: 0 };
        Ok(Reply {
            schema: answer.schema.clone(),
            batches: stream::iter(answer.batches.clone().into_iter().map(Ok)).boxed(),
            data_version: answer.data_version.clone().into(),
            reading: Box::new(move || reading),
        })
    }

    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        self.engine.tables(&self.store).await
    }

    pub fn table(&self, name: &str) -> Result<TableSheet> {
        sheet(&self.engine, name)
    }

    pub fn queries(&self) -> Vec<QueryInfo> {
        self.engine.queries()
    }
}
