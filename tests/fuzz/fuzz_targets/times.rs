//! `Retry-After`, `Date`, and times in responses. A backoff is the requested one, and lifetimes are
//! bounded.
#![no_main]

use std::time::Duration;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use ee_credentials::fuzzing as credentials;
use ee_rest::ApiError;
use ee_token::{fuzzing, retry_after};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use url::Url;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(data.trim_ascii()) else {
        return;
    };
    let now: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let mut headers = HeaderMap::new();
    let text_value = value.to_str().unwrap_or_default().trim().to_owned();
    headers.insert(RETRY_AFTER, value.clone());
    let wait = retry_after(&headers, now);
    headers.insert(DATE, value);
    if let Some(date) = fuzzing::http_date(&headers) {
        // As a backoff, it is the time until then, and never negative.
        assert_eq!(wait, Some((date - now).to_std().unwrap_or_default()));
        // By the clock of the server it has ended.
        assert_eq!(retry_after(&headers, now), Some(Duration::ZERO));
        // The format has four digits for a year.
        assert!((2000..=9999).contains(&date.year()), "{date}");
        let written = DateTime::parse_from_rfc2822(&date.to_rfc2822());
        assert_eq!(written.map(|date| date.to_utc()), Ok(date));
        // A service account signs for an hour from this time.
        assert!(date.checked_add_signed(TimeDelta::hours(1)).is_some());
    } else if let Some(wait) = wait {
        let seconds: u64 = text_value
            .parse()
            .expect("a value that is no date is a number");
        assert_eq!(wait, Duration::from_secs(seconds));
    }

    let text = String::from_utf8_lossy(data);
    let url = Url::parse("https://iamcredentials.googleapis.com/x").expect("a URL");
    let body = json!({"accessToken": "ya29.canary", "expireTime": text}).to_string();
    for headers in [&headers, &HeaderMap::new()] {
        let sent_at = Utc::now();
        if let Ok(token) = credentials::iam_token(body.as_bytes(), headers, &url) {
            let lifetime = token.expires_at().expect("an end") - sent_at;
            assert!(
                lifetime >= TimeDelta::zero() && lifetime <= TimeDelta::days(367),
                "{lifetime}"
            );
        }
    }

    let refusal = json!({"error": {"details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text},
    ]}});
    let error = ApiError::from_response(
        StatusCode::SERVICE_UNAVAILABLE,
        refusal.to_string().as_bytes(),
    );
    if let Some(delay) = error.retry_delay {
        assert!(text.ends_with('s') && delay < Duration::MAX);
    }
});
