//! What the door of HTTP says to everybody, and what it does not let itself be told.

use reqwest::{Method, StatusCode, header};
use tributary::serve::keys::Scope;

use crate::http::{PERIOD, Server, problem};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_who_may_keep_it_and_what_a_page_may_load() {
    let server = Server::closed().await;
    let key = server.key("alpha", Scope::Query);
    let dashboard = format!("/api/marketing/analytics/dashboard?{PERIOD}");
    for path in ["/", "/healthz", "/v1/tables", "/v1/queries", "/nowhere", &dashboard] {
        for key in [Some(&key), None] {
            let request = server.get(path);
            let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
            let answer = request.send().await.unwrap();
            let headers = answer.headers();
            let vary: Vec<&str> =
                headers.get_all(header::VARY).iter().map(|it| it.to_str().unwrap()).collect();
            assert!(vary.join(",").contains("Authorization"), "{path}: {vary:?}");
            let keeping = headers[header::CACHE_CONTROL].to_str().unwrap();
            assert!(["no-store", "private, no-cache"].contains(&keeping), "{path}: {keeping}");
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_packing_is_not_known_is_refused() {
    let server = Server::open().await;
    for packing in ["deflate", "br", "gzip, gzip"] {
        let land = server.post("/v1/land/orders", "order_id\n1\n").header(header::CONTENT_ENCODING, packing);
        let refused = problem(land, 415).await;
        assert!(refused["detail"].as_str().unwrap().contains("gzip or zstd"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_method_is_not_remembered() {
    let server = Server::closed().await;
    let admin = server.key("alpha", Scope::Admin);
    let method = Method::from_bytes(&[b'X'; 4_000]).unwrap();
    let url = format!("{}/healthz", server.url);
    let answer = server.client.request(method, url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let figures = server.get("/metrics").bearer_auth(&admin).send().await.unwrap().text().await.unwrap();
    assert!(figures.contains("method=\"(other)\""), "{figures}");
    assert!(!figures.contains("XXXX"));
}
