//! Builds the catalog once, and puts it into sessions.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int16Type, Int32Type, Schema, SchemaRef};
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::common::collect;
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog as library;
use library::context::EmptyContextProvider;
use library::generate_series_arg_coercion::CoerceIntArgsToBigInt;
use library::oid_type_planner::PgOidTypePlanner;
use library::{
    ArrowTable, PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables, PgCatalogTable,
};

use super::functions::{self, ById, ByName, LookUps};
use super::information;
use super::rows::{Row, batch, int, text};
use super::shape::{SchemaShape, Shape};
use crate::error::{Error, Result};
use crate::lake::LakeTable;
use crate::schema::TableSpec;
use crate::session::builder::{CATALOG, SCHEMA};

pub const PG_CATALOG: &str = "pg_catalog";
pub const INFORMATION_SCHEMA: &str = "information_schema";
/// Ids of functions and keys begin here, far from those of tables.
const FIRST_FUNCTION: i32 = 30_000;
const FIRST_KEY: i32 = 40_000;
/// Postgres's id of a row of unknown columns, and of any type.
const RECORD: i32 = 2249;
const ANY: i32 = 2276;

type Catalog = PgCatalogSchemaProvider<Shape, EmptyContextProvider>;

/// The named queries, as views in a schema of their own.
#[derive(Debug)]
pub struct Views {
    pub schema: &'static str,
    pub views: Vec<View>,
}

#[derive(Debug)]
pub struct View {
    pub name: String,
    pub summary: String,
    pub schema: SchemaRef,
}

/// The catalog of every store: their tables are the same.
#[derive(Debug)]
pub struct PgCatalog {
    system: Arc<MemorySchemaProvider>,
    information: Arc<MemorySchemaProvider>,
    functions: Vec<ScalarUDF>,
    keywords: Arc<ArrowTable>,
}

impl PgCatalog {
    pub async fn build(
        tables: impl Iterator<Item = &Arc<LakeTable>>,
        views: &Views,
        task: Arc<TaskContext>,
    ) -> Result<Self> {
        let specs: Vec<&TableSpec> = tables.map(|table| &*table.spec).collect();
        let statics = Arc::new(PgCatalogStaticTables::try_new()?);
        let own = specs.iter().map(|spec| (spec.name.clone(), spec.table_schema())).collect();
        let listed = views.views.iter().map(|view| (view.name.clone(), view.schema.clone())).collect();
        let mut schemas = vec![
            SchemaShape::of_tables(SCHEMA, own),
            SchemaShape::of_tables(PG_CATALOG, system_tables(&statics)?),
            SchemaShape::of_tables(INFORMATION_SCHEMA, Vec::new()),
            SchemaShape { name: views.schema, kind: TableType::View, tables: listed },
        ];
        let information = information::tables(&schemas, &specs)?;
        schemas[2].tables =
            information.iter().map(|(name, batch)| ((*name).to_owned(), batch.schema())).collect();

        let catalog = Catalog::try_new(Shape::new(schemas), statics.clone(), EmptyContextProvider)?;
        let ids = Ids::read(&catalog, &task).await?;
        let mut described = descriptions(&specs, &ids);
        let of_view = |view: &View| ((i64::from(ids.table(&view.name)), 0), view.summary.clone());
        described.extend(views.views.iter().map(of_view));
        let schema = Arc::new(MemorySchemaProvider::new());
        for name in PG_CATALOG_TABLES {
            let found = rows_of(&catalog, name, &task).await?;
            let rows = match *name {
                "pg_attribute" => with_modifiers(&found, &specs, &ids)?,
                "pg_constraint" => keys(&found.schema(), &specs, &ids)?,
                "pg_description" => batch(&found.schema(), &description_rows(&described, &ids))?,
                "pg_class" => with_options(&found)?,
                "pg_index" => key_indexes(&found.schema(), &specs, &ids)?,
                "pg_proc" => with_functions(&found, &ids)?,
                _ => found,
            };
            register(&schema, name, rows)?;
        }
        let shown = Arc::new(MemorySchemaProvider::new());
        for (name, rows) in information {
            register(&shown, name, rows)?;
        }
        let types = ids_by_name(&rows_of(&catalog, "pg_type", &task).await?, "typname")?;
        let functions = functions::all(LookUps {
            described,
            function_texts: function_texts(),
            beyond_the_path: views.views.iter().map(|view| ids.table(&view.name)).collect(),
            tables: ids.tables,
            types,
        });
        Ok(Self { system: schema, information: shown, functions, keywords: statics.pg_get_keywords.clone() })
    }

