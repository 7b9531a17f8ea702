//! The models as table functions: their names, parameters and columns.

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;

use super::bootstrap::Resampling;
use super::shapley::{Sampling, Worth};
use crate::attribution::{Arguments, Parameter, ParameterKind};

/// The type of values: sums of money.
pub const VALUE: DataType = DataType::Decimal128(38, 4);

/// A model of paths, or a look at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathModel {
    Markov,
    MarkovTransitions,
    MarkovOrders,
    Shapley,
    Lift,
}

const CHAIN_ORDER: Parameter = Parameter {
    name: "chain_order",
    kind: ParameterKind::Count,
    default: "1",
    doc: "How many touches the chain remembers, 1 to 4; markov_orders() says which predicts best.",
};
const LEVEL: Parameter = Parameter {
    name: "level",
    kind: ParameterKind::Weight,
    default: "0.95",
    doc: "The confidence level of the intervals, between 0 and 1.",
};
const REPLICATES: Parameter = Parameter {
    name: "replicates",
    kind: ParameterKind::Count,
    default: "0",
    doc: "Samples of the journeys for the intervals, better 200 or more: few give rough ones, and none give none.",
};
const SEED: Parameter = Parameter {
    name: "seed",
    kind: ParameterKind::Count,
    default: "0",
    doc: "The same seed draws the same samples.",
};
/// The most samples of the journeys, and the most orders of channels: each costs as much as the model itself.
const MOST_SAMPLES: usize = 10_000;

impl PathModel {
    pub const ALL: [PathModel; 5] = [
        PathModel::Markov,
        PathModel::MarkovTransitions,
        PathModel::MarkovOrders,
        PathModel::Shapley,
        PathModel::Lift,
    ];

    /// The function's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            PathModel::Markov => "markov",
            PathModel::MarkovTransitions => "markov_transitions",
            PathModel::MarkovOrders => "markov_orders",
            PathModel::Shapley => "shapley",
            PathModel::Lift => "lift",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// What the function answers.
    pub fn description(self) -> &'static str {
        match self {
            PathModel::Markov => {
                "Returns each channel's removal effect in an absorbing Markov chain of the journeys, solved exactly: one less the chance of conversion where every state with the channel leads nowhere, over the chance as it is. Conversions and value are shared out in the ratio of the removal effects."
            }
            PathModel::MarkovTransitions => {
                "Returns the transitions of that chain: how often journeys went on from a state (its channels, oldest first; empty at the start) to a channel, (conversion) or (no conversion)."
            }
            PathModel::MarkovOrders => {
                "Returns how well chains of growing order tell journeys that convert from those that do not: the area under the curve, the same less a penalty for the number of states, and the same for journeys that the rates were not estimated from. Where the two choices differ, believe the held-out one."
            }
            PathModel::Shapley => {
                "Returns each channel's Shapley value: its part of the conversions, averaged over all orders in which channels could have joined. The worth of a set of channels is the conversions of journeys within it (cumulative), or their rate, which may give negative values; these are never clipped. Exact for up to 20 channels; above, rates are sampled and the standard error is given."
            }
            PathModel::Lift => {
                "Returns what each channel adds to a journey's chance of conversion, over a baseline of conversions that would have come anyway: P = 1 - (1 - baseline) * product of (1 - lift), by maximum likelihood over journeys with and without conversion, shared out per journey by Shapley values, with intervals. It is a model, not an experiment: where customers who would buy anyway meet more touches of a channel, their conversions count as its lift."
            }
        }
    }

    /// A query that runs.
    pub fn example(self) -> &'static str {
        match self {
            PathModel::Markov => {
                "select channel, removal_effect, conversions from markov(journey_paths(), chain_order => 2)"
            }
            PathModel::MarkovTransitions => {
                "select from_channels, step, transition_count, probability from markov_transitions(journey_paths())"
            }
            PathModel::MarkovOrders => {
                "select chain_order, held_out_auc, is_best from markov_orders(journey_paths(), max_order => 2)"
            }
            PathModel::Shapley => {
                "select channel, shapley_value, conversions from shapley((select path, conversions, revenue as value, non_conversions from journey_paths()), worth => 'cumulative')"
            }
            PathModel::Lift => {
                "select channel, lift, lift_low, lift_high, conversions from lift((select * from (values ('email', 30, 70), ('search', 20, 80), ('email > search', 45, 55), ('(unattributed)', 10, 90)) as journeys (path, conversions, non_conversions)), level => 0.9)"
            }
        }
    }

    /// The parameters that follow the journeys.
    pub fn parameters(self) -> Vec<Parameter> {
        match self {
            PathModel::Markov => vec![CHAIN_ORDER, REPLICATES, SEED, LEVEL],
            PathModel::MarkovTransitions => vec![CHAIN_ORDER],
            PathModel::MarkovOrders => vec![Parameter {
                name: "max_order",
                kind: ParameterKind::Count,
                default: "4",
                doc: "The highest order to compare, 1 to 4.",
            }],
            PathModel::Shapley => vec![
                Parameter {
                    name: "worth",
                    kind: ParameterKind::Choice(&["cumulative", "conversion_rate", "value_rate"]),
                    default: "'cumulative'",
                    doc: "What a set of channels is worth: the conversions of journeys within it, or their rate, or value, per journey.",
                },
                Parameter {
                    name: "permutations",
                    kind: ParameterKind::Count,
                    default: "1000",
                    doc: "Orders of the channels to sample where there are more than 20, at least 4.",
                },
                REPLICATES,
                SEED,
                LEVEL,
            ],
            PathModel::Lift => vec![LEVEL],
        }
    }

    /// The columns of the answer.
    pub fn fields(self) -> Fields {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let value = Field::new("value", VALUE, false);
        match self {
            PathModel::Markov => vec![
                text("channel"),
                number("removal_effect"),
                number("share"),
                number("share_low"),
                number("share_high"),
                number("conversions"),
                value,
            ],
            PathModel::MarkovTransitions => {
                vec![text("from_channels"), text("step"), count("transition_count"), number("probability")]
            }
            PathModel::MarkovOrders => vec![
                count("chain_order"),
                count("state_count"),
                number("auc"),
                number("penalised_auc"),
                number("held_out_auc"),
                Field::new("is_best_penalised", DataType::Boolean, false),
                Field::new("is_best", DataType::Boolean, false),
            ],
            PathModel::Shapley => vec![
                text("channel"),
                number("shapley_value"),
                number("standard_error"),
                number("share"),
                number("share_low"),
                number("share_high"),
                number("conversions"),
                value,
            ],
            PathModel::Lift => vec![
                text("channel"),
                number("lift"),
                number("lift_low"),
                number("lift_high"),
                number("share"),
                number("share_low"),
                number("share_high"),
                number("expected_conversions"),
                number("expected_low"),
                number("expected_high"),
                number("conversions"),
                value,
            ],
        }
        .into()
    }
}

