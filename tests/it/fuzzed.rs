//! The fuzzers' seeds, and changes of them: nothing that a stranger sends makes the server panic or hang.
//! `TRIBUTARY_DRILL_COUNT` sets how many changes of each seed are tried.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::drill;

#[path = "../../fuzz/inputs.rs"]
mod inputs;

/// Changed inputs of each seed.
const CHANGES: u64 = 10;
/// Changes of each of these.
const MOST_EDITS: usize = 4;
/// Statements are ended after a second.
const HANGS: Duration = Duration::from_secs(30);
/// Numbers that lengths and counts are confused by.
const NUMBERS: [&[u8]; 7] =
    [&[0], &[0xff], &[0x7f, 0xff, 0xff, 0xff], &[0xff; 4], &[0x80, 0, 0, 0], &[0; 8], &[0xff; 8]];

/// Panics of the server's threads, which end with their connection and are told to nobody.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(inputs::THREADS) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panic);
        }));
    });
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=input.len());
    let end = random.random_range(at..=input.len().min(at + 64));
    match random.random_range(0..6) {
        0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        1 => drop(input.drain(at..end)),
        2 => {
            let part = input[at..end].repeat(random.random_range(1..20));
            input.splice(at..at, part);
        }
        3 => {
            let number = NUMBERS[random.random_range(0..NUMBERS.len())];
            input.splice(at..end, number.iter().copied());
        }
        4 => {
            let other = &others[random.random_range(0..others.len())];
            let start = random.random_range(0..=other.len());
            input.splice(at..end, other[start..].iter().copied());
        }
        _ => input.truncate(at),
    }
}

fn go_through(name: &str, take: fn(&[u8])) {
    count_panics();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(seeds.len() > 10, "{} has seeds", folder.display());
    for seed in &seeds {
        check(name, take, seed);
    }
    for number in drill::seeds(CHANGES) {
        let mut random = ChaCha8Rng::seed_from_u64(number);
        for seed in &seeds {
            let mut input = seed.clone();
            for _ in 0..random.random_range(1..=MOST_EDITS) {
                change(&mut input, &seeds, &mut random);
            }
            check(name, take, &input);
        }
    }
}

fn check(name: &str, take: fn(&[u8]), input: &[u8]) {
    let (panics, begun) = (PANICS.load(Ordering::SeqCst), Instant::now());
    let taken = catch_unwind(AssertUnwindSafe(|| take(input)));
    let shown = input.escape_ascii();
    assert!(taken.is_ok(), "{name}: \"{shown}\"");
    assert!(PANICS.load(Ordering::SeqCst) == panics, "a thread of the server panicked: \"{shown}\"");
    assert!(begun.elapsed() < HANGS, "{name}: {:?} for \"{shown}\"", begun.elapsed());
}

#[test]
fn sql_of_any_shape_is_answered() {
    go_through("sql", inputs::sql);
}

#[test]
fn bodies_of_any_shape_land_or_are_refused() {
    go_through("landing", inputs::landing);
}

#[test]
fn messages_of_any_shape_end_their_connection_at_most() {
    go_through("postgres", inputs::postgres);
}

#[test]
fn calls_of_any_shape_are_answered() {
    go_through("flight", inputs::flight);
}