    /// Puts the catalog into a session. Its own `information_schema` gives way to one with Postgres's columns.
    pub fn register(&self, context: &SessionContext) -> Result<()> {
        let catalog = context.catalog(CATALOG).ok_or_else(|| Error::internal("a session has no catalog"))?;
        catalog.register_schema(PG_CATALOG, self.system.clone())?;
        catalog.register_schema(INFORMATION_SCHEMA, self.information.clone())?;
        for function in &self.functions {
            context.register_udf(function.clone());
        }
        context.register_udtf("pg_get_keywords", self.keywords.clone());
        let state = context.state_ref();
        let known = state.read().clone();
        let mut speaking = SessionStateBuilder::new_from_existing(known)
            .with_type_planner(Arc::new(PgOidTypePlanner))
            .build();
        speaking.config_mut().options_mut().catalog.information_schema = false;
        *state.write() = speaking;
        CoerceIntArgsToBigInt::widen(context);
        Ok(())
    }
}

fn register(schema: &MemorySchemaProvider, name: &str, rows: RecordBatch) -> Result<()> {
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
    schema.register_table(name.to_owned(), Arc::new(table))?;
    Ok(())
}

/// The columns of the tables of `pg_catalog`.
fn system_tables(statics: &Arc<PgCatalogStaticTables>) -> Result<Vec<(String, SchemaRef)>> {
    let empty = Catalog::try_new(Shape::default(), statics.clone(), EmptyContextProvider)?;
    let mut tables = Vec::new();
    for name in PG_CATALOG_TABLES {
        if let Some(table) = empty.build_table_by_name(name)? {
            tables.push(((*name).to_owned(), table.schema()));
        }
    }
    Ok(tables)
}

async fn rows_of(catalog: &Catalog, name: &str, task: &Arc<TaskContext>) -> Result<RecordBatch> {
    let table =
        catalog.build_table_by_name(name)?.ok_or_else(|| Error::internal("a catalog table is missing"))?;
    let schema = table.schema();
    let batches = match &table {
        PgCatalogTable::Static(rows) => rows.data().to_vec(),
        PgCatalogTable::Dynamic(stream) => collect(stream.execute(task.clone())).await?,
        PgCatalogTable::Empty(_) => Vec::new(),
    };
    Ok(concat_batches(&schema, &batches).map_err(DataFusionError::from)?)
}

/// The ids that the catalog gave to tables and schemas.
struct Ids {
    tables: ByName,
    store: i32,
}

impl Ids {
    async fn read(catalog: &Catalog, task: &Arc<TaskContext>) -> Result<Self> {
        let tables = ids_by_name(&rows_of(catalog, "pg_class", task).await?, "relname")?;
        let schemas = ids_by_name(&rows_of(catalog, "pg_namespace", task).await?, "nspname")?;
        Ok(Self { tables, store: schemas.get(SCHEMA).copied().unwrap_or_default() })
    }

    fn table(&self, name: &str) -> i32 {
        self.tables.get(name).copied().unwrap_or_default()
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal("a catalog table lacks a column"))
}

fn ids_by_name(rows: &RecordBatch, name: &str) -> Result<ByName> {
    let ids = column(rows, "oid")?.as_primitive::<Int32Type>();
    let names = column(rows, name)?.as_string::<i32>();
    Ok((0..rows.num_rows()).map(|row| (names.value(row).to_owned(), ids.value(row))).collect())
}

