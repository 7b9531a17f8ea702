//! The order of a Markov chain, chosen by how well it tells conversions from journeys without one.

use super::chain::Chain;
use super::error::ModelError;
use super::paths::Paths;
use super::random::Random;

/// Random halvings that the held-out AUC is averaged over.
const HALVINGS: u64 = 10;

/// How well chains of growing order predict conversion, and the order to take.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderChoice {
    /// The order of the largest penalised AUC; the lowest one of equals.
    pub best: usize,
    /// The order of the largest held-out AUC; the lowest one of equals.
    pub best_held_out: usize,
    /// One row for each order from 1.
    pub orders: Vec<OrderFit>,
}

/// How well the chain of one order predicts conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderFit {
    /// 1 to 4.
    pub order: usize,
    /// States beside the start: the rates of conversion that were estimated.
    pub state_count: usize,
    /// The chance that a converted journey ends in a state of higher conversion rate than one that did not convert;
    /// equal rates count half.
    pub auc: f64,
    /// The AUC less a penalty for that many states; 0 where there are too few journeys for the order.
    pub penalised_auc: f64,
    /// The AUC of journeys whose rates were estimated from other journeys, on average.
    pub held_out_auc: f64,
}

/// Compares the orders 1 to `max_order` (at most 4) by penalised AUC.
///
/// A journey is scored by the conversion rate of the state it ends in, as in `choose_order` of the R package
/// ChannelAttribution (Altomare and Loris), and penalised as there, in the form of an adjusted R squared:
/// 1 - (1 - AUC) (n - 1) / (n - p - 1) with n journeys and p states. Two things differ: the AUC is exact (the
/// Mann-Whitney statistic) where the package uses 100 thresholds, and p counts the states that occur where the
/// package counts the multisets of channels, which are fewer than the possible states of every order above 1.
///
/// The penalty grows with p / n, what a useless state adds to the AUC with the root of it: with few journeys per
/// state the penalised AUC favours too high an order. The held-out AUC does not: journeys are halved at random (10
/// times, from a fixed seed), and each half is scored by the rates of the other; states that the other half has not
/// seen score its overall rate. Where the two choices differ, believe the held-out one.
///
/// Refuses orders outside 1 to 4, more channels than an order can number, and journeys that all converted or none.
pub fn choose_order(paths: &Paths, max_order: usize) -> Result<OrderChoice, ModelError> {
    if !(1..=4).contains(&max_order) {
        return Err(ModelError::OrderOutOfRange { order: max_order });
    }
    paths.require_conversions()?;
    if paths.conversions() == paths.journeys() {
        return Err(ModelError::NoNonConversions);
    }
    let orders = (1..=max_order).map(|order| fit(paths, order)).collect::<Result<Vec<_>, _>>()?;
    let best_by = |score: fn(&OrderFit) -> f64| {
        orders
            .iter()
            .fold(orders[0], |best, order| if score(order) > score(&best) { *order } else { best })
            .order
    };
    Ok(OrderChoice {
        best: best_by(|order| order.penalised_auc),
        best_held_out: best_by(|order| order.held_out_auc),
        orders,
    })
}

/// Journeys that ended in one state, or some of them.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    converted: u64,
    others: u64,
}

fn fit(paths: &Paths, order: usize) -> Result<OrderFit, ModelError> {
    let chain = Chain::of(paths, order)?;
    let ends = (0..chain.state_count()).map(|state| {
        let converted = chain.conversions(state);
        Ends { converted, others: chain.ends(state) - converted }
    });
    let ends: Vec<Ends> = ends.filter(|ends| ends.converted + ends.others > 0).collect();
    let auc = auc(ends.iter().map(|&ends| (ends, ends)).collect());
    let (journeys, states) = (paths.journeys() as f64, chain.state_count() as f64 - 1.0);
    let penalised_auc = if states + 1.0 < journeys {
        (1.0 - (1.0 - auc) * (journeys - 1.0) / (journeys - states - 1.0)).max(0.0)
    } else {
        0.0
    };
    let held_out_auc = held_out_auc(&ends);
    Ok(OrderFit { order, state_count: chain.state_count() - 1, auc, penalised_auc, held_out_auc })
}

