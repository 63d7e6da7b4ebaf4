//! Text forms of untrusted input and of bytes.

use ee_token::internal::{is_unsafe_for_display, sanitize};

/// Returns the first 60 characters of a text, without control and invisible characters.
pub(crate) fn clipped(text: &str) -> String {
    // Before cutting: the beginning of a secret is not recognizable.
    let text = sanitize(text, &[]);
    let printable = |c: char| {
        if is_unsafe_for_display(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    let mut clipped: String = text.chars().take(60).map(printable).collect();
    if text.chars().nth(60).is_some() {
        clipped.push('…');
    }
    clipped
}

/// Returns the bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_redacted_before_clipping() {
        let text = format!("{} ya29.canary", "x".repeat(50));
        assert!(!clipped(&text).contains("ya"), "{}", clipped(&text));
        let hidden = "ya\u{200b}29.canary-of-a-token";
        assert!(!clipped(hidden).contains("canary"));
    }
}
