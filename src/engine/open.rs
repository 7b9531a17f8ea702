//! Opening and closing an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use object_store::ObjectStore;

use super::journeys::{Journeys, journeys_table};
use super::landing_threads::LandingThreads;
use super::listing::TableSchema;
use super::upkeep::{Ages, Upkeep};
use crate::cache::AnswerCache;
use crate::error::Result;
use crate::lake::{Glance, Lake, Storage, Watch};
use crate::land::Reading;
use crate::query::{BoundQuery, Params, Registry};
use crate::session::{Limits, MemoryWatch, Scratch, Sessions, process_limit_bytes};

/// Choices of query, parameters and day that are kept parsed.
const REMEMBERED_BINDINGS: u64 = 1_000;
/// Stores whose time zone is remembered.
const REMEMBERED_ZONES: u64 = 10_000;

/// Limits and places of one engine; every field has a default.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// A folder with further `.sql` files, beside the embedded ones.
    pub queries_folder: Option<PathBuf>,
    /// Memory that all running queries may hold together, in bytes, and the keys of rows that are not compacted yet.
    pub query_memory_bytes: usize,
    /// Memory that one query may hold, in bytes.
    pub memory_per_query_bytes: usize,
    /// Memory that the whole process may hold, in bytes: shortly before it does, the largest query is ended. `None` for what
    /// the system or its control group allows.
    pub process_memory_bytes: Option<u64>,
    /// Memory that cached answers may hold, in bytes.
    pub cache_memory_bytes: u64,
    /// Threads that one query may use.
    pub threads: usize,
    /// The longest time that one query may run, in milliseconds.
    pub query_timeout_ms: u64,
    /// The most rows that a named query's answer may have: it is held in memory.
    pub answer_rows: usize,
    /// The most rows that any answer may have.
    pub result_rows: u64,
    /// The most bytes that any answer may have, as its rows are in memory.
    pub result_bytes: u64,
    /// The folder of what does not fit into memory; `None` for the system's folder of temporary files.
    pub spill_folder: Option<PathBuf>,
    /// What all running queries may have there together, in bytes.
    pub spill_bytes: u64,
    /// The most that one landed body may have, unpacked, in bytes.
    pub landing_bytes: u64,
    /// The program that reads landed Parquet and Arrow in a process of its own, with little memory: Tributary's own. `None`
    /// reads them in this process: a file that was made to do so can then take all memory.
    pub reader: Option<PathBuf>,
    /// Whether tables that much was landed in are compacted without being asked.
    pub background_compaction: bool,
    /// How long older versions of tables can be read, and their files are kept.
    pub keep_versions_for: Duration,
    /// The age at which a landed file is compacted, however few there are. Until then a program that reads the
    /// Delta tables by itself sees the versions that its rows replace.
    pub compact_after: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            queries_folder: None,
            query_memory_bytes: 2 << 30,
            memory_per_query_bytes: 1 << 30,
            process_memory_bytes: None,
            cache_memory_bytes: 256 << 20,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            query_timeout_ms: 60_000,
            answer_rows: 5_000_000,
            result_rows: 100_000_000,
            result_bytes: 16 << 30,
            spill_folder: None,
            spill_bytes: 10 << 30,
            landing_bytes: 64 << 30,
            reader: None,
            background_compaction: true,
            keep_versions_for: Duration::from_hours(7 * 24),
            compact_after: Duration::from_hours(24),
        }
    }
}

/// An open lake: lands, asks and keeps it in order. Clones share everything.
///
/// ```no_run
/// # async fn example() -> tributary::Result<()> {
/// use tributary::{Engine, LandRequest, Params};
///
/// let engine = Engine::open("./tributary-data").await?;
/// let file = std::fs::File::open("orders.csv").expect("an export of orders");
/// let receipt = engine.land("my-store", "orders", file, LandRequest::default()).await?;
/// println!("{} rows in version {}", receipt.rows, receipt.version);
/// let (answer, _) = engine.query("my-store", "attribution/by_channel", &Params::new(), None).await?;
/// println!("{} rows", answer.row_count());
/// engine.close().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub lake: Arc<Lake>,
    pub journeys: Arc<Journeys>,
    pub upkeep: Upkeep,
    pub sessions: Arc<Sessions>,
    pub landing_threads: LandingThreads,
    pub reading: Reading,
    pub registry: Arc<Registry>,
    pub cache: AnswerCache,
    /// Named queries with their parameters bound, by name, parameters and day.
    pub bound: moka::sync::Cache<(String, Params, NaiveDate), Arc<BoundQuery>>,
    /// The named queries that SQL can read without parameters, once they were asked for.
    pub views: tokio::sync::OnceCell<Arc<[TableSchema]>>,
    /// Each store's time zone, and the version of `stores` that it was read from.
    pub zones: moka::future::Cache<String, (u64, chrono_tz::Tz)>,
    pub options: EngineOptions,
    /// After the sessions, which spill into it.
    pub scratch: Scratch,
}

