//! HTTP. In: requests. Out: the engine's answers in a wire format, or a problem document. `router.rs` lists
//! every path; one file per subject answers them.

mod access;
mod answer;
mod body;
mod envelope;
mod figures;
mod front;
mod health;
mod home;
mod land;
mod marketing;
mod metrics;
mod packing;
mod problem;
mod queries;
mod query_string;
mod repeats;
mod router;
mod sql;
mod state;
mod tables;

pub use front::Front;
pub use metrics::upkeep as metrics_upkeep;
pub use state::AppState;
