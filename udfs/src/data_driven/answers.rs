//! What the models say, as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray, StructArray,
};

use super::bootstrap::{Percentiles, bootstrap};
use super::chain::{Chain, Step};
use super::choose_order::choose_order;
use super::error::ModelError;
use super::lift::{Estimate, lift};
use super::markov::markov;
use super::model_function::{ModelOptions, PathModel, VALUE};
use super::path_input::PathInput;
use super::paths::Paths;
use super::shapley::{Shapley, shapley_cumulative, shapley_rate};

/// Who gets what no channel does.
const UNATTRIBUTED: &str = "(unattributed)";
/// Who gets what would have come anyway.
pub const BASELINE: &str = "(baseline)";
const ARROW: &str = " > ";
const TEN_THOUSANDTHS: f64 = 1e4;

/// Answers a model over some journeys; no journeys have an empty answer.
pub fn answer(
    model: PathModel,
    options: &ModelOptions,
    input: &PathInput,
) -> Result<StructArray, ModelError> {
    let (names, paths) = input.finish()?;
    if paths.journeys() == 0 {
        return Ok(StructArray::new_null(model.fields(), 0));
    }
    let columns = match model {
        PathModel::Markov => markov_rows(&names, &paths, options, input.value())?,
        PathModel::MarkovTransitions => transition_rows(&names, &paths, options)?,
        PathModel::MarkovOrders => order_rows(&paths, options)?,
        PathModel::Shapley => shapley_rows(&names, &paths, options, input.value())?,
        PathModel::Lift => lift_rows(&names, &paths, options, input.value())?,
    };
    Ok(StructArray::new(model.fields(), columns, None))
}

fn markov_rows(
    names: &[&str],
    paths: &Paths,
    options: &ModelOptions,
    value: i128,
) -> Result<Vec<ArrayRef>, ModelError> {
    let order = options.chain_order;
    let found = markov(paths, order)?;
    let shares = |paths: &Paths| -> Result<Vec<f64>, ModelError> {
        Ok(markov(paths, order)?.channels.iter().map(|channel| channel.share).collect())
    };
    let intervals = intervals(paths, options, shares)?;
    let rest = rest(paths, found.unattributed_conversions, found.unattributed_value);
    let of = |values: Vec<f64>| values.into_iter().map(Some).chain(rest.map(|_| None)).collect();
    let channels = || found.channels.iter();
    Ok(vec![
        texts(names.iter().copied().chain(rest.map(|_| UNATTRIBUTED))),
        numbers(of(channels().map(|channel| channel.removal_effect).collect())),
        numbers(of(channels().map(|channel| channel.share).collect())),
        bounds(intervals.as_deref(), names.len(), rest.is_some(), |interval| interval.low),
        bounds(intervals.as_deref(), names.len(), rest.is_some(), |interval| interval.high),
        numbers(
            channels().map(|channel| channel.conversions).chain(rest.map(|rest| rest.0)).map(Some).collect(),
        ),
        money(
            &channels().map(|channel| channel.value).chain(rest.map(|rest| rest.1)).collect::<Vec<_>>(),
            value,
        ),
    ])
}

fn shapley_rows(
    names: &[&str],
    paths: &Paths,
    options: &ModelOptions,
    value: i128,
) -> Result<Vec<ArrayRef>, ModelError> {
    let solve = |paths: &Paths| -> Result<Shapley, ModelError> {
        match options.worth {
            None => shapley_cumulative(paths),
            Some(worth) => shapley_rate(paths, worth, options.sampling),
        }
    };
    let found = solve(paths)?;
    let shares = |paths: &Paths| -> Result<Vec<f64>, ModelError> {
        Ok(solve(paths)?.channels.iter().map(|channel| channel.share).collect())
    };
    let intervals = intervals(paths, options, shares)?;
    let rest = rest(paths, found.unattributed_conversions, found.unattributed_value);
    let channels = || found.channels.iter();
    let of = |values: Vec<Option<f64>>| values.into_iter().chain(rest.map(|_| None)).collect();
    Ok(vec![
        texts(names.iter().copied().chain(rest.map(|_| UNATTRIBUTED))),
        numbers(of(channels().map(|channel| Some(channel.raw)).collect())),
        numbers(of(channels().map(|channel| channel.standard_error).collect())),
        numbers(of(channels().map(|channel| Some(channel.share)).collect())),
        bounds(intervals.as_deref(), names.len(), rest.is_some(), |interval| interval.low),
        bounds(intervals.as_deref(), names.len(), rest.is_some(), |interval| interval.high),
        numbers(
            channels().map(|channel| channel.conversions).chain(rest.map(|rest| rest.0)).map(Some).collect(),
        ),
        money(
            &channels().map(|channel| channel.value).chain(rest.map(|rest| rest.1)).collect::<Vec<_>>(),
            value,
        ),
    ])
}

