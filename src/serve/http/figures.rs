//! The figures of requests, by path. Their places are kept: to find one by its labels takes longer than to count.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

/// Paths are those of the router, methods and statuses are few: all of them is not much.
#[derive(Default)]
pub struct Figures(RwLock<HashMap<String, OfPath>>);

struct OfPath {
    seconds: Histogram,
    requests: Vec<((&'static str, u16), Counter)>,
}

impl Figures {
    /// Counts a request that took some time.
    pub fn count(&self, path: &str, method: &'static str, status: u16, elapsed: Duration) {
        if self.count_known(path, method, status, elapsed) {
            return;
        }
        {
            let mut figures = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let of_path = figures.entry(path.to_owned()).or_insert_with(|| OfPath {
                seconds: histogram!("tributary_http_request_seconds", "path" => path.to_owned()),
                requests: Vec::new(),
            });
            let labels =
                [("path", path.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
            of_path.requests.push(((method, status), counter!("tributary_http_requests_total", &labels)));
        }
        self.count_known(path, method, status, elapsed);
    }

    /// Returns false if none such was counted before.
    fn count_known(&self, path: &str, method: &'static str, status: u16, elapsed: Duration) -> bool {
        let figures = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(of_path) = figures.get(path) else { return false };
        let known = of_path.requests.iter().find(|(labels, _)| *labels == (method, status));
        let Some((_, requests)) = known else { return false };
        requests.increment(1);
        of_path.seconds.record(elapsed);
        true
    }
}
