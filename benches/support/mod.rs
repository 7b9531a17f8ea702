//! What the benches share: a lake of generated touchpoints and orders, made once and kept under `target/`.
//!
//! The distributions are those of common practice in web analytics samples: journeys of touches a day or two
//! apart, a few heavy customers, six orders in seven following a touch. Deterministic by seed.
#![allow(dead_code, reason = "each bench is a program of its own, and not all need the lake")]

use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::ipc::writer::StreamWriter;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tributary::land::Format;
use tributary::{Engine, LandRequest};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub const STORE: &str = "bench";
const CHANNELS: [&str; 8] =
    ["direct", "seo", "social", "ads", "email", "referral", "affiliate", "influencer"];
const CHANNEL_WEIGHTS: [f64; 8] = [0.26, 0.22, 0.15, 0.13, 0.10, 0.06, 0.05, 0.03];
const TOUCHES_PER_CUSTOMER: usize = 8;
const TOUCHES_PER_ORDER: usize = 20;
const DAY_US: f64 = 86_400_000_000.0;
const YEAR_US: f64 = 365.0 * DAY_US;
/// 2025-01-01T00:00:00Z.
const START_US: i64 = 1_735_689_600_000_000;
/// Customers generated and landed at a time.
const CUSTOMERS_PER_BATCH: usize = 125_000;

/// Opens the lake of a size, generating it where it is not there yet.
pub async fn engine(touchpoints: usize) -> Engine {
    let folder = folder(touchpoints);
    let is_new = !folder.exists();
    let engine = Engine::open(folder.to_str().expect("a UTF-8 path")).await.expect("the bench lake opens");
    if is_new {
        eprintln!("generating {touchpoints} touchpoints under {}", folder.display());
        generate(&engine, touchpoints).await;
    }
    engine
}

/// Where the lake of a size is.
pub fn folder(touchpoints: usize) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-data").join(touchpoints.to_string())
}

async fn generate(engine: &Engine, touchpoints: usize) {
    let customers = touchpoints / TOUCHES_PER_CUSTOMER;
    let mut rng = ChaCha8Rng::seed_from_u64(20_250_101);
    let mut made = Made::default();
    let mut landed_touches = 0;
    for first in (0..customers).step_by(CUSTOMERS_PER_BATCH) {
        let last = (first + CUSTOMERS_PER_BATCH).min(customers);
        for customer in first..last {
            made.customer(&mut rng, customer);
        }
        let touches = made.touches();
        landed_touches += touches.num_rows();
        land(engine, "touchpoints", &touches).await;
        land(engine, "orders", &made.orders()).await;
        made.clear();
    }
    eprintln!("landed {landed_touches} touchpoints; compacting");
    engine.nightly(Some(STORE)).await.expect("the nightly batch runs");
}

/// At least so many touchpoints.
pub fn touches(least: usize) -> RecordBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(20_250_101);
    let mut made = Made::default();
    for customer in 0.. {
        if made.touch_count >= least {
            break;
        }
        made.customer(&mut rng, customer);
    }
    made.touches()
}

/// Rows as a stream of Arrow IPC.
pub fn as_arrow(rows: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema()).expect("an IPC stream");
    writer.write(rows).expect("rows are written");
    writer.finish().expect("the stream ends");
    drop(writer);
    bytes
}

async fn land(engine: &Engine, table: &str, rows: &RecordBatch) {
    let bytes = as_arrow(rows);
    let body: Box<dyn Read + Send> = Box::new(Cursor::new(bytes));
    let request = LandRequest { format: Some(Format::Arrow), ..LandRequest::default() };
    engine.land(STORE, table, body, request).await.expect("generated rows land");
}

/// Columns under construction.
#[derive(Default)]
struct Made {
    touch_id: Vec<String>,
    touch_customer: Vec<String>,
    touched_us: Vec<i64>,
    channel: Vec<&'static str>,
    order_id: Vec<String>,
    order_customer: Vec<String>,
    ordered_us: Vec<i64>,
    revenue: Vec<i128>,
    cost_of_goods: Vec<i128>,
    touch_count: usize,
    order_count: usize,
}

