//! Sessions: one runtime for all, one catalog for each.

use std::collections::HashMap;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::try_join_all;
use tokio::sync::OnceCell;
use tributary_udfs::{JourneyInput, JourneyTables, reads_journeys, relation_planners, table_functions};

use super::guard::{GuardCalls, guard_functions};
use super::interruption::Interruption;
use super::memory::QueryMemory;
use super::memory_watch::MemoryWatch;
use super::pg_catalog::{PgCatalog, Views};
use super::pinned_table::PinnedTable;
use super::scratch::Scratch;
use super::watched::{Reading, Watch};
use crate::error::Result;
use crate::lake::{Keep, Lake, Snapshot, benchmark_seeds};

/// The one catalog of a session, and its schema of tables.
pub const CATALOG: &str = "tributary";
pub const SCHEMA: &str = "store";
/// Functions of the library that say where rows are kept, which is nobody's business but the lake's.
const WITHHELD_FUNCTIONS: [&str; 1] = ["input_file_name"];

/// The tables that journeys are made of; `stores` has the zone that their days are of.
const JOURNEY_TABLES: [&str; 6] = ["touchpoints", "orders", "refunds", "identities", "rates", "stores"];

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory of one query.
    pub query_memory_bytes: usize,
    /// What all queries together may spill.
    pub spill_bytes: u64,
    pub threads: usize,
}

/// The versions of some tables that a session is to read.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    snapshots: HashMap<String, Arc<Snapshot>>,
}

impl Pins {
    /// Takes the newest version of each of these tables. Names that are no raw or derived table are passed
    /// over: they are functions, seeds or mistakes, and planning will say so.
    pub async fn newest<'a>(lake: &Lake, tables: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut pins = Self::default();
        pins.add_newest(lake, tables).await?;
        Ok(pins)
    }

    /// Takes the newest versions of further tables. Those that are there stay as they are.
    pub async fn add_newest<'a>(
        &mut self,
        lake: &Lake,
        tables: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let tables = tables.into_iter().flat_map(tables_behind).filter_map(|name| lake.table(name).ok());
        let further = tables.filter(|table| !self.snapshots.contains_key(&table.spec.name));
        let looks = further
            .map(async |table| table.snapshot().await.map(|snapshot| (table.spec.name.clone(), snapshot)));
        let found = try_join_all(looks).await?;
        self.snapshots.extend(found);
        Ok(())
    }

    /// Those of some tables alone.
    #[must_use]
    pub fn of<'a>(&self, tables: impl IntoIterator<Item = &'a str>) -> Self {
        let tables = tables.into_iter().flat_map(tables_behind);
        let known = tables.filter_map(|name| self.snapshots.get_key_value(name));
        Self { snapshots: known.map(|(name, snapshot)| (name.clone(), Arc::clone(snapshot))).collect() }
    }

    /// Says which data of a store an answer is computed from: equal texts, equal data.
    pub fn fingerprint(&self, store: &str) -> String {
        let mut versions: Vec<_> =
            self.snapshots.iter().map(|(name, snapshot)| (name, snapshot.data_version(store))).collect();
        versions.sort_unstable();
        versions.iter().map(|(name, version)| format!("{name}={version}")).collect::<Vec<_>>().join(",")
    }

    /// A table's version that is to be read; none where it is not among them.
    pub fn snapshot(&self, table: &str) -> Option<&Arc<Snapshot>> {
        self.snapshots.get(table)
    }

    /// The version of a store's data in one of the tables; none where it is not among them.
    pub fn data_version(&self, table: &str, store: &str) -> Option<u64> {
        self.snapshots.get(table).map(|snapshot| snapshot.data_version(store))
    }

    /// The least version of the tables that have rows: a receipt's version is in all of them from there on.
    pub fn versions(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.snapshots.iter().map(|(name, snapshot)| (name.as_str(), snapshot.version))
    }
}

/// The tables that a name in a query stands for: a table, or a function, which ends in `()`.
fn tables_behind(name: &str) -> Vec<&str> {
    match name.strip_suffix("()") {
        Some(function) if reads_journeys(function) => JOURNEY_TABLES.to_vec(),
        Some(_) => Vec::new(),
        None => vec![name],
    }
}

/// The rows of some orders, and of the customers who made them: all that a session's journeys are made of.
#[derive(Debug, Clone)]
pub struct Only {
    pub touchpoints: Keep,
    pub orders: Keep,
    pub refunds: Arc<MemTable>,
}

/// Builds sessions over one lake.
#[derive(Debug)]
pub struct Sessions {
    lake: Arc<Lake>,
    runtime: Arc<RuntimeEnv>,
    limits: Limits,
    memory_watch: Arc<MemoryWatch>,
    /// Built for the first session that needs it: it is the same for every store.
    pg_catalog: OnceCell<PgCatalog>,
}

