//! `/`: a plain page of what there is, with links that work.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use super::problem::Problem;
use super::query_string::QueryString;
use super::state::AppState;
use crate::engine::{QueryInfo, TableInfo};
use crate::serve::access::Door;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1b2733;background:#fbfcfd}h1{margin-bottom:0}h2{margin-top:2.2rem;border-bottom:1px solid #d7dee5}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;\
border-bottom:1px solid #e8edf1}td.n{text-align:right;font-variant-numeric:tabular-nums}code,pre{font:14px/1.5 \
ui-monospace,monospace;background:#eef2f5;border-radius:4px;padding:.1rem .3rem}pre{padding:.8rem;overflow:auto}\
a{color:#0b62a8}.on{font-weight:600}small{color:#5b6b79}";

pub async fn page(State(state): State<Arc<AppState>>, mut query: QueryString) -> Result<Response, Problem> {
    let mut body = String::from("<h1>Tributary</h1><p>Channels are tributaries; revenue is the river.</p>");
    match state.access.door().await? {
        Door::Open { default_store } => {
            let store = query.take("store").unwrap_or_else(|| default_store.as_ref().to_owned());
            let stores = state.engine.stores().await?;
            let tables = state.engine.tables(&store).await?;
            body.push_str(&stores_part(&stores, &store));
            body.push_str(&endpoints_part(Some(&store)));
            body.push_str(&queries_part(&state.engine.queries(), &store));
            body.push_str(&tables_part(&tables));
        }
        // Without a key, nobody learns what is here.
        Door::Keys(_) => {
            body.push_str(
                "<p>This server answers requests that carry a key: send the header \
                 <code>Authorization: Bearer KEY</code>. <code>tributary keys create</code> makes one.</p>",
            );
            body.push_str(&endpoints_part(None));
        }
    }
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tributary</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body>{body}</body></html>"
    );
    let mut headers = HeaderMap::new();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((headers, Html(page)).into_response())
}

fn stores_part(stores: &[String], chosen: &str) -> String {
    let mut part = String::from("<h2>Stores</h2><p>");
    if stores.is_empty() {
        part.push_str("None has landed rows yet.");
    }
    for store in stores {
        let mark = if store == chosen { " class=\"on\"" } else { "" };
        // Writing into memory cannot fail.
        let _ = write!(part, "<a{mark} href=\"/?store={}\">{}</a> ", in_url(store), in_html(store));
    }
    part + "</p>"
}

fn endpoints_part(store: Option<&str>) -> String {
    let mut part = String::from("<h2>Endpoints</h2><table>");
    let links = [
        ("/api/marketing/analytics/dashboard?days=30", "channels beside the previous period"),
        ("/api/marketing/analytics/attribution?model=linear&days=30", "credited revenue by channel"),
        ("/api/marketing/analytics/roi/email?days=30", "what a channel earned and cost"),
        ("/api/marketing/analytics/benchmarks/email?days=30", "a channel beside its industry"),
        ("/v1/queries", "named queries and their parameters"),
        ("/v1/tables", "tables, their rows and files"),
        ("/healthz", "the process runs"),
        ("/readyz", "the lake can be read"),
        ("/metrics", "figures for Prometheus"),
    ];
    for (path, what) in links {
        let text = in_html(path);
        let cell = match store {
            Some(store) => {
                let mark = if path.contains('?') { '&' } else { '?' };
                let link = in_html(&format!("{path}{mark}store={}", in_url(store)));
                format!("<a href=\"{link}\">{text}</a>")
            }
            None => format!("<code>{text}</code>"),
        };
        // Writing into memory cannot fail.
        let _ = write!(part, "<tr><td>{cell}</td><td>{what}</td></tr>");
    }
    part.push_str("</table><pre>");
    let (key, store) = match store {
        Some(store) => (String::new(), format!("?store={}", in_html(&in_url(store)))),
        None => (" -H 'Authorization: Bearer KEY'".into(), String::new()),
    };
    let _ = write!(
        part,
        "curl{key} -H 'Accept: text/csv' --data 'select channel, count(*) from touchpoints group by 1' \
         HOST/v1/sql{store}\n\
         curl{key} -H 'Prefer: respond-async' --data 'select * from touchpoints' HOST/v1/sql{store}\ncurl{key} --data-binary @orders.csv HOST/v1/land/orders{store}"
    );
    part + "</pre>"
}

fn queries_part(queries: &[QueryInfo], store: &str) -> String {
    let mut part =
        String::from("<h2>Queries</h2><table><tr><th>Query</th><th>Answers</th><th>Parameters</th></tr>");
    for query in queries {
        let mut link = format!("/v1/queries/{}?store={}", query.name, in_url(store));
        for param in query.params.iter().filter(|param| param.required) {
            let value = param.example.as_ref().or(param.values.first());
            let _ = write!(link, "&{}={}", in_url(&param.name), in_url(value.map_or("", String::as_str)));
        }
        let params: Vec<String> = query
            .params
            .iter()
            .map(|param| format!("<code title=\"{}\">{}</code>", in_html(&param.doc), in_html(&param.name)))
            .collect();
        let _ = write!(
            part,
            "<tr><td><a href=\"{}\">{}</a></td><td>{}<br><small>{}</small></td><td>{}</td></tr>",
            in_html(&link),
            in_html(&query.name),
            in_html(&query.summary),
            in_html(&query.grain),
            params.join(" ")
        );
    }
    part + "</table>"
}

fn tables_part(tables: &[TableInfo]) -> String {
    let mut part = String::from("<h2>Tables</h2><table><tr><th>Table</th><th>Holds</th><th>Rows</th></tr>");
    for table in tables {
        let _ = write!(
            part,
            "<tr><td><code>{}</code></td><td>{}<br><small>{}</small></td><td class=\"n\">{}</td></tr>",
            in_html(&table.name),
            in_html(&table.summary),
            in_html(&table.grain),
            table.rows
        );
    }
    part + "</table>"
}

fn in_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn in_url(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_store_name_stays_text() {
        let part = stores_part(&["<script>\"'&".to_owned()], "x") + &endpoints_part(Some("\"><b>"));
        assert!(!part.contains("<script>") && !part.contains("<b>"), "{part}");
        assert!(part.contains("&lt;script&gt;&quot;&#39;&amp;"));
    }
}
