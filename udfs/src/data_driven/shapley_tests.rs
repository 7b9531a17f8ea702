use proptest::prelude::*;

use super::super::test_data::{Row, assert_golden, golden_paths, paths_of, rows, shuffled};
use super::*;

const SAMPLING: Sampling = Sampling { permutations: 400, seed: 3 };

fn rate(paths: &Paths, worth: Worth) -> Vec<ShapleyChannel> {
    shapley_rate(paths, worth, SAMPLING).unwrap().channels
}

/// v(S), straight from its definition.
fn worth_of(paths: &Paths, worth: Worth, coalition: usize) -> f64 {
    let within = |path: &super::super::paths::Path<'_>| {
        !path.channels.is_empty() && path.channels.iter().all(|&channel| coalition >> channel & 1 == 1)
    };
    let sum = paths.iter().filter(within).fold((0.0, 0.0), |sum, path| {
        let worth = if worth == Worth::ValueRate { path.value } else { path.conversions as f64 };
        (sum.0 + worth, sum.1 + path.journeys() as f64)
    });
    if sum.1 == 0.0 { 0.0 } else { sum.0 / sum.1 }
}

/// Shapley values as averages over all n! permutations.
fn by_permutations(paths: &Paths, worth: Worth) -> Vec<f64> {
    fn visit(paths: &Paths, worth: Worth, joined: &mut Vec<usize>, sums: &mut Vec<f64>, count: &mut f64) {
        let n = sums.len();
        if joined.len() == n {
            *count += 1.0;
            let mut coalition = 0;
            for &channel in joined.iter() {
                let before = worth_of(paths, worth, coalition);
                coalition |= 1 << channel;
                sums[channel] += worth_of(paths, worth, coalition) - before;
            }
        }
        for channel in 0..n {
            if !joined.contains(&channel) {
                joined.push(channel);
                visit(paths, worth, joined, sums, count);
                joined.pop();
            }
        }
    }
    let (mut sums, mut count) = (vec![0.0; paths.channel_count()], 0.0);
    visit(paths, worth, &mut Vec::new(), &mut sums, &mut count);
    sums.iter().map(|sum| sum / count).collect()
}

/// Journeys over 24 channels, so that the game must be sampled; channel 23 is in no path.
fn many_channels() -> Vec<Row> {
    let row = |k: u32| {
        let channels: Vec<u32> = (0..=k % 4).map(|touch| (k * 7 + touch * touch * 5 + k / 23) % 23).collect();
        (
            channels,
            u64::from(k.is_multiple_of(3)),
            if k.is_multiple_of(3) { f64::from(k % 50) } else { 0.0 },
            u64::from(!k.is_multiple_of(3)),
        )
    };
    (0..3_000).map(row).collect()
}

#[test]
fn the_cumulative_game_agrees_with_the_goldens() {
    let channels = shapley_cumulative(&golden_paths()).unwrap().channels;
    assert_golden("shapley_cumulative_conversions", channels.iter().map(|channel| channel.conversions));
    assert_golden("shapley_cumulative_value", channels.iter().map(|channel| channel.value));
}

#[test]
fn the_rate_game_agrees_with_the_goldens() {
    let channels = rate(&golden_paths(), Worth::ConversionRate);
    assert_golden("shapley_rate_raw", channels.iter().map(|channel| channel.raw));
    assert_golden("shapley_rate_share_value", channels.iter().map(|channel| channel.value));
    assert!(channels.iter().all(|channel| channel.standard_error.is_none()));
}

#[test]
fn negative_values_stay() {
    let paths = paths_of(2, &[(vec![0], 9, 9.0, 1), (vec![0, 1], 1, 1.0, 9)]);
    let channels = rate(&paths, Worth::ConversionRate);
    assert!((channels[1].raw + 0.2).abs() < 1e-15 && (channels[1].share + 0.4).abs() < 1e-15);
    assert!((channels[1].conversions + 4.0).abs() < 1e-12);
}

#[test]
fn journeys_without_a_touch_are_unattributed() {
    let paths = paths_of(1, &[(vec![], 2, 7.0, 8), (vec![0], 1, 5.0, 1)]);
    for result in
        [shapley_cumulative(&paths).unwrap(), shapley_rate(&paths, Worth::ConversionRate, SAMPLING).unwrap()]
    {
        assert_eq!((result.unattributed_conversions, result.unattributed_value), (2.0, 7.0));
        assert_eq!((result.channels[0].conversions, result.channels[0].value), (1.0, 5.0));
    }
    let untouched = paths_of(2, &[(vec![], 2, 7.0, 8)]);
    let shares = (
        rate(&untouched, Worth::ValueRate)[1].share,
        shapley_cumulative(&untouched).unwrap().channels[0].share,
    );
    assert_eq!(shares, (0.0, 0.0));
}

#[test]
fn a_sample_is_as_close_as_its_standard_error_says() {
    // 23 players are sampled; leaving out those above 19 makes an exact game of the same code to compare with.
    let few: Vec<Row> = many_channels().into_iter().filter(|row| row.0.iter().all(|&c| c < 20)).collect();
    let paths = paths_of(20, &few);
    let game = Game::of(&paths.channel_sets(), Worth::ConversionRate);
    let sampled = game.sampled(Sampling { permutations: 4_000, seed: 1 }).unwrap();
    let mut squares = 0.0;
    for (exact, (value, error)) in game.exact().iter().zip(sampled) {
        assert!(error > 0.0 && error < 0.002);
        squares += ((value - exact) / error).powi(2);
    }
    // Chi-squared of 20, 5 standard deviations.
    assert!((squares - 20.0).abs() < 5.0 * f64::sqrt(40.0), "{squares}");
}

