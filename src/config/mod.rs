//! Settings: one TOML file, then `TRIBUTARY_*` variables, then flags; the later wins. In: a file, the
//! environment and the flags given. Out: one checked [`Config`]. This room alone reads files of settings
//! and the environment; it refuses every key that it does not know, and opens nothing else.

mod lake;
mod limits;
mod load;
mod queries;
mod ranges;
mod serve;
mod storage;
mod terminal;

pub use lake::Lake;
pub use limits::Limits;
pub use load::{Config, Overrides, load, settings_file, unknown_variables};
pub use queries::Queries;
pub use serve::Serve;
pub use storage::Storage;
pub use terminal::Terminal;
