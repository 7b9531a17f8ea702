//! The small tables: what a shop would type in, not what it measures.

use chrono::{Days, NaiveDate};
use serde_json::json;

use super::catalogue::PLACEMENTS;
use super::model::{BASELINE, CHANNELS};
use super::rows::{money, push, rfc3339};
use super::stores::{DemoStore, Period};

/// Writes a table's rows for one store.
pub type SmallTable = fn(&DemoStore, Period, &mut Vec<u8>);

/// Tables whose rows do not come from journeys.
pub const SMALL_TABLES: [(&str, SmallTable); 4] =
    [("stores", stores), ("campaigns", campaigns), ("content", content), ("lifts", lifts)];

/// Landed after the nightly batch, which does not read it: where its rows are, all is done.
pub const LAST_TABLE: (&str, SmallTable) = ("channels", channels);

fn channels(store: &DemoStore, _: Period, out: &mut Vec<u8>) {
    for channel in &CHANNELS {
        push(
            &json!({
                "channel": channel.name,
                "name": channel.title,
                "kind": channel.kind,
                "monthly_budget": dollars(store, channel.monthly_budget_dollars),
                "status": "active",
            }),
            out,
        );
    }
}

/// The truth that the journeys were drawn from.
fn lifts(_: &DemoStore, period: Period, out: &mut Vec<u8>) {
    let known = CHANNELS.iter().map(|channel| (channel.name, channel.lift));
    for (channel, lift) in std::iter::once(("(baseline)", BASELINE)).chain(known) {
        let measured_on = period.first_day.to_string();
        push(
            &json!({
                "channel": channel,
                "lift": lift.to_string(),
                "measured_on": measured_on,
                "source": "the demo's generator",
            }),
            out,
        );
    }
}

fn campaigns(store: &DemoStore, period: Period, out: &mut Vec<u8>) {
    for placement in PLACEMENTS.iter().filter(|placement| !placement.campaign.is_empty()) {
        let channel = &CHANNELS[placement.channel];
        push(
            &json!({
                "campaign_id": placement.campaign,
                "channel": channel.name,
                "platform": placement.source,
                "name": placement.campaign.replace('_', " "),
                "objective": placement.objective,
                "status": "active",
                "daily_budget": dollars(store, channel.monthly_budget_dollars / 100),
                "starts_on": period.first_day.to_string(),
                "ends_on": day(period, period.days + 30).to_string(),
            }),
            out,
        );
    }
}

/// One piece a week for each of three channels.
fn content(_: &DemoStore, period: Period, out: &mut Vec<u8>) {
    let pieces = [
        ("post", "organic_search", "blog"),
        ("email", "email", "newsletter"),
        ("video", "paid_social", "instagram"),
    ];
    for week in 0..period.days.div_ceil(7) {
        for (place, (kind, channel, platform)) in pieces.into_iter().enumerate() {
            let at_us =
                period.start_us + i64::from(week) * 7 * 86_400_000_000 + (place as i64 + 9) * 3_600_000_000;
            let published_at = rfc3339(at_us.min(period.end_us - 1));
            push(
                &json!({
                    "content_id": format!("{platform}-{week:03}"),
                    "kind": kind,
                    "title": format!("{} of week {}", kind, week + 1),
                    "channel": channel,
                    "platform": platform,
                    "status": "published",
                    "scheduled_at": published_at,
                    "published_at": published_at,
                    "engagement": 120 + (i64::from(week) * 37 + place as i64 * 211) % 900,
                    "url": format!("https://shop.example/{platform}/{week:03}"),
                }),
                out,
            );
        }
    }
}

/// The store itself: its currency and its days.
fn stores(store: &DemoStore, _: Period, out: &mut Vec<u8>) {
    push(
        &json!({
            "name": store.name,
            "industry": store.industry,
            "currency": store.currency,
            "timezone": store.time_zone.name(),
            "status": "active",
        }),
        out,
    );
}

fn dollars(store: &DemoStore, dollars: i64) -> String {
    let minor = (dollars as f64 * 100.0 * store.minor_per_cent * store.share).round() as i64;
    money(minor, store.digits)
}

fn day(period: Period, days: u32) -> NaiveDate {
    period.first_day.checked_add_days(Days::new(u64::from(days))).unwrap_or(period.first_day)
}
