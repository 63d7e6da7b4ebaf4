//! Errors of token endpoints and IAM Credentials, and their redaction.
#![no_main]

use ee_credentials::fuzzing as credentials;
use ee_token::{AccessToken, fuzzing, redact};
use fuzz::{check_error, is_json};
use http::StatusCode;
use url::Url;

const SECRET: &str = "canary-refresh-token";
const OTHER: &str = "canary-refresh";
const IAM: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/robot@p-1234.iam.gserviceaccount.com:generateAccessToken";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let token = AccessToken::new(SECRET).expect("a token");
    let iam = Url::parse(IAM).expect("a URL");
    for status in [400, 401, 403, 404, 429, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        let by_token_endpoint = fuzzing::token_error(status, data, &[OTHER, SECRET]);
        let by_iam = credentials::iam_error(status, data, &iam, &token);
        for error in [by_token_endpoint, by_iam] {
            check_error(&error, error.remedy());
            assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
            assert_eq!(
                error.is_transient(),
                error.is_transient() && !error.kind().is_rejection()
            );
        }
    }
    if fuzzing::is_already_revoked(data) {
        let text = String::from_utf8_lossy(data);
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(parsed) => assert_eq!(parsed["error"], "invalid_token"),
            Err(_) => assert!(is_json(&text), "{text}"),
        }
    }
    let text = String::from_utf8_lossy(data);
    let clean = redact(&text, &[OTHER, SECRET]);
    assert!(!clean.contains(OTHER) && !clean.contains(SECRET), "{clean}");
    assert_eq!(redact(&clean, &[OTHER, SECRET]), clean);
});
