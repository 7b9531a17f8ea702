//! `GET /api/marketing/analytics/attribution`: credited revenue by channel under one model.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};

use super::period::{Asked, Period};
use super::reply;
use crate::error::Result;
use crate::query::Answer;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;
use crate::serve::http::repeats::Asking;
use crate::serve::http::state::AppState;

pub async fn attribution(
    State(state): State<Arc<AppState>>,
    asking: Asking,
    mut query: QueryString,
) -> Result<Response, Problem> {
    let asked = Asked::take(&mut query)?;
    let model = query.take("model").unwrap_or_else(|| "linear".into());
    query.end(&["start_date", "end_date", "days", "model", "store"])?;
    let (engine, moment, store) = (&state.engine, &asking.moment, asking.caller.store.as_str());
    let settings = reply::settings(engine, &asking).await?;
    let period = asked.period(settings.zone, moment.at())?;
    let mut params = period.params();
    params.insert("model".into(), model.clone());
    let asked = engine.ask_at(moment, store, "attribution/by_channel", &params, None).await?;
    let (name, own) = (format!("attribution/{model}"), settings.currency.clone());
    let compose = move |answers: &[Arc<Answer>]| compose(answers, &own, model, period);
    reply::composed(&state, asking, &settings, &name, vec![asked], compose).await
}

fn compose(
    answers: &[Arc<Answer>],
    own_currency: &str,
    model: String,
    period: Period,
) -> Result<Map<String, Value>> {
    let groups = reply::by_currency(reply::only(answers)?)?;
    let main = reply::main_currency(&groups, own_currency);
    let mut parts = groups
        .into_iter()
        .map(|(currency, rows)| {
            let credits = rows
                .iter()
                .map(|row| Ok((row.text("channel")?, row.money("credited_revenue")?.to_string().into())))
                .collect::<Result<Map<String, Value>>>()?;
            Ok((currency, Map::from_iter([("attribution".to_owned(), Value::from(credits))])))
        })
        .collect::<Result<BTreeMap<_, _>>>()?;
    parts
        .entry(main.clone())
        .or_insert_with(|| Map::from_iter([("attribution".to_owned(), Value::Object(Map::new()))]));
    let mut data = Map::from_iter([("model".to_owned(), Value::from(model))]);
    reply::spread(&mut data, parts, &main);
    data.insert("date_range".into(), period.json());
    Ok(data)
}
