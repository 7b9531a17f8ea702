//! `GET /api/marketing/analytics/dashboard`: every channel, and the period before.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::money::Money;
use super::period::{Asked, Period};
use super::reply;
use super::rows::Row;
use crate::error::{Error, Result};
use crate::query::Answer;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;
use crate::serve::http::repeats::Asking;
use crate::serve::http::state::AppState;

pub async fn dashboard(
    State(state): State<Arc<AppState>>,
    asking: Asking,
    mut query: QueryString,
) -> Result<Response, Problem> {
    let asked = Asked::take(&mut query)?;
    query.end(&["start_date", "end_date", "days", "store"])?;
    let (engine, moment, store) = (&state.engine, &asking.moment, asking.caller.store.as_str());
    let settings = reply::settings(engine, &asking).await?;
    let period = asked.period(settings.zone, moment.at())?;
    let (now, before) = (period.params(), period.previous().params());
    let current = engine.ask_at(moment, store, "performance/channels", &now, None).await?;
    let previous = engine.ask_at(moment, store, "performance/channels", &before, None).await?;
    let own = settings.currency.clone();
    let compose = move |answers: &[Arc<Answer>]| compose(answers, &own, period);
    reply::composed(&state, asking, &settings, "dashboard", vec![current, previous], compose).await
}

/// The document of the current period's answer and the previous one's.
fn compose(answers: &[Arc<Answer>], own_currency: &str, period: Period) -> Result<Map<String, Value>> {
    let [current, previous] = answers else {
        return Err(Error::internal("a dashboard has two periods"));
    };
    let mut currencies: BTreeMap<String, (Channels, Channels)> = BTreeMap::new();
    for (currency, rows) in reply::by_currency(current)? {
        currencies.entry(currency).or_default().0 = channels(&rows)?;
    }
    for (currency, rows) in reply::by_currency(previous)? {
        currencies.entry(currency).or_default().1 = channels(&rows)?;
    }
    let main = reply::main_currency(&currencies, own_currency);
    currencies.entry(main.clone()).or_default();
    let parts = currencies
        .into_iter()
        .map(|(currency, (current, previous))| Ok((currency, part(&current, &previous)?)))
        .collect::<Result<_>>()?;
    let mut data = Map::new();
    reply::spread(&mut data, parts, &main);
    data.insert("date_range".into(), period.json());
    Ok(data)
}

type Channels = BTreeMap<String, Channel>;

/// One channel in one period and currency.
#[derive(Clone)]
struct Channel {
    revenue: Money,
    cost: Money,
    profit: Money,
    shown: Map<String, Value>,
}

