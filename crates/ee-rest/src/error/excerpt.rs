//! Excerpts of responses that are not in Earth Engine's format.

use ee_token::internal::truncated;

use crate::error::redactor::Secrets;

/// The maximum length, in characters.
const MAX: usize = 200;

/// Returns the start of a text, or the title or else the text of an HTML page, on one line. Empty
/// if there is nothing to show.
pub(crate) fn excerpt(body: &[u8], secrets: &Secrets) -> String {
    let text = String::from_utf8_lossy(body);
    let words = if text.trim_start().starts_with('<') {
        title(&text).unwrap_or_else(|| without_tags(&text))
    } else {
        text.into_owned()
    };
    // Sanitized before truncation, because half a secret would not be recognized.
    let clean = secrets.sanitize(&words);
    let mut line = String::new();
    for word in clean.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    truncated(&line, MAX).into_owned()
}

fn title(html: &str) -> Option<String> {
    // ASCII lowercasing keeps the byte offsets.
    let lower = html.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = html[start..end].trim();
    (!title.is_empty()).then(|| title.to_owned())
}

fn without_tags(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        // The text before `>` belongs to the tag.
        if let Some((_, text)) = part.split_once('>') {
            out.push_str(text);
            out.push(' ');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_shown_by_title_or_text_and_junk_is_harmless() {
        for (body, shown) in [
            (&b"Forbidden"[..], "Forbidden"),
            (b"<html><TITLE>Error\n 403</TITLE>x", "Error 403"),
            (b"<html><title></title><p>No <b>way</b>", "No way"),
            (b"<<<", ""),
            (b"<title", ""),
            (b"<title>\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"", ""),
            (b"\xff\x00\x1b[2J", "\u{fffd}[2J"),
        ] {
            assert_eq!(excerpt(body, &Secrets::default()), shown);
        }
        let long = "ä ".repeat(5000);
        assert_eq!(
            excerpt(long.as_bytes(), &Secrets::default())
                .chars()
                .count(),
            MAX + 1
        );
    }
}