impl Engine {
    /// Opens the lake at a URL or a local folder, making the folder where there is none.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, EngineOptions::default()).await
    }

    pub async fn open_with(url: &str, options: EngineOptions) -> Result<Self> {
        Self::open_storage(Storage::open(url)?, options).await
    }

    /// Opens a lake in an object store of the program's own. Its puts have to be conditional if they are asked to be
    /// (`PutMode::Create`): commits rest on that.
    pub async fn open_in(store: Arc<dyn ObjectStore>, options: EngineOptions) -> Result<Self> {
        Self::open_storage(Storage::own(store)?, options).await
    }

    async fn open_storage(storage: Storage, options: EngineOptions) -> Result<Self> {
        let registry = Arc::new(Registry::load(options.queries_folder.as_deref())?);
        let limits = Limits {
            query_memory_bytes: options.memory_per_query_bytes,
            spill_bytes: options.spill_bytes,
            threads: options.threads,
        };
        let scratch = Scratch::open(options.spill_folder.as_deref())?;
        // What a rollup's table looks like is what its query returns: planned over the raw tables alone.
        let memory: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(options.query_memory_bytes));
        let raw = Arc::new(Lake::open(storage.clone(), Vec::new(), memory.clone())?);
        let raw = Sessions::new(raw, limits, &scratch)?;
        let mut derived = super::nightly::derived_tables(&raw, &registry).await?;
        drop(raw);
        derived.push(journeys_table()?);
        let lake = Arc::new(Lake::open(storage, derived, memory)?);
        let sessions = Arc::new(Sessions::new(lake.clone(), limits, &scratch)?);
        if let Some(limit) = options.process_memory_bytes.or_else(process_limit_bytes) {
            tokio::spawn(MemoryWatch::run(Arc::downgrade(sessions.memory_watch()), limit));
        }
        let journeys = Arc::new(Journeys::new(lake.clone(), sessions.clone()));
        // Nothing ever becomes so old.
        let compact_after = if options.background_compaction { options.compact_after } else { Duration::MAX };
        let ages = Ages { keep_versions_for: options.keep_versions_for, compact_after };
        let upkeep = Upkeep::start(lake.clone(), journeys.clone(), sessions.task_context(), ages);
        let cache = AnswerCache::new(options.cache_memory_bytes);
        let bound = moka::sync::Cache::new(REMEMBERED_BINDINGS);
        let zones = moka::future::Cache::new(REMEMBERED_ZONES);
        Ok(Self {
            inner: Arc::new(Inner {
                lake,
                journeys,
                upkeep,
                sessions,
                landing_threads: LandingThreads::start()?,
                reading: Reading {
                    folder: scratch.path().to_owned(),
                    unpacked_bytes: options.landing_bytes,
                    reader: options.reader.clone(),
                },
                registry,
                cache,
                bound,
                views: tokio::sync::OnceCell::new(),
                zones,
                options,
                scratch,
            }),
        })
    }

    /// Looks at every table, and compacts in the background what is due: what others have landed, or what was left when
    /// the engine was closed.
    pub async fn catch_up(&self) -> Result<()> {
        for store in self.stores().await? {
            for table in self.inner.lake.names() {
                self.inner.upkeep.landed(&store, table);
            }
        }
        Ok(())
    }

    /// Compacts at once what is due for it; without this it happens in the background a little later.
    pub async fn settle(&self) {
        self.inner.upkeep.settle().await;
    }

    /// Whether so much was landed in a table since its compaction that reading it suffers.
    pub fn is_compaction_due(&self, store: &str, table: &str) -> bool {
        self.inner.lake.is_compaction_due(store, table, self.inner.options.compact_after)
    }

    /// Watches the lake's folder, if it is in one.
    pub fn watch(&self) -> Option<&Arc<Watch>> {
        self.inner.lake.watch()
    }

    /// Looks at the lake's folder; `None` if that does not tell whether something has changed.
    pub fn glance(&self) -> Option<Glance> {
        self.watch().and_then(|watch| watch.glance())
    }

    /// The folder of what does not fit into memory; it is removed with the engine.
    pub fn scratch_folder(&self) -> &Path {
        self.inner.scratch.path()
    }

    /// Commits what is landing, and refuses what comes after.
    pub async fn close(&self) -> Result<()> {
        self.inner.upkeep.close().await;
        self.inner.lake.close().await;
        Ok(())
    }
}
