//! The engine: builds the rooms in flow order and holds the only shared state. What the server and the
//! command line can do, an embedding program can do with the same calls.

mod asking;
mod attempts;
mod erasure;
mod health;
mod journeys;
mod landing;
mod landing_threads;
mod listing;
mod moment;
mod named;
mod nightly;
mod open;
mod parts;
mod running;
mod statement;
mod upkeep;

pub use asking::{DryRun, Explained, Ran};
pub use erasure::{Erasure, Person};
pub use journeys::Refreshed;
pub use listing::{QueryInfo, REMARKS, TableInfo, TableSchema};
pub use moment::{Basis, Moment};
pub use named::{Asked, CacheStatus};
pub use nightly::{NightlyFailure, NightlyReport};
pub use open::{Engine, EngineOptions};
pub use parts::Parts;
