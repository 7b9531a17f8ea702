//! The Postgres protocol: what speaks to a Postgres database speaks to a store, and only reads. In: messages of the
//! protocol. Out: rows and errors as its clients know them. Questions go to the engine as on every other door; this room
//! keeps what a connection has: its key, settings, prepared statements, portals and cursors.

mod command;
mod connection;
mod copy;
mod cursors;
mod door;
mod errors;
mod extended;
mod frames;
mod numeric;
mod parameters;
mod rows;
mod scram;
mod session;
mod settings;
mod simple;
mod startup;
mod texts;

pub use door::{Door, DoorLimits, serve};