impl Sessions {
    /// What queries spill goes to the scratch folder.
    pub fn new(lake: Arc<Lake>, limits: Limits, scratch: &Scratch) -> Result<Self> {
        let spills = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![scratch.path().to_owned()]))
            .with_max_temp_directory_size(limits.spill_bytes);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(lake.memory().clone())
            .with_disk_manager_builder(spills)
            .build_arc()?;
        runtime.register_object_store(lake.storage.datafusion_url()?.as_ref(), lake.storage.store.clone());
        let memory_watch = Arc::default();
        Ok(Self { lake, runtime, limits, memory_watch, pg_catalog: OnceCell::new() })
    }

    /// What ends queries before the process has too little memory.
    pub fn memory_watch(&self) -> &Arc<MemoryWatch> {
        &self.memory_watch
    }

    /// A read-only session that knows one store's tables and nothing else.
    pub fn session(&self, store: &str, zone: Tz, pins: &Pins) -> Result<SessionContext> {
        self.session_of(store, zone, pins, None)
    }

    /// The same, with journeys of no other rows than these.
    #[expect(clippy::disallowed_methods, reason = "sessions are built here and nowhere else")]
    pub fn session_of(
        &self,
        store: &str,
        zone: Tz,
        pins: &Pins,
        only: Option<&Only>,
    ) -> Result<SessionContext> {
        let (interruption, reading) = (Arc::new(Interruption::default()), Arc::new(Reading::default()));
        let shared = self.runtime.memory_pool.clone();
        let memory = Arc::new(QueryMemory::new(self.limits.query_memory_bytes, shared, interruption.clone()));
        self.memory_watch.add(&memory);
        let runtime = RuntimeEnv { memory_pool: memory.clone(), ..self.runtime.as_ref().clone() };
        let config = self
            .config()
            .with_extension(interruption.clone())
            .with_extension(reading.clone())
            .with_extension(memory);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::new(runtime))
            .with_default_features()
            .with_relation_planners(relation_planners())
            .with_analyzer_rule(Arc::new(GuardCalls(interruption.clone())))
            .with_physical_optimizer_rule(Arc::new(Watch::new(interruption.clone(), reading)))
            .build();
        let context = SessionContext::new_with_state(state);
        guard_functions(&context, &interruption);
        let schema = Arc::new(MemorySchemaProvider::new());
        for table in self.lake.tables() {
            let name = table.spec.name.clone();
            let pinned = PinnedTable::new(table.clone(), store, pins.snapshots.get(&name).cloned());
            schema.register_table(name, Arc::new(pinned))?;
        }
        let seeds = benchmark_seeds()?;
        let seeds = MemTable::try_new(seeds.schema(), vec![vec![seeds]])?;
        schema.register_table("benchmark_seeds".to_owned(), Arc::new(seeds))?;
        self.register_functions(&context, store, zone, pins, only)?;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, schema)?;
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(context)
    }

    /// Lets a session answer what Postgres's clients ask of their catalog, which has these views beside the tables.
    pub async fn speak_postgres(
        &self,
        context: &SessionContext,
        views: impl Future<Output = Result<Views>>,
    ) -> Result<()> {
        let build =
            || async { PgCatalog::build(self.lake.tables(), &views.await?, self.task_context()).await };
        self.pg_catalog.get_or_try_init(build).await?.register(context)
    }

    /// For plans that run outside a session, such as compaction's. They have memory of their own: a merge holds little,
    /// and it is what gives memory back to the queries.
    pub fn task_context(&self) -> Arc<TaskContext> {
        let memory_pool = Arc::new(UnboundedMemoryPool::default());
        let runtime = RuntimeEnv { memory_pool, ..self.runtime.as_ref().clone() };
        let context =
            TaskContext::default().with_session_config(self.config()).with_runtime(Arc::new(runtime));
        Arc::new(context)
    }

    fn register_functions(
        &self,
        context: &SessionContext,
        store: &str,
        zone: Tz,
        pins: &Pins,
        only: Option<&Only>,
    ) -> Result<()> {
        for name in WITHHELD_FUNCTIONS {
            context.deregister_udf(name);
        }
        for function in tributary_udfs::scalar_functions() {
            context.register_udf(function);
        }
        let pinned = |name: &str, keep: Option<&Keep>| -> Result<Arc<PinnedTable>> {
            let table = self.lake.table(name)?.clone();
            let pinned = PinnedTable::new(table, store, pins.snapshots.get(name).cloned());
            Ok(Arc::new(pinned.keeping(keep.cloned())))
        };
        let tables = JourneyTables {
            store: store.to_owned(),
            zone,
            touchpoints: JourneyInput::Sorted(pinned("touchpoints", only.map(|only| &only.touchpoints))?),
            orders: JourneyInput::Sorted(pinned("orders", only.map(|only| &only.orders))?),
            refunds: match only {
                Some(only) => only.refunds.clone(),
                None => pinned("refunds", None)?,
            },
            rates: Some(pinned("rates", None)?),
            identities: Some(pinned("identities", None)?),
        };
        for (name, function) in table_functions(&tables) {
            context.register_udtf(name, function);
        }
        Ok(())
    }

    fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true)
            .with_target_partitions(self.limits.threads);
        let options = config.options_mut();
        // Errors say where in the text they are.
        options.sql_parser.collect_spans = true;
        // A physical plan shows the names of files.
        options.explain.logical_plan_only = true;
        // Recursive queries hold their rows outside the memory pool.
        options.execution.enable_recursive_ctes = false;
        config
    }
}
