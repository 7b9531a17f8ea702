//! The one place that builds a DataFusion session. In: a lake and a store. Out: a read-only session over that
//! store's tables, with our functions and limits: memory, time, and what a function may make. This room never sees a
//! query's text.

mod builder;
mod guard;
mod interruption;
mod listed_view;
mod memory;
mod memory_watch;
mod pg_catalog;
mod pinned_table;
mod scratch;
mod spread;
mod watched;

pub use builder::{CATALOG, Limits, Only, Pins, SCHEMA, Sessions};
pub use interruption::{Interruption, Waiting};
pub use listed_view::listed_views;
pub use memory::{QueryMemory, after_large_queries};
pub use memory_watch::{MemoryWatch, process_limit_bytes};
pub use pg_catalog::{View, Views};
pub use scratch::Scratch;
pub use spread::Spread;
pub use watched::{Reading, Watched};

/// The release of Postgres whose catalog is shown: what clients ask depends on it.
pub const POSTGRES_VERSION: &str = "15.13";

/// What `version()` says to Postgres's clients, who look for that name.
pub fn postgres_banner() -> String {
    format!("PostgreSQL {POSTGRES_VERSION} (Tributary {})", env!("CARGO_PKG_VERSION"))
}
