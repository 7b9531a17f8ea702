//! The truth: what each channel really adds, and how journeys come about.
//!
//! A journey meets a set of channels S and converts with probability
//! `1 - (1 - BASELINE) * prod over S of (1 - lift)`: meeting a channel twice adds nothing, and three in
//! four customers of the baseline would not have come by themselves. An honest model finds these lifts again.

/// The share of journeys that convert without any channel's help.
pub const BASELINE: f64 = 0.25;

/// One channel: what it does, how often it is met, and what a touch costs.
#[derive(Debug)]
pub struct Channel {
    pub name: &'static str,
    pub title: &'static str,
    /// Paid, owned or earned.
    pub kind: &'static str,
    /// How often it is met, against the other channels.
    pub weight: u32,
    /// The causal lift: the share of the undecided that it wins.
    pub lift: f64,
    /// The mean cost of a click, in hundredths of a US dollar.
    pub click_cents: f64,
    /// Whether it also shows advertisements that are only seen.
    pub has_views: bool,
    pub monthly_budget_dollars: i64,
}

/// Ordered by name, as attribution sorts them.
pub const CHANNELS: [Channel; 7] = [
    Channel {
        name: "affiliate",
        title: "Affiliate",
        kind: "paid",
        weight: 3,
        lift: 0.02,
        click_cents: 45.0,
        has_views: true,
        monthly_budget_dollars: 12_000,
    },
    Channel {
        name: "direct",
        title: "Direct",
        kind: "owned",
        weight: 8,
        lift: 0.05,
        click_cents: 0.0,
        has_views: false,
        monthly_budget_dollars: 0,
    },
    Channel {
        name: "email",
        title: "Email",
        kind: "owned",
        weight: 10,
        lift: 0.12,
        click_cents: 2.0,
        has_views: false,
        monthly_budget_dollars: 2_000,
    },
    Channel {
        name: "organic_search",
        title: "Organic search",
        kind: "earned",
        weight: 12,
        lift: 0.08,
        click_cents: 0.0,
        has_views: false,
        monthly_budget_dollars: 0,
    },
    Channel {
        name: "paid_search",
        title: "Paid search",
        kind: "paid",
        weight: 14,
        lift: 0.10,
        click_cents: 85.0,
        has_views: true,
        monthly_budget_dollars: 60_000,
    },
    Channel {
        name: "paid_social",
        title: "Paid social",
        kind: "paid",
        weight: 9,
        lift: 0.04,
        click_cents: 60.0,
        has_views: true,
        monthly_budget_dollars: 40_000,
    },
    Channel {
        name: "referral",
        title: "Referral",
        kind: "earned",
        weight: 2,
        lift: 0.03,
        click_cents: 0.0,
        has_views: false,
        monthly_budget_dollars: 0,
    },
];

/// A journey's touches, at most.
pub const MAX_CLICKS: usize = 8;
/// A journey's touches lie within this time.
pub const JOURNEY_US: i64 = 25 * DAY_US;
/// An order follows its journey's last touch within this time.
pub const DECISION_US: i64 = 4 * DAY_US;
/// Share of journeys of three touches or more whose first two touches come in the same instant.
pub const TIE_SHARE: f64 = 0.05;
/// Share of journeys whose second touch repeats the first one's channel.
pub const REPEAT_CHANNEL_SHARE: f64 = 0.2;
/// Share of orders that come at the very instant of the last touch.
pub const INSTANT_ORDER_SHARE: f64 = 0.05;
/// Share of clicks of a channel with views that follow a view of the same channel. Views come only with a
/// click of their channel, so they change no journey's set of channels.
pub const VIEW_SHARE: f64 = 0.3;
/// What a view costs, in hundredths of a US dollar, on average.
pub const VIEW_CENTS: f64 = 1.5;
/// Share of touches that are landed after the orders that they led to.
pub const LATE_SHARE: f64 = 0.02;
/// Share of customers who order again.
pub const REPEAT_ORDER_SHARE: f64 = 0.12;
/// Share of customers with an order that was cancelled before the one that was completed.
pub const CANCELLED_SHARE: f64 = 0.03;
/// Share of customers with one more order that is not paid yet.
pub const PENDING_SHARE: f64 = 0.02;
/// Share of completed orders that are refunded, six in ten of them whole.
pub const REFUND_SHARE: f64 = 0.05;
pub const WHOLE_REFUND_SHARE: f64 = 0.6;
/// Share of orders from customers without any touch.
pub const WALK_IN_SHARE: f64 = 0.02;

pub const SECOND_US: i64 = 1_000_000;
pub const DAY_US: i64 = 86_400 * SECOND_US;

/// The probability that a journey converts; `met` has one bit a channel, in the order of [`CHANNELS`].
pub fn conversion_probability(met: u8) -> f64 {
    let undecided: f64 = CHANNELS
        .iter()
        .enumerate()
        .filter(|(index, _)| met & (1 << index) != 0)
        .map(|(_, channel)| 1.0 - channel.lift)
        .product();
    1.0 - (1.0 - BASELINE) * undecided
}

/// Draws a channel by its weight from a uniform number in `[0, 1)`.
pub fn draw_channel(uniform: f64) -> usize {
    let total: u32 = CHANNELS.iter().map(|channel| channel.weight).sum();
    let mut left = uniform * f64::from(total);
    for (index, channel) in CHANNELS.iter().enumerate() {
        left -= f64::from(channel.weight);
        if left < 0.0 {
            return index;
        }
    }
    CHANNELS.len() - 1
}
