//! Connections of every door: how many there may be of one address and of one key, and how long each may be silent. In:
//! sockets as they are accepted. Out: the same sockets, with a place that is given back when they end.
//!
//! A connection that does nothing gives way to a new one if there are too many; one that answers a request never does.

mod connection;
mod open_files;
mod serve;
mod stream;
mod table;

pub use connection::Connection;
pub use open_files::raise_limit as raise_limit_of_open_files;
pub use serve::serve_connections;
pub use table::{Address, ConnectionLimits, Connections, Door};