fn lift_rows(
    names: &[&str],
    paths: &Paths,
    options: &ModelOptions,
    value: i128,
) -> Result<Vec<ArrayRef>, ModelError> {
    let found = lift(paths, options.level).map_err(|error| match error {
        ModelError::NotIdentifiable { channel } => {
            ModelError::NameNotIdentifiable { channel: names[channel as usize].to_owned() }
        }
        other => other,
    })?;
    let lifts: Vec<Estimate> =
        std::iter::once(found.baseline).chain(found.channels.iter().map(|channel| channel.lift)).collect();
    let shares: Vec<Option<Estimate>> =
        std::iter::once(None).chain(found.channels.iter().map(|channel| Some(channel.share))).collect();
    let expected: Vec<Estimate> = std::iter::once(found.baseline_expected)
        .chain(found.channels.iter().map(|channel| channel.expected))
        .collect();
    let of_share =
        |of: fn(&Estimate) -> f64| numbers(shares.iter().map(|share| share.as_ref().map(of)).collect());
    let of_lift = |of: fn(&Estimate) -> f64| numbers(lifts.iter().map(|lift| Some(of(lift))).collect());
    let of_expected = |of: fn(&Estimate) -> f64| numbers(expected.iter().map(|sum| Some(of(sum))).collect());
    let conversions = std::iter::once(found.baseline_conversions)
        .chain(found.channels.iter().map(|channel| channel.conversions));
    let values =
        std::iter::once(found.baseline_value).chain(found.channels.iter().map(|channel| channel.value));
    Ok(vec![
        texts(std::iter::once(BASELINE).chain(names.iter().copied())),
        of_lift(|lift| lift.estimate),
        of_lift(|lift| lift.low),
        of_lift(|lift| lift.high),
        of_share(|share| share.estimate),
        of_share(|share| share.low),
        of_share(|share| share.high),
        of_expected(|sum| sum.estimate),
        of_expected(|sum| sum.low),
        of_expected(|sum| sum.high),
        numbers(conversions.map(Some).collect()),
        money(&values.collect::<Vec<_>>(), value),
    ])
}

fn transition_rows(
    names: &[&str],
    paths: &Paths,
    options: &ModelOptions,
) -> Result<Vec<ArrayRef>, ModelError> {
    let transitions = Chain::of(paths, options.chain_order)?.transitions();
    let joined = |channels: &[u32]| {
        channels.iter().map(|&channel| names[channel as usize]).collect::<Vec<_>>().join(ARROW)
    };
    let step = |step: Step| match step {
        Step::Channel(channel) => names[channel as usize],
        Step::Conversion => "(conversion)",
        Step::NoConversion => "(no conversion)",
    };
    let from: Vec<String> = transitions.iter().map(|transition| joined(&transition.from)).collect();
    Ok(vec![
        texts(from.iter().map(String::as_str)),
        texts(transitions.iter().map(|transition| step(transition.to))),
        Arc::new(Int64Array::from_iter_values(transitions.iter().map(|transition| transition.count as i64))),
        numbers(transitions.iter().map(|transition| Some(transition.probability)).collect()),
    ])
}

fn order_rows(paths: &Paths, options: &ModelOptions) -> Result<Vec<ArrayRef>, ModelError> {
    let choice = choose_order(paths, options.max_order)?;
    let orders = || choice.orders.iter();
    Ok(vec![
        Arc::new(Int64Array::from_iter_values(orders().map(|fit| fit.order as i64))),
        Arc::new(Int64Array::from_iter_values(orders().map(|fit| fit.state_count as i64))),
        numbers(orders().map(|fit| Some(fit.auc)).collect()),
        numbers(orders().map(|fit| Some(fit.penalised_auc)).collect()),
        numbers(orders().map(|fit| Some(fit.held_out_auc)).collect()),
        flags(orders().map(|fit| fit.order == choice.best).collect()),
        flags(orders().map(|fit| fit.order == choice.best_held_out).collect()),
    ])
}

/// What goes to no channel, where any journey had none.
fn rest(paths: &Paths, conversions: f64, value: f64) -> Option<(f64, f64)> {
    paths.iter().any(|path| path.channels.is_empty()).then_some((conversions, value))
}

fn intervals(
    paths: &Paths,
    options: &ModelOptions,
    shares: impl Fn(&Paths) -> Result<Vec<f64>, ModelError>,
) -> Result<Option<Vec<Percentiles>>, ModelError> {
    let resampled = options.resampling.map(|resampling| bootstrap(paths, resampling, shares)).transpose()?;
    Ok(resampled.map(|resampled| resampled.intervals))
}

fn bounds(
    intervals: Option<&[Percentiles]>,
    channels: usize,
    has_rest: bool,
    of: fn(&Percentiles) -> f64,
) -> ArrayRef {
    let of_channels = (0..channels).map(|at| intervals.map(|intervals| of(&intervals[at])));
    numbers(of_channels.chain(has_rest.then_some(None)).collect())
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn flags(values: Vec<bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values))
}

fn numbers(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

/// Rounds values to ten-thousandths that sum to the total exactly: the largest takes what rounding leaves.
fn money(values: &[f64], total: i128) -> ArrayRef {
    let mut parts: Vec<i128> = values.iter().map(|value| (value * TEN_THOUSANDTHS).round() as i128).collect();
    let left = total - parts.iter().sum::<i128>();
    let largest = (0..parts.len()).max_by_key(|&at| (parts[at].unsigned_abs(), std::cmp::Reverse(at)));
    if let Some(largest) = largest {
        parts[largest] += left;
    }
    Arc::new(Decimal128Array::from_iter_values(parts).with_data_type(VALUE))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;

    use super::*;

    #[test]
    fn rounded_values_sum_to_the_total() {
        let parts = money(&[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0], 10_000);
        assert_eq!(parts.as_primitive::<Decimal128Type>().values(), &[3_334, 3_333, 3_333]);
    }
}