#[test]
fn a_permutation_and_its_reverse_are_all_orders_of_two() {
    let paths = paths_of(2, &[(vec![0], 9, 9.0, 1), (vec![0, 1], 1, 1.0, 9), (vec![1], 1, 1.0, 1)]);
    let game = Game::of(&paths, Worth::ConversionRate);
    for ((value, error), exact) in game.sampled(SAMPLING).unwrap().into_iter().zip(game.exact()) {
        assert!((value - exact).abs() < 1e-15 && error < 1e-15);
    }
}

#[test]
fn more_than_20_channels_are_sampled_with_an_error() {
    let paths = paths_of(24, &many_channels());
    let channels = rate(&paths, Worth::ConversionRate);
    assert!(channels[..23].iter().all(|channel| channel.standard_error.is_some_and(|error| error > 0.0)));
    assert_eq!((channels[23].raw, channels[23].standard_error), (0.0, None));
    let sum: f64 = channels.iter().map(|channel| channel.raw).sum();
    assert!((sum - 1.0 / 3.0).abs() < 1e-12);
    let other = shapley_rate(&paths, Worth::ConversionRate, Sampling { seed: 4, ..SAMPLING }).unwrap();
    assert_ne!(other.channels, channels);
    let few = Sampling { permutations: 3, seed: 0 };
    let refused = shapley_rate(&paths, Worth::ConversionRate, few);
    assert!(matches!(refused, Err(ModelError::CountTooSmall { least: 4, .. })));
}

#[test]
fn a_sample_does_not_depend_on_the_order_of_the_paths() {
    let rows = many_channels();
    let (paths, other) = (paths_of(24, &rows), paths_of(24, &shuffled(&rows, 77)));
    assert_eq!(rate(&paths, Worth::ValueRate), rate(&other, Worth::ValueRate));
}

proptest! {
    #[test]
    fn exact_values_are_the_average_over_permutations(rows in rows(5, 6), by_value: bool) {
        let worth = if by_value { Worth::ValueRate } else { Worth::ConversionRate };
        let paths = paths_of(5, &rows);
        for (channel, expected) in rate(&paths, worth).iter().zip(by_permutations(&paths, worth)) {
            prop_assert!((channel.raw - expected).abs() < 1e-10 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn the_values_sum_to_the_worth_of_all(rows in rows(6, 6)) {
        let paths = paths_of(6, &rows);
        let sum: f64 = rate(&paths, Worth::ConversionRate).iter().map(|channel| channel.raw).sum();
        prop_assert!((sum - worth_of(&paths, Worth::ConversionRate, 63)).abs() < 1e-12);
        let all = shapley_cumulative(&paths).unwrap();
        let conversions: f64 = all.channels.iter().map(|channel| channel.conversions).sum();
        let value: f64 = all.channels.iter().map(|channel| channel.value).sum();
        prop_assert!((conversions + all.unattributed_conversions - paths.conversions() as f64).abs() < 1e-9);
        prop_assert!((value + all.unattributed_value - paths.value()).abs() < 1e-6);
    }

    #[test]
    fn channels_that_play_the_same_part_get_the_same(rows in rows(4, 5)) {
        // Each journey comes a second time with channels 0 and 1 exchanged.
        let exchanged = rows.iter().map(|row| {
            let channels = row.0.iter().map(|&channel| if channel < 2 { 1 - channel } else { channel }).collect();
            (channels, row.1, row.2, row.3)
        });
        let both: Vec<Row> = rows.iter().cloned().chain(exchanged).collect();
        let paths = paths_of(4, &both);
        for channels in [rate(&paths, Worth::ValueRate), shapley_cumulative(&paths).unwrap().channels] {
            prop_assert!((channels[0].raw - channels[1].raw).abs() < 1e-9 * channels[0].raw.abs().max(1.0));
            prop_assert!((channels[0].value - channels[1].value).abs() < 1e-9 * channels[0].value.abs().max(1.0));
        }
    }

    #[test]
    fn a_channel_in_no_path_gets_nothing(rows in rows(4, 6)) {
        let paths = paths_of(6, &rows);
        for channels in [rate(&paths, Worth::ConversionRate), shapley_cumulative(&paths).unwrap().channels] {
            prop_assert_eq!((channels[4].raw, channels[5].share, channels[5].value), (0.0, 0.0, 0.0));
        }
    }

    #[test]
    fn the_order_of_the_paths_does_not_change_a_bit(rows in rows(6, 6), seed: u64) {
        let (paths, other) = (paths_of(6, &rows), paths_of(6, &shuffled(&rows, seed)));
        prop_assert_eq!(rate(&paths, Worth::ValueRate), rate(&other, Worth::ValueRate));
        prop_assert_eq!(shapley_cumulative(&paths), shapley_cumulative(&other));
    }

    #[test]
    fn k_times_the_journeys_have_k_times_the_conversions(rows in rows(4, 6), k in 2_u64..50) {
        let times = |row: &Row| (row.0.clone(), row.1 * k, row.2 * k as f64, row.3 * k);
        let (paths, more) = (paths_of(4, &rows), paths_of(4, &rows.iter().map(times).collect::<Vec<_>>()));
        let one = [rate(&paths, Worth::ConversionRate), shapley_cumulative(&paths).unwrap().channels].concat();
        let many = [rate(&more, Worth::ConversionRate), shapley_cumulative(&more).unwrap().channels].concat();
        for (one, many) in one.iter().zip(&many) {
            let k = k as f64;
            prop_assert!((one.conversions * k - many.conversions).abs() < 1e-9 * k * one.conversions.abs().max(1.0));
            prop_assert!((one.share - many.share).abs() < 1e-9 * one.share.abs().max(1.0));
        }
    }
}
