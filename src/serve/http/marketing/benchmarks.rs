//! `GET /api/marketing/analytics/benchmarks/{channel}`: a channel's metrics beside sourced benchmarks.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value};

use super::period::Asked;
use super::reply;
use super::rows::Row;
use crate::error::Result;
use crate::query::Answer;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;
use crate::serve::http::repeats::Asking;
use crate::serve::http::state::AppState;

/// `data` is keyed by metric, as documented; a store with several currencies sees its main one.
pub async fn benchmarks(
    State(state): State<Arc<AppState>>,
    asking: Asking,
    Path(channel): Path<String>,
    mut query: QueryString,
) -> Result<Response, Problem> {
    let asked = Asked::take(&mut query)?;
    let industry = query.take("industry");
    query.end(&["start_date", "end_date", "days", "industry", "store"])?;
    let (engine, moment, store) = (&state.engine, &asking.moment, asking.caller.store.as_str());
    let settings = reply::settings(engine, &asking).await?;
    let mut params = asked.period(settings.zone, moment.at())?.params();
    params.insert("channel".into(), channel);
    params.extend(industry.map(|industry| ("industry".to_owned(), industry)));
    let asked = engine.ask_at(moment, store, "performance/benchmarks", &params, None).await?;
    let own = settings.currency.clone();
    let compose = move |answers: &[Arc<Answer>]| compose(answers, &own);
    reply::composed(&state, asking, &settings, "benchmarks", vec![asked], compose).await
}

fn compose(answers: &[Arc<Answer>], own_currency: &str) -> Result<Map<String, Value>> {
    let mut groups = reply::by_currency(reply::only(answers)?)?;
    let main = reply::main_currency(&groups, own_currency);
    let rows = groups.remove(&main).unwrap_or_default();
    rows.iter().map(|row| Ok((row.text("metric")?, metric(*row)?))).collect()
}

/// Rates are shown in percent, as the benchmarks beside them are.
fn metric(row: Row<'_>) -> Result<Value> {
    let is_rate = row.text("metric")?.ends_with("_rate");
    let mut metric = Map::new();
    metric.insert("value".into(), if is_rate { row.percent("value")? } else { row.json("value")? });
    metric.insert("rating".into(), row.json("rating")?);
    let bounds = ["poor", "average", "good", "excellent"];
    let bounds = bounds.into_iter().map(|name| Ok((name.to_owned(), row.json(name)?)));
    metric.insert("benchmarks".into(), Value::Object(bounds.collect::<Result<_>>()?));
    for name in ["unit", "direction", "industry", "source", "as_of"] {
        metric.insert(name.into(), row.json(name)?);
    }
    Ok(metric.into())
}
