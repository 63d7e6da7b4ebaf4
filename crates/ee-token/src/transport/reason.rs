//! The reasons that servers and programs state for a failure, in any of the usual formats.

use serde_json::Value;
use zeroize::Zeroizing;

use crate::secret::sanitize::sanitize_message;
use crate::secret::wipe::zeroize_json;

/// Returns the reason in the body of an error response or in the output of a program: the fields of
/// Google's, OAuth's, Azure's and AWS's errors in JSON or XML, or else plain text. Returns `None`
/// for HTML and for data without a reason.
///
/// `secrets` were sent in the request and are redacted, as is everything that looks like a token.
pub fn stated_reason(body: &[u8], secrets: &[&str]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let words = match text.chars().next()? {
        '{' => of_json(serde_json::from_str(text).ok()?)?,
        '<' => of_xml(text)?,
        _ => match serde_json::from_str(text) {
            Ok(Value::Array(mut list)) if !list.is_empty() => of_json(list.swap_remove(0))?,
            Ok(Value::String(text)) => Zeroizing::new(text),
            Ok(_) => return None,
            Err(_) => Zeroizing::new(text.to_owned()),
        },
    };
    let words = quotable(&words, secrets);
    (!words.is_empty()).then_some(words)
}

/// Returns a text from a server or a program as one line that a message can quote.
pub fn quotable(text: &str, secrets: &[&str]) -> String {
    // Large enough, because growing would leave copies behind.
    let mut line = Zeroizing::new(String::with_capacity(2 * text.len()));
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() && !line.ends_with(['.', ',', ':', ';', '!', '?', '-']) {
            line.push(';');
        }
        for word in part.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    without_tokens(&sanitize_message(&line, secrets))
}

fn of_json(mut body: Value) -> Option<Zeroizing<String>> {
    let inner = ["error", "Error"].iter().find_map(|name| body.get(name));
    let objects = [inner.unwrap_or(&Value::Null), &body];
    let first = |names: &[&str]| {
        let fields = objects
            .iter()
            .flat_map(|object| names.iter().filter_map(|name| object.get(name)));
        let mut texts = fields.filter_map(|value| match value {
            Value::String(text) if !text.trim().is_empty() => Some(Zeroizing::new(text.clone())),
            _ => None,
        });
        texts.next()
    };
    let code = first(&[
        "reason", "status", "error", "Code", "code", "__type", "title",
    ]);
    let message = first(&[
        "error_description",
        "message",
        "Message",
        "errorMessage",
        "detail",
        "description",
    ]);
    let words = joined(code, message);
    zeroize_json(&mut body);
    words
}

/// Reads `<Code>` and `<Message>`, the elements of AWS's errors.
fn of_xml(text: &str) -> Option<Zeroizing<String>> {
    joined(xml_element(text, "Code"), xml_element(text, "Message"))
}

/// Returns the text of the first element with this name and without attributes.
pub fn xml_element(text: &str, name: &str) -> Option<Zeroizing<String>> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    if content.contains('<') {
        return None;
    }
    let mut out = Zeroizing::new(content.trim().to_owned());
    // The last one must not create another entity.
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        if out.contains(entity) {
            out = Zeroizing::new(out.replace(entity, character));
        }
    }
    (!out.is_empty()).then_some(out)
}

fn joined(
    code: Option<Zeroizing<String>>,
    message: Option<Zeroizing<String>>,
) -> Option<Zeroizing<String>> {
    match (code, message) {
        (Some(code), Some(message)) if !message.contains(code.as_str()) => {
            Some(Zeroizing::new([&code, ": ", &message].concat()))
        }
        (code, message) => message.or(code),
    }
}

