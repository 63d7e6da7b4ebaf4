//! The retry policy and the delays between attempts.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use ring::rand::{SecureRandom, SystemRandom};

/// When transient failures are retried.
///
/// Delays are drawn at random between 0 and a bound that starts at
/// [`initial_backoff`](Self::initial_backoff) and doubles up to [`max_backoff`](Self::max_backoff)
/// ("full jitter"), so that clients that failed at the same time do not retry at the same time.
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
    /// The maximum number of retries of a request.
    pub max_retries: u32,
    /// The bound of the first delay.
    pub initial_backoff: Duration,
    /// The upper bound of all delays, except those that the server asks for (`Retry-After`).
    pub max_backoff: Duration,
    /// The time after the first attempt at which retrying stops.
    pub max_elapsed: Duration,
}

impl RetryPolicy {
    /// Returns the policy of token requests, which callers wait for: 2 retries within 30 seconds.
    pub fn for_token_requests() -> Self {
        Self {
            max_retries: 2,
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(5),
            max_elapsed: Duration::from_secs(30),
        }
    }

    /// Returns a policy without retries.
    pub fn none() -> Self {
        Self {
            max_retries: 0,
            ..Self::default()
        }
    }

    /// Returns a random delay before retry number `retry`, counted from 0.
    pub fn backoff(&self, retry: u32) -> Duration {
        let bound = self
            .initial_backoff
            .saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX))
            .min(self.max_backoff);
        bound.mul_f64(random_fraction())
    }
}

impl Default for RetryPolicy {
    /// Returns the policy of API requests: 5 retries, with delays from 1 second doubling to 120
    /// seconds, within 10 minutes.
    fn default() -> Self {
        Self {
            max_retries: 5,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(120),
            max_elapsed: Duration::from_secs(600),
        }
    }
}

/// Returns a number in [0, 1). Returns 0.5 if the system has no random numbers, since jitter need
/// not be secret.
pub(crate) fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// Returns the delay that a `Retry-After` header asks for in seconds or as a date (RFC 9110
/// §10.2.3). A date is compared with the server's clock, which is read from the header `Date` and
/// defaults to `now`.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let now = http_date(headers).unwrap_or(now);
    Some((parse_http_date(text)? - now).to_std().unwrap_or_default())
}

/// Returns the server's time from the header `Date` (RFC 9110 §6.6.1).
pub fn http_date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    parse_http_date(headers.get(DATE)?.to_str().ok()?)
}

/// Parses an HTTP date between the years 2000 and 9999; the format has four digits for a year.
fn parse_http_date(text: &str) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    (2000..=9999).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_stays_below_a_doubling_bound() {
        let policy = RetryPolicy::default();
        for (retry, bound) in [(0, 1), (1, 2), (6, 64), (7, 120), (40, 120)] {
            for _ in 0..50 {
                assert!(policy.backoff(retry) < Duration::from_secs(bound));
            }
        }
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_or_a_date() {
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
    fn retry_after_date_is_relative_to_the_servers_clock() {
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
    fn implausible_date_is_ignored() {
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
        fn retry_after_date_yields_the_delay_until_then(seconds in 0_i64..3_000_000_000) {
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
