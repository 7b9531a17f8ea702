//! Attribution: what each touch contributed to each order, under the rule models.
//!
//! In come touches, orders and refunds, sorted by customer; out go one row per entry (an order, or one of its
//! refunds) and touch, or sums and counts of them. The kernel (`customer`) knows neither columns nor plans; `output` and
//! `merge` do. This family refuses to round: every entry's credits sum to its amount, exactly.

mod currency;
mod exchange;
mod model;
mod profiles;
mod rates;
mod rules;
mod weights;

mod arguments;
mod booked_range;
mod columns;
mod customer;
mod customer_ids;
mod gathered;
mod held;
mod identities;
mod idle;
mod inputs;
mod journey_function;
mod journeys_exec;
mod merge;
mod model_filter;
mod named_arguments;
mod order_runs;
mod output;
mod path_counts;
mod path_output;
mod path_runs;
mod path_sink;
mod path_table;
mod plan;
mod profiles_function;
mod refunds;
mod resolve_exec;
mod rows;
mod runs;
mod select;
mod shared;
mod split;
mod totals;
mod totals_sink;
mod touch_runs;
mod touches;

pub use arguments::{Arguments, Kind as ParameterKind, Parameter};
pub use currency::minor_unit;
pub use identities::Identities;
pub use journey_function::{JourneyFunction, View};
pub use journeys_exec::JourneysExec;
pub use model::Model;
pub use named_arguments::{NamedArguments, positional};
pub use output::journeys_schema;
pub use plan::JourneyTables;
pub use profiles::Profile;
pub use profiles_function::ProfilesFunction;
pub use rules::{RULE_PARAMETERS, Rules, WINDOW_PARAMETERS};
pub use runs::{JourneyInput, SortedRuns, SortedTable};
pub use split::{Remainders, split};
pub use weights::Weights;
