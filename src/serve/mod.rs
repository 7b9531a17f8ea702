//! Answers out: HTTP now; Flight SQL and the Postgres protocol beside it later. This room translates
//! between wire and engine, and decides nothing about data.

mod access;
pub mod encode;
mod http;
pub mod keys;
mod options;
mod server;

pub use options::{Limits, ServeOptions, check_exposure, verify};
pub use server::serve;
