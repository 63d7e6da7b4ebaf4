//! Values in messages.

use std::borrow::Cow;
use std::fmt;

/// The maximum length of a quoted value, in characters.
const MAX_QUOTED: usize = 80;

/// A value of unknown length and content in a message: in quotes, with invisible and control
/// characters escaped, and truncated to 80 characters.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&truncated(self.0, MAX_QUOTED), f)
    }
}

/// Returns the text, or its first `max` characters and an ellipsis.
pub fn truncated(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_value_is_short_and_escaped() {
        assert_eq!(Quoted("my project").to_string(), "\"my project\"");
        assert_eq!(
            Quoted("a\u{1b}\u{202e}\u{200b}\n").to_string(),
            r#""a\u{1b}\u{202e}\u{200b}\n""#
        );
        let long = "ä".repeat(1000);
        assert_eq!(Quoted(&long).to_string().chars().count(), MAX_QUOTED + 3);
    }
}
