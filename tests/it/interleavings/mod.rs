//! Interleavings: engines that share nothing but a store act at the same time, and a scheduler decides whose call to the
//! store goes next. Whatever it decides, the outcome is that of one engine after the other.
//!
//! For each pair of actions there are schedules with no preemption, with one before a write, with two, and random ones.
//! `TRIBUTARY_DRILL_COUNT` is the number of schedules of all pairs together; `TRIBUTARY_DRILL_SEED` is the number of
//! the only schedule of each pair that is to be played, with the same count as before.

mod gate;
pub mod model;
pub mod play;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::model::{Action, Order, STORE, perform};
use self::play::{Base, Scenario, open, play};
use self::schedule::{Plan, in_turn, plans};
use crate::drill::{count, seeds, within_a_minute};
use crate::objects::{objects, store_of};
use crate::support::land_rows;

/// Schedules of all tests together.
const SCHEDULES: u64 = 102;
const TESTS: u64 = 17;
const KEEP: Duration = Duration::from_hours(1);

const ZEBRA: &str = "zebra-customer";
const YAK: &str = "yak-customer";

fn order(id: &'static str, customer: &'static str, month: u8, revenue: u32) -> Order {
    Order { id, customer, month, revenue }
}

fn land(key: &'static str, orders: &[Order]) -> Action {
    Action::Land(key, orders.to_vec())
}

/// Corrects the first order, which is in another month before and after.
fn correct(key: &'static str, month: u8, revenue: u32) -> Action {
    land(key, &[order("o1", "ant", month, revenue)])
}

/// A lake with some actions behind it.
async fn base(actions: &[Action]) -> Base {
    let mut base = Base::default();
    let store = store_of(&base.objects).await;
    let engine = open(store.clone(), KEEP).await;
    for action in actions {
        let outcome = perform(&engine, action).await;
        assert!(base.model.take(action, &outcome, false), "{outcome:?}");
        if matches!(action, Action::Land("first", _)) {
            let touch = |id: &str, customer: &str, month: u8| {
                serde_json::json!({"touch_id": id, "customer_id": customer, "channel": "email", "cost": "1.00",
                                   "touched_at": format!("2026-{month:02}-08T00:00:00Z")})
            };
            let touches = [touch("t1", "ant", 1), touch("t2", ZEBRA, 2), touch("t3", YAK, 3)];
            land_rows(&engine, STORE, "touchpoints", &touches).await;
        }
    }
    engine.close().await.expect("an engine closes");
    base.objects = objects(&store).await;
    base
}

/// Four orders of three customers in three months.
fn first() -> Action {
    let orders = [
        order("o1", "ant", 1, 10),
        order("o2", ZEBRA, 2, 20),
        order("o3", YAK, 3, 30),
        order("o4", "ant", 2, 40),
    ];
    land("first", &orders)
}

/// Landed, compacted, with its journeys, and with something landed since.
async fn kept() -> Base {
    base(&[first(), Action::Nightly, correct("second", 1, 11)]).await
}

