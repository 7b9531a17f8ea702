//! Draws one journey: a customer's touches and orders, from the journey's own random stream.

use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::catalogue::{self, Placement};
use super::model::{
    CANCELLED_SHARE, CHANNELS, DAY_US, DECISION_US, INSTANT_ORDER_SHARE, JOURNEY_US, LATE_SHARE, MAX_CLICKS,
    PENDING_SHARE, REFUND_SHARE, REPEAT_CHANNEL_SHARE, REPEAT_ORDER_SHARE, SECOND_US, TIE_SHARE, VIEW_CENTS,
    VIEW_SHARE, WHOLE_REFUND_SHARE, conversion_probability, draw_channel,
};
use super::stores::{DemoStore, Period};

/// What journeys of one store are drawn from.
#[derive(Debug, Clone)]
pub struct JourneySource {
    pub store: &'static DemoStore,
    pub period: Period,
    pub calibration: Calibration,
    random: ChaCha8Rng,
    /// Journeys with touches; those after them are customers without any.
    pub touched_journeys: u64,
    pub walk_ins: u64,
}

/// What is fitted so that the sizes come out as asked for; the lifts are never touched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The rate of the exponential journey length: a small one means long journeys.
    pub length_rate: f64,
    /// The share of conversions that become an order of this store; below 1 only where a great many
    /// touches are asked for an order.
    pub kept_conversions: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    pub at_us: i64,
    pub placement: &'static Placement,
    pub is_view: bool,
    pub cost_minor: i64,
    /// Landed after the orders.
    pub is_late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub at_us: i64,
    pub status: &'static str,
    pub revenue_minor: i64,
    pub cost_of_goods_minor: i64,
    pub refund: Option<Refund>,
    /// The last touch before the order, as the shop's own analytics saw it.
    pub last_touch: Option<&'static Placement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    pub at_us: i64,
    pub amount_minor: i64,
}

/// One customer's story. Touches are in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    pub index: u64,
    /// One bit for each channel met.
    pub met: u8,
    pub touches: Vec<Touch>,
    pub orders: Vec<Order>,
    /// Whether the customer has been known under another id before.
    pub was_anonymous: bool,
    /// Whether the customer has invited somebody, and whether that was accepted.
    pub invite: Option<bool>,
}

