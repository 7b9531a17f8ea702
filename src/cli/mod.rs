//! The command line: one file per subcommand, and a folder for the SQL shell. In: arguments, files and standard input. Out: answers on
//! standard output, everything else on standard error, and a stable exit code. This room uses the engine
//! as any program that embeds it would, and knows nothing about how data is kept.

mod args;
mod start;

mod check;
mod demo;
mod doctor;
mod erase;
mod fsck;
mod functions;
mod keys;
mod land;
mod nightly;
mod query;
mod read_rows;
mod serve;
mod shell;
mod sql;
mod tables;
mod vacuum;

mod content_hash;
mod excerpt;
mod exit;
mod output;
mod progress;
mod source;
mod store;
mod telemetry;
mod text_table;

pub use start::{main, main_with};
