use proptest::prelude::*;

use super::super::test_data::{Row, assert_golden, golden_paths, paths_of, rows, shuffled};
use super::*;

#[test]
fn orders_1_to_3_agree_with_the_goldens() {
    let paths = golden_paths();
    for order in 1..=3 {
        let result = markov(&paths, order).unwrap();
        let channels = result.channels.iter();
        assert_golden(
            &format!("markov{order}_removal"),
            channels.clone().map(|channel| channel.removal_effect),
        );
        assert_golden(&format!("markov{order}_value"), channels.map(|channel| channel.value));
    }
}

#[test]
fn journeys_without_a_touch_are_in_the_chain_and_unattributed() {
    let result = markov(&paths_of(2, &[(vec![], 1, 7.0, 2), (vec![0], 1, 5.0, 4)]), 1).unwrap();
    assert!((result.p_conversion - 0.25).abs() < 1e-15);
    assert!((result.channels[0].removal_effect - 0.5).abs() < 1e-15);
    assert_eq!((result.channels[0].conversions, result.channels[0].value), (1.0, 5.0));
    assert_eq!((result.unattributed_conversions, result.unattributed_value), (1.0, 7.0));
    let none = markov(&paths_of(1, &[(vec![], 1, 7.0, 2)]), 2).unwrap();
    assert_eq!((none.channels[0].share, none.unattributed_value), (0.0, 7.0));
}

#[test]
fn a_low_order_can_lose_a_channel_that_is_in_every_converting_path() {
    // Order 1 forgets that only the journeys by way of 0 converted from 1; order 2 does not.
    let paths = paths_of(2, &[(vec![0, 1], 1, 1.0, 0), (vec![1], 0, 0.0, 1)]);
    let effect = |order| markov(&paths, order).unwrap().channels[0].removal_effect;
    assert!((effect(1) - 0.5).abs() < 1e-15);
    assert!((effect(2) - 1.0).abs() < 1e-15);
}

#[test]
fn journeys_that_never_convert_are_refused() {
    let paths = paths_of(1, &[(vec![0], 0, 0.0, 1)]);
    assert_eq!(markov(&paths, 1), Err(ModelError::NoConversions));
    assert_eq!(markov(&paths_of(1, &[]), 1), Err(ModelError::NoJourneys));
}

/// The rows with one more touch of channel 3, in front of every path or at the end of the converting ones.
fn with_channel_3(rows: &[Row], in_front: bool) -> Vec<Row> {
    let mut rows = rows.to_vec();
    for (channels, conversions, ..) in &mut rows {
        if in_front {
            channels.insert(0, 3);
        } else if *conversions > 0 {
            channels.push(3);
        }
    }
    rows
}

proptest! {
    #[test]
    fn p_conversion_is_the_conversion_rate_at_every_order(rows in rows(4, 8)) {
        let paths = paths_of(4, &rows);
        let rate = paths.conversions() as f64 / paths.journeys() as f64;
        for order in 1..=4 {
            prop_assert!((markov(&paths, order).unwrap().p_conversion - rate).abs() < 1e-13);
        }
    }

    #[test]
    fn effects_lie_between_0_and_1_and_credits_sum_to_the_totals(rows in rows(4, 8), order in 1_usize..=4) {
        let paths = paths_of(4, &rows);
        let result = markov(&paths, order).unwrap();
        prop_assert!(result.channels.iter().all(|channel| (-1e-13..=1.0 + 1e-13).contains(&channel.removal_effect)));
        let conversions: f64 = result.channels.iter().map(|channel| channel.conversions).sum();
        let value: f64 = result.channels.iter().map(|channel| channel.value).sum();
        prop_assert!((conversions + result.unattributed_conversions - paths.conversions() as f64).abs() < 1e-9);
        prop_assert!((value + result.unattributed_value - paths.value()).abs() < 1e-9 * paths.value().max(1.0));
    }

    #[test]
    fn the_last_touch_of_every_conversion_and_the_first_of_every_path_have_effect_1(
        rows in rows(3, 6), order in 1_usize..=4, in_front: bool,
    ) {
        let paths = paths_of(4, &with_channel_3(&rows, in_front));
        let effect = markov(&paths, order).unwrap().channels[3].removal_effect;
        prop_assert!((effect - 1.0).abs() < 1e-12, "{}", effect);
    }

    #[test]
    fn an_order_as_long_as_the_paths_is_exact(rows in rows(3, 4)) {
        // Nothing is forgotten: the effect is the fraction of conversions on paths with the channel.
        let paths = paths_of(3, &rows);
        let result = markov(&paths, 4).unwrap();
        for (number, channel) in result.channels.iter().enumerate() {
            let with = paths.iter().filter(|path| path.channels.contains(&(number as u32)));
            let lost = with.map(|path| path.conversions).sum::<u64>() as f64 / paths.conversions() as f64;
            prop_assert!((channel.removal_effect - lost).abs() < 1e-12);
        }
    }

    #[test]
    fn a_channel_in_no_path_has_effect_0(rows in rows(3, 8), order in 1_usize..=4) {
        let result = markov(&paths_of(5, &rows), order).unwrap();
        prop_assert_eq!((result.channels[3].removal_effect, result.channels[4].share), (0.0, 0.0));
    }

    #[test]
    fn the_order_of_the_paths_does_not_change_a_bit(rows in rows(4, 8), seed: u64, order in 1_usize..=4) {
        let shuffled = shuffled(&rows, seed);
        prop_assert_eq!(markov(&paths_of(4, &rows), order), markov(&paths_of(4, &shuffled), order));
    }

    #[test]
    fn k_times_the_journeys_have_k_times_the_conversions(rows in rows(4, 8), k in 2_u64..50, order in 1_usize..=4) {
        let times = |row: &Row| (row.0.clone(), row.1 * k, row.2 * k as f64, row.3 * k);
        let more = markov(&paths_of(4, &rows.iter().map(times).collect::<Vec<_>>()), order).unwrap();
        for (one, more) in markov(&paths_of(4, &rows), order).unwrap().channels.iter().zip(&more.channels) {
            prop_assert!((one.removal_effect - more.removal_effect).abs() < 1e-12);
            prop_assert!((one.conversions * k as f64 - more.conversions).abs() < 1e-9 * k as f64);
            prop_assert!((one.value * k as f64 - more.value).abs() < 1e-8 * k as f64);
        }
    }
}
