//! Makes text from servers, programs and users safe to print.

use zeroize::Zeroizing;

use crate::redact;

/// The maximum length of quoted text, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// Removes secrets and characters that are [unsafe for display](is_unsafe_for_display), except
/// line feeds and tabs.
pub fn sanitize(text: &str, secrets: &[&str]) -> String {
    let mut text = Zeroizing::new(text.to_owned());
    // Before redaction, so that a secret with such a character in it is found.
    text.retain(|c| !is_unsafe_for_display(c) || matches!(c, '\n' | '\t'));
    redact(&text, secrets).into_owned()
}

/// Sanitizes a text and truncates it to 1,000 characters, so that a message can quote it.
pub fn sanitize_message(text: &str, secrets: &[&str]) -> String {
    let mut text = sanitize(text, secrets);
    if let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Returns whether a character can control a terminal or mislead a reader: control characters
/// (including line feeds and tabs), invisible characters, and those that change the writing
/// direction.
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
                | '\u{200b}'..='\u{200f}' // zero-width characters, direction marks
                | '\u{2028}'..='\u{202e}' // line and paragraph separators, embeddings, overrides
                | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
                | '\u{3164}' // Hangul filler
                | '\u{fe00}'..='\u{fe0f}' // variation selectors
                | '\u{feff}' // byte order mark
                | '\u{ffa0}' // halfwidth Hangul filler
                | '\u{fff9}'..='\u{fffb}' // interlinear annotation
                | '\u{e0000}'..='\u{e007f}' // tags
                | '\u{e0100}'..='\u{e01ef}' // variation selectors supplement
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sanitized_and_truncated() {
        let text = format!("\u{1b}[2Jsec\u{200b}ret {}", "ä".repeat(5000));
        let message = sanitize_message(&text, &["secret"]);
        assert!(message.starts_with("[2J[redacted] ä"), "{message}");
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS + 1);
    }

    #[test]
    fn only_control_and_invisible_characters_are_unsafe() {
        let unsafe_chars = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}\
            \u{34f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{fe00}\u{fe0f}\u{ffa0}\u{e0100}\u{e01ef}";
        assert!(unsafe_chars.chars().all(is_unsafe_for_display));
        let text = "plain ÄÖÜ 漢字 हिन्दी عربي עברית 😀 – „“ €";
        assert!(!text.chars().any(is_unsafe_for_display));
    }
}
