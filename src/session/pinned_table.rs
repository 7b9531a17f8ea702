//! A store's table at a fixed version, opened when it is scanned and not before.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use tributary_udfs::{SortedRuns, SortedTable};

use crate::lake::{Keep, LakeTable, Snapshot};

#[derive(Debug)]
pub struct PinnedTable {
    table: Arc<LakeTable>,
    store: String,
    /// The version to read; `None` for the newest at the time of the scan.
    snapshot: Option<Arc<Snapshot>>,
    /// Which rows its runs have, where not all.
    keep: Option<Keep>,
    schema: SchemaRef,
}

impl PinnedTable {
    pub fn new(table: Arc<LakeTable>, store: &str, snapshot: Option<Arc<Snapshot>>) -> Self {
        let schema = table.spec.table_schema();
        Self { table, store: store.to_owned(), snapshot, keep: None, schema }
    }

    /// Gives runs of no other rows than these.
    pub fn keeping(mut self, keep: Option<Keep>) -> Self {
        self.keep = keep;
        self
    }

    async fn pinned(&self) -> crate::error::Result<Arc<Snapshot>> {
        match &self.snapshot {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.table.snapshot().await,
        }
    }
}

#[async_trait]
impl TableProvider for PinnedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = self.pinned().await?;
        let table = self.table.store_table(&self.store, &snapshot).await?;
        table.scan(state, projection, filters, limit).await
    }
}

#[async_trait]
impl SortedTable for PinnedTable {
    fn has_column(&self, name: &str) -> bool {
        self.table.spec.column(name).is_some()
    }

    async fn runs(&self, between_us: Option<(i64, i64)>) -> Result<Arc<dyn SortedRuns>> {
        let snapshot = self.pinned().await?;
        let runs = self.table.store_runs(&self.store, &snapshot, between_us).await?;
        Ok(Arc::new(runs.keeping(self.keep.clone())))
    }
}