/// The area under the ROC curve, of pairs of (journeys whose rate is the score, journeys that are scored); one half
/// where all of the scored journeys converted or none.
fn auc(mut scored: Vec<(Ends, Ends)>) -> f64 {
    // Rates are compared as fractions: equal ones must tie.
    let by_rate = |a: &(Ends, Ends), b: &(Ends, Ends)| {
        let product = |a: Ends, b: Ends| u128::from(a.converted) * u128::from(b.converted + b.others);
        product(a.0, b.0).cmp(&product(b.0, a.0))
    };
    scored.sort_unstable_by(by_rate);
    let (mut converted, mut others, mut won) = (0.0, 0.0, 0.0);
    for tied in scored.chunk_by(|a, b| by_rate(a, b).is_eq()) {
        let tied_converted = tied.iter().map(|(_, ends)| ends.converted).sum::<u64>() as f64;
        let tied_others = tied.iter().map(|(_, ends)| ends.others).sum::<u64>() as f64;
        won += tied_converted * (others + tied_others / 2.0);
        converted += tied_converted;
        others += tied_others;
    }
    if converted * others > 0.0 { won / (converted * others) } else { 0.5 }
}

/// The average AUC of one half of the journeys by the rates of the other.
fn held_out_auc(ends: &[Ends]) -> f64 {
    let mut sum = 0.0;
    for halving in 0..HALVINGS {
        let mut random = Random::stream(0, halving, 0);
        let mut half = |ends: &Ends| {
            let first =
                Ends { converted: random.half_of(ends.converted), others: random.half_of(ends.others) };
            let second =
                Ends { converted: ends.converted - first.converted, others: ends.others - first.others };
            (first, second)
        };
        let halves: Vec<(Ends, Ends)> = ends.iter().map(&mut half).collect();
        let swapped = halves.iter().map(|&(first, second)| (second, first)).collect();
        sum += auc(with_overall_rate(halves)) + auc(with_overall_rate(swapped));
    }
    sum / (2 * HALVINGS) as f64
}

