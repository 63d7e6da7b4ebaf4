//! Takes secrets out of sentences that somebody else wrote.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

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
/// The fields of JSON objects and forms whose values are secrets.
const SECRET_FIELDS: [&str; 7] = [
    "private_key",
    "client_secret",
    "refresh_token",
    "access_token",
    "id_token",
    "assertion",
    "code_verifier",
];
/// How base64 of a JSON object, a PEM block, a key in DER, and Google's tokens begins.
const BASE64_BEGINNINGS: [&str; 10] = [
    "eyJ",
    "eyA",
    "ewo",
    "ew0K",
    "LS0tLS1CRUdJTi",
    "MII",
    "MIG",
    "eWEyOS",
    "MS8v",
    "R09DU1BY",
];
/// Words of random base64 from this length on are redacted. Hashes in hexadecimal and the
/// challenges of login pages (43 characters) are not secret.
const MIN_BASE64: usize = 48;
/// The same, where the beginning tells what it stands for.
const MIN_KNOWN_BASE64: usize = 24;
/// The rest of a wrapped base64 text, after a line that was redacted.
const MIN_BASE64_REST: usize = 8;

/// Removes these secrets from a text, and everything that looks like one: Google's tokens, refresh
/// tokens, API keys and JWTs, PEM blocks, base64 of keys, and the secret fields of JSON objects
/// and forms, whole or cut off. Servers echo what they were sent, and people put secrets where
/// names and paths belong.
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
    for find in [pem_blocks, secret_fields, base64_words] {
        let spans = find(&text);
        if !spans.is_empty() {
            text = instead_of(text, |text| redact_spans(text, &spans));
        }
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

/// The start and the end of a secret in a text.
type Span = (usize, usize);

fn redact_spans(text: &str, spans: &[Span]) -> String {
    let mut out = String::with_capacity(text.len() + spans.len() * REDACTED.len());
    let mut rest = 0;
    for (start, end) in spans {
        out.push_str(text.get(rest..*start).unwrap_or_default());
        out.push_str(REDACTED);
        rest = *end;
    }
    out.push_str(text.get(rest..).unwrap_or_default());
    out
}

/// The bodies of PEM blocks, with line ends or with escapes in their place. The rest of the text if
/// a block is cut off; the last line before a label that ends a block.
fn pem_blocks(text: &str) -> Vec<Span> {
    const BEGIN: &str = "-----BEGIN";
    const END: &str = "-----END";
    const LONGEST_LABEL: usize = 60;
    let mut spans = Vec::new();
    let mut ends = text.match_indices(END).map(|(at, _)| at).peekable();
    let mut begins = text.match_indices(BEGIN).map(|(at, _)| at).peekable();
    loop {
        let begin = begins.peek().copied();
        if let Some(end) = ends.next_if(|end| begin.is_none_or(|begin| *end < begin)) {
            let lines = text[..end].trim_end_matches(|c: char| c.is_whitespace());
            let lines = lines.strip_suffix("\\n").unwrap_or(lines);
            let lines = lines.trim_end_matches('\\');
            let last = lines.trim_end_matches(is_of_base64).len();
            let previous = spans.last().map_or(0, |(_, end)| *end);
            if lines.len() - last >= MIN_BASE64_REST && last >= previous {
                spans.push((last, end));
            }
            continue;
        }
        let Some(begin) = begins.next() else {
            return spans;
        };
        let label = begin + BEGIN.len();
        let Some(length) = text[label..].find("-----") else {
            return spans;
        };
        if length > LONGEST_LABEL {
            continue;
        }
        let start = label + length + 5;
        while begins.next_if(|begin| *begin < start).is_some() {}
        while ends.next_if(|end| *end < start).is_some() {}
        let end = ends.peek().copied();
        let next = begins.peek().copied().unwrap_or(text.len());
        let is_key = match end.filter(|end| *end < next) {
            Some(end) => text[start..end]
                .split(|c| !is_of_base64(c))
                .any(|word| word.len() >= MIN_BASE64_REST),
            None => {
                let line = start + separators(text, start);
                let word = &text[line..line + leading(text, line, is_of_base64)];
                text[line..].starts_with("Proc-Type") || is_base64_line(word)
            }
        };
        if is_key {
            let end = ends.next_if(|end| *end < next);
            spans.push((start, end.unwrap_or(next)));
        }
    }
}

/// The values of secret fields: of JSON, of JSON in a JSON text, or of a form.
fn secret_fields(text: &str) -> Vec<Span> {
    let mut names: Vec<Span> = SECRET_FIELDS
        .iter()
        .flat_map(|name| text.match_indices(name))
        .map(|(at, name)| (at, at + name.len()))
        .collect();
    names.sort_unstable();
    let mut spans: Vec<Span> = Vec::new();
    for (start, end) in names {
        let is_whole = !text[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_in_value = spans.last().is_some_and(|(_, end)| start < *end);
        if is_whole && !is_in_value {
            spans.extend(field_value(text, end));
        }
    }
    spans
}

/// The value after a field's name, if there is one.
fn field_value(text: &str, name_end: usize) -> Option<Span> {
    /// Of prose after a colon, nothing is redacted.
    const MIN_UNQUOTED: usize = 16;
    let (_, after) = quote(text, name_end);
    let sign = after + leading(text, after, char::is_whitespace);
    let sign_char = text[sign..].chars().next()?;
    let is_form = match sign_char {
        '=' => true,
        ':' => false,
        _ => return None,
    };
    let value = sign + 1;
    let value = value + leading(text, value, char::is_whitespace);
    let (opening, start) = quote(text, value);
    let end = match opening {
        Some((mark, escapes)) => closing_quote(text, start, mark, escapes),
        None => {
            start
                + leading(text, start, |c| {
                    !c.is_whitespace() && !"&,;})\"'".contains(c)
                })
        }
    };
    let shortest = if opening.is_some() || is_form {
        4
    } else {
        MIN_UNQUOTED
    };
    let is_redacted = text[start..end].starts_with(REDACTED);
    (end - start >= shortest && !is_redacted).then_some((start, end))
}

/// A quotation mark at this place with the backslashes before it, and where it ends.
fn quote(text: &str, at: usize) -> (Option<(char, usize)>, usize) {
    let escapes = leading(text, at, |c| c == '\\');
    match text[at + escapes..].chars().next() {
        Some(mark @ ('"' | '\'')) => (Some((mark, escapes)), at + escapes + 1),
        _ => (None, at),
    }
}

/// Where a quoted text ends: at a mark with as many backslashes as the first, or with the text.
fn closing_quote(text: &str, start: usize, mark: char, escapes: usize) -> usize {
    text[start..]
        .match_indices(mark)
        .map(|(at, _)| {
            let before = &text[start..start + at];
            (
                start + at,
                before.len() - before.trim_end_matches('\\').len(),
            )
        })
        .find(|(_, backslashes)| *backslashes == escapes)
        .map_or(text.len(), |(at, backslashes)| at - backslashes)
}

/// The length of the beginning that consists of such characters.
fn leading(text: &str, at: usize, is: impl Fn(char) -> bool) -> usize {
    let rest = &text[at..];
    rest.find(|c| !is(c)).unwrap_or(rest.len())
}

/// The words of random base64, each with the lines that follow it.
fn base64_words(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    loop {
        at += leading(text, at, |c| !is_of_base64(c));
        // The letter of an escape such as `\n` is not part of the word.
        if text[..at].ends_with('\\') && text[at..].starts_with(['n', 'r', 't']) {
            at += 1;
            continue;
        }
        let length = leading(text, at, is_of_base64);
        if length == 0 {
            return spans;
        }
        let end = at + length;
        let word = &text[at..end];
        let is_known = || {
            BASE64_BEGINNINGS
                .iter()
                .any(|start| word.starts_with(start))
        };
        if length >= MIN_BASE64 && is_random(word) || length >= MIN_KNOWN_BASE64 && is_known() {
            let start = at;
            at = base64_end(text, end);
            spans.push((start, at));
        } else {
            at = end;
        }
    }
}

/// Where the lines of a wrapped base64 text end.
fn base64_end(text: &str, from: usize) -> usize {
    let mut end = from;
    loop {
        let next = end + separators(text, end);
        let length = leading(text, next, is_of_base64);
        if next == end || !is_base64_line(&text[next..next + length]) {
            return end;
        }
        end = next + length;
    }
}

/// The length of the line ends and blanks at this place, or of the escapes that stand for them.
fn separators(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let start = at;
        at += leading(text, at, char::is_whitespace);
        at += leading(text, at, |c| c == '\\');
        if at > start && text[..at].ends_with('\\') && text[at..].starts_with(['n', 'r', 't']) {
            at += 1;
        }
        for encoded in ["%0A", "%0D", "%0a", "%0d"] {
            if text[at..].starts_with(encoded) {
                at += encoded.len();
            }
        }
        if at == start {
            return at - from;
        }
    }
}

/// Whether this can be a line of base64, and is not a word of prose.
fn is_base64_line(word: &str) -> bool {
    let mut rest = word.chars().skip(1);
    word.len() >= MIN_BASE64_REST && rest.any(|c| !c.is_ascii_lowercase())
}

fn is_of_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=".contains(c)
}

