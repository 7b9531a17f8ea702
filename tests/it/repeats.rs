//! Requests that were answered before: they are answered again as long as the data is the same, and no longer.

use reqwest::StatusCode;
use serde_json::json;
use tributary::Engine;
use tributary::serve::keys::Scope;

use crate::http::Server;
use crate::support::land_rows;

const PATHS: [&str; 4] = [
    "/v1/queries/performance/channels.json?start=2026-01-01&end=2026-02-01",
    "/v1/queries/attribution/by_channel?start=2026-01-01&end=2026-02-01",
    "/api/marketing/analytics/dashboard?start_date=2026-01-01&end_date=2026-01-31",
    "/api/marketing/analytics/attribution?start_date=2026-01-01&end_date=2026-01-31",
];

/// An answer: its validator, whether it was in the cache, and its bytes.
async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String, String, Vec<u8>) {
    let request =
        headers.iter().fold(server.get(path), |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.unwrap();
    let text =
        |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, etag, cache) = (response.status(), text("etag"), text("tributary-cache"));
    (status, etag, cache, response.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_sees_what_another_process_has_landed() {
    let server = Server::open().await;
    let other = Engine::open(server.place.url()).await.unwrap();
    for (number, path) in PATHS.into_iter().enumerate() {
        let (status, etag, _, bytes) = get(&server, path, &[]).await;
        assert_eq!(status, 200, "{path}");
        for _ in 0..3 {
            assert_eq!(
                get(&server, path, &[]).await,
                (status, etag.clone(), "hit".into(), bytes.clone()),
                "{path}"
            );
            let known = get(&server, path, &[("if-none-match", &etag)]).await;
            assert_eq!((known.0, known.1), (StatusCode::NOT_MODIFIED, etag.clone()), "{path}");
        }
        let packed = get(&server, path, &[("accept-encoding", "zstd")]).await;
        assert_eq!(get(&server, path, &[("accept-encoding", "zstd")]).await.3, packed.3, "{path}");
        // Everything that the four read.
        let day = 20 + number;
        let metric = json!({"channel": "email", "source": "s", "campaign": "c", "date": format!("2026-01-{day}"),
                            "sessions": 1, "conversions": 1, "revenue": "7.00", "cost": "1.00", "currency": "USD"});
        land_rows(&other, "alpha", "metrics", &[metric]).await;
        let order = json!({"order_id": format!("o{number}"), "customer_id": "c1", "status": "completed",
                           "ordered_at": format!("2026-01-{day}T00:00:00Z"), "currency": "USD", "revenue": "9.00"});
        land_rows(&other, "alpha", "orders", &[order]).await;
        let (_, newer, cache, newer_bytes) = get(&server, path, &[]).await;
        assert_eq!(cache, "miss", "{path}");
        assert_ne!(newer, etag, "{path}");
        assert_ne!(newer_bytes, bytes, "{path}");
        let known = get(&server, path, &[("if-none-match", &etag)]).await;
        assert_eq!(known.0, 200, "{path}: the client's copy is old");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_of_another_store_is_another_request() {
    let server = Server::closed().await;
    let keys = ["alpha", "beta-secret"].map(|store| format!("Bearer {}", server.key(store, Scope::Query)));
    for path in PATHS {
        let mut answers = Vec::new();
        for _ in 0..3 {
            for key in &keys {
                answers.push(get(&server, path, &[("authorization", key)]).await.3);
            }
        }
        assert_ne!(answers[0], answers[1], "{path}");
        assert_eq!([&answers[0], &answers[1]], [&answers[4], &answers[5]], "{path}");
        let landing = format!("Bearer {}", server.key("alpha", Scope::Land));
        assert_eq!(get(&server, path, &[("authorization", &landing)]).await.0, 403, "{path}");
        assert_eq!(get(&server, path, &[]).await.0, 401, "{path}");
    }
}