/// The options of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelOptions {
    pub chain_order: usize,
    pub max_order: usize,
    /// None for the cumulative worth.
    pub worth: Option<Worth>,
    pub sampling: Sampling,
    pub level: f64,
    /// None where no intervals are asked for.
    pub resampling: Option<Resampling>,
}

impl ModelOptions {
    /// Reads the options among a function's arguments.
    pub fn try_new(arguments: &Arguments) -> Result<Self> {
        let count = |name: &str, default: usize, from: usize, to: usize| -> Result<usize> {
            let count = arguments.count(name)?.unwrap_or(default);
            if (from..=to).contains(&count) {
                Ok(count)
            } else {
                arguments.invalid(name, &format!("must be a whole number from {from} to {to}"))
            }
        };
        let level = arguments.number("level")?.unwrap_or(0.95);
        if level <= 0.0 || level >= 1.0 {
            return arguments.invalid("level", "must lie between 0 and 1, such as 0.95");
        }
        let seed = count("seed", 0, 0, usize::MAX)? as u64;
        let replicates = count("replicates", 0, 0, MOST_SAMPLES)?;
        if replicates == 1 {
            return arguments.invalid("replicates", "must be 0, or at least 2");
        }
        Ok(Self {
            chain_order: count("chain_order", 1, 1, 4)?,
            max_order: count("max_order", 4, 1, 4)?,
            worth: match arguments.choice("worth")? {
                Some("conversion_rate") => Some(Worth::ConversionRate),
                Some("value_rate") => Some(Worth::ValueRate),
                _ => None,
            },
            sampling: Sampling { permutations: count("permutations", 1_000, 4, 100 * MOST_SAMPLES)?, seed },
            level,
            resampling: (replicates > 0).then_some(Resampling { replicates, seed, level }),
        })
    }
}
