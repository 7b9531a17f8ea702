use proptest::prelude::*;

use super::super::test_data::{Row, paths_of, rows, shuffled};
use super::*;

#[test]
fn equal_paths_are_merged_and_sorted() {
    let rows: [Row; 4] =
        [(vec![1, 0], 1, 2.5, 0), (vec![1], 0, 0.0, 3), (vec![1, 0], 2, 1.5, 4), (vec![], 1, 1.0, 0)];
    let paths = paths_of(2, &rows);
    let grouped: Vec<Path<'_>> = paths.iter().collect();
    assert_eq!(grouped.len(), 3);
    assert_eq!(grouped[0], Path { channels: &[], conversions: 1, value: 1.0, non_conversions: 0 });
    assert_eq!(grouped[1], Path { channels: &[1], conversions: 0, value: 0.0, non_conversions: 3 });
    assert_eq!(grouped[2], Path { channels: &[1, 0], conversions: 3, value: 4.0, non_conversions: 4 });
    assert_eq!((paths.journeys(), paths.conversions(), paths.value()), (11, 4, 5.0));
}

#[test]
fn channel_sets_forget_order_and_repeats() {
    let paths = paths_of(3, &[(vec![2, 0, 2], 1, 2.0, 0), (vec![0, 2], 1, 3.0, 1), (vec![1, 1], 0, 0.0, 1)]);
    let sets = paths.channel_sets();
    let grouped: Vec<Path<'_>> = sets.iter().collect();
    assert_eq!(grouped[0], Path { channels: &[0, 2], conversions: 2, value: 5.0, non_conversions: 1 });
    assert_eq!(grouped[1], Path { channels: &[1], conversions: 0, value: 0.0, non_conversions: 1 });
}

#[test]
fn refused_rows_say_why() {
    let mut builder = Paths::builder(2);
    assert_eq!(
        builder.push(&[2], 1, 1.0, 0),
        Err(ModelError::UnknownChannel { channel: 2, channel_count: 2 })
    );
    assert!(matches!(builder.push(&[1], 1, f64::NAN, 0), Err(ModelError::ValueNotFinite)));
    assert_eq!(builder.push(&[1], MOST_JOURNEYS, 0.0, 1), Err(ModelError::TooManyJourneys));
    assert_eq!(builder.push(&[1], u64::MAX, 0.0, 1), Err(ModelError::TooManyJourneys));
    assert_eq!(builder.push(&[1], MOST_JOURNEYS, 0.0, 0), Ok(()));
    assert_eq!(builder.push(&[1], 1, 0.0, 0), Err(ModelError::TooManyJourneys));
    assert_eq!(builder.finish().len(), 1);
}

#[test]
fn no_paths_are_no_journeys() {
    let paths = paths_of(3, &[]);
    assert!(paths.is_empty());
    assert_eq!(paths.require_conversions(), Err(ModelError::NoJourneys));
    assert_eq!(paths_of(1, &[(vec![0], 0, 0.0, 1)]).require_conversions(), Err(ModelError::NoConversions));
}

proptest! {
    #[test]
    fn the_order_of_pushing_does_not_change_a_bit(rows in rows(3, 30), seed: u64) {
        // 30 touches of 3 channels: repeats beyond the touches that fit into one integer occur.
        let bits = |paths: &Paths| paths.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let (paths, other) = (paths_of(3, &rows), paths_of(3, &shuffled(&rows, seed)));
        prop_assert_eq!(bits(&paths), bits(&other));
        prop_assert_eq!(paths, other);
    }

    #[test]
    fn paths_sort_as_slices_do(mut paths in prop::collection::vec(prop::collection::vec(0_u32..2, 28..40), 1..40), wide: bool) {
        let channel_count = if wide { 70_000 } else { 2 };
        let rows: Vec<Row> = paths.iter().map(|path| (path.clone(), 1, 1.0, 0)).collect();
        paths.sort();
        paths.dedup();
        let grouped = paths_of(channel_count, &rows);
        prop_assert!(grouped.iter().map(|path| path.channels.to_vec()).eq(paths));
    }
}
