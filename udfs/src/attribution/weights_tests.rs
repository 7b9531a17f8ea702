use super::*;

const DAY: i64 = 86_400_000_000;

/// The shares of touches a day apart, of which the last is at the order's instant.
fn shares(model: Model, n: usize, milestone: &[bool], rules: &Rules) -> Vec<f64> {
    let at: Vec<i64> = (0..n as i64).map(|k| k * DAY).collect();
    let channel: Vec<u32> = (0..n as u32).map(|k| k % 2).collect();
    let is_milestone = |k: usize| milestone.get(k).copied().unwrap_or(false);
    let flags: Vec<u8> = (0..n)
        .map(|k| (u8::from(channel[k] == 0) * DIRECT) | (u8::from(is_milestone(k)) * MILESTONE))
        .collect();
    let facts = JourneyFacts { ordered_at: at[n - 1], at: &at, channel: &channel, flags: &flags };
    let mut weights = ModelWeights::default();
    weights.weigh(model, &facts, rules);
    let mut shares = Vec::new();
    weights.get().shares(n, &mut shares);
    shares
}

#[track_caller]
fn assert_shares(model: Model, n: usize, expected: &[f64]) {
    let shares = shares(model, n, &[], &Rules::default());
    assert_eq!(shares.len(), expected.len());
    let close = shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 1e-12);
    assert!(close, "{model:?} of {n}: {shares:?} for {expected:?}");
}

#[test]
fn ends_and_middle_have_the_published_shares() {
    assert_shares(Model::PositionBased, 1, &[1.0]);
    assert_shares(Model::PositionBased, 2, &[0.5, 0.5]);
    assert_shares(Model::PositionBased, 5, &[0.4, 0.2 / 3.0, 0.2 / 3.0, 0.2 / 3.0, 0.4]);
    assert_shares(Model::JShaped, 2, &[0.25, 0.75]);
    assert_shares(Model::JShaped, 4, &[0.2, 0.1, 0.1, 0.6]);
    assert_shares(Model::InverseJ, 2, &[0.75, 0.25]);
    assert_shares(Model::InverseJ, 4, &[0.6, 0.1, 0.1, 0.2]);
    assert_shares(Model::PositionDecay, 3, &[1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]);
}

#[test]
fn custom_weights_are_what_the_rules_say_and_zeros_are_equal() {
    let rules =
        |first, between, last| Rules { custom: EndWeights { first, between, last }, ..Rules::default() };
    let custom = |n, rules| shares(Model::Custom, n, &[], &rules);
    assert_eq!(custom(3, rules(1, 2, 1)), [0.25, 0.5, 0.25]);
    assert_eq!(custom(3, rules(0, 1, 0)), [0.0, 1.0, 0.0]);
    assert_eq!(custom(2, rules(0, 1, 0)), [0.5, 0.5]);
    assert_eq!(custom(2, rules(1, 7, 3)), [0.25, 0.75]);
}

#[test]
fn a_milestone_weighs_as_much_as_an_end() {
    let w = |n, milestone: &[bool]| shares(Model::WShaped, n, milestone, &Rules::default());
    let close = |shares: Vec<f64>, expected: &[f64]| {
        assert!(shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{shares:?}");
    };
    close(w(5, &[false, false, true, false, false]), &[0.3, 0.05, 0.3, 0.05, 0.3]);
    close(w(3, &[false, true, false]), &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
    // The first is the milestone too.
    close(w(3, &[true, false, false]), &[0.6, 0.1, 0.3]);
    close(w(1, &[]), &[1.0]);
    close(w(4, &[]), &[3.0 / 7.0, 0.5 / 7.0, 0.5 / 7.0, 3.0 / 7.0]);
}

#[test]
fn the_last_touch_that_is_not_direct_takes_all() {
    assert_shares(Model::LastNonDirect, 3, &[0.0, 1.0, 0.0]);
    assert_shares(Model::LastNonDirect, 4, &[0.0, 0.0, 0.0, 1.0]);
    assert_shares(Model::LastNonDirect, 1, &[1.0]);
}

#[test]
fn every_channel_participates_once() {
    assert_shares(Model::Participation, 4, &[1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_half_life_halves_and_equal_instants_tie() {
    let mut weights = Vec::new();
    decay_weights(&[0, 7 * DAY, 14 * DAY, 14 * DAY], (7 * DAY) as f64, &mut weights);
    assert_eq!(weights, [1 << 50, 1 << 51, 1 << 52, 1 << 52]);
}

#[test]
fn steps_halve_at_the_end_of_each_half_life_before_the_order() {
    let mut weights = Vec::new();
    stepped_decay_weights(&[0, DAY, 7 * DAY, 8 * DAY], 14 * DAY, (7 * DAY) as f64, &mut weights);
    assert_eq!(weights, [1 << 50, 1 << 51, 1 << 51, 1 << 52]);
}

#[test]
fn nothing_underflows_for_the_newest_touch() {
    let mut weights = Vec::new();
    decay_weights(&[0, 40_000 * DAY], 1.0, &mut weights);
    assert_eq!(weights, [0, 1 << 52]);
    stepped_decay_weights(&[0, 40_000 * DAY], 40_000 * DAY, 1.0, &mut weights);
    assert_eq!(weights, [0, 1 << 52]);
}

#[test]
fn shares_sum_to_one_where_the_credits_sum_to_the_amount() {
    for model in Model::ALL.into_iter().filter(|model| model.sums_to_amount()) {
        for n in 1..9 {
            let shares = shares(model, n, &[], &Rules::default());
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{model:?} of {n}");
        }
    }
}
