//! Questions: named queries with typed parameters, and ad-hoc SQL. In: a session and a text. Out: plans
//! and record batches. This room knows neither HTTP nor where a store's files are, and refuses every
//! text that would write, exhaust the parser or paste a parameter into SQL.

mod answer;
mod bind;
mod dialect;
mod header;
mod limits;
mod mistakes;
mod named_relation;
mod params;
mod parts;
mod progress;
mod registry;
mod result_limit;
mod rules;
mod run;
mod stack;
mod threads;
mod value;

#[cfg(test)]
mod attribution_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod sql_tests;

pub use answer::{Answer, DataVersion, Params, ResultStream};
pub use bind::{BoundQuery, READ_ONLY, bind, bind_ad_hoc, bind_check, bind_typed, without_values};
pub use dialect::Dialect;
pub use header::{Header, ParamSpec};
pub use limits::TEXT_BYTES;
pub use named_relation::{QUERIES, expand, reads_named};
pub use params::{check, infer, today};
pub use progress::{Measured, Operator, Progress};
pub use registry::{NamedQuery, Registry};
pub use result_limit::{ResultLimit, size_bytes};
pub use run::{Described, Failure, Planned, check_plans, describe, plan, run_checks};
pub use threads::step_back;
pub use value::{ParamType, Value, Values};
