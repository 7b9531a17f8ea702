//! Statements that run, and results that wait to be fetched. In: who asks, and what. Out: an id that nobody can guess,
//! under which the same store sees how far it is, cancels it, and fetches its rows. This room keeps nothing for longer,
//! and no more of it, than its limits say.

mod job;
mod registry;
mod results;
mod statement;

pub use registry::{Running, Statements};
pub use statement::{State, Statement};
