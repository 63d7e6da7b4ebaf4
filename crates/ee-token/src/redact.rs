//! Takes secrets out of sentences that somebody else wrote.

use std::borrow::Cow;

const REDACTED: &str = "[redacted]";

/// Removes these secrets, and whatever looks like a Google token, refresh token, key or JWT,
/// from a text: servers echo what they were sent.
///
/// ```
/// use ee_token::redact;
///
/// assert_eq!(redact("bad token ya29.A0ARrd-x_y!", &[]), "bad token [redacted]!");
/// assert_eq!(redact("code 4/xyz is used up", &["4/xyz"]), "code [redacted] is used up");
/// ```
pub fn redact<'a>(text: &'a str, secrets: &[&str]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for secret in secrets {
        // A secret this short would redact half of the sentence, and guards nothing.
        if secret.len() >= 4 && text.contains(secret) {
            text = Cow::Owned(text.replace(secret, REDACTED));
        }
    }
    for prefix in ["ya29.", "1//", "eyJ", "AIza", "GOCSPX-"] {
        if text.contains(prefix) {
            text = Cow::Owned(redact_words(&text, prefix));
        }
    }
    text
}

/// Replaces every word that begins with `prefix` and goes on for a while.
fn redact_words(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, from) = rest.split_at(at);
        let starts_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
        let end = from
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_./+=~".contains(c)))
            .unwrap_or(from.len());
        out.push_str(before);
        if starts_word && end > prefix.len() + 3 {
            out.push_str(REDACTED);
        } else {
            out.push_str(&from[..end]);
        }
        rest = &from[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_looks_like_a_secret_goes_and_prose_stays() {
        for (text, clean) in [
            (
                "eyJhbGciOi.eyJpc3Mi.c2ln is expired",
                "[redacted] is expired",
            ),
            ("token=1//0gabc-DEF, sorry", "token=[redacted], sorry"),
            ("http://example.com/1//x", "http://example.com/1//x"),
            ("eyJ", "eyJ"),
            ("ya29.aaaa ya29.bbbb", "[redacted] [redacted]"),
            ("Nothing to hide: ÄÖÜ", "Nothing to hide: ÄÖÜ"),
        ] {
            assert_eq!(redact(text, &[]), clean);
        }
    }
}
