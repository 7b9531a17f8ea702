use proptest::prelude::*;

use super::super::random::Random;
use super::super::test_data::{Row, paths_of, shuffled};
use super::*;

/// The truth of goldens/truth/generate.py: affiliate, direct, email, organic search, paid search, paid social,
/// referral.
const LIFTS: [f64; 7] = [0.02, 0.05, 0.12, 0.08, 0.10, 0.04, 0.03];
const WEIGHTS: [f64; 7] = [3.0, 8.0, 10.0, 12.0, 14.0, 9.0, 2.0];
const BASELINE: f64 = 0.25;

/// Journeys and conversions by channel set, bit k of the set standing for channel k.
type Counts = Vec<(u64, u64)>;

fn members(set: usize) -> Vec<u32> {
    (0..7).filter(|channel| set >> channel & 1 == 1).collect()
}

fn paths_of_counts(counts: &Counts) -> Paths {
    let row = |(set, &(journeys, conversions)): (usize, &(u64, u64))| -> Row {
        (members(set), conversions, conversions as f64 * 80.0, journeys - conversions)
    };
    paths_of(7, &counts.iter().enumerate().map(row).collect::<Vec<_>>())
}

/// What the true lifts added to these journeys, by channel.
fn true_expected(counts: &Counts) -> Vec<f64> {
    let mut journey = Decomposition::new(Quadrature::for_sets_of(7));
    let mut expected = vec![0.0; 7];
    for (set, &(journeys, _)) in counts.iter().enumerate() {
        let members = members(set);
        let lifts: Vec<f64> = members.iter().map(|&channel| LIFTS[channel as usize]).collect();
        journey.decompose(BASELINE, &lifts);
        for (channel, phi) in members.iter().zip(&journey.phi) {
            expected[*channel as usize] += journeys as f64 * phi;
        }
    }
    expected
}

/// 1 - total variation distance of the shares to the true ones.
fn accuracy(counts: &Counts, lift: &Lift) -> f64 {
    let truth = true_expected(counts);
    let total: f64 = truth.iter().sum();
    let distance =
        truth.iter().zip(&lift.channels).map(|(truth, ours)| (truth / total - ours.share.estimate).abs());
    1.0 - distance.sum::<f64>() / 2.0
}

/// The error of an estimate in its standard errors.
fn deviations(estimate: Estimate, truth: f64) -> f64 {
    (estimate.estimate - truth) / estimate.standard_error.unwrap()
}

/// Journeys with the distributions of generate.py.
fn generate(journeys: u64, seed: u64) -> Counts {
    let mut random = Random::stream(seed, 0, 0);
    let mut counts = vec![(0, 0); 128];
    let total: f64 = WEIGHTS.iter().sum();
    for _ in 0..journeys {
        let length = 8.min(1 + (-(1.0 - random.unit()).ln() / 0.45) as usize);
        let mut channel = || {
            let mut left = random.unit() * total;
            let drawn = WEIGHTS.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            drawn.unwrap_or(6)
        };
        let mut touches = [0; 8];
        touches[..length].iter_mut().for_each(|touch| *touch = channel());
        if length > 1 && random.unit() < 0.2 {
            touches[1] = touches[0];
        }
        let set = touches[..length].iter().fold(0, |set, &touch| set | 1_usize << touch);
        let survives: f64 = members(set).iter().map(|&channel| 1.0 - LIFTS[channel as usize]).product();
        let converted = random.unit() < 1.0 - (1.0 - BASELINE) * survives;
        counts[set].0 += 1;
        counts[set].1 += u64::from(converted);
    }
    counts
}

fn golden() -> Counts {
    let lines = include_str!("../../tests/goldens/truth/truth_100000.csv").lines();
    let rows = lines.filter(|line| !line.starts_with(['#', 's'])).map(|line| {
        let cells: Vec<u64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        (cells[1], cells[2])
    });
    rows.collect()
}

#[test]
fn the_true_shares_are_recovered_from_100_000_journeys() {
    let counts = golden();
    assert_eq!((counts.len(), counts.iter().map(|count| count.0).sum::<u64>()), (128, 100_000));
    let result = lift(&paths_of_counts(&counts), 0.95).unwrap();
    let accuracy = accuracy(&counts, &result);
    assert!(accuracy >= 0.95, "{accuracy}");
    assert!((result.baseline.estimate - BASELINE).abs() < 0.02);
    assert!(result.baseline.low < BASELINE && BASELINE < result.baseline.high);
}

