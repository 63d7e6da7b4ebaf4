//! Standard output and the log.

use std::io::{IsTerminal, Write};
use std::path::Path;

use earthengine::Environment;
use earthengine::credentials::Warning;
use earthengine::token::{is_unsafe_for_display, redact, sanitize};
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Global;
use crate::error::{CliError, in_one_line};

/// Text for people. Whatever is added to it is shown without secrets, and without characters that
/// steer a terminal; only its colors are its own.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn add(&mut self, text: &str) {
        self.0 += &sanitize(text, &[]);
    }

    /// Adds a text in color, if there are colors: with an SGR code such as `1;31`.
    pub(crate) fn paint(&mut self, colour: bool, code: &str, text: &str) {
        if colour {
            self.0 += &format!("\u{1b}[{code}m");
        }
        self.add(text);
        if colour {
            self.0 += "\u{1b}[0m";
        }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        let mut all = Self::default();
        all.add(text.as_ref());
        all
    }
}

/// Writes text for people to standard output.
pub(crate) fn print(text: impl Into<Text>) -> Result<(), CliError> {
    print_raw(text.into().0)
}

/// Writes a line of JSON to standard output. Secrets in it are redacted; characters that steer a
/// terminal are escaped, so that programs get each text as it is.
pub(crate) fn print_json(value: &Value) -> Result<(), CliError> {
    print_raw(json_line(redacted(value.clone())))
}

/// Writes what the user asked for as it is, be it a secret: a token, a response, a script.
/// A reader that went away is a failure, not a panic.
pub(crate) fn print_raw(text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|e| CliError::io("standard output cannot be written", &e))
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

/// JSON in one line, with an escape for each character that steers a terminal.
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

/// A path as JSON has it: as it is, but for bytes that are not UTF-8.
pub(crate) fn path_json(path: &Path) -> Value {
    path.to_string_lossy().into()
}

/// Whether text that goes there may have colours: on a terminal that knows them, unless
/// `NO_COLOR` is set (<https://no-color.org>).
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal()
        && !is_set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Text that came from elsewhere, without what could steer a terminal or make a name look like
/// another: control characters, and those that are invisible or turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !is_unsafe_for_display(*c))
        .collect()
}

/// Writes warnings to standard error, each with what to do.
pub(crate) fn warn<'a>(warnings: impl IntoIterator<Item = &'a Warning>) {
    for warning in warnings {
        note(&format!(
            "warning: {}\n  {}",
            warning.message, warning.remedy.text
        ));
        if let Some(command) = &warning.remedy.command {
            note(&format!("    {command}"));
        }
    }
}

/// Warnings as they stand in JSON.
pub(crate) fn warnings_as_json<'a>(warnings: impl IntoIterator<Item = &'a Warning>) -> Value {
    let warnings = warnings.into_iter().map(|warning| {
        json!({
            "code": warning.code,
            "message": warning.message,
            "remedy": in_one_line(&warning.remedy),
        })
    });
    warnings.collect()
}

/// Writes a note to standard error, and ignores failures to write it.
pub(crate) fn note(text: &str) {
    write_note(&(Text::from(text).0 + "\n"));
}

/// Writes a note for programs to standard error.
pub(crate) fn note_json(value: Value) {
    write_note(&json_line(redacted(value)));
}

/// Standard error may be closed; the exit status still reports the failure.
pub(crate) fn write_note(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Standard error for the log. Lines of the log quote paths and servers.
struct LogWriter;

impl Write for LogWriter {
    /// Called with a whole line.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = Text::from(String::from_utf8_lossy(line));
        std::io::stderr().lock().write_all(text.0.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Tells on standard error that an emulator is in force, whichever command runs. A variable that
/// was forgotten would otherwise look like Google.
pub(crate) fn note_emulator(global: &Global) {
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
        (false, true) => note(&json!({ "note": text }).to_string()),
        (false, false) => note(&format!("note: {text}")),
    }
}

/// Sends what our own crates log to standard error. Other crates stay silent: what they
/// would print of a request is not ours to vouch for.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let ours = [
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
        .with(Targets::new().with_targets(ours.map(|name| (name, level))))
        .with(log)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_exact_and_steers_no_terminal() {
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
    fn text_keeps_its_own_colors_and_no_others() {
        let mut text = Text::from("a\u{1b}[2J ");
        text.paint(true, "31", "b\u{1b}[0m ya29.secret");
        assert_eq!(
            text.into_string(),
            "a[2J \u{1b}[31mb[0m [redacted]\u{1b}[0m"
        );
    }

    #[test]
    fn a_name_that_somebody_else_chose_turns_and_hides_nothing() {
        for c in "\u{1b}\u{202e}\u{2066}\u{200b}\u{200f}\u{feff}\u{61c}\u{ad}\u{e0041}".chars() {
            assert_eq!(
                plain(&format!("Jane{c}’s Wälder 森")),
                "Jane’s Wälder 森",
                "{c:?}"
            );
        }
    }
}
