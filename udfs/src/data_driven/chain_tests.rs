use proptest::prelude::*;

use super::super::test_data::{paths_of, rows};
use super::*;

#[test]
fn the_matrix_of_order_1_shows_every_step() {
    let paths = paths_of(3, &[(vec![0, 0, 2], 3, 1.0, 1), (vec![2], 0, 0.0, 4)]);
    let row = |from: &[u32], to, count, of: f64| Transition {
        from: from.to_vec(),
        to,
        count,
        probability: count as f64 / of,
    };
    let expected = [
        row(&[], Step::Channel(0), 4, 8.0),
        row(&[], Step::Channel(2), 4, 8.0),
        row(&[0], Step::Channel(2), 4, 4.0),
        row(&[2], Step::Conversion, 3, 8.0),
        row(&[2], Step::NoConversion, 5, 8.0),
    ];
    assert_eq!(Chain::of(&paths, 1).unwrap().transitions(), expected);
}

#[test]
fn only_states_that_repeat_whole_collapse() {
    let paths = paths_of(2, &[(vec![0, 0, 0, 1], 1, 1.0, 0)]);
    let chain = Chain::of(&paths, 2).unwrap();
    let states: Vec<Vec<u32>> =
        (0..chain.state_count()).map(|state| chain.channels(state).collect()).collect();
    assert_eq!(states, [vec![], vec![0], vec![0, 0], vec![0, 1]]);
    assert!(chain.transitions().iter().all(|transition| transition.count == 1));
}

#[test]
fn orders_outside_1_to_4_and_too_many_channels_are_refused() {
    let paths = paths_of(7_000, &[(vec![0], 1, 1.0, 0)]);
    for order in [0, 5] {
        assert_eq!(Chain::of(&paths, order).unwrap_err(), ModelError::OrderOutOfRange { order });
    }
    assert!(matches!(Chain::of(&paths, 4), Err(ModelError::TooManyChannels { most: 6_000, .. })));
    assert_eq!(Chain::of(&paths, 3).unwrap().state_count(), 2);
    assert_eq!(Chain::of(&paths_of(1, &[]), 1).unwrap_err(), ModelError::NoJourneys);
}

#[test]
fn no_order_numbers_more_cells_than_64_bits_hold() {
    for (order, most) in [(1, u32::MAX as usize / 10 * 7), (2, 2_000_000), (3, 50_000), (4, 6_000)] {
        let grams = Grams::new(most, order).unwrap();
        assert!(u128::from(grams.oldest) * u128::from(grams.base) * u128::from(grams.symbols()) < 1 << 63);
    }
}

proptest! {
    #[test]
    fn journeys_are_neither_made_nor_lost(rows in rows(3, 8), order in 1_usize..=4) {
        let paths = paths_of(3, &rows);
        let chain = Chain::of(&paths, order).unwrap();
        let states = 0..chain.state_count();
        prop_assert_eq!(chain.visits(0), paths.journeys());
        prop_assert_eq!(states.clone().map(|state| chain.ends(state)).sum::<u64>(), paths.journeys());
        prop_assert_eq!(states.clone().map(|state| chain.conversions(state)).sum::<u64>(), paths.conversions());
        let mut arrivals = vec![0; chain.state_count()];
        for state in states {
            for (next, count) in chain.successors(state) {
                arrivals[next] += count;
            }
        }
        arrivals[0] = paths.journeys();
        for (state, &arrivals) in arrivals.iter().enumerate() {
            prop_assert_eq!(arrivals, chain.visits(state));
        }
    }

    #[test]
    fn sorting_and_the_table_count_the_same(rows in rows(4, 9), order in 1_usize..=4) {
        let paths = paths_of(4, &rows);
        let grams = Grams::new(4, order).unwrap();
        prop_assert_eq!(tally_in_table(&paths, &grams), tally_by_sorting(&paths, &grams));
    }
}
