//! Clients of buckets: `s3://`, `gs://` and `az://`, with time limits.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

/// The time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time of one request, from its connection to the last byte of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No request is sent again later than this. So a bucket that never answers is an error after `REQUEST_TIMEOUT`, and one
/// that refuses connections after about this time.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens the client of a bucket. Credentials and everything else come from the provider's own environment variables.
pub fn open(url: &Url) -> object_store::Result<Arc<dyn ObjectStore>> {
    /// The three builders have the same methods, and no trait.
    macro_rules! client {
        ($builder:ty) => {{
            let builder = <$builder>::new()
                .with_url(url.to_string())
                .with_client_options(client_options())
                .with_retry(retries());
            let builder = provider_variables().fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Ok(Arc::new(builder.build()?))
        }};
    }
    match url.scheme() {
        "gs" => client!(GoogleCloudStorageBuilder),
        "az" | "abfs" | "abfss" => client!(MicrosoftAzureBuilder),
        _ => client!(AmazonS3Builder),
    }
}

fn client_options() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() },
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

/// Reads the providers' own variables (`AWS_*`, `GOOGLE_*`, `AZURE_*`). object_store knows their names.
#[expect(
    clippy::disallowed_methods,
    reason = "the providers' variables are object_store's to read, not ours"
)]
fn provider_variables() -> impl Iterator<Item = (String, String)> {
    const PROVIDERS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    std::env::vars()
        .filter(|(name, _)| PROVIDERS.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
}
