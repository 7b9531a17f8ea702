//! Flight SQL: BI tools ask in gRPC, and rows leave as Arrow. In: commands of the protocol. Out: schemas, tickets and
//! record batches. Nothing is kept between two calls but what can be cancelled: tickets and prepared statements carry
//! their SQL, signed, so that they outlive a restart.

mod access;
mod catalog;
mod door;
mod handle;
mod info;
mod parameters;
mod parts;
mod running;
mod service;
mod statements;
mod wire;

pub use door::service;
pub(super) use wire::wire_type;
