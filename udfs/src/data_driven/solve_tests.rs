use faer::prelude::Solve;
use faer::sparse::{SparseColMat, Triplet};
use proptest::prelude::*;

use super::super::random::Random;
use super::super::test_data::{Row, golden_paths, paths_of, rows};
use super::*;

/// P(conversion) by a sparse LU of the chain without the closed states, written without any of the tricks above.
fn p_conversion(chain: &Chain, closed: &[usize]) -> f64 {
    let states = chain.state_count();
    let mut entries: Vec<Triplet<usize, usize, f64>> = (0..states).map(|k| Triplet::new(k, k, 1.0)).collect();
    let mut p = Mat::<f64>::zeros(states, 1);
    for state in (0..states).filter(|state| !closed.contains(state)) {
        let visits = chain.visits(state) as f64;
        p[(state, 0)] = chain.conversions(state) as f64 / visits;
        entries.extend(
            chain.successors(state).map(|(next, count)| Triplet::new(state, next, -(count as f64) / visits)),
        );
    }
    let system = SparseColMat::try_new_from_triplets(states, states, &entries).unwrap();
    system.sp_lu().unwrap().solve_in_place(p.as_mut());
    p[(0, 0)]
}

fn by_sparse_lu(chain: &Chain) -> Removals {
    let whole = p_conversion(chain, &[]);
    let effect = |closed: &Vec<usize>| 1.0 - p_conversion(chain, closed) / whole;
    Removals { p_conversion: whole, effects: states_with_channel(chain).iter().map(effect).collect() }
}

fn assert_same(ours: &Removals, theirs: &Removals) {
    assert!((ours.p_conversion - theirs.p_conversion).abs() < 1e-13);
    assert_eq!(ours.effects.len(), theirs.effects.len());
    for (ours, theirs) in ours.effects.iter().zip(&theirs.effects) {
        assert!((ours - theirs).abs() < 1e-12, "{ours} is not {theirs}");
    }
}

#[test]
fn every_method_agrees_on_the_golden_journeys() {
    for order in 1..=4 {
        let chain = Chain::of(&golden_paths(), order).unwrap();
        let expected = by_sparse_lu(&chain);
        assert_same(&by_lu(&chain).unwrap(), &expected);
        assert_same(&by_walking(&chain).unwrap(), &expected);
    }
}

#[test]
fn channels_are_walked_in_blocks_of_any_number() {
    let mut random = Random::stream(1, 0, 0);
    let mut row = || {
        let length = 1 + random.below(6);
        let channels = (0..length).map(|_| random.below(19) as u32).collect();
        (channels, random.below(2), 0.0, random.below(3))
    };
    let rows: Vec<Row> = (0..2_000).map(|_| row()).collect();
    let chain = Chain::of(&paths_of(19, &rows), 2).unwrap();
    assert_same(&by_walking(&chain).unwrap(), &by_sparse_lu(&chain));
}

#[test]
fn a_walk_ends_where_nobody_converts() {
    // Without channel 1 journeys go round between 0 and 2, most of them again and again, and nobody converts.
    let rows = [(vec![0, 2, 0, 2, 0, 2, 0, 1], 1, 0.0, 3), (vec![0, 2], 0, 0.0, 1)];
    let chain = Chain::of(&paths_of(3, &rows), 1).unwrap();
    let walked = by_walking(&chain).unwrap();
    assert_same(&walked, &by_sparse_lu(&chain));
    assert!((walked.effects[1] - 1.0).abs() < 1e-15);
}

#[test]
fn very_long_journeys_are_walked_to_the_end() {
    let long: Vec<u32> = (0..600).map(|touch| touch % 2 + u32::from(touch % 7 == 0)).collect();
    let paths = paths_of(4, &[(long, 1, 1.0, 2), (vec![3], 1, 1.0, 2)]);
    for order in 1..=3 {
        let chain = Chain::of(&paths, order).unwrap();
        let (lu, walked) = (by_lu(&chain).unwrap(), by_walking(&chain).unwrap());
        assert_same(&walked, &lu);
        assert!((walked.p_conversion - 1.0 / 3.0).abs() < 1e-12);
    }
}

#[test]
fn a_walk_that_does_not_end_is_an_error() {
    let endless: Vec<u32> = (0..200_000).map(|touch| touch % 2).collect();
    let chain = Chain::of(&paths_of(2, &[(endless, 1, 1.0, 0)]), 1).unwrap();
    assert!(matches!(by_walking(&chain), Err(ModelError::DidNotConverge { .. })));
    assert!((by_lu(&chain).unwrap().p_conversion - 1.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn lu_and_walking_agree_with_sparse_lu(rows in rows(4, 7), order in 1_usize..=4) {
        let chain = Chain::of(&paths_of(4, &rows), order).unwrap();
        let expected = by_sparse_lu(&chain);
        assert_same(&by_lu(&chain).unwrap(), &expected);
        assert_same(&by_walking(&chain).unwrap(), &expected);
    }
}
