use super::super::markov::markov;
use super::super::shapley::{Sampling, Worth, shapley_cumulative, shapley_rate};
use super::super::test_data::{Row, golden_paths, paths_of, shuffled};
use super::*;

fn markov_shares(paths: &Paths) -> Result<Vec<f64>, ModelError> {
    Ok(markov(paths, 1)?.channels.iter().map(|channel| channel.share).collect())
}

fn shapley_shares(paths: &Paths) -> Result<Vec<f64>, ModelError> {
    Ok(shapley_cumulative(paths)?.channels.iter().map(|channel| channel.share).collect())
}

#[test]
fn the_conversion_rate_has_its_binomial_error() {
    let paths = paths_of(1, &[(vec![0], 300, 1.0, 700)]);
    let rate = |paths: &Paths| Ok(vec![paths.conversions() as f64 / paths.journeys() as f64]);
    let resampling = Resampling { replicates: 4_000, ..Resampling::default() };
    let result = bootstrap(&paths, resampling, rate).unwrap();
    let error = f64::sqrt(0.3 * 0.7 / 1_000.0);
    let Percentiles { low, high, standard_error } = result.intervals[0];
    assert!((standard_error / error - 1.0).abs() < 0.06, "{standard_error}");
    assert!(
        (low - (0.3 - 1.96 * error)).abs() < 0.1 * error && (high - (0.3 + 1.96 * error)).abs() < 0.1 * error
    );
    assert_eq!(result.replicates, 4_000);
}

#[test]
fn every_model_has_intervals_around_its_shares() {
    let paths = golden_paths();
    let rate_shares = |paths: &Paths| {
        let result = shapley_rate(paths, Worth::ConversionRate, Sampling::default())?;
        Ok(result.channels.iter().map(|channel| channel.share).collect())
    };
    for model in
        [&markov_shares as &dyn Fn(&Paths) -> Result<Vec<f64>, ModelError>, &shapley_shares, &rate_shares]
    {
        let result = bootstrap(&paths, Resampling::default(), model).unwrap();
        for (interval, share) in result.intervals.iter().zip(model(&paths).unwrap()) {
            assert!(interval.low < share && share < interval.high, "{interval:?} {share}");
            assert!(interval.standard_error > 0.0);
        }
    }
}

#[test]
fn intervals_depend_on_the_seed_and_not_on_the_order_of_the_paths() {
    let rows: Vec<Row> = golden_paths()
        .iter()
        .map(|path| (path.channels.to_vec(), path.conversions, path.value, path.non_conversions))
        .collect();
    let intervals = |rows: &[Row], seed| {
        let resampling = Resampling { replicates: 20, seed, level: 0.8 };
        bootstrap(&paths_of(7, rows), resampling, markov_shares).unwrap()
    };
    assert_eq!(intervals(&rows, 1), intervals(&shuffled(&rows, 5), 1));
    assert_ne!(intervals(&rows, 1), intervals(&rows, 2));
}

#[test]
fn a_sample_keeps_paths_and_the_value_per_conversion() {
    let paths = paths_of(2, &[(vec![0], 40, 100.0, 3), (vec![1], 0, 0.0, 5)]);
    let mut sample = paths.clone();
    resample(&paths, 8, 3, &mut sample);
    let (first, second) = (sample.iter().next().unwrap(), sample.iter().nth(1).unwrap());
    assert_ne!(first.conversions, 40);
    assert!((first.value - 2.5 * first.conversions as f64).abs() < 1e-12);
    assert_eq!((second.channels, second.conversions, second.value), (&[1][..], 0, 0.0));
    let mut again = sample.clone();
    resample(&paths, 8, 3, &mut again);
    assert_eq!(sample, again);
}

#[test]
fn paths_are_drawn_apart_from_each_other() {
    let rows: Vec<Row> = (0..50).map(|channel| (vec![channel], 1_000, 1.0, 1_000)).collect();
    let paths = paths_of(50, &rows);
    let mut sample = paths.clone();
    resample(&paths, 8, 3, &mut sample);
    // The sum of independent counts: mean 50,000, deviation 224.
    assert!((sample.conversions() as f64 - 50_000.0).abs() < 5.0 * 224.0);
    let first = sample.iter().next().unwrap();
    assert_ne!(first.conversions, first.non_conversions);
    assert!(sample.iter().any(|path| path.conversions != first.conversions));
}

#[test]
fn samples_without_a_conversion_are_left_out_and_counted() {
    let paths = paths_of(1, &[(vec![0], 1, 1.0, 50)]);
    let result = bootstrap(&paths, Resampling::default(), shapley_shares).unwrap();
    // A sample has none with probability 1/e.
    assert!((100..155).contains(&result.replicates), "{}", result.replicates);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let paths = paths_of(1, &[(vec![0], 1, 1.0, 1)]);
    let with =
        |replicates, level| bootstrap(&paths, Resampling { replicates, seed: 0, level }, markov_shares);
    assert!(matches!(with(1, 0.95), Err(ModelError::CountTooSmall { .. })));
    assert!(matches!(with(9, 95.0), Err(ModelError::LevelOutOfRange { .. })));
    let none = paths_of(1, &[(vec![0], 0, 0.0, 9)]);
    assert_eq!(bootstrap(&none, Resampling::default(), markov_shares), Err(ModelError::NoConversions));
    let order_9 = |paths: &Paths| Ok(vec![markov(paths, 9)?.p_conversion]);
    assert_eq!(
        bootstrap(&paths, Resampling::default(), order_9),
        Err(ModelError::OrderOutOfRange { order: 9 })
    );
}
