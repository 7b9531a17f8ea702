//! Attribution: what each touch contributed to each order, under the five rule models.
//!
//! In come touches, orders and refunds, sorted by customer; out go one row per entry (an order, or one of its
//! refunds) and touch. The kernel (`customer`) knows neither columns nor plans; `output` and `merge` do. This
//! family refuses to round: every entry's credits sum to its amount, exactly.

mod currency;
mod weights;

mod cursor;
mod customer;
mod inputs;
mod journeys;
mod journeys_exec;
mod merge;
mod output;
mod refunds;
mod rows;
mod split;
mod touches;
pub use currency::minor_unit;
pub use journeys::{JourneysFunction, journeys_documentation};
pub use journeys_exec::JourneysExec;
pub use split::{Remainders, split};
pub use weights::{Model, Weights, decay_weights, position_weights};
