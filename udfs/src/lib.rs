//! Tributary's DataFusion functions.
//!
//! One file a function, one folder a family. This crate knows DataFusion, and nothing of the engine.

pub mod attribution;
pub mod calendar;
mod functions;
pub mod money;
pub mod rating;

pub use attribution::{
    JourneyInput, JourneyTables, Model, Parameter, ParameterKind, SortedRuns, SortedTable,
};
pub use functions::{
    FunctionDoc, documentation, is_journey_function, profile_names, relation_planner, rule_parameters,
    scalar_functions, table_functions,
};
