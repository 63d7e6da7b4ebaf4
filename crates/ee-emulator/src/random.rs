//! Unguessable strings: tokens, codes, key identifiers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::{OsRng, RngCore};

/// `bytes` random bytes in the URL-safe alphabet, without padding.
pub(crate) fn url_safe(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(raw(bytes))
}

/// `bytes` random bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: usize) -> String {
    raw(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A number of `count` decimal digits that does not begin with 0.
pub(crate) fn digits(count: usize) -> String {
    raw(count)
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let digit = if place == 0 { 1 + byte % 9 } else { byte % 10 };
            char::from(b'0' + digit)
        })
        .collect()
}

fn raw(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    OsRng.fill_bytes(&mut buffer);
    buffer
}