fn check(
    name: &str,
    keep_versions_for: Duration,
    actions: Vec<Action>,
    base: impl Future<Output = Base> + Send + 'static,
) {
    let begun = Instant::now();
    let base = within_a_minute(base).expect("a lake to begin with");
    let scenario = Arc::new(Scenario { base, actions, keep_versions_for });
    let each = usize::try_from(count(SCHEDULES).div_ceil(TESTS)).expect("a number of schedules");
    let play = |plan: Plan| {
        let played = within_a_minute(play(scenario.clone(), plan.clone()));
        played.and_then(|played| played)
    };
    // How long each actor's part is shows when they act one after the other.
    let lengths = play(in_turn(0)).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let plans = plans(each, &lengths);
    let wanted = seeds(u64::MAX);
    let mut played = 1;
    for (number, plan) in (0..).zip(plans).skip(1).filter(|(number, _)| wanted.contains(number)) {
        play(plan).unwrap_or_else(|failure| panic!("{name}, TRIBUTARY_DRILL_SEED={number}: {failure}"));
        played += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{name}: {played} schedules in {seconds:.1} s, of {lengths:?}");
}

#[test]
fn a_batch_that_two_processes_land_at_once_lands_once() {
    let batch = || land("batch", &[order("n1", "bee", 2, 5)]);
    check("the same batch", KEEP, vec![batch(), batch()], kept());
}

#[test]
fn a_table_that_two_processes_make_at_once_is_made_once() {
    let actions = vec![land("a", &[order("n1", "bee", 2, 5)]), land("b", &[order("n2", "cow", 2, 6)])];
    check("the first landings", KEEP, actions, async { Base::default() });
}

#[test]
fn batches_that_are_landed_at_once_all_land() {
    let actions = vec![land("a", &[order("n1", "bee", 2, 5)]), land("b", &[order("n2", "cow", 2, 6)])];
    check("two batches", KEEP, actions, kept());
}

#[test]
fn of_two_corrections_one_counts_whole() {
    let a = land("a", &[order("o1", "bee", 2, 5), order("o4", "bee", 2, 5)]);
    let b = land("b", &[order("o1", "cow", 3, 6), order("o3", "cow", 3, 6)]);
    check("two corrections", KEEP, vec![a, b], kept());
}

#[test]
fn a_person_who_is_landed_beside_their_erasure_is_there_anew_or_nowhere() {
    let batch = land("a", &[order("n1", ZEBRA, 3, 5), order("n2", "cow", 2, 6)]);
    check("landing and erasure", KEEP, vec![batch, Action::Erase(ZEBRA)], kept());
}

#[test]
fn a_correction_beside_a_compaction_counts() {
    check("correction and nightly", KEEP, vec![correct("a", 3, 5), Action::Nightly], kept());
}

#[test]
fn a_compaction_brings_nobody_back() {
    check("erasure and nightly", KEEP, vec![Action::Erase(ZEBRA), Action::Nightly], kept());
}

#[test]
fn of_two_compactions_of_the_same_files_one_wins() {
    check("two nightlies", KEEP, vec![Action::Nightly, Action::Nightly], kept());
}

#[test]
fn a_vacuum_deletes_nothing_that_a_landing_needs() {
    let base = base_of_removed_files();
    check("landing and vacuum", Duration::ZERO, vec![correct("a", 3, 5), Action::Vacuum], base);
}

#[test]
fn two_people_who_are_erased_at_once_are_both_gone() {
    check("two erasures", KEEP, vec![Action::Erase(ZEBRA), Action::Erase(YAK)], kept());
}

#[test]
fn a_person_may_be_erased_twice_at_once() {
    check("one person twice", KEEP, vec![Action::Erase(ZEBRA), Action::Erase(ZEBRA)], kept());
}

#[test]
fn checkpoints_of_two_processes_stand_for_the_same_rows() {
    check("two checkpoints", KEEP, vec![correct("a", 3, 5), correct("b", 2, 6)], base_before_a_checkpoint());
}

#[test]
fn a_checkpoint_from_before_an_erasure_names_nobody() {
    let actions = vec![correct("a", 3, 5), Action::Erase(ZEBRA)];
    check("checkpoint and erasure", KEEP, actions, base_before_a_checkpoint());
}

#[test]
fn journeys_that_are_computed_beside_a_correction_follow_it() {
    let base = async { base(&[first(), correct("second", 2, 11)]).await };
    check("first journeys and correction", KEEP, vec![Action::Nightly, correct("a", 3, 5)], base);
}

#[test]
fn a_query_beside_a_compaction_sees_the_orders_as_they_are() {
    check("query and nightly", KEEP, vec![Action::Ask, Action::Nightly], kept());
}

#[test]
fn a_query_beside_an_erasure_sees_them_before_or_after_or_is_cut_off() {
    check("query and erasure", KEEP, vec![Action::Ask, Action::Erase(ZEBRA)], kept());
}

#[test]
fn three_processes_land_correct_and_compact() {
    let batch = land("a", &[order("n1", "bee", 2, 5)]);
    check("landing, correction and nightly", KEEP, vec![batch, correct("b", 3, 5), Action::Nightly], kept());
}

/// Twice compacted: files of older versions wait for the vacuum.
async fn base_of_removed_files() -> Base {
    base(&[first(), Action::Nightly, correct("second", 2, 11), Action::Nightly, correct("third", 1, 12)])
        .await
}

/// The next commit to `orders` is the twentieth, and a checkpoint follows it.
async fn base_before_a_checkpoint() -> Base {
    const KEYS: [&str; 16] =
        ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "aa", "ab", "ac", "ad", "ae", "af"];
    let corrections = (0..).zip(KEYS).map(|(revenue, key)| correct(key, 1, revenue));
    let actions: Vec<Action> =
        [first(), Action::Nightly].into_iter().chain(corrections).chain([Action::Nightly]).collect();
    let base = base(&actions).await;
    let newest = |(path, _): &(object_store::path::Path, bytes::Bytes)| {
        path.as_ref().ends_with(&format!("orders/_delta_log/{:020}.json", 19))
    };
    assert!(base.objects.iter().any(newest), "the last commit is the nineteenth");
    base
}
