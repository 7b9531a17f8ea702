//! The schemas and tables that the catalog speaks of.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;

use crate::session::builder::CATALOG;

/// A schema, and its tables by name, which are all of one kind.
#[derive(Debug, Clone)]
pub struct SchemaShape {
    pub name: &'static str,
    pub kind: TableType,
    pub tables: Vec<(String, SchemaRef)>,
}

impl SchemaShape {
    pub fn of_tables(name: &'static str, tables: Vec<(String, SchemaRef)>) -> Self {
        Self { name, kind: TableType::Base, tables }
    }
}

/// What there is, in a fixed order: ids of the catalog are given out by it, and are the same after a restart.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    schemas: Arc<Vec<SchemaShape>>,
}

impl Shape {
    pub fn new(schemas: Vec<SchemaShape>) -> Self {
        Self { schemas: Arc::new(schemas) }
    }

    fn schema(&self, catalog: &str, name: &str) -> Option<&SchemaShape> {
        self.schemas.iter().find(|schema| catalog == CATALOG && schema.name == name)
    }
}

#[async_trait]
impl CatalogInfo for Shape {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        let names = self.schemas.iter().map(|schema| schema.name.to_owned());
        Ok((catalog == CATALOG).then(|| names.collect()))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        let schema = self.schema(catalog, schema);
        Ok(schema.map(|schema| schema.tables.iter().map(|(name, _)| name.clone()).collect()))
    }

    async fn table_schema(
        &self,
        catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<SchemaRef>, DataFusionError> {
        let tables = self.schema(catalog, schema).map(|schema| schema.tables.as_slice()).unwrap_or_default();
        Ok(tables.iter().find(|(name, _)| name == table).map(|(_, schema)| schema.clone()))
    }

    async fn table_type(
        &self,
        catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<TableType>, DataFusionError> {
        let known = self.table_schema(catalog, schema, table).await?;
        Ok(known.and_then(|_| self.schema(catalog, schema)).map(|schema| schema.kind))
    }
}