/// Whether a word is random rather than written by a person: it has letters of both cases and
/// digits, and changes between them all the time. Paths and names change at their words.
fn is_random(word: &str) -> bool {
    let class = |b: &u8| match b {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let classes: Vec<u8> = word.bytes().map(|b| class(&b)).collect();
    let has = |class| classes.contains(&class);
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    has(0) && has(1) && has(2) && changes * 20 >= classes.len() * 9
}

/// A path as messages show it: without secrets, and with a replacement character (U+FFFD) for each
/// character that steers a terminal or cannot be seen.
///
/// ```
/// use std::path::Path;
/// use ee_token::display_path;
///
/// assert_eq!(display_path(Path::new("/home/jane/key.json")), "/home/jane/key.json");
/// assert_eq!(display_path(Path::new("/tmp/a\u{1b}[2Jb")), "/tmp/a\u{fffd}[2Jb");
/// assert_eq!(display_path(Path::new("GOCSPX-abcdef")), "[redacted]");
/// ```
pub fn display_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let visible: String = text
        .chars()
        .filter(|c| !is_unsafe_for_display(*c))
        .collect();
    let visible = Zeroizing::new(visible);
    let redacted = redact(&visible, &[]);
    if *redacted != **visible {
        return redacted.into_owned();
    }
    let shown = |c| {
        if is_unsafe_for_display(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// The longest sentence of a server's that a message quotes, in characters.
const LONGEST: usize = 1000;

/// The text without secrets, and without characters that could play tricks on a terminal or
/// a log. Line ends and tabs stay.
pub fn sanitize(text: &str, secrets: &[&str]) -> String {
    let mut text = Zeroizing::new(text.to_owned());
    // Before redacting, so that a secret cannot hide behind a character that goes away.
    text.retain(|c| !is_unsafe_for_display(c) || matches!(c, '\n' | '\t'));
    redact(&text, secrets).into_owned()
}

/// What somebody else said, as a message may quote it: cleaned, and not without end.
pub fn sanitize_message(text: &str, secrets: &[&str]) -> String {
    let mut text = sanitize(text, secrets);
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Whether a character could play tricks on a terminal or on whoever reads it: control
/// characters (line ends and tabs among them), those that are invisible, and those that turn the
/// direction of writing. Whatever others wrote is printed without them.
pub fn is_unsafe_for_display(c: char) -> bool {
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
            ("at MS8vMGdiYWFhYWFhYWFhYWFhYWFh!", "at [redacted]!"),
            (
                "at ewogICJ0eXBlIjogImF1dGhvcml6\\nZWRfdXNl!",
                "at [redacted]!",
            ),
        ] {
            assert_eq!(redact(text, &[]), clean);
        }
    }

    /// Base64 of random bytes, as keys are.
    fn random_base64(bytes: usize) -> String {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        let random: Vec<u8> = (0..bytes).map(|_| next()).collect();
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, random)
    }

    fn wrapped(text: &str, width: usize, end: &str) -> String {
        let lines: Vec<_> = text.as_bytes().chunks(width).collect();
        let lines = lines.iter().map(|line| std::str::from_utf8(line).unwrap());
        lines.collect::<Vec<_>>().join(end)
    }

    #[test]
    fn keys_are_redacted_in_every_encoding_whole_and_cut_off() {
        for bytes in [32, 121, 1200] {
            let key = random_base64(bytes);
            for end in ["\n", "\r\n", "\\n", "\\\\n", " ", "\\r\\n"] {
                let body = wrapped(&key, 64, end);
                let begin = "-----BEGIN PRIVATE KEY-----";
                let pem = format!("{begin}{end}{body}{end}-----END PRIVATE KEY-----{end}");
                let compact = serde_json::json!({"type": "service_account", "private_key": pem});
                let pretty = serde_json::to_string_pretty(&compact).unwrap();
                let compact = compact.to_string();
                let nested = serde_json::json!(compact).to_string();
                let form = byte_serialize(pem.as_bytes()).collect::<String>();
                let encoded =
                    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &compact);
                for whole in [
                    pem.clone(),
                    compact,
                    pretty,
                    nested,
                    format!("private_key={form}&x=y"),
                    form,
                    wrapped(&encoded, 76, end),
                    encoded.clone(),
                ] {
                    let cuts = [0, 1, whole.len() / 3, whole.len() / 2];
                    for (start, cut) in cuts.iter().flat_map(|a| cuts.iter().map(move |b| (a, b))) {
                        let part = &whole[*start..whole.len() - cut];
                        let text = format!("cannot open {part}: no such file");
                        let shown = redact(&text, &[]);
                        // The labels around the key are not secret.
                        let of_key = encoded.get(100..encoded.len() - 120).unwrap_or_default();
                        let pieces = [key.as_bytes(), of_key.as_bytes()];
                        let mut pieces = pieces.iter().flat_map(|p| p.windows(MIN_BASE64));
                        let leaked =
                            pieces.find(|p| shown.contains(std::str::from_utf8(p).unwrap()));
                        assert_eq!(leaked, None, "{text:?} as {shown:?}");
                    }
                    let text = format!("cannot open {whole}");
                    let shown = redact(&text, &[]);
                    let mut pieces = key.as_bytes().windows(16);
                    let leaked = pieces.find(|p| shown.contains(std::str::from_utf8(p).unwrap()));
                    assert_eq!(leaked, None, "{text:?} as {shown:?}");
                    assert!(shown.starts_with("cannot open "), "{shown}");
                }
            }
        }
    }

    #[test]
    fn secret_fields_are_redacted_and_names_of_fields_stay() {
        for (text, clean) in [
            (
                r#"{"client_secret": "d-FL95Q19", "type": "x"}"#,
                r#"{"client_secret": "[redacted]", "type": "x"}"#,
            ),
            (
                r#""{\"refresh_token\":\"a\\\"bcd\",\"x\":1}""#,
                r#""{\"refresh_token\":\"[redacted]\",\"x\":1}""#,
            ),
            ("{'refresh_token': 'abcd", "{'refresh_token': '[redacted]"),
            (
                "{type: authorized_user, client_secret: d-FL95Q19q7MQmFpd7hHD0Ty}",
                "{type: authorized_user, client_secret: [redacted]}",
            ),
            (
                "client_secret=abcd&refresh_token=efgh&x=y",
                "client_secret=[redacted]&refresh_token=[redacted]&x=y",
            ),
            (
                "grant_type=refresh_token&x=y",
                "grant_type=refresh_token&x=y",
            ),
            (
                "the field `refresh_token` is missing",
                "the field `refresh_token` is missing",
            ),
            (
                "Missing parameter: refresh_token",
                "Missing parameter: refresh_token",
            ),
            ("refresh_token: expired", "refresh_token: expired"),
            (
                r#"{"private_key_id": "0123456789", "private_key": null}"#,
                r#"{"private_key_id": "0123456789", "private_key": null}"#,
            ),
        ] {
            assert_eq!(redact(text, &[]), clean);
        }
    }

    #[test]
    fn paths_hashes_and_labels_are_not_redacted() {
        for text in [
            "no certificate in it (-----BEGIN CERTIFICATE-----), see the manual",
            "-----BEGIN PRIVATE KEY----- is missing",
            "/Users/JaneDoe/Documents/Work2024/EarthEngine/Rust/Credentials/Folder3/TheKeyFile",
            "/nix/store/0c5b8vw40dy178xlpddw65q9gf1h2186jcc3p4swinwggbllv8mk/bin/x",
            "sha256 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
            "https://accounts.google.com/o/oauth2/auth?code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstwcM&x=y",
        ] {
            assert_eq!(redact(text, &[]), text);
        }
    }

    #[test]
    fn long_hostile_text_takes_linear_time() {
        for piece in [
            "-----BEGIN ",
            "-----BEGIN X-----",
            "-----END ",
            "refresh_token=",
            "refresh_token=abcd&",
            "\"refresh_token\\\": ",
            "\\n",
            "aB3aB3aB3+",
        ] {
            // Minutes if each piece made all that follows it be read again.
            let text = piece.repeat((4 << 20) / piece.len());
            assert!(redact(&text, &[]).len() <= room(&text));
        }
    }

    #[test]
    fn a_path_is_shown_without_secrets_and_control_characters() {
        for (path, shown) in [
            (
                "/home/jane/My Keys/ÄÖ 森/key.json",
                "/home/jane/My Keys/ÄÖ 森/key.json",
            ),
            (
                "/home/jane\u{1b}]0;x\u{7}",
                "/home/jane\u{fffd}]0;x\u{fffd}",
            ),
            ("/home/a\nerror: b", "/home/a\u{fffd}error: b"),
            ("/home/\u{202e}nosj.yek", "/home/\u{fffd}nosj.yek"),
            ("ya29.a0\u{200b}Af", "[redacted]"),
            (
                "{\"refresh_token\": \"a\nbcd\"}",
                "{\"refresh_token\": \"[redacted]\"}",
            ),
        ] {
            assert_eq!(display_path(Path::new(path)), shown);
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
        let said = sanitize_message(&text, &["secret"]);
        assert!(said.starts_with("[2J[redacted] ä"), "{said}");
        assert_eq!(said.chars().count(), LONGEST + 1);
    }

    #[test]
    fn what_steers_a_terminal_or_cannot_be_seen_is_told_from_writing() {
        let steers = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}\
            \u{34f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{fe00}\u{fe0f}\u{ffa0}\u{e0100}\u{e01ef}";
        assert!(steers.chars().all(is_unsafe_for_display));
        let writing = "plain ÄÖÜ 漢字 हिन्दी عربي עברית 😀 – „“ €";
        assert!(!writing.chars().any(is_unsafe_for_display));
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
            assert!(!sanitize_message(&hidden, &[&secret]).contains(&secret));
        }
    }
}
