//! Undoing what variables, shells and secret stores do to the text of a credential, where only one
//! reading of the result makes sense.
//!
//! Undone are: a byte order mark and whitespace around the text, a pair of quotation marks, base64
//! (of either alphabet, wrapped or not), JSON encoded as a JSON string, line breaks and tabs inside
//! of JSON strings, and line breaks written as `\n` between them.

use std::ops::Deref;

use zeroize::Zeroizing;

use crate::input::content::{base64_decoded, is_refresh_token};
use crate::input::json::unescaped;

/// A text was encoded at most so many times.
const MAX_LAYERS: usize = 6;
/// Longer texts are no refresh tokens.
const MAX_TOKEN: usize = 2048;

/// The text of a credential without what was added to it.
pub(crate) enum Restored<'a> {
    Unchanged(&'a str),
    Changed(Zeroizing<String>),
}

impl Deref for Restored<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Unchanged(text) => text,
            Self::Changed(text) => text,
        }
    }
}

/// Restores the text of a credential.
pub(crate) fn restored(text: &str) -> Restored<'_> {
    let mut now = Restored::Unchanged(trimmed(text));
    for _ in 0..MAX_LAYERS {
        match without_layer(&now) {
            Some(inner) => now = Restored::Changed(inner),
            None => break,
        }
    }
    now
}

fn trimmed(text: &str) -> &str {
    let is_space = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}');
    let mut text = text.trim_matches(is_space);
    // A line break that was not interpreted.
    while let Some(rest) = text
        .strip_suffix("\\n")
        .or_else(|| text.strip_suffix("\\r"))
    {
        text = rest.trim_end_matches(is_space);
    }
    text
}

fn without_layer(text: &str) -> Option<Zeroizing<String>> {
    let copied = |text: &str| Zeroizing::new(trimmed(text).to_owned());
    if let Some(inner) = without_quotes(text) {
        return match is_escaped(inner) {
            true => unescaped(&quoted(inner)),
            false => Some(copied(inner)),
        };
    }
    if text.starts_with('{') {
        return match is_escaped(text) {
            true => unescaped(&quoted(text)),
            false => with_escapes(text),
        };
    }
    if text.len() < MAX_TOKEN && text.starts_with("1%2") {
        let token = Zeroizing::new(text.replace("%2F", "/"));
        let token = Zeroizing::new(token.replace("%2f", "/"));
        return Some(token).filter(|token| is_refresh_token(token));
    }
    let decoded = decoded_text(&base64_decoded(text)?)?;
    let inner = trimmed(&decoded);
    let starts_json = inner.trim_start_matches(['"', '\'']).starts_with('{');
    let is_restorable = starts_json || is_refresh_token(inner) || without_layer(inner).is_some();
    is_restorable.then(|| copied(inner))
}

/// Returns text in UTF-8, or in UTF-16 as Windows encodes it.
fn decoded_text(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let bytes = bytes.strip_prefix(b"\xff\xfe").unwrap_or(bytes);
    if bytes.get(1) != Some(&0) {
        return std::str::from_utf8(bytes)
            .ok()
            .map(str::to_owned)
            .map(Zeroizing::new);
    }
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    // A unit of two bytes becomes at most three bytes.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for c in char::decode_utf16(units) {
        text.push(c.ok()?);
    }
    Some(text)
}

/// Returns the text between a pair of quotation marks.
fn without_quotes(text: &str) -> Option<&str> {
    let pairs = [
        ("\"", "\""),
        ("'", "'"),
        ("`", "`"),
        ("\\\"", "\\\""),
        ("“", "”"),
        ("‘", "’"),
    ];
    pairs.into_iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        Some(trimmed(inner))
    })
}

/// Whether the text is the inside of a JSON string: its first quotation mark is escaped.
fn is_escaped(text: &str) -> bool {
    let before = text.find('"').and_then(|at| text.get(..at));
    before.is_some_and(|before| before.ends_with('\\'))
}

fn quoted(text: &str) -> Zeroizing<String> {
    // Sized, so that no copy of it stays in memory.
    let mut quoted = Zeroizing::new(String::with_capacity(text.len() + 2));
    quoted.push('"');
    quoted.push_str(text);
    quoted.push('"');
    quoted
}

