//! Journeys for the tests: the goldens, and random ones.

use proptest::prelude::*;

use super::paths::Paths;
use super::random::Random;

/// A journey as (channels, conversions, value, non-conversions).
pub type Row = (Vec<u32>, u64, f64, u64);

/// The paths of some rows.
pub fn paths_of(channel_count: usize, rows: &[Row]) -> Paths {
    let mut builder = Paths::builder(channel_count);
    for (channels, conversions, value, non_conversions) in rows {
        builder.push(channels, *conversions, *value, *non_conversions).unwrap();
    }
    builder.finish()
}

/// The golden journeys, their channels numbered in the order of `reference.csv`.
pub fn golden_paths() -> Paths {
    let names = reference("channel");
    let rows: Vec<Row> = include_str!("../../tests/goldens/journeys/journeys.csv")
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |name: &str| names.iter().position(|known| known == name).unwrap() as u32;
            let converted = u64::from(cells[3] == "1");
            (cells[1].split(" > ").map(number).collect(), converted, cells[4].parse().unwrap(), 1 - converted)
        })
        .collect();
    paths_of(names.len(), &rows)
}

/// A column of the goldens' `reference.csv`, by channel number.
pub fn reference(column: &str) -> Vec<String> {
    let mut lines =
        include_str!("../../tests/goldens/journeys/reference.csv").lines().map(|line| line.split(','));
    let at = lines.next().unwrap().position(|name| name == column).unwrap();
    lines.map(|mut cells| cells.nth(at).unwrap().to_owned()).collect()
}

/// Asserts that numbers agree with a column of `reference.csv`, to 1e-8 of the printed number.
pub fn assert_golden(column: &str, ours: impl IntoIterator<Item = f64>) {
    let golden = reference(column);
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), golden.len());
    for (ours, golden) in ours.into_iter().zip(golden) {
        let golden: f64 = golden.parse().unwrap();
        assert!((ours - golden).abs() <= 1e-8 * golden.abs(), "{column}: {ours} is not {golden}");
    }
}

/// Random rows over the channels `0..channel_count`, at least one of them converting; some paths come twice.
pub fn rows(channel_count: u32, longest: usize) -> impl Strategy<Value = Vec<Row>> {
    let path = prop::collection::vec(0..channel_count, 0..=longest);
    let row = (path, 0_u64..4, 0_u32..10_000, 0_u64..4);
    let cents = |(path, conversions, cents, others): (_, u64, u32, u64)| {
        (path, conversions, if conversions > 0 { f64::from(cents) / 100.0 } else { 0.0 }, others)
    };
    prop::collection::vec(row.prop_map(cents), 1..30)
        .prop_filter("something converts", |rows| rows.iter().any(|row| row.1 > 0))
}

/// The same rows in another order.
pub fn shuffled(rows: &[Row], seed: u64) -> Vec<Row> {
    let mut rows = rows.to_vec();
    Random::stream(seed, 0, 0).shuffle(&mut rows);
    rows
}
