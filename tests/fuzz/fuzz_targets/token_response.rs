//! Successful responses of token endpoints and tokeninfo.
#![no_main]

use chrono::{DateTime, TimeDelta};
use ee_token::fuzzing;
use fuzz::{check_error, check_scopes, check_secrets};

const SECRETS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let asked_at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let text = String::from_utf8_lossy(data);
    match fuzzing::token_response(data, asked_at) {
        Ok(parsed) => {
            check_secrets(&text, &SECRETS, &format!("{parsed:?}"));
            let token = &parsed.access_token;
            assert_eq!(
                token.header().as_bytes(),
                ["Bearer ", token.secret()].concat().as_bytes()
            );
            assert!(token.header().is_sensitive() && !token.secret().is_empty());
            if let Some(end) = token.expires_at() {
                assert!(end >= asked_at && end - asked_at <= TimeDelta::days(366));
            }
            token.scopes().into_iter().for_each(check_scopes);
        }
        Err(error) => {
            check_error(&error, error.remedy());
            check_secrets(&text, &SECRETS, &format!("{error:?}"));
        }
    }
    match fuzzing::token_info_response(data) {
        Ok(info) => check_scopes(&info.scopes),
        Err(error) => check_error(&error, error.remedy()),
    }
});