fn channels(rows: &[Row<'_>]) -> Result<Channels> {
    rows.iter().map(|row| Ok((row.text("channel")?, channel(*row)?))).collect()
}

fn channel(row: Row<'_>) -> Result<Channel> {
    let mut shown = Map::new();
    for name in ["revenue", "cost", "profit", "conversions", "sessions", "roas", "cpa"] {
        shown.insert(name.into(), row.json(name)?);
    }
    shown.insert("conversion_rate".into(), row.percent("conversion_rate")?);
    Ok(Channel {
        revenue: row.money("revenue")?,
        cost: row.money("cost")?,
        profit: row.money("profit")?,
        shown,
    })
}

/// The sum of all channels.
fn overall(channels: &Channels) -> Result<Channel> {
    let sum = |field: fn(&Channel) -> Money| {
        channels.values().try_fold(Money::ZERO, |sum, channel| sum.add(field(channel))).ok_or_else(overflow)
    };
    let (revenue, cost, profit) =
        (sum(|channel| channel.revenue)?, sum(|channel| channel.cost)?, sum(|channel| channel.profit)?);
    let mut shown = Map::new();
    for (name, amount) in [("revenue", revenue), ("cost", cost), ("profit", profit)] {
        shown.insert(name.into(), amount.to_string().into());
    }
    shown.insert("roas".into(), json!(roas(revenue, cost)));
    Ok(Channel { revenue, cost, profit, shown })
}

fn part(current: &Channels, previous: &Channels) -> Result<Map<String, Value>> {
    let mut shown = Map::new();
    let mut changes = Map::new();
    // A channel that one period lacks stays visible, with null for that period.
    let names: std::collections::BTreeSet<&String> = current.keys().chain(previous.keys()).collect();
    for name in names {
        if let Some(channel) = current.get(name) {
            shown.insert(name.clone(), channel.shown.clone().into());
        }
        changes.insert(name.clone(), compared(current.get(name), previous.get(name))?);
    }
    let (now, before) = (overall(current)?, overall(previous)?);
    shown.insert("overall".into(), now.shown.clone().into());
    changes.insert("overall".into(), compared(Some(&now), Some(&before))?);
    let mut part = Map::new();
    part.insert("channels".into(), shown.into());
    part.insert("vs_previous_period".into(), changes.into());
    Ok(part)
}

fn compared(current: Option<&Channel>, previous: Option<&Channel>) -> Result<Value> {
    let amounts = |field: fn(&Channel) -> Money| {
        let amount = |channel: Option<&Channel>| channel.map_or(Money::ZERO, field);
        change(amount(current), amount(previous))
    };
    let ratio = |channel: Option<&Channel>| channel.and_then(|channel| roas(channel.revenue, channel.cost));
    Ok(json!({
        "current": current.map(|channel| &channel.shown),
        "previous": previous.map(|channel| &channel.shown),
        "change": {
            "revenue": amounts(|channel| channel.revenue)?,
            "cost": amounts(|channel| channel.cost)?,
            "profit": amounts(|channel| channel.profit)?,
            "roas": ratio_change(ratio(current), ratio(previous)),
        },
    }))
}

/// The change of an amount. Growth from nothing has no percentage; from a loss it is relative to the loss's size.
fn change(current: Money, previous: Money) -> Result<Value> {
    let absolute = current.subtract(previous).ok_or_else(overflow)?;
    let percentage = (previous.units != 0).then(|| absolute.to_f64() / previous.to_f64().abs() * 100.0);
    Ok(json!({
        "absolute": absolute.to_string(),
        "percentage": percentage,
        "direction": direction(absolute.units.cmp(&0)),
    }))
}

/// The change of a ratio; null throughout where one of the periods has none.
fn ratio_change(current: Option<f64>, previous: Option<f64>) -> Value {
    let absolute = current.zip(previous).map(|(current, previous)| current - previous);
    let percentage = absolute.zip(previous.filter(|previous| *previous != 0.0));
    json!({
        "absolute": absolute,
        "percentage": percentage.map(|(absolute, previous)| absolute / previous.abs() * 100.0),
        "direction": absolute.map(|absolute| direction(absolute.total_cmp(&0.0))),
    })
}

fn direction(ordering: std::cmp::Ordering) -> &'static str {
    match ordering {
        std::cmp::Ordering::Less => "down",
        std::cmp::Ordering::Equal => "flat",
        std::cmp::Ordering::Greater => "up",
    }
}

fn roas(revenue: Money, cost: Money) -> Option<f64> {
    (cost.units != 0).then(|| revenue.to_f64() / cost.to_f64())
}

fn overflow() -> Error {
    Error::limit("a sum has more than 38 digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(units: i128) -> Money {
        Money { units, scale: 2 }
    }

    #[test]
    fn growth_from_nothing_has_no_percentage() {
        let change = change(amount(500), amount(0)).unwrap();
        assert_eq!(change, json!({"absolute": "5.00", "percentage": null, "direction": "up"}));
    }

    #[test]
    fn a_smaller_loss_is_growth() {
        let change = change(amount(-50), amount(-100)).unwrap();
        assert_eq!(change, json!({"absolute": "0.50", "percentage": 50.0, "direction": "up"}));
    }

    #[test]
    fn a_ratio_that_one_period_lacks_has_no_change() {
        assert_eq!(roas(amount(5), amount(0)), None);
        assert_eq!(
            ratio_change(Some(2.0), None),
            json!({"absolute": null, "percentage": null, "direction": null})
        );
        assert_eq!(ratio_change(Some(3.0), Some(2.0))["percentage"], 50.0);
    }
}
