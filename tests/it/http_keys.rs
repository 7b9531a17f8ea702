//! Keys at the door of HTTP: each opens what its scope says, and no other store.

use serde_json::json;
use tributary::serve::keys::Scope;

use crate::http::{PERIOD, Server, problem, value};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_needed_and_its_scope_is_its_limit() {
    let server = Server::closed().await;
    let refused = problem(server.get("/v1/tables"), 401).await;
    assert_eq!(refused["code"], "unauthorized");
    problem(server.get("/v1/tables").bearer_auth("trb_00"), 401).await;
    problem(server.get("/v1/tables?store=alpha"), 401).await;
    let (land, query) = (server.key("alpha", Scope::Land), server.key("alpha", Scope::Query));
    problem(server.get("/v1/tables").bearer_auth(&land), 403).await;
    problem(server.post("/v1/land/orders", "x").bearer_auth(&query), 403).await;
    problem(server.get("/metrics").bearer_auth(&query), 403).await;
    value(server.get("/v1/tables").bearer_auth(&query)).await;
    problem(server.get("/v1/tables?store=beta-secret").bearer_auth(&query), 403).await;
    let id = server.keys.list().await.unwrap().last().unwrap().id.clone();
    server.keys.revoke(&id).await.unwrap();
    problem(server.get("/v1/tables").bearer_auth(&query), 401).await;
    for path in ["/", "/healthz", "/readyz"] {
        let text = server.get(path).send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
        assert!(!text.contains("alpha") && !text.contains("beta-secret"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_closes_an_open_server_and_revoking_it_opens_nothing() {
    let server = Server::unkeyed().await;
    value(server.get("/v1/tables?store=beta-secret")).await;
    let key = server.key("alpha", Scope::Query);
    problem(server.get("/v1/tables"), 401).await;
    value(server.get("/v1/tables").bearer_auth(&key)).await;
    server.keys.revoke(&server.keys.list().await.unwrap()[0].id).await.unwrap();
    problem(server.get("/v1/tables"), 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_never_sees_another_store() {
    let server = Server::closed().await;
    let key = server.key("alpha", Scope::Admin);
    let mut paths: Vec<String> = ["/v1/tables", "/v1/queries", "/metrics"].map(String::from).into();
    for endpoint in ["dashboard", "attribution", "roi/email", "benchmarks/email"] {
        paths.push(format!("/api/marketing/analytics/{endpoint}?{PERIOD}"));
    }
    for query in server.engine.queries() {
        let needs = query.params.iter().any(|param| param.required);
        let dates = query.params.iter().any(|param| param.name == "start");
        let dates = if dates { "?start=2026-01-01&end=2026-02-01" } else { "" };
        if !needs {
            paths.push(format!("/v1/queries/{}{dates}", query.name));
        }
    }
    for path in paths {
        let response = server.get(&path).bearer_auth(&key).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {text}");
        assert_is_alphas(&path, &text);
    }
    for text in [
        "select * from orders",
        "select * from metrics",
        "select * from stores",
        "select * from orders where store_id = 'beta-secret' or true",
        "select * from (select * from orders union all select * from orders) x",
        "select order_id from orders where order_id in (select order_id from orders)",
        "select * from information_schema.tables",
        "select * from information_schema.columns",
        "explain select * from orders where store_id = 'x'",
        "explain verbose select * from orders",
        "select cast(order_id as int) from orders",
        "select 1 / 0 from orders",
        "select * from orders_of_nobody",
    ] {
        let response = server.post("/v1/sql", text).bearer_auth(&key).send().await.unwrap();
        assert_is_alphas(text, &response.text().await.unwrap_or_default());
    }
    let count = server.post("/v1/sql", "select count(*) as n, count(distinct store_id) as s from metrics");
    assert_eq!(value(count.bearer_auth(&key)).await["data"][0], json!({"n": 5, "s": 1}));
}

/// Nothing of the other store: neither its name, nor its order, currency or cost.
fn assert_is_alphas(asked: &str, text: &str) {
    // The caller's own text may come back in an answer.
    if asked.contains("beta-secret") {
        assert!(!text.contains("order-of-beta-secret"), "{asked}: {text}");
        return;
    }
    for secret in ["beta-secret", "666.66", "706.76"] {
        assert!(!text.contains(secret), "{asked}: {text}");
    }
}