#[test]
fn the_intervals_hold_the_truth_as_often_as_they_say() {
    let (seeds, level) = (200, 0.95);
    let mut inside = [[0_i32; 7]; 2];
    let mut baseline_inside = 0;
    let mut squares = [0.0; 2];
    for seed in 0..seeds {
        let counts = generate(20_000, seed);
        let result = lift(&paths_of_counts(&counts), level).unwrap();
        let truth = true_expected(&counts);
        let total: f64 = truth.iter().sum();
        let holds =
            |estimate: Estimate, truth: f64| i32::from(estimate.low <= truth && truth <= estimate.high);
        baseline_inside += holds(result.baseline, BASELINE);
        for (k, channel) in result.channels.iter().enumerate() {
            inside[0][k] += holds(channel.lift, LIFTS[k]);
            inside[1][k] += holds(channel.share, truth[k] / total);
            // Channels 0 and 6 are so rare that the edge at 0 narrows their estimates.
            if (1..6).contains(&k) {
                squares[0] += deviations(channel.lift, LIFTS[k]).powi(2);
                squares[1] += deviations(channel.share, truth[k] / total).powi(2);
            }
        }
    }
    // Squared deviations in standard errors average 1; over 5 correlated channels of 200 seeds, to about 0.06.
    for squares in squares {
        assert!((squares / (5.0 * seeds as f64) - 1.0).abs() < 0.2, "{squares}");
    }
    // Of 200, 190 are expected with a deviation of 3.1. The cut at 0 can only widen what remains.
    let n = seeds as f64;
    let deviation = (n * level * (1.0 - level)).sqrt();
    let far = |count: i32| f64::from(count) - n * level;
    for &count in inside.iter().flatten().chain([&baseline_inside]) {
        assert!(far(count) > -4.0 * deviation, "{inside:?} {baseline_inside}");
    }
    for channels in &inside {
        let all = f64::from(channels.iter().sum::<i32>()) / (7.0 * n);
        assert!((0.94..0.985).contains(&all), "{all}");
    }
}

/// Journeys of every set of four channels, from counts of (conversions, others), so that all lifts can be told.
fn rows_of(counts: &[(u64, u64)]) -> Vec<Row> {
    let row = |(set, &(yes, no)): (usize, &(u64, u64))| (members(set), yes, yes as f64 * 1.25, no);
    counts.iter().enumerate().map(row).collect()
}

fn some_counts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0_u64..20, 1_u64..40), 16).prop_filter("some convert", |counts| counts[0].0 > 0)
}

fn lifts_of(rows: &[Row]) -> Lift {
    lift(&paths_of(5, rows), 0.9).unwrap()
}

#[test]
fn errors_of_two_rates_follow_from_theirs() {
    // 20 % of 100 and 60 % of 100: 1 - lift = (1 - .6) / (1 - .2), whose log has the variance .25/100 + 1.5/100.
    let result = lift(&paths_of(1, &[(vec![], 20, 0.0, 80), (vec![0], 60, 0.0, 40)]), 0.95).unwrap();
    let log_error = f64::sqrt(0.0175);
    let found = result.channels[0].lift;
    assert!((found.estimate - 0.5).abs() < 1e-12);
    assert!((found.standard_error.unwrap() - 0.5 * log_error).abs() < 1e-12);
    assert!((found.low - (1.0 - 0.5 * (1.959_963_984_540_054 * log_error).exp())).abs() < 1e-12);
    assert!((found.high - (1.0 - 0.5 * (-1.959_963_984_540_054 * log_error).exp())).abs() < 1e-12);
    // The baseline is a plain rate; what the channel added is the difference of two rates.
    assert!((result.baseline.standard_error.unwrap() - f64::sqrt(0.2 * 0.8 / 100.0)).abs() < 1e-12);
    let expected = result.channels[0].expected;
    assert!((expected.estimate - 100.0 * 0.4).abs() < 1e-10);
    let error = 100.0 * f64::sqrt(0.2 * 0.8 / 100.0 + 0.6 * 0.4 / 100.0);
    assert!((expected.standard_error.unwrap() - error).abs() < 1e-9);
    assert!((result.baseline_expected.estimate - 200.0 * 0.2).abs() < 1e-10);
}

#[test]
fn slopes_of_the_conversions_added_are_those_of_small_steps() {
    let counts: Vec<(u64, u64)> = (0..16).map(|set| (1 + set % 5 + 7 * (set % 3), 10 + set)).collect();
    let sets = paths_of(4, &rows_of(&counts)).channel_sets();
    let fit = Fit { h: vec![0.3, 0.05, 0.4, 1.2, 0.7], ..fit(&sets).unwrap() };
    let credit = Credit::of(&sets, &fit);
    let step = 1e-6;
    for k in 0..5 {
        let moved = |by: f64| {
            let mut h = fit.h.clone();
            h[k] += by;
            let moved = Fit { h, channels: fit.channels.clone(), covariance: fit.covariance.clone(), ..fit };
            Credit::of(&sets, &moved).expected
        };
        for (i, (high, low)) in moved(step).iter().zip(moved(-step)).enumerate() {
            let slope = (high - low) / (2.0 * step);
            assert!((credit.slopes[(i, k)] - slope).abs() < 1e-5, "{i} by {k}: {slope}");
        }
    }
}