/// Escapes line breaks and tabs inside the strings of JSON, and removes escapes between them.
/// Returns `None` if there are none.
fn with_escapes(json: &str) -> Option<Zeroizing<String>> {
    // Every character becomes at most two.
    let breaks = json.bytes().filter(|b| matches!(b, b'\n' | b'\r' | b'\t'));
    let mut out = Zeroizing::new(String::with_capacity(json.len() + breaks.count()));
    let (mut is_string, mut is_changed) = (false, false);
    let mut chars = json.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                is_string = !is_string;
                out.push(c);
            }
            '\\' => match (is_string, chars.next()) {
                (false, Some('n' | 'r' | 't')) => {
                    is_changed = true;
                    out.push(' ');
                }
                (_, escaped) => {
                    out.push(c);
                    out.extend(escaped);
                }
            },
            '\n' | '\r' | '\t' if is_string => {
                is_changed = true;
                out.push('\\');
                out.push(match c {
                    '\n' => 'n',
                    '\r' => 'r',
                    _ => 't',
                });
            }
            _ => out.push(c),
        }
    }
    is_changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

    /// Breaks a text into lines.
    fn wrapped(text: &str, width: usize, end: &str) -> String {
        let lines = text.as_bytes().chunks(width);
        let lines = lines.map(|line| std::str::from_utf8(line).unwrap());
        lines.map(|line| format!("{line}{end}")).collect()
    }

    /// Encodes a text as PowerShell does.
    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn harmless_changes_are_undone() {
        let key = json!({
            "type": "service_account",
            "client_email": "robot@p.iam.gserviceaccount.com",
            "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE>>>???\nAAA=\n-----END PRIVATE KEY-----\n",
        });
        let compact = key.to_string();
        let pretty = serde_json::to_string_pretty(&key).unwrap();
        let base64 = STANDARD.encode(&pretty);
        let twice = Value::from(pretty.clone()).to_string();
        for text in [
            compact.clone(),
            format!("\u{feff}{compact}\r\n"),
            format!("\"{compact}\""),
            format!(" '{pretty}'\n"),
            format!("“{compact}”"),
            compact.replace("\\n", "\n"),
            compact.replace("\\n", "\r\n"),
            pretty.replace('\n', "\r\n"),
            pretty.replace("\n ", "\\n "),
            format!("'{}'", compact.replace("\\n", "\n")),
            twice.clone(),
            format!("'{twice}'"),
            twice.trim_matches('"').to_owned(),
            Value::from(twice.clone()).to_string(),
            base64.clone(),
            format!("\"{base64}\""),
            wrapped(&base64, 76, "\n"),
            wrapped(&base64, 64, "\r\n"),
            wrapped(&base64, 76, " "),
            wrapped(&base64, 76, "\\n"),
            base64.trim_end_matches('=').to_owned(),
            URL_SAFE_NO_PAD.encode(&pretty),
            STANDARD.encode(format!("\u{feff}{compact}\n")),
            STANDARD.encode(&base64),
            STANDARD.encode(&twice),
            format!("{compact}\\n"),
            format!("{base64}\\r\\n"),
            STANDARD.encode(utf16(&compact)),
            STANDARD.encode(utf16(&format!("\u{feff}{compact}"))),
        ] {
            let restored = restored(&text);
            let read: Value = serde_json::from_str(&restored)
                .unwrap_or_else(|error| panic!("{error}: {text} became {}", &*restored));
            let lines = |key: &Value| {
                let pem = key["private_key"].as_str().unwrap();
                pem.lines().map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(lines(&read), lines(&key), "{text}");
            assert_eq!(read["client_email"], key["client_email"]);
        }
        for text in [
            "1//0g-good_token",
            "\"1//0g-good_token\"",
            " '1//0g-good_token'\r\n",
            "1//0g-good_token\\n",
            "\\\"1//0g-good_token\\\"",
            "1%2F%2f0g-good_token",
        ] {
            let encoded = STANDARD.encode(text);
            for text in [text, &encoded, &format!("{encoded}\n")] {
                assert_eq!(&*restored(text), "1//0g-good_token", "{text}");
            }
        }
    }

    #[test]
    fn other_text_is_unchanged() {
        for text in [
            r#"{"a": "\"\\n\\", "b": [1, "x\ty"]}"#,
            "{\n\t\"a\": 1\r\n}",
            "{\"a\": \"cut off\\",
            "{'a': 1}",
            "undefined",
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "/home/jane/AAAAAAAAAAAAAAAAAAAAAAAA",
            "\"",
            "",
        ] {
            assert!(
                matches!(restored(text), Restored::Unchanged(same) if same == text),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn valid_json_is_unchanged(text in "(?s).{0,40}", name in "(?s).{0,9}") {
            let json = json!({ name: text, "x": [{"y": null}] });
            for json in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
                assert_eq!(*restored(&json), json);
            }
        }

        #[test]
        fn any_text_is_restored_without_panic(text in "(?s)[\"'{}\\\\a-zA-Z0-9+/=\n ]{0,80}") {
            let _ = restored(&text);
        }
    }
}
