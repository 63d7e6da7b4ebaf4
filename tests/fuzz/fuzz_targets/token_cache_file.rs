//! Files of the disk cache. None can be forged, and a token survives a round trip.
#![no_main]

use ee_credentials::fuzzing::{open_token, seal_token, unsealed_token};
use fuzz::check_secrets;

const KEY: [u8; 32] = [7; 32];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert!(open_token(&KEY, data).is_none());
    let Some(token) = unsealed_token(data) else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    check_secrets(&text, &["access_token"], &format!("{token:?}"));
    let sealed = seal_token(&KEY, &token).expect("it has an expiry");
    let opened = open_token(&KEY, &sealed).expect("it was sealed with this key");
    assert!(opened.secret_eq(&token));
    assert_eq!(opened.expires_at(), token.expires_at());
    assert_eq!(opened.scopes(), token.scopes());
    assert!(open_token(&[8; 32], &sealed).is_none());
});
