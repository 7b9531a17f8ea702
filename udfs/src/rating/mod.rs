//! Rating: a metric against its benchmark.

mod rate_metric;

pub use rate_metric::RateMetric;