impl Made {
    fn customer(&mut self, rng: &mut ChaCha8Rng, customer: usize) {
        let pick = WeightedIndex::new(CHANNEL_WEIGHTS).expect("weights are positive");
        let name = format!("c_{customer:010}");
        // A lognormal number of touches with a mean of eight.
        let touches = ((normal(rng) * 1.3 + 8.0_f64.ln() - 0.845).exp().round() as usize).clamp(1, 5_000);
        let (mut at, mut journey_channel) = (0.0, CHANNELS[0]);
        for touch in 0..touches {
            if touch == 0 || rng.random_bool(0.2) {
                at = rng.random::<f64>() * YEAR_US;
                journey_channel = CHANNELS[pick.sample(rng)];
            } else {
                at = (at + exponential(rng) * 1.5 * DAY_US) % YEAR_US;
            }
            let channel = if rng.random_bool(0.35) { journey_channel } else { CHANNELS[pick.sample(rng)] };
            self.touch(&name, at, channel);
            if rng.random_bool(0.85 / TOUCHES_PER_ORDER as f64) {
                let ordered = (at + exponential(rng) * 2.0 * DAY_US).min(YEAR_US - 1.0);
                self.order(rng, &name, ordered);
            }
            if rng.random_bool(0.15 / TOUCHES_PER_ORDER as f64) {
                let ordered = rng.random::<f64>() * YEAR_US;
                self.order(rng, &name, ordered);
            }
        }
    }

    fn touch(&mut self, customer: &str, at: f64, channel: &'static str) {
        self.touch_id.push(format!("t_{:012}", self.touch_count));
        self.touch_count += 1;
        self.touch_customer.push(customer.to_owned());
        self.touched_us.push(START_US + at as i64);
        self.channel.push(channel);
    }

    fn order(&mut self, rng: &mut ChaCha8Rng, customer: &str, at: f64) {
        self.order_id.push(format!("o_{:011}", self.order_count));
        self.order_count += 1;
        self.order_customer.push(customer.to_owned());
        self.ordered_us.push(START_US + at as i64);
        let cents = ((normal(rng) * 0.8 + 4.0).exp() * 100.0).round().clamp(100.0, 5_000_000.0) as i128;
        self.revenue.push(cents * 100);
        self.cost_of_goods.push(cents * 100 / 2);
    }

    fn touches(&self) -> RecordBatch {
        let texts = |values: &[String]| Arc::new(StringArray::from_iter_values(values)) as ArrayRef;
        RecordBatch::try_from_iter([
            ("touch_id", texts(&self.touch_id)),
            ("customer_id", texts(&self.touch_customer)),
            ("touched_at", instants(&self.touched_us)),
            ("channel", Arc::new(StringArray::from_iter_values(&self.channel)) as ArrayRef),
        ])
        .expect("columns of one length")
    }

    fn orders(&self) -> RecordBatch {
        let texts = |values: &[String]| Arc::new(StringArray::from_iter_values(values)) as ArrayRef;
        let same = |value: &str| Arc::new(StringArray::from(vec![value; self.order_id.len()])) as ArrayRef;
        RecordBatch::try_from_iter([
            ("order_id", texts(&self.order_id)),
            ("customer_id", texts(&self.order_customer)),
            ("ordered_at", instants(&self.ordered_us)),
            ("revenue", money(&self.revenue)),
            ("cost_of_goods", money(&self.cost_of_goods)),
            ("currency", same("USD")),
            ("status", same("completed")),
        ])
        .expect("columns of one length")
    }

    fn clear(&mut self) {
        *self = Self { touch_count: self.touch_count, order_count: self.order_count, ..Self::default() };
    }
}

fn instants(us: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(us.to_vec()).with_timezone("UTC"))
}

fn money(values: &[i128]) -> ArrayRef {
    let amounts = Decimal128Array::from(values.to_vec()).with_precision_and_scale(18, 4);
    Arc::new(amounts.expect("18 digits hold every generated amount"))
}

fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// A standard normal number (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (2.0 * exponential(rng)).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
