//! What to show of a reply that is not Earth Engine's.

use crate::error::redactor::Secrets;

/// Longest excerpt, in characters.
const MAX: usize = 200;

/// The beginning of a text, or the title (else the words) of an HTML page, on one line.
/// Empty if there is nothing to show.
pub(crate) fn excerpt(body: &[u8], secrets: &Secrets) -> String {
    let text = String::from_utf8_lossy(body);
    let words = if text.trim_start().starts_with('<') {
        title(&text).unwrap_or_else(|| without_tags(&text))
    } else {
        text.into_owned()
    };
    // Cleaned before it is cut: half a secret would not be recognised.
    let clean = secrets.sanitize(&words);
    let mut line = String::new();
    for word in clean.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn title(html: &str) -> Option<String> {
    // ASCII lower case keeps every offset where it was.
    let lower = html.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = html[start..end].trim();
    (!title.is_empty()).then(|| title.to_owned())
}

fn without_tags(html: &str) -> String {
    let mut out = String::new();
    for piece in html.split('<') {
        // What stands before `>` belongs to the tag.
        if let Some((_, text)) = piece.split_once('>') {
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
    fn pages_are_shown_by_their_title_or_words_and_junk_does_no_harm() {
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
