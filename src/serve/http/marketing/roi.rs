//! `GET /api/marketing/analytics/roi/{channel}`: what a channel earned under linear attribution, and cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::money::Money;
use super::period::{Asked, Period};
use super::reply;
use crate::error::{Error, Result};
use crate::query::Answer;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;
use crate::serve::http::repeats::Asking;
use crate::serve::http::state::AppState;

pub async fn roi(
    State(state): State<Arc<AppState>>,
    asking: Asking,
    Path(channel): Path<String>,
    mut query: QueryString,
) -> Result<Response, Problem> {
    let asked = Asked::take(&mut query)?;
    query.end(&["start_date", "end_date", "days", "store"])?;
    let (engine, moment, store) = (&state.engine, &asking.moment, asking.caller.store.as_str());
    let settings = reply::settings(engine, &asking).await?;
    let period = asked.period(settings.zone, moment.at())?;
    let mut params = period.params();
    params.insert("model".into(), "linear".into());
    let asked = engine.ask_at(moment, store, "attribution/by_channel", &params, None).await?;
    let (name, own) = (format!("roi/{channel}"), settings.currency.clone());
    let compose = move |answers: &[Arc<Answer>]| compose(answers, &own, channel, period);
    reply::composed(&state, asking, &settings, &name, vec![asked], compose).await
}

fn compose(
    answers: &[Arc<Answer>],
    own_currency: &str,
    channel: String,
    period: Period,
) -> Result<Map<String, Value>> {
    let wanted = channel.trim().to_lowercase();
    let mut parts = BTreeMap::new();
    for (currency, rows) in reply::by_currency(reply::only(answers)?)? {
        for row in rows {
            if row.text("channel")?.to_lowercase() == wanted {
                let (revenue, cost) = (row.money("credited_revenue")?, row.money("cost")?);
                parts.insert(currency.clone(), part(revenue, cost, row.percent("roi")?, row.json("roas")?)?);
            }
        }
    }
    let main = reply::main_currency(&parts, own_currency);
    // A channel without touches and spend earned nothing and cost nothing.
    if !parts.contains_key(&main) {
        parts.insert(main.clone(), part(Money::ZERO, Money::ZERO, Value::Null, Value::Null)?);
    }
    let mut data = Map::from_iter([("channel".to_owned(), Value::from(channel))]);
    reply::spread(&mut data, parts, &main);
    data.insert("date_range".into(), period.json());
    Ok(data)
}

/// `roi` is in percent; it and `roas` are null where there was no cost.
fn part(revenue: Money, cost: Money, roi: Value, roas: Value) -> Result<Map<String, Value>> {
    let profit = revenue.subtract(cost).ok_or_else(|| Error::limit("a sum has more than 38 digits"))?;
    Ok(Map::from_iter([
        ("revenue".to_owned(), json!(revenue.to_string())),
        ("cost".to_owned(), json!(cost.to_string())),
        ("profit".to_owned(), json!(profit.to_string())),
        ("roi".to_owned(), roi),
        ("roas".to_owned(), roas),
    ]))
}
