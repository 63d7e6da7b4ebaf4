//! The form of what is printed: sanitized text, colors and lines of JSON.

use std::io::{IsTerminal, Write as _};
use std::sync::OnceLock;

use clap::ValueEnum;
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
    escape_unsafe(&value.to_string()) + "\n"
}

/// Escapes characters that could control the terminal, as JSON does. Line breaks and tabs remain.
pub(crate) fn escape_unsafe(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if is_unsafe_for_display(c) && !matches!(c, '\n' | '\t') {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped += &format!("\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// When to use color.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal
    #[default]
    Auto,
    Always,
    Never,
}

/// The value of `--color`.
static COLOR: OnceLock<ColorChoice> = OnceLock::new();

/// Sets when to use color, for the rest of the process.
pub(crate) fn set_color(choice: ColorChoice) {
    // It is set once, before anything is printed.
    let _ = COLOR.set(choice);
}

/// Returns whether to use color: as `--color` says, or on a terminal that supports it. `NO_COLOR`
/// (<https://no-color.org>) disables it, and `CLICOLOR_FORCE` (<https://bixense.com/clicolors>)
/// enables it without a terminal.
pub(crate) fn supports_color(stream: &impl IsTerminal) -> bool {
    match COLOR.get().copied().unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_color_wanted(
            |name| std::env::var_os(name).and_then(|value| value.into_string().ok()),
            stream.is_terminal(),
        ),
    }
}

fn is_color_wanted(variable: impl Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
    let variable = |name| variable(name).filter(|value: &String| !value.is_empty());
    if variable("NO_COLOR").is_some() {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    is_terminal && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Erases the line about waiting from the terminal.
static ERASER: OnceLock<fn()> = OnceLock::new();

/// Sets what erases the line about waiting, which this module does not know.
pub(crate) fn set_eraser(erase: fn()) {
    // It is set once.
    let _ = ERASER.set(erase);
}

/// Prepares the terminal for output.
pub(crate) fn before_output() {
    if let Some(erase) = ERASER.get() {
        erase();
    }
}

/// Writes to standard error, which may be closed; the exit status still reports a failure.
pub(crate) fn write_stderr(text: &str) {
    before_output();
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_the_terminal_decide_about_color() {
        for (variables, on_terminal, elsewhere) in [
            (&[][..], true, false),
            (&[("TERM", "dumb")], false, false),
            (&[("NO_COLOR", "1")], false, false),
            (&[("NO_COLOR", "")], true, false),
            (&[("CLICOLOR_FORCE", "1")], true, true),
            (&[("CLICOLOR_FORCE", "0")], true, false),
            (&[("CLICOLOR_FORCE", "")], true, false),
            (&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true, true),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            for (is_terminal, expected) in [(true, on_terminal), (false, elsewhere)] {
                assert_eq!(
                    is_color_wanted(variable, is_terminal),
                    expected,
                    "{variables:?} {is_terminal}"
                );
            }
        }
    }

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
