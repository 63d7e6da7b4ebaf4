//! Standard output and the log.

use std::io::{IsTerminal, Write};

use earthengine::Environment;
use earthengine::credentials::Warning;
use earthengine::token::{clean, steers_terminal};
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::arguments::Global;
use crate::failure::{Failure, in_one_line};

/// Writes to standard output. A reader that went away is a failure, not a panic.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|e| Failure::io("standard output cannot be written", &e))
}

/// Whether text that goes there may have colours: on a terminal that knows them, unless
/// `NO_COLOR` is set (<https://no-color.org>).
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal()
        && !is_set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours a text, if there are colours: with an SGR code such as `1;31`.
pub(crate) fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Text that came from elsewhere, without what could steer a terminal or make a name look like
/// another: control characters, and those that are invisible or turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !steers_terminal(*c)).collect()
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

/// Writes a note for people to standard error, where nobody needs to read it. What it quotes steers
/// no terminal.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(text, &[]));
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
        .with_writer(std::io::stderr)
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
