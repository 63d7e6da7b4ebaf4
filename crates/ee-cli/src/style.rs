//! The form of what is printed: sanitized text, colors and lines of JSON.

use std::io::{IsTerminal, Write as _};

use earthengine::token::internal::{is_unsafe_for_display, sanitize};
use serde_json::Value;

/// Text to print. Everything added to it is redacted and stripped of control characters; only its
/// own colors remain.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn add(&mut self, text: &str) {
        self.0 += &sanitize(text, &[]);
    }

    /// Adds text, in color if enabled. `code` is an SGR code such as `1;31`.
    pub(crate) fn paint(&mut self, color: bool, code: &str, text: &str) {
        if color {
            self.0 += &format!("\u{1b}[{code}m");
        }
        self.add(text);
        if color {
            self.0 += "\u{1b}[0m";
        }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        let mut sanitized = Self::default();
        sanitized.add(text.as_ref());
        sanitized
    }
}

/// Formats JSON as one line, with control characters escaped.
pub(crate) fn json_line(value: Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if is_unsafe_for_display(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                line += &format!("\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
    line + "\n"
}

/// Returns whether to use color: on a terminal that supports it, unless `NO_COLOR` is set
/// (<https://no-color.org>).
pub(crate) fn supports_color(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal()
        && !is_set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Writes to standard error, which may be closed; the exit status still reports a failure.
pub(crate) fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_only_its_own_colors() {
        let mut text = Text::from("a\u{1b}[2J ");
        text.paint(true, "31", "b\u{1b}[0m ya29.secret");
        assert_eq!(
            text.into_string(),
            "a[2J \u{1b}[31mb[0m [redacted]\u{1b}[0m"
        );
    }
}
