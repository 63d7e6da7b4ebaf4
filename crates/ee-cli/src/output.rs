//! What is written to standard output, standard error and the log.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::OnceLock;

use earthengine::Environment;
use earthengine::credentials::Warning;
use earthengine::token::internal::is_unsafe_for_display;
use earthengine::token::redact;
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Global;
use crate::error::{CliError, remedy_line};
use crate::jq::Filter;
use crate::style::{Text, before_output, json_line, set_color, write_stderr};

/// Writes sanitized text to standard output.
pub(crate) fn print(text: impl Into<Text>) -> Result<(), CliError> {
    print_raw(text.into().into_string())
}

/// The expression of `--jq`.
static FILTER: OnceLock<Filter> = OnceLock::new();

/// Applies the options about the form of the output, for the rest of the process.
pub(crate) fn configure(global: &Global) -> Result<(), CliError> {
    set_color(global.color);
    if let Some(expression) = &global.jq {
        // It is set once.
        let _ = FILTER.set(Filter::new(expression)?);
    }
    Ok(())
}

/// Writes a line of JSON to standard output, or what `--jq` makes of it. Secrets are redacted, and
/// control characters are escaped instead of removed, so that programs receive exact strings.
pub(crate) fn print_json(value: &Value) -> Result<(), CliError> {
    print_json_with_secrets(&redacted(value.clone()))
}

/// Writes JSON like [`print_json`] that may contain a secret, such as a token.
pub(crate) fn print_json_with_secrets(value: &Value) -> Result<(), CliError> {
    match FILTER.get() {
        Some(filter) => print_raw(filter.apply_to_value(value)?),
        None => print_raw(json_line(value.clone())),
    }
}

/// Writes a JSON object: on one line with `--json`, indented otherwise.
pub(crate) fn print_object(global: &Global, object: &Value) -> Result<(), CliError> {
    match global.json {
        true => print_json(object),
        false => print(format!("{object:#}\n")),
    }
}

/// Writes a response verbatim, or what `--jq` makes of it.
pub(crate) fn print_response(body: &[u8]) -> Result<(), CliError> {
    match FILTER.get() {
        Some(filter) => print_raw(filter.apply(body)?),
        None => print_raw(body),
    }
}

/// Writes requested data verbatim, which may contain a secret: a token, a response, a script.
///
/// # Errors
///
/// Returns an error, instead of panicking, if the text cannot be written. It prints nothing if the
/// reader has closed the pipe.
pub(crate) fn print_raw(text: impl AsRef<[u8]>) -> Result<(), CliError> {
    before_output();
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => CliError::closed_pipe(),
            _ => CliError::io("cannot write to standard output", &e),
        })
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

/// Converts a path to a JSON string; bytes that are not UTF-8 are replaced.
pub(crate) fn path_json(path: &Path) -> Value {
    path.to_string_lossy().into()
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
    write_stderr(&(Text::from(text).into_string() + "\n"));
}

/// Writes a status object to standard error.
pub(crate) fn print_status_json(value: Value) {
    write_stderr(&json_line(redacted(value)));
}

/// Standard error for the log, sanitized because log lines quote paths and servers.
struct LogWriter;

impl Write for LogWriter {
    /// Called once per log line.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = Text::from(String::from_utf8_lossy(line));
        std::io::stderr()
            .lock()
            .write_all(text.into_string().as_bytes())?;
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

/// Returns the filter for this workspace's crates.
pub(crate) fn of_our_crates(level: LevelFilter) -> Targets {
    let crates = [
        "ee_token",
        "ee_credentials",
        "ee_rest",
        "ee_init",
        "ee_broker",
        "earthengine",
        "eectl",
    ];
    Targets::new().with_targets(crates.map(|name| (name, level)))
}

/// Logs events of this workspace's crates to standard error. Other crates stay silent, because
/// they might log a request's secrets.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(|| LogWriter)
        .with_ansi(false)
        .without_time();
    tracing_subscriber::registry()
        .with(of_our_crates(level))
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
