//! `/v1/sql`: read-only SQL in; rows as they are computed, a result that waits, or what the statement would cost.

mod asked;
mod explain;
mod jobs;
mod question;
mod rows;
mod run;

pub use jobs::{delete, result, status};
pub use rows::{Held, Wire, respond as respond_with_rows};
pub use run::run;
