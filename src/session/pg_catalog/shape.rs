//! The schemas and tables that the catalog speaks of.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;

use crate::session::builder::CATALOG;

/// A schema's name, and its tables by name.
pub type SchemaShape = (&'static str, Vec<(String, SchemaRef)>);

/// What there is, in a fixed order: ids of the catalog are given out by it, and are the same after a restart.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    schemas: Arc<Vec<SchemaShape>>,
}

impl Shape {
    pub fn new(schemas: Vec<SchemaShape>) -> Self {
        Self { schemas: Arc::new(schemas) }
    }

    fn tables(&self, catalog: &str, schema: &str) -> Option<&[(String, SchemaRef)]> {
        let (_, tables) = self.schemas.iter().find(|(name, _)| catalog == CATALOG && *name == schema)?;
        Some(tables)
    }
}

#[async_trait]
impl CatalogInfo for Shape {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        let names = self.schemas.iter().map(|(name, _)| (*name).to_owned());
        Ok((catalog == CATALOG).then(|| names.collect()))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        let tables = self.tables(catalog, schema);
        Ok(tables.map(|tables| tables.iter().map(|(name, _)| name.clone()).collect()))
    }

    async fn table_schema(
        &self,
        catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<SchemaRef>, DataFusionError> {
        let tables = self.tables(catalog, schema).unwrap_or_default();
        Ok(tables.iter().find(|(name, _)| name == table).map(|(_, schema)| schema.clone()))
    }

    async fn table_type(
        &self,
        catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<TableType>, DataFusionError> {
        Ok(self.table_schema(catalog, schema, table).await?.map(|_| TableType::Base))
    }
}
