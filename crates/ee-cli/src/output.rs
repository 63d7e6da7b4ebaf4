//! Standard output and the log.

use std::io::Write;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::Failure;

/// Writes to standard output. A reader that went away is a failure, not a panic.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
        .map_err(|e| Failure::io("standard output cannot be written", &e))
}

/// Writes a note for people to standard error, where nobody needs to read it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
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
