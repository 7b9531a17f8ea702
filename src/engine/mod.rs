//! The engine: builds the rooms in flow order and holds the only shared state. What the server and the
//! command line can do, an embedding program can do with the same calls.

mod asking;
mod erasure;
mod health;
mod journeys;
mod landing;
mod landing_threads;
mod listing;
mod nightly;
mod open;
mod parts;
mod upkeep;

pub use asking::{Asked, CacheStatus, DryRun, Explained, Ran};
pub use erasure::{Erasure, Person};
pub use journeys::Refreshed;
pub use listing::{QueryInfo, REMARKS, TableInfo, TableSchema};
pub use nightly::{NightlyFailure, NightlyReport};
pub use open::{Engine, EngineOptions};
pub use parts::Parts;