/// Gives states without a rate that of all; 0 of 1 where there is none.
fn with_overall_rate(mut scored: Vec<(Ends, Ends)>) -> Vec<(Ends, Ends)> {
    let add = |sum: Ends, ends: Ends| Ends {
        converted: sum.converted + ends.converted,
        others: sum.others + ends.others,
    };
    let mut overall = scored.iter().fold(Ends::default(), |sum, &(rate, _)| add(sum, rate));
    if overall.converted + overall.others == 0 {
        overall.others = 1;
    }
    for (rate, _) in &mut scored {
        if rate.converted + rate.others == 0 {
            *rate = overall;
        }
    }
    scored
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_data::{Row, golden_paths, paths_of, rows, shuffled};
    use super::*;

    #[test]
    fn auc_counts_the_pairs_won() {
        // Ends: state 0 converts 1 of 4, state 1 converts 3 of 4: 16 pairs, of which 9 won and 3 + 3 tied.
        let paths = paths_of(2, &[(vec![0], 1, 1.0, 3), (vec![1], 3, 1.0, 1)]);
        let choice = choose_order(&paths, 1).unwrap();
        assert!((choice.orders[0].auc - 0.75).abs() < 1e-15);
        assert!((choice.orders[0].penalised_auc - (1.0 - 0.25 * 7.0 / 5.0)).abs() < 1e-15);
    }

    #[test]
    fn the_penalty_keeps_the_many_states_of_order_4_from_winning() {
        let choice = choose_order(&golden_paths(), 4).unwrap();
        assert!(choice.orders.windows(2).all(|pair| pair[1].auc >= pair[0].auc));
        assert!(choice.best < 4);
        assert!(choice.orders.iter().all(|order| order.held_out_auc < order.auc));
    }

    #[test]
    fn the_held_out_auc_of_pure_chance_is_one_half() {
        // Neither channels nor their order matter, yet the AUC of order 3 is well above one half.
        let mut random = Random::stream(4, 0, 0);
        let mut row = || -> Row {
            let channels = (0..3).map(|_| random.below(6) as u32).collect();
            let converted = u64::from(random.unit() < 0.3);
            (channels, converted, 0.0, 1 - converted)
        };
        let rows: Vec<Row> = (0..4_000).map(|_| row()).collect();
        let choice = choose_order(&paths_of(6, &rows), 3).unwrap();
        assert!(choice.orders[2].penalised_auc > 0.55 && choice.best == 3, "{choice:?}");
        assert!(choice.orders.iter().all(|order| (order.held_out_auc - 0.5).abs() < 0.02), "{choice:?}");
    }

    #[test]
    fn what_the_touch_before_decides_needs_order_2() {
        let row =
            |channels: &[u32], conversions, others| -> Row { (channels.to_vec(), conversions, 1.0, others) };
        let rows = [row(&[0, 2], 90, 10), row(&[1, 2], 10, 90), row(&[2], 50, 50)];
        let choice = choose_order(&paths_of(3, &rows), 4).unwrap();
        assert_eq!((choice.best, choice.best_held_out), (2, 2));
    }

    #[test]
    fn one_kind_of_journey_cannot_be_told_apart() {
        let only = |conversions, others| paths_of(1, &[(vec![0], conversions, 0.0, others)]);
        assert_eq!(choose_order(&only(2, 0), 2), Err(ModelError::NoNonConversions));
        assert_eq!(choose_order(&only(0, 2), 2), Err(ModelError::NoConversions));
        assert_eq!(choose_order(&only(1, 1), 5), Err(ModelError::OrderOutOfRange { order: 5 }));
        assert!((choose_order(&only(1, 1), 2).unwrap().orders[0].auc - 0.5).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn auc_is_the_chance_to_rank_a_pair_right(rows in rows(3, 5), order in 1_usize..=4) {
            let paths = paths_of(3, &rows);
            prop_assume!(paths.conversions() < paths.journeys());
            let gram = |channels: &[u32]| channels[channels.len().saturating_sub(order)..].to_vec();
            let rate = |channels: &[u32]| {
                let same = paths.iter().filter(|path| gram(path.channels) == gram(channels));
                let (won, all) = same.fold((0, 0), |sum, path| (sum.0 + path.conversions, sum.1 + path.journeys()));
                won as f64 / all as f64
            };
            let (mut won, mut pairs) = (0.0, 0.0);
            for a in paths.iter().filter(|path| path.conversions > 0) {
                for b in paths.iter().filter(|path| path.non_conversions > 0) {
                    let (high, low) = (rate(a.channels), rate(b.channels));
                    let weight = (a.conversions * b.non_conversions) as f64;
                    pairs += weight;
                    won += weight
                        * match high.total_cmp(&low) {
                            std::cmp::Ordering::Greater => 1.0,
                            std::cmp::Ordering::Equal => 0.5,
                            std::cmp::Ordering::Less => 0.0,
                        };
                }
            }
            let auc = choose_order(&paths, order).unwrap().orders[order - 1].auc;
            prop_assert!((auc - won / pairs).abs() < 1e-12);
        }

        #[test]
        fn the_order_of_the_paths_does_not_change_a_bit(rows in rows(3, 6), seed: u64) {
            let shuffled = paths_of(3, &shuffled(&rows, seed));
            prop_assert_eq!(choose_order(&paths_of(3, &rows), 4), choose_order(&shuffled, 4));
        }
    }
}
