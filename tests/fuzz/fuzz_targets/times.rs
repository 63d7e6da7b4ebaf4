//! `Retry-After`, `Date`, and the times that replies tell: a wait is the one that was asked for,
//! and lives stay within bounds.
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
    let said = value.to_str().unwrap_or_default().trim().to_owned();
    headers.insert(RETRY_AFTER, value.clone());
    let wait = retry_after(&headers, now);
    headers.insert(DATE, value);
    match DateTime::parse_from_rfc2822(&said).map(|date| date.to_utc()) {
        // No server's clock shows another age; whether that is a wait does not matter.
        Ok(date) if !(2000..=9999).contains(&date.year()) => {}
        // As a wait it is what is left until then, and never less than nothing.
        Ok(date) => assert_eq!(wait, Some((date - now).to_std().unwrap_or_default())),
        Err(_) => assert_eq!(wait, said.parse().ok().map(Duration::from_secs)),
    }
    if let Some(date) = fuzzing::date(&headers) {
        assert!((2000..=9999).contains(&date.year()), "{date}");
        let written = DateTime::parse_from_rfc2822(&date.to_rfc2822());
        assert_eq!(written.map(|date| date.to_utc()), Ok(date));
        // By this time a service account signs, for an hour.
        assert!(date.checked_add_signed(TimeDelta::hours(1)).is_some());
    }

    let text = String::from_utf8_lossy(data);
    let url = Url::parse("https://iamcredentials.googleapis.com/x").expect("a URL");
    let reply = json!({"accessToken": "ya29.canary", "expireTime": text}).to_string();
    for headers in [&headers, &HeaderMap::new()] {
        let asked = Utc::now();
        if let Ok(token) = credentials::iam_token(reply.as_bytes(), headers, &url) {
            let life = token.expires_at().expect("an end") - asked;
            assert!(
                life >= TimeDelta::zero() && life <= TimeDelta::days(367),
                "{life}"
            );
        }
    }

    let refusal = json!({"error": {"details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text},
    ]}});
    let error = ApiError::from_reply(
        StatusCode::SERVICE_UNAVAILABLE,
        refusal.to_string().as_bytes(),
    );
    if let Some(delay) = error.retry_delay {
        assert!(text.ends_with('s') && delay < Duration::MAX);
    }
});
