//! Attribution: what each touch contributed to each order, under the five rule models.
//!
//! In come touches, orders and refunds, sorted by customer; out go one row per entry (an order, or one of its
//! refunds) and touch. The kernel (`customer`) knows neither columns nor plans; `output` and `merge` do. This
//! family refuses to round: every entry's credits sum to its amount, exactly.

mod currency;
mod weights;

mod columns;
mod customer;
mod customer_ids;
mod held;
mod inputs;
mod journey_totals;
mod journeys;
mod journeys_exec;
mod merge;
mod order_runs;
mod output;
mod refunds;
mod rows;
mod runs;
mod split;
mod totals;
mod touch_runs;
mod touches;
pub use currency::minor_unit;
pub use journey_totals::{JourneyTotalsFunction, journey_totals_documentation};
pub use journeys::{JourneyTables, JourneysFunction, journeys_documentation};
pub use journeys_exec::JourneysExec;
pub use runs::{JourneyInput, SortedRuns, SortedTable};
pub use split::{Remainders, split};
pub use weights::{Model, Weights, decay_weights, position_weights};
