//! Fits the number and the length of journeys to the sizes asked for.
//!
//! Two numbers are wanted, touches and orders, and the lifts must stay as they are. So the *length* of
//! journeys carries the ratio of the two (longer journeys, more touches an order), and their *number* the
//! size. Where that is not enough: for very many touches an order, a fixed share of conversions is not
//! kept (bought elsewhere); for very few, the missing orders come from customers without any touch.

use super::journey::{Calibration, JourneySource};
use super::model::WALK_IN_SHARE;
use super::stores::{Period, STORES};

/// Journeys that one measurement draws.
const SAMPLE: u64 = 4_000;
const STEPS: usize = 12;
/// The length rates searched; the generator of the truth goldens has .45.
const LONGEST: f64 = 0.1;
const SHORTEST: f64 = 3.0;

/// Touches and orders that one journey brings, on average.
#[derive(Debug, Clone, Copy)]
struct Yield {
    touches: f64,
    orders: f64,
}

/// The calibration, and how many journeys with and without touches the demo has in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    pub calibration: Calibration,
    pub touched_journeys: u64,
    pub walk_ins: u64,
}

/// Finds the sizes for `touchpoints` and `orders`; the same for the same seed.
pub fn calibrate(seed: u64, touchpoints: u64, orders: u64, period: Period) -> Sizes {
    let touched_orders = orders as f64 * (1.0 - WALK_IN_SHARE);
    let wanted = touchpoints as f64 / touched_orders.max(1.0);
    let measure = |length_rate| measure(seed, period, Calibration { length_rate, kept_conversions: 1.0 });
    let ratio = |found: Yield| found.touches / found.orders.max(f64::MIN_POSITIVE);
    let (mut long, mut short) = (LONGEST, SHORTEST);
    for _ in 0..STEPS {
        let middle = (long * short).sqrt();
        if ratio(measure(middle)) > wanted { long = middle } else { short = middle }
    }
    let length_rate = (long * short).sqrt();
    let found = measure(length_rate);
    let kept_conversions = (ratio(found) / wanted).min(1.0);
    let touched_journeys = (touchpoints as f64 / found.touches).round().max(1.0);
    let reached = touched_journeys * found.orders * kept_conversions;
    let walk_ins = (orders as f64 - reached).round().max(0.0);
    Sizes {
        // Within the searched range the ratio is met by the length alone; noise must not thin the truth.
        calibration: Calibration {
            length_rate,
            kept_conversions: if kept_conversions > 0.97 { 1.0 } else { kept_conversions },
        },
        touched_journeys: touched_journeys as u64,
        walk_ins: walk_ins as u64,
    }
}

fn measure(seed: u64, period: Period, calibration: Calibration) -> Yield {
    let source = JourneySource::new(seed, &STORES[0], period, calibration);
    let (mut touches, mut orders) = (0, 0);
    for index in 0..SAMPLE {
        let journey = source.touched_journey(index);
        touches += journey.touches.len();
        orders += journey.orders.len();
    }
    Yield { touches: touches as f64 / SAMPLE as f64, orders: orders as f64 / SAMPLE as f64 }
}
