//! Responses of metadata servers: tokens, accounts, scopes, projects.
#![no_main]

use chrono::{DateTime, TimeDelta};
use ee_credentials::fuzzing;
use fuzz::{check_scopes, check_shown, is_trick};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let asked_at = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    match fuzzing::metadata_token(data, asked_at) {
        Ok(token) => {
            let end = token.expires_at().expect("an end");
            assert!(end >= asked_at && end - asked_at <= TimeDelta::seconds(1_000_000_000));
            assert!(!token.secret().is_empty() && !token.secret().contains(['\r', '\n', ' ']));
        }
        Err(why) => check_shown(why),
    }
    if let Some((email, scopes)) = fuzzing::metadata_account(data) {
        if let Some(email) = email {
            check_line(&email);
        }
        check_scopes(&scopes);
    }
    if let Some(line) = fuzzing::metadata_line(data) {
        check_line(&line);
        assert_eq!(fuzzing::metadata_line(line.as_bytes()), Some(line));
    }
    let scopes = fuzzing::metadata_scopes(data);
    assert_eq!(
        fuzzing::metadata_scopes(scopes.to_string().as_bytes()),
        scopes
    );
    check_scopes(&scopes);
});

/// The text is printed, and part of URLs.
fn check_line(line: &str) {
    assert!(!line.is_empty() && line.len() < 400 && line.trim() == line);
    assert!(
        !line.contains(is_trick) && !line.contains(char::is_control),
        "{line:?}"
    );
}
