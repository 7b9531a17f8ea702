//! Tributary: an embedded analytical engine for marketing data.
//!
//! Rooms, in the order in which data flows through them. A room may use the rooms to its left, never those to its
//! right; all may use [`schema`], which says what tables are. [`Engine`] alone wires them together.
//!
//! ```text
//! land ──► lake ──► session (+ udfs) ──► query ──► cache ──► serve
//! bytes in  tables   DataFusion set-up    questions  answers   answers out
//! ```

pub mod cache;
pub mod cli;
pub mod config;
mod drills;
pub mod engine;
pub mod error;
pub mod lake;
pub mod land;
pub mod query;
pub mod schema;
pub mod serve;
pub mod session;

pub use engine::{
    CacheStatus, Engine, EngineOptions, Erasure, NightlyReport, Person, QueryInfo, Refreshed, TableInfo,
};
pub use error::{Error, ErrorKind, Result};
pub use land::{LandRequest, OnError, Receipt};
pub use query::{Answer, Params, ResultStream};
