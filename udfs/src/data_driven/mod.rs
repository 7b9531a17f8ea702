//! Data-driven attribution models: Markov chains, Shapley values, lift.
//!
//! In come journeys grouped by path, converted or not (`paths`); out go removal effects, Shapley values and lifts
//! per channel, with their errors. The models know no tables, no clocks and no global randomness: every result is
//! a function of the multiset of paths and, where it samples, of a seed. Sums run in one order; faer is built
//! without its thread pool for the same reason. Below them, `model_relation` makes each a table function over any
//! relation of journeys.

mod error;
mod paths;
mod totals;

mod chain;
mod choose_order;
mod markov;
mod solve;

mod shapley;
mod shapley_game;

mod box_step;
mod lift;
mod lift_fit;
mod noisy_or;

mod bootstrap;
mod normal;
mod random;

mod answers;
mod lift_credits;
mod model_function;
mod model_relation;
mod normal_deviation;
mod path_aggregate;
mod path_input;

#[cfg(test)]
mod test_data;

pub use error::ModelError;
pub use lift::{Estimate, Lift, LiftChannel, lift};
pub use lift_credits::LiftCredits;
pub use markov::{Markov, MarkovChannel, markov};
pub use model_function::PathModel;
pub use model_relation::ModelRelations;
pub use normal_deviation::NormalDeviation;
pub use paths::{Path, Paths, PathsBuilder};
pub use shapley::{Sampling, Shapley, ShapleyChannel, Worth, shapley_rate};
