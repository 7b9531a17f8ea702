//! Tributary's DataFusion functions.
//!
//! One file a function, one folder a family. This crate knows DataFusion, and nothing of the engine.

pub mod attribution;

pub use attribution::JourneysFunction;
