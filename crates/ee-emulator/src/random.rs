//! Random strings: tokens, codes and key ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::{OsRng, RngCore};

/// Returns `bytes` random bytes in base64url without padding.
pub(crate) fn url_safe(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(raw(bytes))
}

/// Returns `bytes` random bytes as lowercase hexadecimal digits.
pub(crate) fn hex(bytes: usize) -> String {
    raw(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Returns a random number of `count` decimal digits without a leading zero.
pub(crate) fn digits(count: usize) -> String {
    raw(count)
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let digit = if index == 0 { 1 + byte % 9 } else { byte % 10 };
            char::from(b'0' + digit)
        })
        .collect()
}

fn raw(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    OsRng.fill_bytes(&mut buffer);
    buffer
}