/// What tables (column 0) and their columns mean.
fn descriptions(specs: &[&TableSpec], ids: &Ids) -> ById {
    let mut described = ById::new();
    for spec in specs {
        let table = i64::from(ids.table(&spec.name));
        described.insert((table, 0), spec.summary.clone());
        for (place, field) in (1..).zip(spec.table_schema().fields()) {
            if let Some(column) = spec.column(field.name()) {
                described.insert((table, place), column.doc.clone());
            }
        }
    }
    described
}

fn description_rows(described: &ById, ids: &Ids) -> Vec<Row> {
    let class = ids.table("pg_class");
    let row = |((table, place), doc): (&(i64, i64), &String)| {
        Row::from([
            ("objoid", int(*table as i32)),
            ("classoid", int(class)),
            ("objsubid", int(*place as i32)),
            ("description", text(doc)),
        ])
    };
    described.iter().map(row).collect()
}

/// Digits of decimals, as Postgres packs them.
fn with_modifiers(found: &RecordBatch, specs: &[&TableSpec], ids: &Ids) -> Result<RecordBatch> {
    let modifier = |field: &Field| match field.data_type() {
        DataType::Decimal128(precision, scale) => {
            Some(((i32::from(*precision) << 16) | i32::from(*scale)) + 4)
        }
        _ => None,
    };
    let schemas: HashMap<i32, SchemaRef> =
        specs.iter().map(|spec| (ids.table(&spec.name), spec.table_schema())).collect();
    let tables = column(found, "attrelid")?.as_primitive::<Int32Type>();
    let places = column(found, "attnum")?.as_primitive::<Int16Type>();
    let modifiers = Int32Array::from_iter_values((0..found.num_rows()).map(|row| {
        let field = schemas
            .get(&tables.value(row))
            .and_then(|schema| schema.fields().get(places.value(row) as usize - 1));
        field.and_then(|field| modifier(field)).unwrap_or(-1)
    }));
    let at = found.schema().index_of("atttypmod").map_err(DataFusionError::from)?;
    let mut columns = found.columns().to_vec();
    columns[at] = Arc::new(modifiers);
    Ok(RecordBatch::try_new(found.schema(), columns).map_err(DataFusionError::from)?)
}

/// The same columns, some of them lists of places: clients take them apart.
fn with_lists(schema: &SchemaRef, lists: &[&str]) -> SchemaRef {
    let list = || DataType::List(Arc::new(Field::new_list_field(DataType::Int16, true)));
    let field = |field: &arrow::datatypes::FieldRef| {
        if lists.contains(&field.name().as_str()) {
            Field::new(field.name(), list(), true)
        } else {
            field.as_ref().clone()
        }
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The columns of tables that the library leaves out, which are always null: storage options and privileges.
fn with_options(found: &RecordBatch) -> Result<RecordBatch> {
    let list = DataType::new_list(DataType::Utf8, true);
    let mut fields = found.schema().fields().to_vec();
    let mut columns = found.columns().to_vec();
    for name in ["reloptions", "relacl"] {
        fields.push(Arc::new(Field::new(name, list.clone(), true)));
        columns.push(arrow::array::new_null_array(&list, found.num_rows()));
    }
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new(schema, columns).map_err(DataFusionError::from)?)
}

/// The tables that have a key, with the key's id and the places of its columns.
fn keyed<'a>(specs: &'a [&TableSpec]) -> impl Iterator<Item = (i32, &'a TableSpec, ScalarValue)> {
    let keyed = specs.iter().filter(|spec| !spec.key.is_empty());
    (FIRST_KEY..).zip(keyed).map(|(id, spec)| {
        let columns = spec.table_schema();
        let places: Vec<ScalarValue> = spec
            .key
            .iter()
            .filter_map(|name| columns.index_of(name).ok())
            .map(|place| ScalarValue::Int16(Some(place as i16 + 1)))
            .collect();
        (id, *spec, ScalarValue::List(ScalarValue::new_list_nullable(&places, &DataType::Int16)))
    })
}

