//! Answers out: HTTP and Flight SQL now; the Postgres protocol beside them later. This room translates
//! between wire and engine, and decides nothing about data.

mod access;
pub mod encode;
mod flight;
mod http;
pub mod keys;
mod options;
mod scram;
mod server;
mod sheet;
mod statements;

pub use options::{Limits, ServeOptions, check_exposure, verify};
pub use server::{Listeners, serve};
pub use sheet::{ColumnSheet, TableSheet, sheet};
