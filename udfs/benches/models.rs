//! The kernels of the data-driven models over journeys in memory, beside the grouping that feeds them.
//!
//!     cargo bench --package tributary-udfs --bench models
//!
//! A million journeys of 16 channels: 1 to 12 touches, 3.2 or 7.2 on average.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tributary_udfs::ModelError;
use tributary_udfs::data_driven::{Paths, Sampling, Worth, lift, markov, shapley_rate};

const JOURNEYS: usize = 1_000_000;
const CHANNELS: usize = 16;
const LONGEST: usize = 12;

/// Touches one after the other, where each journey ends, and whether it converted.
#[derive(Default)]
struct Journeys {
    touches: Vec<u32>,
    ends: Vec<usize>,
    converted: Vec<bool>,
}

/// Numbers from 0 to 1 by splitmix64, whose constants are Steele's, Lea's and Flood's (doi 10.1145/2660193.2660195).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Journeys that end after each touch with a probability, over channels of falling frequency.
fn journeys(stop: f64) -> Journeys {
    let mut random = Random(11);
    let weights: Vec<f64> = (0..CHANNELS).map(|channel| 1.0 / (1.0 + channel as f64).sqrt()).collect();
    let sum: f64 = weights.iter().sum();
    let mut all = Journeys::default();
    for _ in 0..JOURNEYS {
        let mut survives: f64 = 0.95;
        for touch in 1..=LONGEST {
            let mut at = random.unit() * sum;
            let is_here = |weight: &f64| {
                at -= weight;
                at < 0.0
            };
            let channel = weights.iter().position(is_here).unwrap_or(CHANNELS - 1) as u32;
            all.touches.push(channel);
            survives *= 1.0 - 0.01 * f64::from(channel % 5);
            if touch == LONGEST || random.unit() < stop {
                break;
            }
        }
        all.ends.push(all.touches.len());
        all.converted.push(random.unit() > survives);
    }
    all
}

fn group(journeys: &Journeys) -> Result<Paths, ModelError> {
    let mut builder = Paths::builder(CHANNELS);
    let mut start = 0;
    for (&end, &converted) in journeys.ends.iter().zip(&journeys.converted) {
        let value = if converted { (end % 97) as f64 + 0.5 } else { 0.0 };
        builder.push(&journeys.touches[start..end], u64::from(converted), value, u64::from(!converted))?;
        start = end;
    }
    Ok(builder.finish())
}

fn models(criterion: &mut Criterion) {
    for (name, stop) in [("3 touches", 0.3), ("7 touches", 0.1)] {
        let journeys = journeys(stop);
        let paths = group(&journeys).expect("journeys that can be grouped");
        let mut of_length = criterion.benchmark_group(name);
        of_length.sample_size(10).measurement_time(Duration::from_secs(4));
        of_length.bench_function("group", |bencher| bencher.iter(|| group(black_box(&journeys))));
        for order in [1, 3] {
            of_length.bench_function(format!("markov, order {order}"), |bencher| {
                bencher.iter(|| markov(black_box(&paths), order));
            });
        }
        of_length.bench_function("shapley, rate", |bencher| {
            bencher.iter(|| shapley_rate(black_box(&paths), Worth::ConversionRate, Sampling::default()));
        });
        of_length.bench_function("lift with intervals", |bencher| {
            bencher.iter(|| lift(black_box(&paths), 0.95));
        });
        of_length.finish();
    }
}

criterion_group!(benches, models);
criterion_main!(benches);
