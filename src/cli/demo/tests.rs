//! What the demo promises: the same bytes for the same seed, the sizes asked for, lifts that can be seen,
//! and totals that agree.

use std::collections::BTreeMap;
use std::io::Read as _;

use chrono::NaiveDate;
use indicatif::ProgressBar;

use super::args::DemoArgs;
use super::catalogue::PLACEMENTS;
use super::journey::{Calibration, JourneySource};
use super::metrics::DailyTotals;
use super::model::{CHANNELS, conversion_probability};
use super::reader::{JourneyReader, JourneyTable};
use super::rows;
use super::run::{sizes, sources};
use super::stores::{Period, STORES, instant};

fn args(touchpoints: u64, orders: u64) -> DemoArgs {
    DemoArgs {
        seed: 7,
        touchpoints,
        orders,
        days: 90,
        end: Some(end()),
        port: 0,
        flight_port: 0,
        postgres_port: 0,
        no_serve: true,
    }
}

fn end() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 21).unwrap()
}

fn demo(touchpoints: u64, orders: u64) -> Vec<JourneySource> {
    let args = args(touchpoints, orders);
    sources(&args, end(), sizes(&args, end()))
}

fn bytes(source: &JourneySource, table: JourneyTable, step: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for start in (0..source.journeys()).step_by(step as usize) {
        let journeys = start..(start + step).min(source.journeys());
        let mut reader = JourneyReader::new(source.clone(), table, journeys, ProgressBar::hidden());
        reader.read_to_end(&mut out).unwrap();
    }
    out
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_any_batches() {
    let (first, second) = (demo(3_000, 300), demo(3_000, 300));
    for table in [rows::touches as JourneyTable, rows::orders, rows::refunds, rows::customers] {
        assert_eq!(bytes(&first[1], table, 1_000_000), bytes(&second[1], table, 37));
    }
    let mut other = args(3_000, 300);
    other.seed = 8;
    let other = sources(&other, end(), sizes(&other, end()));
    assert_ne!(bytes(&first[1], rows::touches, 1_000), bytes(&other[1], rows::touches, 1_000));
}

#[test]
fn sizes_come_out_near_what_was_asked_for() {
    for (touchpoints, orders) in [(40_000, 4_000), (20_000, 5_000), (40_000, 1_000), (1_000, 4_000)] {
        let (mut touch_count, mut order_count) = (0, 0);
        for source in demo(touchpoints, orders) {
            for index in 0..source.journeys() {
                let journey = source.journey(index);
                touch_count += journey.touches.len() as u64;
                order_count += journey.orders.len() as u64;
            }
        }
        for (found, wanted) in [(touch_count, touchpoints), (order_count, orders)] {
            assert!(found.abs_diff(wanted) * 12 < wanted, "{found} instead of {wanted}");
        }
    }
}

/// Compares the conversions of journeys with and without each channel with what the model says of the very
/// same journeys, within four standard errors.
#[test]
fn lifts_are_visible_in_conversions() {
    let calibration = Calibration { length_rate: 0.45, kept_conversions: 1.0 };
    let period = Period::before(end(), 90, STORES[0].time_zone);
    let source = JourneySource::new(7, &STORES[0], period, calibration);
    let mut by_set: BTreeMap<u8, (f64, f64)> = BTreeMap::new();
    for index in 0..20_000 {
        let journey = source.touched_journey(index);
        let (journeys, conversions) = by_set.entry(journey.met).or_default();
        *journeys += 1.0;
        *conversions += f64::from(u8::from(journey.orders.iter().any(|order| order.status == "completed")));
    }
    for (channel, truth) in CHANNELS.iter().enumerate() {
        for is_met in [true, false] {
            let (mut found, mut expected, mut variance) = (0.0, 0.0, 0.0);
            for (met, (journeys, conversions)) in &by_set {
                if (met & (1 << channel) != 0) == is_met {
                    let probability = conversion_probability(*met);
                    found += conversions;
                    expected += journeys * probability;
                    variance += journeys * probability * (1.0 - probability);
                }
            }
            let error: f64 = (found - expected) / f64::sqrt(variance);
            assert!(error.abs() < 4.0, "{} met {is_met}: {error} standard errors", truth.name);
        }
    }
    // Email's lift of .12 is the largest: on top of nothing it must show by itself.
    let alone = |channel: usize| by_set[&(1 << channel)];
    let rate = |(journeys, conversions): (f64, f64)| conversions / journeys;
    assert!(rate(alone(2)) > rate(alone(0)), "email must win more than affiliate");
}

#[test]
fn daily_metrics_sum_to_the_costs_of_the_touches_and_the_revenue_of_the_orders() {
    for source in demo(6_000, 600) {
        let mut totals = DailyTotals::new(source.clone());
        let mut costs: BTreeMap<(NaiveDate, usize), i64> = BTreeMap::new();
        let mut revenue = 0;
        for index in 0..source.journeys() {
            let journey = source.journey(index);
            totals.add(&journey);
            for touch in &journey.touches {
                let day = instant(touch.at_us).with_timezone(&source.store.time_zone).date_naive();
                *costs.entry((day, touch.placement.channel)).or_default() += touch.cost_minor;
            }
            let seen =
                |order: &&super::journey::Order| order.status == "completed" && order.last_touch.is_some();
            revenue += journey.orders.iter().filter(seen).map(|order| order.revenue_minor).sum::<i64>();
        }
        let mut found: BTreeMap<(NaiveDate, usize), i64> = BTreeMap::new();
        let mut found_revenue = 0;
        for (day, placement, cell) in totals.iter() {
            *found.entry((day, PLACEMENTS[placement].channel)).or_default() += cell.cost_minor;
            found_revenue += cell.revenue_minor;
        }
        costs.retain(|_, cost| *cost != 0);
        found.retain(|_, cost| *cost != 0);
        assert_eq!(found, costs);
        assert_eq!(found_revenue, revenue);
    }
}

#[test]
fn everything_lies_inside_the_period_and_refunds_stay_below_their_orders() {
    let mut seen = (0, 0, 0, 0, 0);
    for source in demo(20_000, 2_000) {
        let inside = |at_us: i64| (source.period.start_us..source.period.end_us).contains(&at_us);
        for index in 0..source.journeys() {
            let journey = source.journey(index);
            assert!(journey.touches.iter().all(|touch| inside(touch.at_us)));
            assert!(journey.touches.is_sorted_by_key(|touch| touch.at_us));
            for order in &journey.orders {
                assert!(inside(order.at_us));
                let refund =
                    order.refund.unwrap_or(super::journey::Refund { at_us: order.at_us, amount_minor: 0 });
                assert!(inside(refund.at_us) && refund.at_us >= order.at_us);
                assert!(refund.amount_minor <= order.revenue_minor);
                seen.0 += u32::from(order.refund.is_some());
                seen.1 += u32::from(order.status == "cancelled");
                seen.2 += u32::from(order.status == "pending");
            }
            seen.3 += u32::from(journey.touches.iter().any(|touch| touch.is_late));
            seen.4 += u32::from(journey.touches.is_empty());
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0 && seen.2 > 0 && seen.3 > 0 && seen.4 > 0, "{seen:?}");
}

#[test]
fn placements_stand_at_their_own_index_and_every_channel_has_one() {
    assert!(PLACEMENTS.iter().enumerate().all(|(index, placement)| placement.index == index));
    for channel in 0..CHANNELS.len() {
        assert!(PLACEMENTS.iter().any(|placement| placement.channel == channel));
    }
}

#[test]
fn money_is_written_in_the_currencys_digits() {
    assert_eq!(rows::money(5, 2), "0.05");
    assert_eq!(rows::money(-12_345, 2), "-123.45");
    assert_eq!(rows::money(12_345, 0), "12345");
}