impl JourneySource {
    pub fn new(seed: u64, store: &'static DemoStore, period: Period, calibration: Calibration) -> Self {
        // Each store has its own key, so that one store's journeys never depend on another's number.
        let key =
            store.id.bytes().fold(seed, |key, byte| key.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        Self {
            store,
            period,
            calibration,
            random: ChaCha8Rng::seed_from_u64(key),
            touched_journeys: 0,
            walk_ins: 0,
        }
    }

    pub fn journeys(&self) -> u64 {
        self.touched_journeys + self.walk_ins
    }

    /// The journey of this number: the same one whenever it is asked for.
    pub fn journey(&self, index: u64) -> Journey {
        let mut random = self.random.clone();
        random.set_stream(index);
        if index >= self.touched_journeys { self.walk_in(index, random) } else { self.touched(index, random) }
    }

    /// A journey with touches, whatever the number of journeys: for calibration.
    pub fn touched_journey(&self, index: u64) -> Journey {
        let mut random = self.random.clone();
        random.set_stream(index);
        self.touched(index, random)
    }

    fn touched(&self, index: u64, mut random: ChaCha8Rng) -> Journey {
        let random = &mut random;
        let base = self.draw_instant(random);
        let (channels, times) = self.draw_clicks(random, base);
        let met = channels.iter().fold(0, |met, channel| met | 1 << channel);
        let mut touches = Vec::with_capacity(channels.len() + 2);
        for (channel, at_us) in channels.into_iter().zip(times) {
            self.push_touches(random, channel, at_us, &mut touches);
        }
        touches.sort_by_key(|touch| touch.at_us);
        let converts = random.random::<f64>() < conversion_probability(met);
        let kept = random.random::<f64>() < self.calibration.kept_conversions;
        let last_us = touches.last().map_or(base, |touch| touch.at_us);
        let orders = if converts && kept {
            let wait = if random.random::<f64>() < INSTANT_ORDER_SHARE {
                0
            } else {
                draw_seconds(random, DECISION_US.min(self.period.end_us - SECOND_US - last_us))
            };
            self.draw_orders(random, last_us + wait, &touches)
        } else {
            Vec::new()
        };
        Journey {
            index,
            met,
            touches,
            orders,
            was_anonymous: random.random::<f64>() < 0.005,
            invite: (random.random::<f64>() < 0.01).then(|| random.random::<f64>() < 0.4),
        }
    }

    /// A customer who orders and was never seen before.
    fn walk_in(&self, index: u64, mut random: ChaCha8Rng) -> Journey {
        let at_us = self.draw_instant(&mut random);
        let mut order = self.draw_order(&mut random, at_us, "completed", &[]);
        order.last_touch = None;
        let orders = vec![order];
        Journey { index, met: 0, touches: Vec::new(), orders, was_anonymous: false, invite: None }
    }

    fn draw_instant(&self, random: &mut ChaCha8Rng) -> i64 {
        let length = self.period.end_us - self.period.start_us;
        // The last hour starts no journey: there is time left for an order.
        self.period.start_us + draw_seconds(random, length - 3600 * SECOND_US)
    }

    /// Channels and instants of the clicks; a journey that begins late has less time, never less touches.
    fn draw_clicks(&self, random: &mut ChaCha8Rng, base: i64) -> (Vec<usize>, Vec<i64>) {
        let drawn = -(1.0 - random.random::<f64>()).ln() / self.calibration.length_rate;
        let count = MAX_CLICKS.min(1 + drawn as usize);
        let left = self.period.end_us - base;
        let span = JOURNEY_US.min(left / 29 * 25);
        let mut times: Vec<i64> = (0..count).map(|_| base + draw_seconds(random, span)).collect();
        times.sort_unstable();
        if count > 2 && random.random::<f64>() < TIE_SHARE {
            times[1] = times[0];
        }
        let mut channels: Vec<usize> = (0..count).map(|_| draw_channel(random.random())).collect();
        if count > 1 && random.random::<f64>() < REPEAT_CHANNEL_SHARE {
            channels[1] = channels[0];
        }
        (channels, times)
    }

    /// A click, and sometimes the view of the same advertisement that came before it.
    fn push_touches(&self, random: &mut ChaCha8Rng, channel: usize, at_us: i64, touches: &mut Vec<Touch>) {
        let placement = catalogue::draw_placement(channel, random.random());
        let touch = |random: &mut ChaCha8Rng, at_us, is_view, mean_cents: f64| Touch {
            at_us,
            placement,
            is_view,
            cost_minor: (mean_cents * self.store.minor_per_cent * random.random_range(0.5..1.5)).round()
                as i64,
            is_late: random.random::<f64>() < LATE_SHARE,
        };
        if CHANNELS[channel].has_views && random.random::<f64>() < VIEW_SHARE {
            let before = draw_seconds(random, (at_us - self.period.start_us).min(DAY_US));
            let view = touch(random, at_us - before, true, VIEW_CENTS);
            touches.push(view);
        }
        let click = touch(random, at_us, false, CHANNELS[channel].click_cents);
        touches.push(click);
    }

    /// The order that the journey led to, and those around it. The first completed one decides whether
    /// the journey converted, so the others change nothing of the truth.
    fn draw_orders(&self, random: &mut ChaCha8Rng, at_us: i64, touches: &[Touch]) -> Vec<Order> {
        let mut orders = Vec::with_capacity(2);
        if random.random::<f64>() < CANCELLED_SHARE {
            let before = draw_seconds(random, (at_us - self.period.start_us).min(3600 * SECOND_US));
            orders.push(self.draw_order(random, at_us - before, "cancelled", touches));
        }
        orders.push(self.draw_order(random, at_us, "completed", touches));
        let left = self.period.end_us - at_us;
        if random.random::<f64>() < REPEAT_ORDER_SHARE && left > 4 * DAY_US {
            let after = 3 * DAY_US + draw_seconds(random, (left - 3 * DAY_US - SECOND_US).min(37 * DAY_US));
            orders.push(self.draw_order(random, at_us + after, "completed", touches));
        }
        if random.random::<f64>() < PENDING_SHARE {
            let after = draw_seconds(random, (left - SECOND_US).min(2 * DAY_US));
            orders.push(self.draw_order(random, at_us + after, "pending", touches));
        }
        orders
    }

    fn draw_order(
        &self,
        random: &mut ChaCha8Rng,
        at_us: i64,
        status: &'static str,
        touches: &[Touch],
    ) -> Order {
        let cents = (8.6 + 0.7 * draw_normal(random)).exp().max(199.0);
        let revenue_minor = (cents * self.store.minor_per_cent).round() as i64;
        let cost_of_goods_minor = (revenue_minor as f64 * random.random_range(0.35..0.6)).round() as i64;
        let is_refunded = random.random::<f64>() < REFUND_SHARE;
        let is_whole = random.random::<f64>() < WHOLE_REFUND_SHARE;
        let part = random.random_range(0.1..0.9);
        let wait = draw_seconds(random, (self.period.end_us - SECOND_US - at_us).min(20 * DAY_US));
        let refund = (is_refunded && status == "completed").then(|| Refund {
            at_us: at_us + wait,
            amount_minor: if is_whole { revenue_minor } else { (revenue_minor as f64 * part).ceil() as i64 },
        });
        let last_touch = touches
            .iter()
            .rev()
            .find(|touch| touch.at_us <= at_us && !touch.is_view)
            .map(|touch| touch.placement);
        Order { at_us, status, revenue_minor, cost_of_goods_minor, refund, last_touch }
    }
}

/// Whole seconds in `[0, limit)`, in microseconds; 0 where there is no time left.
fn draw_seconds(random: &mut ChaCha8Rng, limit_us: i64) -> i64 {
    let seconds = limit_us / SECOND_US;
    if seconds <= 0 { 0 } else { random.random_range(0..seconds) * SECOND_US }
}

/// A standard normal number, by Box and Muller.
fn draw_normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}
