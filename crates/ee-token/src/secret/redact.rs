//! Removes secrets from text that comes from servers, programs and users.

mod spans;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use self::spans::{base64_words, pem_blocks, redact_spans, secret_fields};

const REDACTED: &str = "[redacted]";
/// The length of a piece of a secret that is redacted, in bytes. A truncated or escaped secret
/// still contains such pieces.
const MIN_SECRET_PIECE: usize = 12;
/// Prefixes of Google's tokens, codes and keys, plain and form-encoded.
const TOKEN_PREFIXES: [&str; 9] = [
    "ya29.", "1//", "1%2F%2F", "1%2f%2f", "4/0A", "4%2F0A", "eyJ", "AIza", "GOCSPX-",
];

/// Replaces the given secrets, and everything that looks like a secret, with `[redacted]`.
///
/// Recognizes Google's access tokens, refresh tokens, API keys and JWTs, PEM blocks, base64 of
/// keys, and the secret fields of JSON objects and forms, whole or truncated. Servers echo
/// requests, and users enter secrets where a name or a path belongs.
///
/// ```
/// use ee_token::redact;
///
/// assert_eq!(redact("bad token ya29.A0ARrd-x_y!", &[]), "bad token [redacted]!");
/// assert_eq!(redact("code 4/xyz was used", &["4/xyz"]), "code [redacted] was used");
/// ```
pub fn redact<'a>(text: &'a str, secrets: &[&str]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    // The longest first, because a secret can be a prefix of another.
    let mut secrets = secrets.to_vec();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in &secrets {
        // Shorter secrets would match ordinary words.
        if secret.len() >= 4 && text.contains(*secret) {
            text = replace(text, |text| redact_whole(text, secret));
        }
    }
    if let Some(redacted) = redact_pieces(&text, &secrets) {
        text = replace(text, |_| redacted);
    }
    for find in [pem_blocks, secret_fields, base64_words] {
        let spans = find(&text);
        if !spans.is_empty() {
            text = replace(text, |text| redact_spans(text, &spans));
        }
    }
    for prefix in TOKEN_PREFIXES {
        if text.contains(prefix) {
            text = replace(text, |text| redact_words(text, prefix));
        }
    }
    text
}

/// Returns the redacted text, and overwrites the given one if it is owned.
fn replace<'a>(text: Cow<'a, str>, redact: impl FnOnce(&str) -> String) -> Cow<'a, str> {
    let redacted = Cow::Owned(redact(&text));
    if let Cow::Owned(text) = text {
        drop(Zeroizing::new(text));
    }
    redacted
}

fn redact_whole(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(max_redacted_len(text));
    for (number, piece) in text.split(secret).enumerate() {
        if number > 0 {
            out.push_str(REDACTED);
        }
        out.push_str(piece);
    }
    out
}

/// Returns the maximum length of a text after redaction, so that the output never reallocates: a
/// reallocation would leave a copy in memory. A redacted word has at least four characters.
fn max_redacted_len(text: &str) -> usize {
    text.len() / 4 * REDACTED.len() + REDACTED.len()
}

/// Replaces every word that contains a piece of a secret. Returns `None` if no word does.
fn redact_pieces(text: &str, secrets: &[&str]) -> Option<String> {
    let encoded = secrets.iter().map(|secret| {
        // Each byte becomes at most three. A reallocation would leave a copy in memory.
        let mut encoded = Zeroizing::new(String::with_capacity(3 * secret.len()));
        encoded.extend(byte_serialize(secret.as_bytes()));
        encoded
    });
    let encoded: Vec<_> = encoded.collect();
    let all = secrets
        .iter()
        .copied()
        .chain(encoded.iter().map(|s| s.as_str()));
    let pieces: HashSet<&[u8]> = all
        .flat_map(|s| s.as_bytes().windows(MIN_SECRET_PIECE))
        .collect();
    let contains_secret_piece = |word: &str| {
        let mut windows = word.as_bytes().windows(MIN_SECRET_PIECE);
        windows.any(|piece| pieces.contains(piece))
    };
    let words = || text.split_inclusive(|c: char| !is_token_char(c));
    if pieces.is_empty() || !words().any(contains_secret_piece) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for word in words() {
        if contains_secret_piece(word) {
            out.push_str(REDACTED);
            // The separator after the word stays.
            out.extend(word.chars().next_back().filter(|c| !is_token_char(*c)));
        } else {
            out.push_str(word);
        }
    }
    Some(out)
}

/// Returns whether tokens contain this character, plain, form-encoded or in JSON.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./+~%\\".contains(c)
}

/// Replaces every word that starts with `prefix` and has at least 4 more bytes.
fn redact_words(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(max_redacted_len(text));
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, from) = rest.split_at(at);
        let starts_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
        let end = from
            .find(|c: char| !is_token_char(c) && c != '=')
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
