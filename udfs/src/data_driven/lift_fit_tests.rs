use proptest::prelude::*;

use super::super::test_data::{Row, paths_of, rows};
use super::*;

fn fitted(channel_count: usize, rows: &[Row]) -> Result<Fit, ModelError> {
    fit(&paths_of(channel_count, rows).channel_sets())
}

fn lift(fit: &Fit, k: usize) -> f64 {
    1.0 - (-fit.h[k]).exp()
}

#[test]
fn a_saturated_model_fits_the_rates() {
    // 20 % without a touch, 60 % with channel 0: 1 - .8 * (1 - lift) = .6 gives lift .5.
    let fit = fitted(1, &[(vec![], 20, 0.0, 80), (vec![0], 60, 0.0, 40)]).unwrap();
    assert!((lift(&fit, 0) - 0.2).abs() < 1e-12 && (lift(&fit, 1) - 0.5).abs() < 1e-12);
    let expected = 20.0 * 0.2_f64.ln() + 80.0 * 0.8_f64.ln() + 60.0 * 0.6_f64.ln() + 40.0 * 0.4_f64.ln();
    assert!((fit.log_likelihood - expected).abs() < 1e-10);
    // var(h_0) = p / (n (1 - p)); the variance of a sum of two independent logs adds up.
    assert!((fit.covariance[(0, 0)] - 0.2 / 80.0).abs() < 1e-12);
    assert!((fit.covariance[(1, 1)] - (0.2 / 80.0 + 0.6 / 40.0)).abs() < 1e-12);
}

#[test]
fn a_harmful_channel_has_lift_0_and_the_baseline_takes_its_journeys_in() {
    let fit = fitted(1, &[(vec![], 30, 0.0, 70), (vec![0], 10, 0.0, 90)]).unwrap();
    assert!(fit.h[1] <= 0.0);
    assert!((lift(&fit, 0) - 0.2).abs() < 1e-12);
    assert!(fit.covariance[(1, 1)] > 0.0);
}

#[test]
fn a_channel_that_always_converts_is_held_below_certainty() {
    let fit = fitted(1, &[(vec![], 20, 0.0, 80), (vec![0], 50, 0.0, 0)]).unwrap();
    assert!((lift(&fit, 1) - 0.99).abs() < 1e-12);
    assert!((lift(&fit, 0) - 0.2).abs() < 1e-3);
    assert!(fit.covariance[(1, 1)].is_finite());
}

#[test]
fn nobody_converting_without_a_touch_is_a_baseline_of_0() {
    let fit = fitted(2, &[(vec![], 0, 0.0, 100), (vec![0], 30, 0.0, 70), (vec![0, 1], 40, 0.0, 60)]).unwrap();
    assert!(fit.h[0] <= 0.0);
    assert!((lift(&fit, 1) - 0.3).abs() < 1e-12);
    // Half a conversion in 100 journeys.
    let error = fit.covariance[(0, 0)].sqrt();
    assert!((0.005..0.02).contains(&error), "{error}");
}

#[test]
fn a_channel_without_any_conversion_has_lift_0_with_an_error() {
    let fit = fitted(2, &[(vec![], 20, 0.0, 80), (vec![0], 60, 0.0, 40), (vec![1], 0, 0.0, 5)]).unwrap();
    assert!(fit.h[2] <= 0.0);
    assert!(fit.covariance[(2, 2)].sqrt() > 0.05);
}

#[test]
fn journeys_that_say_nothing_of_a_lift_are_refused() {
    // Channel 1 comes with every journey; then 1 and 2 come always together; then every journey has one channel.
    let always = [(vec![1], 3, 0.0, 4), (vec![0, 1], 3, 0.0, 4)];
    assert_eq!(fitted(2, &always).err(), Some(ModelError::NotIdentifiable { channel: 1 }));
    let together = [(vec![], 3, 0.0, 4), (vec![0], 3, 0.0, 9), (vec![1, 2], 3, 0.0, 4)];
    assert!(matches!(fitted(3, &together).err(), Some(ModelError::NotIdentifiable { channel: 1 | 2 })));
    let single = [(vec![0], 3, 0.0, 4), (vec![1], 3, 0.0, 4)];
    assert!(matches!(fitted(2, &single).err(), Some(ModelError::NotIdentifiable { .. })));
    assert_eq!(fitted(1, &[(vec![0], 3, 0.0, 0)]).err(), Some(ModelError::NoNonConversions));
    assert_eq!(fitted(1, &[(vec![0], 0, 0.0, 3)]).err(), Some(ModelError::NoConversions));
}

/// All singles, pairs and the empty set, so that every lift can be told, and then some.
fn identifiable() -> impl Strategy<Value = Vec<Row>> {
    let sets = [vec![], vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]];
    let counts = prop::collection::vec((0_u64..30, 1_u64..60), sets.len());
    (counts, rows(3, 4)).prop_map(move |(counts, more)| {
        let counted = sets.iter().zip(counts).map(|(set, (yes, no))| (set.clone(), yes, yes as f64, no));
        counted.chain(more).collect()
    })
}

proptest! {
    #[test]
    fn no_small_step_inside_the_bounds_gains(rows in identifiable()) {
        let sets = paths_of(3, &rows).channel_sets();
        let (design, _) = Design::of(&sets);
        let fit = fit(&sets).unwrap();
        let point = design.at(fit.h.clone());
        for (i, &h) in fit.h.iter().enumerate() {
            let slope = point.gradient[i];
            prop_assert!(slope.abs() < 1e-4 || (h <= 0.0 && slope < 0.0) || (h >= design.caps[i] && slope > 0.0),
                "parameter {} at {} of {}: slope {}", i, h, design.caps[i], slope);
        }
        prop_assert!(fit.iterations < 40, "{}", fit.iterations);
    }

    #[test]
    fn the_derivatives_are_those_of_small_steps(rows in identifiable(), i in 0_usize..4, at in 0.05..1.0) {
        let (design, _) = Design::of(&paths_of(3, &rows).channel_sets());
        let h = vec![at, 0.1, 0.3, 0.2];
        let moved = |by: f64| {
            let mut h = h.clone();
            h[i] += by;
            design.at(h)
        };
        let (low, high, step) = (moved(-1e-6), moved(1e-6), 2e-6);
        let point = design.at(h.clone());
        let slope = (high.log_likelihood - low.log_likelihood) / step;
        prop_assert!((point.gradient[i] - slope).abs() < 1e-4 * slope.abs().max(100.0));
        for j in 0..4 {
            let bend = (low.gradient[j] - high.gradient[j]) / step;
            prop_assert!((point.curvature[(i, j)] - bend).abs() < 1e-4 * bend.abs().max(100.0));
        }
    }
}
