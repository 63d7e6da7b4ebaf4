//! Quotations of untrusted text in messages.

use ee_token::{is_unsafe_for_display, sanitize};

/// The beginning of a text that a message quotes, without what steers a terminal.
pub(crate) fn clipped(text: &str) -> String {
    // Before it is cut: the beginning of a secret could not be told for one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_clipped_as_a_whole() {
        let text = format!("{} ya29.canary", "x".repeat(50));
        assert!(!clipped(&text).contains("ya"), "{}", clipped(&text));
        let hidden = "ya\u{200b}29.canary-of-a-token";
        assert!(!clipped(hidden).contains("canary"));
    }
}
