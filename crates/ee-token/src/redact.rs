//! Takes secrets out of sentences that somebody else wrote.

use std::borrow::Cow;
use std::collections::HashSet;

use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

const REDACTED: &str = "[redacted]";
/// A piece of a secret this long betrays too much of it: what is cut short, or written in the
/// way of a form or of JSON, still has such pieces.
const PIECE: usize = 12;
/// How secrets of Google's begin, as they are and in a form.
const BEGINNINGS: [&str; 9] = [
    "ya29.", "1//", "1%2F%2F", "1%2f%2f", "4/0A", "4%2F0A", "eyJ", "AIza", "GOCSPX-",
];

/// Removes these secrets, and whatever looks like a Google token, refresh token, key or JWT,
/// from a text: servers echo what they were sent, whole or in part, as it was or as it stood in
/// the request.
///
/// ```
/// use ee_token::redact;
///
/// assert_eq!(redact("bad token ya29.A0ARrd-x_y!", &[]), "bad token [redacted]!");
/// assert_eq!(redact("code 4/xyz is used up", &["4/xyz"]), "code [redacted] is used up");
/// ```
pub fn redact<'a>(text: &'a str, secrets: &[&str]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    // The longest first: of a secret that begins like another, no rest stays.
    let mut secrets = secrets.to_vec();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in &secrets {
        // A secret this short would redact half of the sentence, and guards nothing.
        if secret.len() >= 4 && text.contains(*secret) {
            text = instead_of(text, |text| redact_whole(text, secret));
        }
    }
    if let Some(clean) = redact_pieces(&text, &secrets) {
        text = instead_of(text, |_| clean);
    }
    for beginning in BEGINNINGS {
        if text.contains(beginning) {
            text = instead_of(text, |text| redact_words(text, beginning));
        }
    }
    text
}

/// A cleaner text; the one before is overwritten if it is ours.
fn instead_of<'a>(text: Cow<'a, str>, clean: impl FnOnce(&str) -> String) -> Cow<'a, str> {
    let cleaner = Cow::Owned(clean(&text));
    if let Cow::Owned(text) = text {
        drop(Zeroizing::new(text));
    }
    cleaner
}

fn redact_whole(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(room(text));
    for (number, piece) in text.split(secret).enumerate() {
        if number > 0 {
            out.push_str(REDACTED);
        }
        out.push_str(piece);
    }
    out
}

/// For a text whose words were redacted, the shortest of which have four characters: growing would
/// leave copies behind.
fn room(text: &str) -> usize {
    text.len() / 4 * REDACTED.len() + REDACTED.len()
}

/// Replaces every word that has a piece of a secret in it.
fn redact_pieces(text: &str, secrets: &[&str]) -> Option<String> {
    let encoded = secrets.iter().map(|secret| {
        // Room for all of it, were every byte to become three: growing would leave copies behind.
        let mut encoded = Zeroizing::new(String::with_capacity(3 * secret.len()));
        encoded.extend(byte_serialize(secret.as_bytes()));
        encoded
    });
    let encoded: Vec<_> = encoded.collect();
    let all = secrets
        .iter()
        .copied()
        .chain(encoded.iter().map(|s| s.as_str()));
    let pieces: HashSet<&[u8]> = all.flat_map(|s| s.as_bytes().windows(PIECE)).collect();
    let betrays = |word: &str| {
        let mut windows = word.as_bytes().windows(PIECE);
        windows.any(|piece| pieces.contains(piece))
    };
    let words = || text.split_inclusive(|c: char| !is_of_word(c));
    if pieces.is_empty() || !words().any(betrays) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for word in words() {
        if betrays(word) {
            out.push_str(REDACTED);
            // What ended the word is none of it.
            out.extend(word.chars().next_back().filter(|c| !is_of_word(*c)));
        } else {
            out.push_str(word);
        }
    }
    Some(out)
}

/// The characters of tokens, plain or encoded for a form or in JSON.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./+~%\\".contains(c)
}

/// Replaces every word that begins with `prefix` and goes on for a while.
fn redact_words(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(room(text));
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, from) = rest.split_at(at);
        let starts_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
        let end = from
            .find(|c: char| !is_of_word(c) && c != '=')
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

/// The longest sentence of a server's that a message quotes, in characters.
const LONGEST: usize = 1000;

/// The text without secrets, and without characters that could play tricks on a terminal or
/// a log. Line ends and tabs stay.
pub fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text = Zeroizing::new(text.to_owned());
    // Before redacting, so that a secret cannot hide behind a character that goes away.
    text.retain(|c| !steers_terminal(c) || matches!(c, '\n' | '\t'));
    redact(&text, secrets).into_owned()
}