fn yes() -> ScalarValue {
    ScalarValue::Boolean(Some(true))
}

/// The keys of the store's tables.
fn keys(schema: &SchemaRef, specs: &[&TableSpec], ids: &Ids) -> Result<RecordBatch> {
    let key = |(id, spec, places): (i32, &TableSpec, ScalarValue)| {
        Row::from([
            ("oid", int(id)),
            ("conname", text(format!("{}_key", spec.name))),
            ("connamespace", int(ids.store)),
            ("contype", text("p")),
            ("convalidated", yes()),
            ("conrelid", int(ids.table(&spec.name))),
            ("conindid", int(id)),
            ("conislocal", yes()),
            ("conkey", places),
        ])
    };
    batch(&with_lists(schema, &["conkey", "confkey"]), &keyed(specs).map(key).collect::<Vec<_>>())
}

/// A key is an index to Postgres's clients: they read its columns there.
fn key_indexes(schema: &SchemaRef, specs: &[&TableSpec], ids: &Ids) -> Result<RecordBatch> {
    let index = |(id, spec, places): (i32, &TableSpec, ScalarValue)| {
        let count = ScalarValue::Int16(Some(spec.key.len() as i16));
        Row::from([
            ("indexrelid", int(id)),
            ("indrelid", int(ids.table(&spec.name))),
            ("indnatts", count.clone()),
            ("indnkeyatts", count),
            ("indisunique", yes()),
            ("indisprimary", yes()),
            ("indimmediate", yes()),
            ("indisvalid", yes()),
            ("indisready", yes()),
            ("indislive", yes()),
            ("indkey", places),
        ])
    };
    let schema = with_lists(schema, &["indkey", "indclass", "indcollation", "indoption"]);
    batch(&schema, &keyed(specs).map(index).collect::<Vec<_>>())
}

/// The functions that Tributary adds, as `\df` lists them.
fn with_functions(found: &RecordBatch, ids: &Ids) -> Result<RecordBatch> {
    let scalars = tributary_udfs::scalar_functions();
    let row = |(id, page): (i32, &tributary_udfs::FunctionDoc)| {
        let is_scalar = scalars.iter().any(|function| function.name() == page.name);
        Row::from([
            ("oid", int(id)),
            ("proname", text(&page.name)),
            ("pronamespace", int(ids.store)),
            ("prokind", text("f")),
            ("provolatile", text("s")),
            ("proretset", ScalarValue::Boolean(Some(!is_scalar))),
            ("prorettype", int(if is_scalar { ANY } else { RECORD })),
            ("pronargs", ScalarValue::Int16(Some(page.arguments.len() as i16))),
            ("prosrc", text(&page.name)),
        ])
    };
    let pages = tributary_udfs::documentation();
    let own = batch(&found.schema(), &(FIRST_FUNCTION..).zip(&pages).map(row).collect::<Vec<_>>())?;
    Ok(concat_batches(&found.schema(), [found, &own]).map_err(DataFusionError::from)?)
}

/// What functions take and give: arguments under column 0, results under column 1.
fn function_texts() -> ById {
    let scalars = tributary_udfs::scalar_functions();
    let mut texts = ById::new();
    for (id, page) in (i64::from(FIRST_FUNCTION)..).zip(tributary_udfs::documentation()) {
        let is_scalar = scalars.iter().any(|function| function.name() == page.name);
        let arguments = page.syntax.strip_prefix(page.name.as_str()).unwrap_or_default();
        texts.insert((id, 0), arguments.trim_matches(['(', ')']).to_owned());
        texts.insert((id, 1), if is_scalar { "\"any\"" } else { "SETOF record" }.to_owned());
    }
    texts
}
