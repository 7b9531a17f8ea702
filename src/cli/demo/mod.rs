//! The demo: three stores whose truth is known. In: a seed and sizes. Out: rows as NDJSON, landed by the
//! same code as any user's files. Journeys are drawn one by one, each from its own random stream, so that
//! every table can be written by itself, in any order, without holding the others.

mod args;
mod calibrate;
mod catalogue;
mod journey;
mod metrics;
mod model;
mod reader;
mod rows;
mod run;
mod stores;
mod tables;

#[cfg(test)]
mod tests;

pub use args::DemoArgs;
pub use run::run;
