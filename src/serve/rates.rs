//! How much a key may ask and send in a second, and how often an address may show a wrong key.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::connections::Address;
use super::options::Limits;

/// Callers that are remembered before those are forgotten that have asked nothing lately.
const REMEMBERED: usize = 10_000;
/// Requests between two looks at their number.
const FORGET_EVERY: u32 = 1_024;
/// Wrong keys of one address in a second, after the first hundred.
const WRONG_KEYS: NonZeroU32 = NonZeroU32::new(10).unwrap();
const FIRST_WRONG_KEYS: NonZeroU32 = NonZeroU32::new(100).unwrap();

#[derive(Debug)]
pub struct Rates {
    requests: DefaultKeyedRateLimiter<String>,
    bytes: DefaultKeyedRateLimiter<String>,
    most_bytes: NonZeroU32,
    wrong_keys: DefaultKeyedRateLimiter<Address>,
    most_requests: NonZeroU32,
}

/// Somebody has asked too often.
#[derive(Debug, Clone, Copy)]
pub struct TooFast {
    /// The time after which the next is taken.
    pub wait: Duration,
    /// What is taken in a second.
    pub most: u32,
}

impl Rates {
    pub fn new(limits: &Limits) -> Self {
        let (requests, bytes) =
            (at_least_one(limits.requests_per_second), at_least_one(limits.bytes_per_second));
        Self {
            requests: RateLimiter::keyed(Quota::per_second(requests)),
            bytes: RateLimiter::keyed(Quota::per_second(bytes)),
            most_bytes: bytes,
            wrong_keys: RateLimiter::keyed(Quota::per_second(WRONG_KEYS).allow_burst(FIRST_WRONG_KEYS)),
            most_requests: requests,
        }
    }

    /// Counts a request of a key, unless it is one too many.
    pub fn count_request(&self, key: &str) -> Result<(), TooFast> {
        check(&self.requests, &key.to_owned(), self.most_requests)
    }

    /// Counts a wrong key of an address, in the same way.
    pub fn count_wrong_key(&self, address: Address) -> Result<(), TooFast> {
        check(&self.wrong_keys, &address, WRONG_KEYS)
    }

    /// Waits until a key may send so many bytes more.
    pub async fn wait_for_bytes(&self, key: &str, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.most_bytes.get());
        if let Some(bytes) = NonZeroU32::new(bytes) {
            // More than fits at once is not asked for.
            let _ = self.bytes.until_key_n_ready(&key.to_owned(), bytes).await;
        }
    }
}

fn check<K: Hash + Eq + Clone>(
    limiter: &DefaultKeyedRateLimiter<K>,
    key: &K,
    most: NonZeroU32,
) -> Result<(), TooFast> {
    if is_time_to_forget() && limiter.len() > REMEMBERED {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|refused| {
        let wait = refused.wait_time_from(DefaultClock::default().now());
        TooFast { wait, most: most.get() }
    })
}

/// True once in a while: to count who is remembered takes longer than to ask for one of them.
fn is_time_to_forget() -> bool {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY)
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_not() {
        let rates = Rates::new(&Limits { requests_per_second: 1, ..Limits::default() });
        rates.count_request("a").unwrap();
        let TooFast { wait, most } = rates.count_request("a").unwrap_err();
        assert_eq!(most, 1);
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        rates.count_request("b").unwrap();
    }

    #[tokio::test]
    async fn bytes_beyond_the_rate_wait() {
        let rates = Rates::new(&Limits { bytes_per_second: 10_000, ..Limits::default() });
        rates.wait_for_bytes("a", 10_000).await;
        let more = tokio::time::timeout(Duration::from_millis(50), rates.wait_for_bytes("a", 10_000)).await;
        assert!(more.is_err(), "a second has to pass");
        rates.wait_for_bytes("b", 1 << 30).await;
    }
}
