//! Tributary's DataFusion functions.
//!
//! One file a function, one folder a family. This crate knows DataFusion, and nothing of the engine.

pub mod attribution;
pub mod calendar;
pub mod data_driven;
mod functions;
pub mod money;
pub mod rating;

pub use attribution::{
    Identities, JourneyInput, JourneyTables, Model, Parameter, ParameterKind, SortedRuns, SortedTable,
    journeys_schema,
};
pub use data_driven::ModelError;
pub use functions::{
    FunctionDoc, documentation, is_journey_function, profile_names, reads_journeys, relation_planners,
    rule_parameters, scalar_functions, standard_lookback_us, table_functions,
};