/// Redacts words that look like tokens of an unknown kind. Such a word is long and has letters and
/// digits, and either both cases or no dash. Paths and UUIDs stay.
fn without_tokens(text: &str) -> String {
    const LONG: usize = 24;
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_+=".contains(c);
    text.split_inclusive(|c| !is_of_token(c))
        .map(|piece| {
            let word = piece.trim_end_matches(|c| !is_of_token(c));
            let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
            let both_cases = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
            let looks_like_one = word.len() >= LONG
                && has(u8::is_ascii_digit)
                && has(u8::is_ascii_alphabetic)
                && (both_cases || !word.contains('-'));
            if looks_like_one {
                format!("[redacted]{}", &piece[word.len()..])
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_found_in_every_usual_format() {
        for (body, reason) in [
            (
                r#"{"error": "invalid_request", "error_description": "Identity not found"}"#,
                "invalid_request: Identity not found",
            ),
            (
                r#"{"error": {"code": 403, "message": "no way", "status": "PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED: no way",
            ),
            (
                r#"{"error": {"code": "AuthenticationFailed", "message": "AuthenticationFailed: bad"}}"#,
                "AuthenticationFailed: bad",
            ),
            (
                r#"{"Error": {"Code": "ExpiredToken", "Message": "Token expired"}, "RequestId": "1"}"#,
                "ExpiredToken: Token expired",
            ),
            (
                r#"{"code": "AccessDenied", "message": "no role"}"#,
                "AccessDenied: no role",
            ),
            (r#"{"__type": "a#B", "Message": "m"}"#, "a#B: m"),
            (
                r#"{"title": "Unauthorized", "status": 401, "detail": "bad audience"}"#,
                "Unauthorized: bad audience",
            ),
            (r#"{"error": "unauthorized"}"#, "unauthorized"),
            (r#"{"message": "Bad credentials"}"#, "Bad credentials"),
            (
                "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\n<Message>Not &lt;you&gt; &amp; me</Message></Error></ErrorResponse>",
                "AccessDenied: Not <you> & me",
            ),
            (r#"[{"error": {"message": "no way"}}]"#, "no way"),
            (r#""no way""#, "no way"),
            ("[7]: no way", "[7]: no way"),
            (
                "a line\n\n a  sentence.\r\nthe end\n",
                "a line; a sentence. the end",
            ),
            ("Forbidden", "Forbidden"),
        ] {
            assert_eq!(
                stated_reason(body.as_bytes(), &[]).as_deref(),
                Some(reason),
                "{body}"
            );
        }
    }

    #[test]
    fn html_and_data_without_a_reason_state_none() {
        for body in [
            "",
            " \n",
            "<html><body>canary",
            "<!DOCTYPE html><title>canary</title>",
            "<Message><b>canary</b></Message>",
            "{}",
            "[]",
            r#"{"access_token": "canary"}"#,
            r#"{"error": ""}"#,
            "{canary",
        ] {
            assert_eq!(stated_reason(body.as_bytes(), &[]), None, "{body}");
        }
        assert_eq!(stated_reason(b"\xff\xfe", &[]), None);
    }

    #[test]
    fn reason_has_no_secrets_and_is_short() {
        let body = r#"{"message": "bad ya29.canary and sent-canary \u001b[2J"}"#;
        let reason = stated_reason(body.as_bytes(), &["sent-canary"]).unwrap();
        assert_eq!(reason, "bad [redacted] and [redacted] [2J");
        let long = "word ".repeat(5000);
        let reason = stated_reason(long.as_bytes(), &[]).unwrap();
        assert!(reason.chars().count() < 1010);
    }

    #[test]
    fn words_that_look_like_tokens_are_redacted() {
        for (text, clean) in [
            (
                "cannot renew 3Xy7Pq9LmN2bVcR8tKwZ5sDf: expired",
                "cannot renew [redacted]: expired",
            ),
            ("id=aB3defghijklmnopqrstuvwx", "[redacted]"),
            ("no 0123456789abcdef0123456789abcdef", "no [redacted]"),
            (
                "no file /home/Ada/.config/Tokens2/of-the-day.json",
                "no file /home/Ada/.config/Tokens2/of-the-day.json",
            ),
            (
                "request 0f8fad5b-d9cb-469f-a165-70867728950e failed",
                "request 0f8fad5b-d9cb-469f-a165-70867728950e failed",
            ),
            ("Zürich is 47.37° north", "Zürich is 47.37° north"),
            ("", ""),
        ] {
            assert_eq!(without_tokens(text), clean);
        }
    }
}
