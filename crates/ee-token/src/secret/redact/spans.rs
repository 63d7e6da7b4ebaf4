//! Finds secrets in a text by their form: PEM blocks, secret fields, base64.

use super::REDACTED;

/// Fields of JSON objects and forms whose values are secrets.
const SECRET_FIELDS: [&str; 7] = [
    "private_key",
    "client_secret",
    "refresh_token",
    "access_token",
    "id_token",
    "assertion",
    "code_verifier",
];
/// Prefixes of the base64 of JSON objects, PEM blocks, DER keys and Google's tokens.
const BASE64_PREFIXES: [&str; 10] = [
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
/// The minimum length of a base64 word that is redacted because it looks random. Longer than the
/// code challenge in an authorization URL (43 characters), which is not secret.
pub(super) const MIN_BASE64: usize = 48;
/// The minimum length of a base64 word that is redacted because of its prefix.
const MIN_PREFIXED_BASE64: usize = 24;
/// The minimum length of the last line of wrapped base64.
const MIN_BASE64_LINE: usize = 8;

/// The byte range of a secret in a text.
pub(super) type Span = (usize, usize);

pub(super) fn redact_spans(text: &str, spans: &[Span]) -> String {
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

/// Finds the bodies of PEM blocks, with line breaks or escapes. A truncated block extends to the
/// next block or to the end of the text. Of a block that lacks its start, finds the last line.
pub(super) fn pem_blocks(text: &str) -> Vec<Span> {
    const BEGIN: &str = "-----BEGIN";
    const END: &str = "-----END";
    const MAX_LABEL_LEN: usize = 60;
    let mut spans = Vec::new();
    if !text.contains("-----") {
        return spans;
    }
    let mut ends = text.match_indices(END).map(|(at, _)| at).peekable();
    let mut begins = text.match_indices(BEGIN).map(|(at, _)| at).peekable();
    loop {
        let begin = begins.peek().copied();
        if let Some(end) = ends.next_if(|end| begin.is_none_or(|begin| *end < begin)) {
            let lines = text[..end].trim_end_matches(|c: char| c.is_whitespace());
            let lines = lines.strip_suffix("\\n").unwrap_or(lines);
            let lines = lines.trim_end_matches('\\');
            let last = lines.trim_end_matches(is_base64_char).len();
            let previous = spans.last().map_or(0, |(_, end)| *end);
            if lines.len() - last >= MIN_BASE64_LINE && last >= previous {
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
        if length > MAX_LABEL_LEN {
            continue;
        }
        let start = label + length + 5;
        while begins.next_if(|begin| *begin < start).is_some() {}
        while ends.next_if(|end| *end < start).is_some() {}
        let end = ends.peek().copied();
        let next = begins.peek().copied().unwrap_or(text.len());
        let is_key = match end.filter(|end| *end < next) {
            Some(end) => text[start..end]
                .split(|c| !is_base64_char(c))
                .any(|word| word.len() >= MIN_BASE64_LINE),
            None => {
                let line = start + separator_len(text, start);
                let word = &text[line..line + run_len(text, line, is_base64_char)];
                text[line..].starts_with("Proc-Type") || is_base64_line(word)
            }
        };
        if is_key {
            let end = ends.next_if(|end| *end < next);
            spans.push((start, end.unwrap_or(next)));
        }
    }
}

/// Finds the values of secret fields in JSON, in JSON within a JSON string, and in forms.
pub(super) fn secret_fields(text: &str) -> Vec<Span> {
    // A value follows one of these signs. Most paths have neither.
    if !text.contains(['=', ':']) {
        return Vec::new();
    }
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

/// Finds the value after a field's name.
fn field_value(text: &str, name_end: usize) -> Option<Span> {
    /// Prose after a colon is kept.
    const MIN_UNQUOTED: usize = 16;
    let (_, after) = quote(text, name_end);
    let sign = after + run_len(text, after, char::is_whitespace);
    let sign_char = text[sign..].chars().next()?;
    let is_form = match sign_char {
        '=' => true,
        ':' => false,
        _ => return None,
    };
    let value = sign + 1;
    let value = value + run_len(text, value, char::is_whitespace);
    let (opening, start) = quote(text, value);
    let end = match opening {
        Some((mark, escapes)) => closing_quote(text, start, mark, escapes),
        None => {
            start
                + run_len(text, start, |c| {
                    !c.is_whitespace() && !"&,;})\"'".contains(c)
                })
        }
    };
    let min_len = if opening.is_some() || is_form {
        4
    } else {
        MIN_UNQUOTED
    };
    let is_redacted = text[start..end].starts_with(REDACTED);
    (end - start >= min_len && !is_redacted).then_some((start, end))
}

/// Returns the quotation mark at this position, the number of backslashes before it, and the
/// position after it.
fn quote(text: &str, at: usize) -> (Option<(char, usize)>, usize) {
    let escapes = run_len(text, at, |c| c == '\\');
    match text[at + escapes..].chars().next() {
        Some(mark @ ('"' | '\'')) => (Some((mark, escapes)), at + escapes + 1),
        _ => (None, at),
    }
}

/// Returns where a quoted string ends: at a mark with as many backslashes as the opening one, or at
/// the end of the text.
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

/// Returns the length of the longest run of matching characters from `at`.
fn run_len(text: &str, at: usize, is: impl Fn(char) -> bool) -> usize {
    let rest = &text[at..];
    rest.find(|c| !is(c)).unwrap_or(rest.len())
}

/// Finds base64 words that look random or have a known prefix, with the wrapped lines after them.
pub(super) fn base64_words(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    loop {
        at += run_len(text, at, |c| !is_base64_digit(c));
        // The letter of an escape such as `\n` is not part of the word.
        if text[..at].ends_with('\\') && text[at..].starts_with(['n', 'r', 't']) {
            at += 1;
            continue;
        }
        let length = base64_len(text, at);
        if length == 0 {
            return spans;
        }
        let end = at + length;
        let word = &text[at..end];
        let has_prefix = || {
            BASE64_PREFIXES
                .iter()
                .any(|prefix| word.starts_with(prefix))
        };
        if length >= MIN_BASE64 && looks_random(word)
            || length >= MIN_PREFIXED_BASE64 && has_prefix()
        {
            let previous = spans.last().map_or(0, |(_, end)| *end);
            let start = previous.max(token_start(text, at));
            at = token_end(text, base64_end(text, end));
            spans.push((start, at));
        } else {
            at = end;
        }
    }
}

/// Returns where the token around base64 starts. In base64url and in JWTs, other characters than those
/// of base64 separate its parts.
fn token_start(text: &str, from: usize) -> usize {
    let before = &text[..from];
    let is_part = |c: char| c.is_ascii_alphanumeric() || is_base64url_separator(c);
    // A word that follows an escape such as `\n` starts after it, as does one after a PEM label.
    if before.ends_with(is_base64url_separator) && !before.ends_with("-----") {
        before.trim_end_matches(is_part).len()
    } else {
        from
    }
}

/// Returns where the token around base64 ends.
fn token_end(text: &str, from: usize) -> usize {
    let rest = &text[from..];
    let length = run_len(text, from, |c| {
        c.is_ascii_alphanumeric() || is_base64url_separator(c)
    });
    let token = rest[..length].split("-----").next().unwrap_or_default();
    from + token.trim_end_matches('.').len()
}

fn is_base64url_separator(c: char) -> bool {
    "-_.~".contains(c)
}

/// Returns where wrapped base64 ends.
fn base64_end(text: &str, from: usize) -> usize {
    let mut end = from;
    loop {
        let next = end + separator_len(text, end);
        let length = base64_len(text, next);
        if next == end || !is_base64_line(&text[next..next + length]) {
            return end;
        }
        end = next + length;
    }
}

/// Returns the length of the whitespace at this position, plain or escaped.
fn separator_len(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let start = at;
        at += run_len(text, at, char::is_whitespace);
        at += run_len(text, at, |c| c == '\\');
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

/// Returns whether a word can be a line of base64 rather than a word of prose.
fn is_base64_line(word: &str) -> bool {
    let mut rest = word.chars().skip(1);
    word.len() >= MIN_BASE64_LINE && rest.any(|c| !c.is_ascii_lowercase())
}

/// Returns the length of base64 at this position, with its padding. An equals sign before it belongs
/// to a form or an assignment.
fn base64_len(text: &str, at: usize) -> usize {
    let digits = run_len(text, at, is_base64_digit);
    let padding = run_len(text, at + digits, |c| c == '=');
    digits + padding.min(2)
}

fn is_base64_char(c: char) -> bool {
    is_base64_digit(c) || c == '='
}

fn is_base64_digit(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/".contains(c)
}

/// Returns whether a word looks random: it has lowercase letters, uppercase letters and digits, and
/// changes between them often. Paths and names change only between words.
fn looks_random(word: &str) -> bool {
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
