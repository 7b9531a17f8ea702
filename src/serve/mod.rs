//! Answers out: HTTP, Flight SQL and the Postgres protocol. This room translates
//! between wire and engine, and decides nothing about data.

mod access;
mod connections;
pub mod encode;
mod flight;
mod http;
pub mod keys;
mod options;
mod postgres;
mod rates;
mod scram;
mod server;
mod sheet;
mod statements;
mod tls;

pub use connections::raise_limit_of_open_files;
pub use options::{Limits, ServeOptions, check_exposure};
pub use server::{Listeners, serve};
pub use sheet::{ColumnSheet, TableSheet, sheet};
pub use tls::Tls;
