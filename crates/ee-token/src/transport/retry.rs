//! When to try again, and how long to wait before.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use ring::rand::{SecureRandom, SystemRandom};

/// How often a request that failed for the moment is sent again.
///
/// Waits are drawn at random between nothing and a bound that starts at
/// [`initial_backoff`](Self::initial_backoff) and doubles up to [`max_backoff`](Self::max_backoff)
/// ("full jitter"), so that clients that failed together do not come back together.
///
/// ```
/// use ee_token::RetryPolicy;
///
/// let patient = RetryPolicy { max_retries: 10, ..RetryPolicy::default() };
/// assert_eq!(RetryPolicy::none().max_retries, 0);
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a request is sent again; 0 is never.
    pub max_retries: u32,
    /// The bound of the first wait.
    pub initial_backoff: Duration,
    /// No wait is longer than this, unless the server asks for it (`Retry-After`).
    pub max_backoff: Duration,
    /// After this long, counted from the first attempt, no further one is made.
    pub max_elapsed: Duration,
}

impl RetryPolicy {
    /// For token requests: somebody waits for each, so 2 retries within half a minute.
    pub fn for_token_requests() -> Self {
        Self {
            max_retries: 2,
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(5),
            max_elapsed: Duration::from_secs(30),
        }
    }

    /// Nothing is tried again.
    pub fn none() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }

    /// How long to wait before retry number `retry` (from 0).
    pub fn backoff(&self, retry: u32) -> Duration {
        let bound = self
            .initial_backoff
            .saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX))
            .min(self.max_backoff);
        bound.mul_f64(random_fraction())
    }
}

impl Default for RetryPolicy {
    /// For requests to the API: 5 retries, waits from 1 s doubling to 120 s, 10 minutes in all.
    fn default() -> Self {
        Self {
            max_retries: 5,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(120),
            max_elapsed: Duration::from_secs(600),
        }
    }
}

/// A number from 0 up to 1. Without the system's random numbers it is ½: jitter is no secret.
pub(crate) fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// The wait that a `Retry-After` header asks for (RFC 9110 §10.2.3): seconds or a date. A date
/// is by the server's clock: what time it is there is read from the reply's own `Date`, and is
/// `now` only where there is none.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let now = http_date(headers).unwrap_or(now);
    Some((parse_http_date(text)? - now).to_std().unwrap_or_default())
}

/// The server's time as a reply states it (RFC 9110 §6.6.1).
pub fn http_date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    parse_http_date(headers.get(DATE)?.to_str().ok()?)
}

/// A date of a server's, if it can be one at all: the format has four digits for a year.
fn parse_http_date(text: &str) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    (2000..=9999).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_under_a_bound_that_doubles() {
        let policy = RetryPolicy::default();
        for (retry, bound) in [(0, 1), (1, 2), (6, 64), (7, 120), (40, 120)] {
            for _ in 0..50 {
                assert!(policy.backoff(retry) < Duration::from_secs(bound));
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_junk_is_nothing() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, wait) in [
            ("7", Some(7)),
            ("Thu, 01 Jan 2026 00:01:00 GMT", Some(60)),
            ("Wed, 31 Dec 2025 00:00:00 GMT", Some(0)),
            ("soon", None),
            ("-3", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                wait.map(Duration::from_secs),
                "{text}"
            );
        }
    }

    #[test]
    fn a_date_in_retry_after_is_read_by_the_clock_of_the_server_that_wrote_it() {
        let a_day_slow = "2025-12-31T00:00:00Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, text) in [
            (RETRY_AFTER, "Thu, 01 Jan 2026 00:01:00 GMT"),
            (DATE, "Thu, 01 Jan 2026 00:00:00 GMT"),
        ] {
            headers.insert(name, text.parse().unwrap());
        }
        let wait = retry_after(&headers, a_day_slow);
        assert_eq!(wait, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_date_that_no_server_has_is_none() {
        for (text, is_date) in [
            ("Thu, 01 Jan 2026 00:00:00 GMT", true),
            ("Thu, 01 Jan 1970 00:00:00 GMT", false),
            ("31 Dec 262142 23:30:00 GMT", false),
            ("soon", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, text.parse().unwrap());
            assert_eq!(http_date(&headers).is_some(), is_date, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_date_in_retry_after_is_the_wait_until_then(seconds in 0_i64..3_000_000_000) {
            let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
            let at = now + chrono::TimeDelta::seconds(seconds);
            let mut headers = HeaderMap::new();
            let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            headers.insert(RETRY_AFTER, date.parse().unwrap());
            let wait = Duration::from_secs(seconds.unsigned_abs());
            assert_eq!(retry_after(&headers, now), Some(wait));
            assert_eq!(retry_after(&headers, at), Some(Duration::ZERO));
            headers.insert(RETRY_AFTER, seconds.into());
            assert_eq!(retry_after(&headers, now), Some(wait));
        }
    }
}