#[test]
fn a_channel_in_no_path_is_unknown_and_gets_nothing() {
    let result = lifts_of(&[(vec![], 2, 4.0, 8), (vec![1], 6, 8.0, 4)]);
    let absent = result.channels[0];
    assert_eq!((absent.lift.low, absent.lift.high, absent.lift.standard_error), (0.0, 1.0, None));
    assert_eq!((absent.expected.estimate, absent.share.high, absent.value), (0.0, 0.0, 0.0));
    assert!((result.channels[1].share.estimate - 1.0).abs() < 1e-12);
}

#[test]
fn where_nothing_lifts_all_goes_to_the_baseline() {
    let result = lifts_of(&[(vec![], 5, 4.0, 5), (vec![1], 2, 8.0, 8)]);
    assert_eq!((result.baseline_conversions, result.baseline_value), (7.0, 12.0));
    let channel = result.channels[1];
    assert_eq!((channel.lift.estimate, channel.lift.low, channel.share.estimate), (0.0, 0.0, 0.0));
    assert_eq!((channel.share.low, channel.share.high, channel.share.standard_error), (0.0, 1.0, None));
    assert!(channel.lift.high > 0.0);
}

#[test]
fn levels_and_journeys_that_do_not_do_are_refused() {
    let rows = [(vec![], 2, 4.0, 8), (vec![0], 6, 8.0, 4)];
    assert_eq!(lift(&paths_of(1, &rows), 95.0), Err(ModelError::LevelOutOfRange { level: 95.0 }));
    assert_eq!(lift(&paths_of(1, &rows[1..]), 0.9), Err(ModelError::NotIdentifiable { channel: 0 }));
    assert_eq!(lift(&paths_of(1, &[]), 0.9), Err(ModelError::NoJourneys));
}

proptest! {
    #[test]
    fn baseline_and_channels_sum_to_conversions_and_value(counts in some_counts()) {
        let rows = rows_of(&counts);
        let (paths, result) = (paths_of(5, &rows), lifts_of(&rows));
        let sum = |of: fn(&LiftChannel) -> f64| result.channels.iter().map(of).sum::<f64>();
        let conversions = result.baseline_conversions + sum(|channel| channel.conversions);
        prop_assert!((conversions - paths.conversions() as f64).abs() < 1e-9);
        prop_assert!((result.baseline_value + sum(|channel| channel.value) - paths.value()).abs() < 1e-9);
        let shares = sum(|channel| channel.share.estimate);
        prop_assert!((shares - 1.0).abs() < 1e-12 || shares == 0.0);
    }

    #[test]
    fn estimates_lie_in_their_intervals_and_those_in_their_bounds(counts in some_counts()) {
        let result = lifts_of(&rows_of(&counts));
        let fractions = result.channels.iter().flat_map(|channel| [channel.lift, channel.share]);
        for fraction in fractions.chain([result.baseline]) {
            prop_assert!(0.0 <= fraction.low && fraction.low <= fraction.estimate);
            prop_assert!(fraction.estimate <= fraction.high && fraction.high <= 1.0);
        }
    }

    #[test]
    fn the_order_of_the_paths_does_not_change_a_bit(counts in some_counts(), seed: u64) {
        let rows = rows_of(&counts);
        // Journeys of one set come by two paths: forwards and backwards.
        let backwards = rows.iter().map(|row| (row.0.iter().rev().copied().collect(), 1, 0.1, row.3));
        let both: Vec<Row> = rows.iter().cloned().chain(backwards).collect();
        prop_assert_eq!(lifts_of(&both), lifts_of(&shuffled(&both, seed)));
    }

    #[test]
    fn k_times_the_journeys_have_the_same_lifts_and_smaller_errors(counts in some_counts(), k in 2_u64..30) {
        let rows = rows_of(&counts);
        let times = |row: &Row| (row.0.clone(), row.1 * k, row.2 * k as f64, row.3 * k);
        let (one, more) = (lifts_of(&rows), lifts_of(&rows.iter().map(times).collect::<Vec<_>>()));
        for (one, more) in one.channels[..4].iter().zip(&more.channels) {
            prop_assert!((one.lift.estimate - more.lift.estimate).abs() < 1e-6);
            prop_assert!((one.conversions * k as f64 - more.conversions).abs() < 1e-4 * k as f64);
            let ratio = one.lift.standard_error.unwrap() / more.lift.standard_error.unwrap();
            prop_assert!((ratio - (k as f64).sqrt()).abs() < 1e-3 * ratio);
        }
    }
}
