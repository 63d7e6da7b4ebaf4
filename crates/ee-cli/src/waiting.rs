//! A line on the terminal that says what a command waits for, if it waits long.

use std::fmt::Debug;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Global;
use crate::output::{of_our_crates, strip_unsafe_chars};
use crate::style::write_stderr;

/// How long a command waits without a word.
const SILENCE: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(250);
/// The span that the libraries open while they wait.
const SPAN: &str = "waiting";
/// Erases the line.
const ERASE: &str = "\r\u{1b}[2K";

/// Shows the line. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct WaitingLine(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waits: Vec<Wait>,
    /// Since when the command has been waiting, through all attempts.
    since: Option<Instant>,
    is_shown: bool,
}

struct Wait {
    id: tracing::Id,
    what: What,
}

#[derive(Clone, Default)]
struct What {
    name: String,
    attempt: u64,
}

impl WaitingLine {
    /// Starts to watch what the command waits for, if a line may be shown: on a terminal, without `--quiet`, `--json` and a log.
    pub(crate) fn start(global: &Global) -> Option<Self> {
        let is_silent = global.quiet || global.json || global.verbose > 0;
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if is_silent || is_dumb || !std::io::stderr().is_terminal() {
            return None;
        }
        let line = Self::default();
        let watched = line.clone().with_filter(of_our_crates(LevelFilter::DEBUG));
        tracing_subscriber::registry().with(watched).init();
        Some(line)
    }

    /// Updates the line until it is dropped.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Some(line) = self.state().line(Instant::now()) {
                write_stderr(&format!("{ERASE}{line}"));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, id: &tracing::Id) {
        let mut state = self.state();
        state.waits.retain(|wait| wait.id != *id);
        // Erased before anything else is printed.
        if state.waits.is_empty() && std::mem::take(&mut state.is_shown) {
            write_stderr(ERASE);
        }
    }
}

impl State {
    fn begin(&mut self, id: tracing::Id, what: What, now: Instant) {
        if what.attempt <= 1 && self.waits.is_empty() {
            self.since = Some(now);
        }
        self.waits.push(Wait { id, what });
    }

    /// Returns the line to show now, if any.
    fn line(&mut self, now: Instant) -> Option<String> {
        let What { name, .. } = &self.waits.last()?.what;
        // A request may be part of a list that counts its own attempts.
        let same = self.waits.iter().filter(|wait| wait.what.name == *name);
        let attempt = same.map(|wait| wait.what.attempt).max().unwrap_or(1);
        let waited = now.saturating_duration_since(self.since?);
        if waited < SILENCE {
            return None;
        }
        self.is_shown = true;
        let name = strip_unsafe_chars(name);
        let seconds = waited.as_secs();
        Some(format!(
            "waiting for {name} (attempt {attempt}, {seconds} s) …"
        ))
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for WaitingLine {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        _: Context<'_, S>,
    ) {
        if attributes.metadata().name() == SPAN {
            let mut what = What::default();
            attributes.record(&mut what);
            self.state().begin(id.clone(), what, Instant::now());
        }
    }

    fn on_close(&self, id: tracing::Id, _: Context<'_, S>) {
        self.end(&id);
    }
}

impl tracing::field::Visit for What {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "attempt" {
            self.attempt = value;
        }
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "waits_for" {
            value.clone_into(&mut self.name);
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_appears_after_two_seconds_and_counts_all_attempts() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let id = tracing::Id::from_u64;
        let what = |attempt| What {
            name: "oauth2.googleapis.com".into(),
            attempt,
        };
        let line = WaitingLine::default();
        line.state().begin(id(1), what(1), at(0.0));
        assert_eq!(line.state().line(at(1.9)), None);
        assert_eq!(
            line.state().line(at(2.5)).unwrap(),
            "waiting for oauth2.googleapis.com (attempt 1, 2 s) …"
        );
        line.end(&id(1));
        assert_eq!(line.state().line(at(3.0)), None);
        line.state().begin(id(2), what(2), at(3.0));
        assert_eq!(
            line.state().line(at(3.1)).unwrap(),
            "waiting for oauth2.googleapis.com (attempt 2, 3 s) …"
        );
        line.end(&id(2));
        line.state().begin(id(3), what(1), at(4.0));
        assert_eq!(line.state().line(at(5.0)), None, "another request");
        line.end(&id(3));
        line.state().begin(id(4), what(3), at(9.0));
        line.state().begin(id(5), what(1), at(9.0));
        assert_eq!(
            line.state().line(at(9.0)).unwrap(),
            "waiting for oauth2.googleapis.com (attempt 3, 5 s) …"
        );
    }
}
