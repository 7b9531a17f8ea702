//! The figures of requests, by path. Their places are kept: to find one by its labels takes longer than to count.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

/// Paths are those of the router, methods and statuses are few: all of them is not much.
#[derive(Default)]
pub struct Figures(RwLock<HashMap<String, OfPath>>);

struct OfPath {
    seconds: Histogram,
    requests: Vec<((&'static str, StatusCode), Counter)>,
}

/// The figures of requests that are alike.
#[derive(Clone)]
pub struct Figure {
    seconds: Histogram,
    requests: Counter,
}

impl Figure {
    /// Counts a request that took some time.
    pub fn count(&self, elapsed: Duration) {
        self.requests.increment(1);
        self.seconds.record(elapsed);
    }
}

impl Figures {
    /// The figures of requests with such an answer.
    pub fn of(&self, path: &str, method: &'static str, status: StatusCode) -> Figure {
        if let Some(figure) = self.known(path, method, status) {
            return figure;
        }
        let mut figures = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_path = figures.entry(path.to_owned()).or_insert_with(|| OfPath {
            seconds: histogram!("tributary_http_request_seconds", "path" => path.to_owned()),
            requests: Vec::new(),
        });
        let labels = [
            ("path", path.to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_u16().to_string()),
        ];
        let requests = counter!("tributary_http_requests_total", &labels);
        of_path.requests.push(((method, status), requests.clone()));
        Figure { seconds: of_path.seconds.clone(), requests }
    }

    fn known(&self, path: &str, method: &'static str, status: StatusCode) -> Option<Figure> {
        let figures = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of_path = figures.get(path)?;
        let (_, requests) = of_path.requests.iter().find(|(labels, _)| *labels == (method, status))?;
        Some(Figure { seconds: of_path.seconds.clone(), requests: requests.clone() })
    }
}
