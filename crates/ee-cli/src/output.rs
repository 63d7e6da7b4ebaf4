//! What is written to standard output, standard error and the log.

use std::io::{IsTerminal, Write};
use std::path::Path;

use earthengine::Environment;
use earthengine::credentials::Warning;
use earthengine::token::internal::{is_unsafe_for_display, sanitize};
use earthengine::token::redact;
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Global;
use crate::error::{CliError, remedy_line};

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

/// Writes sanitized text to standard output.
pub(crate) fn print(text: impl Into<Text>) -> Result<(), CliError> {
    print_raw(text.into().0)
}

/// Writes a line of JSON to standard output. Secrets are redacted, and control characters are
/// escaped instead of removed, so that programs receive exact strings.
pub(crate) fn print_json(value: &Value) -> Result<(), CliError> {
    print_raw(json_line(redacted(value.clone())))
}

/// Writes requested data verbatim, which may contain a secret: a token, a response, a script.
///
/// # Errors
///
/// Returns an error, instead of panicking, if the reader has closed the pipe.
pub(crate) fn print_raw(text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|e| CliError::io("cannot write to standard output", &e))
}

fn redacted(value: Value) -> Value {
    match value {
        Value::String(text) => redact(&text, &[]).into(),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, redacted(value)))
            .collect(),
        other => other,
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

/// Converts a path to a JSON string; bytes that are not UTF-8 are replaced.
pub(crate) fn path_json(path: &Path) -> Value {
    path.to_string_lossy().into()
}

/// Returns whether to use color: on a terminal that supports it, unless `NO_COLOR` is set
/// (<https://no-color.org>).
pub(crate) fn supports_color(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal()
        && !is_set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Removes control characters, invisible characters and direction marks, which could control the
/// terminal or make one name look like another.
pub(crate) fn strip_unsafe_chars(text: &str) -> String {
    text.chars()
        .filter(|c| !is_unsafe_for_display(*c))
        .collect()
}

/// Writes warnings and their hints to standard error.
pub(crate) fn warn<'a>(warnings: impl IntoIterator<Item = &'a Warning>) {
    for warning in warnings {
        print_status(&format!(
            "warning: {}\n  {}",
            warning.message, warning.remedy.text
        ));
        if let Some(command) = &warning.remedy.command {
            print_status(&format!("    {command}"));
        }
    }
}

/// Converts warnings to JSON.
pub(crate) fn warnings_as_json<'a>(warnings: impl IntoIterator<Item = &'a Warning>) -> Value {
    let warnings = warnings.into_iter().map(|warning| {
        json!({
            "code": warning.code,
            "message": warning.message,
            "remedy": remedy_line(&warning.remedy),
        })
    });
    warnings.collect()
}

/// Writes a status line to standard error.
pub(crate) fn print_status(text: &str) {
    write_stderr(&(Text::from(text).0 + "\n"));
}

/// Writes a status object to standard error.
pub(crate) fn print_status_json(value: Value) {
    write_stderr(&json_line(redacted(value)));
}

/// Writes to standard error, which may be closed; the exit status still reports a failure.
pub(crate) fn write_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Standard error for the log, sanitized because log lines quote paths and servers.
struct LogWriter;

impl Write for LogWriter {
    /// Called once per log line.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = Text::from(String::from_utf8_lossy(line));
        std::io::stderr().lock().write_all(text.0.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prints a notice that requests go to an emulator, which a forgotten variable would otherwise
/// hide.
pub(crate) fn print_emulator_notice(global: &Global) {
    const VARIABLE: &str = "EARTHENGINE_EMULATOR_HOST";
    let Some(value) = std::env::var_os(VARIABLE) else {
        return;
    };
    // An invalid value is an error of the commands that send requests.
    let environment = Environment::empty().with_var_os(VARIABLE, value);
    let Ok(Some(address)) = environment.emulator() else {
        return;
    };
    let text = format!("using the emulator at {address} ({VARIABLE}), not Google");
    match (global.quiet, global.json) {
        (true, _) => {}
        (false, true) => print_status(&json!({ "note": text }).to_string()),
        (false, false) => print_status(&format!("note: {text}")),
    }
}

/// Logs events of this workspace's crates to standard error. Other crates stay silent, because
/// they might log a request's secrets.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let crates = [
        "ee_token",
        "ee_credentials",
        "ee_rest",
        "ee_init",
        "earthengine",
        "eectl",
    ];
    let log = tracing_subscriber::fmt::layer()
        .with_writer(|| LogWriter)
        .with_ansi(false)
        .without_time();
    tracing_subscriber::registry()
        .with(Targets::new().with_targets(crates.map(|name| (name, level))))
        .with(log)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_control_characters_and_keeps_the_rest() {
        let value = json!({"path": "/a\u{1b}\u{9b}\u{202e}\u{e0041}ä", "x": ["1//0gSecret"]});
        let line = json_line(redacted(value.clone()));
        assert_eq!(
            line,
            "{\"path\":\"/a\\u001b\\u009b\\u202e\\udb40\\udc41ä\",\"x\":[\"[redacted]\"]}\n"
        );
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["path"], value["path"]);
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

    #[test]
    fn unsafe_characters_are_stripped_from_names() {
        for c in "\u{1b}\u{202e}\u{2066}\u{200b}\u{200f}\u{feff}\u{61c}\u{ad}\u{e0041}".chars() {
            assert_eq!(
                strip_unsafe_chars(&format!("Jane{c}’s Wälder 森")),
                "Jane’s Wälder 森",
                "{c:?}"
            );
        }
    }
}