/// What somebody else said, as a message may quote it: cleaned, and not without end.
pub fn said(text: &str, secrets: &[&str]) -> String {
    let mut text = clean(text, secrets);
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Whether a character could play tricks on a terminal or on whoever reads it: control
/// characters (line ends and tabs among them), those that are invisible, and those that turn the
/// direction of writing. Whatever others wrote is printed without them.
pub fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' // soft hyphen
                | '\u{34f}' // combining grapheme joiner
                | '\u{61c}' // Arabic letter mark
                | '\u{115f}'..='\u{1160}' // Hangul fillers
                | '\u{17b4}'..='\u{17b5}' // Khmer inherent vowels
                | '\u{180b}'..='\u{180f}' // Mongolian variation and vowel separators
                | '\u{200b}'..='\u{200f}' // zero width, marks of direction
                | '\u{2028}'..='\u{202e}' // line and paragraph separators, embeddings, overrides
                | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
                | '\u{3164}' // Hangul filler
                | '\u{fe00}'..='\u{fe0f}' // variation selectors
                | '\u{feff}' // byte order mark
                | '\u{ffa0}' // Hangul filler of half the width
                | '\u{fff9}'..='\u{fffb}' // interlinear annotation
                | '\u{e0000}'..='\u{e007f}' // tags
                | '\u{e0100}'..='\u{e01ef}' // more variation selectors
        )
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
            ("token=1%2F%2F0gabc&x=y", "token=[redacted]&x=y"),
            ("code: 4/0AbcDef.", "code: [redacted]"),
        ] {
            assert_eq!(redact(text, &[]), clean);
        }
    }

    #[test]
    fn a_secret_in_part_or_as_a_form_or_json_has_it_goes_too() {
        let secret = "K7dXq/2mVbT4sLw9+ZcR1yHn3Pg";
        for (text, clean) in [
            ("ends in …s4mVbT", "ends in …s4mVbT"),
            (
                "it ends in …T4sLw9+ZcR1yHn3Pg, no",
                "it ends in …[redacted], no",
            ),
            ("begins with K7dXq/2mVbT4s...", "begins with [redacted]"),
            ("a=K7dXq%2F2mVbT4sLw9%2BZcR1yHn3Pg&b=c", "a=[redacted]&b=c"),
            (
                r#"{"a":"K7dXq\/2mVbT4sLw9+ZcR1yHn3Pg"}"#,
                r#"{"a":"[redacted]"}"#,
            ),
            ("Ä K7dXq/2mVbT4sLw9 Ö", "Ä [redacted] Ö"),
        ] {
            assert_eq!(redact(text, &[secret]), clean);
        }
    }

    #[test]
    fn of_a_secret_that_begins_like_another_nothing_stays() {
        let secrets = ["1//abcd", "1//abcdefgh"];
        assert_eq!(redact("<1//abcdefgh>", &secrets), "<[redacted]>");
    }

    #[test]
    fn what_a_server_says_plays_no_tricks_on_a_terminal_and_has_an_end() {
        let text = format!("\u{1b}[2Jsec\u{200b}ret {}", "ä".repeat(5000));
        let said = said(&text, &["secret"]);
        assert!(said.starts_with("[2J[redacted] ä"), "{said}");
        assert_eq!(said.chars().count(), LONGEST + 1);
    }

    #[test]
    fn what_steers_a_terminal_or_cannot_be_seen_is_told_from_writing() {
        let steers = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}\
            \u{34f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{fe00}\u{fe0f}\u{ffa0}\u{e0100}\u{e01ef}";
        assert!(steers.chars().all(steers_terminal));
        let writing = "plain ÄÖÜ 漢字 हिन्दी عربي עברית 😀 – „“ €";
        assert!(!writing.chars().any(steers_terminal));
    }

    proptest::proptest! {
        #[test]
        fn a_secret_is_gone_however_often_and_wherever_it_stood(
            pieces in proptest::collection::vec(".{0,12}", 1..5),
            secret in "[A-Za-z0-9_/.-]{8,40}",
            unseen in "[\u{ad}\u{34f}\u{115f}\u{17b4}\u{200b}\u{2060}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{e0041}\u{e0100}]",
        ) {
            let text = pieces.join(&secret);
            assert!(!redact(&text, &[&secret]).contains(&secret));
            assert!(!redact(&text, &[&secret[..5], &secret]).contains(&secret[5..]));
            // However it was made unlike itself by what nobody sees.
            let hidden = pieces.join(&secret.replace('a', &format!("a{unseen}")));
            assert!(!said(&hidden, &[&secret]).contains(&secret));
        }
    }
}
