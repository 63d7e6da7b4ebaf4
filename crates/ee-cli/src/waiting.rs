//! The line on the terminal that says what a command waits for or does, if it takes long.
//!
//! The libraries open a span named `waiting` while they wait for a server. Commands open one with
//! [`Progress`] for work that takes long, such as a list with many pages.

use std::fmt::Debug;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::field::{Empty, Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Global;
use crate::output::{of_our_crates, strip_unsafe_chars};
use crate::style::set_eraser;

/// How long a command waits without a word.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a command works before its progress is shown.
const SILENCE_OF_WORK: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);
/// The span that the libraries and [`Progress`] open.
const SPAN: &str = "waiting";

/// Shows the line. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct WaitingLine(Arc<Mutex<State>>);

/// The line of this process, if it may be shown.
static LINE: OnceLock<WaitingLine> = OnceLock::new();

/// Erases the line before something else is printed. It is shown again while the wait lasts.
fn erase_line() {
    if let Some(line) = LINE.get() {
        line.state().erase();
    }
}

#[derive(Default)]
struct State {
    waits: Vec<Wait>,
    /// Since when the command has been waiting, through all attempts.
    since: Option<Instant>,
    shown: Option<ProgressBar>,
}

struct Wait {
    id: tracing::Id,
    started: Instant,
    what: What,
}

/// What a span says.
#[derive(Clone, Default)]
struct What {
    /// A server that the command waits for, or an event.
    waits_for: String,
    attempt: u64,
    /// What the command does.
    activity: String,
    done: u64,
    total: Option<u64>,
    is_bytes: bool,
    /// Whether the line shows how long it has taken.
    is_timed: bool,
}

/// What to show.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    message: String,
    /// What is done, of a total, and whether they are bytes.
    progress: Option<(u64, u64, bool)>,
}

/// Shows what a command does while this value lives, if it takes long and standard error is a
/// terminal.
pub(crate) struct Progress {
    span: tracing::Span,
    done: AtomicUsize,
}

impl Progress {
    /// Starts an activity: `listing projects`.
    pub(crate) fn new(activity: &str) -> Self {
        Self::start(activity, false)
    }

    /// Starts an activity of `total` items: `deleting assets`.
    pub(crate) fn of(activity: &str, total: usize) -> Self {
        let progress = Self::start(activity, false);
        // One item needs no bar.
        if total > 1 {
            progress.span.record("total", total as u64);
        }
        progress
    }

    /// Starts an activity whose time is shown.
    pub(crate) fn timed(activity: &str) -> Self {
        Self::start(activity, true)
    }

    fn start(activity: &str, is_timed: bool) -> Self {
        let span = tracing::debug_span!(
            "waiting",
            activity,
            done = Empty,
            total = Empty,
            is_bytes = false,
            is_timed
        );
        Self {
            span,
            done: AtomicUsize::new(0),
        }
    }

    /// Sets how much is done, such as the number of items listed.
    pub(crate) fn set(&self, done: usize) {
        self.done.store(done, Ordering::Relaxed);
        self.span.record("done", done as u64);
    }

    /// Counts one more item.
    pub(crate) fn advance(&self) {
        self.set(self.done.load(Ordering::Relaxed) + 1);
    }

    /// Replaces the text of the activity.
    pub(crate) fn set_activity(&self, activity: &str) {
        self.span.record("activity", activity);
    }
}

impl WaitingLine {
    /// Starts to watch what the command waits for and does, if a line may be shown: on a terminal,
    /// without `--quiet`, `--json` and a log.
    pub(crate) fn start(global: &Global) -> Option<Self> {
        let is_silent = global.quiet || global.json || global.verbose > 0;
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if is_silent || is_dumb || !std::io::stderr().is_terminal() {
            return None;
        }
        let line = LINE.get_or_init(Self::default).clone();
        set_eraser(erase_line);
        let watched = line.clone().with_filter(of_our_crates(LevelFilter::DEBUG));
        tracing_subscriber::registry().with(watched).init();
        Some(line)
    }

    /// Updates the line until it is dropped.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.state().update(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, id: &tracing::Id) {
        let mut state = self.state();
        state.waits.retain(|wait| wait.id != *id);
        // Erased before anything else is printed.
        if state.waits.is_empty() {
            state.erase();
        }
    }
}

impl State {
    fn begin(&mut self, id: tracing::Id, what: What, now: Instant) {
        let is_waiting = self.waits.iter().any(|wait| wait.what.activity.is_empty());
        if what.activity.is_empty() && what.attempt <= 1 && !is_waiting {
            self.since = Some(now);
        }
        self.waits.push(Wait {
            id,
            started: now,
            what,
        });
    }

    /// Returns the line to show now, if any: the last activity that was started, and what it waits
    /// for.
    fn line(&self, now: Instant) -> Option<Line> {
        let waits_for = self.waits_for(now);
        let worked = |wait: &Wait| now.saturating_duration_since(wait.started);
        let is_long =
            |wait: &&Wait| !wait.what.activity.is_empty() && worked(wait) >= SILENCE_OF_WORK;
        let all = || self.waits.iter().rev().filter(is_long);
        // A list says more than the download of one of its pages.
        let Some(work) = all().find(|wait| !wait.what.is_bytes).or(all().next()) else {
            return waits_for.map(|message| Line {
                message,
                progress: None,
            });
        };
        let what = &work.what;
        let mut message = strip_unsafe_chars(&what.activity);
        match (what.total, what.done) {
            (Some(_), _) | (None, 0) => {}
            (None, done) if what.is_bytes => message += &format!(": {}", HumanBytes(done)),
            (None, done) => message += &format!(": {done}"),
        }
        if what.is_timed {
            message += &format!(", {} s", worked(work).as_secs());
        }
        message += " …";
        // Bytes that arrive are the response.
        if let Some(waits_for) = waits_for.filter(|_| !(what.is_bytes && what.done > 0)) {
            message += &format!(" {waits_for}");
        }
        Some(Line {
            message,
            progress: what.total.map(|total| (what.done, total, what.is_bytes)),
        })
    }

    /// Returns what the command has been waiting for, if it waits long.
    fn waits_for(&self, now: Instant) -> Option<String> {
        let waits = || self.waits.iter().filter(|w| w.what.activity.is_empty());
        let name = &waits().next_back()?.what.waits_for;
        // A request may be part of a list that counts its own attempts.
        let same = waits().filter(|wait| wait.what.waits_for == *name);
        let attempt = same.map(|wait| wait.what.attempt).max().unwrap_or(1);
        let waited = now.saturating_duration_since(self.since?);
        let name = strip_unsafe_chars(name);
        let seconds = waited.as_secs();
        (waited >= SILENCE)
            .then(|| format!("waiting for {name} (attempt {attempt}, {seconds} s) …"))
    }

    fn update(&mut self, now: Instant) {
        let Some(line) = self.line(now) else {
            self.erase();
            return;
        };
        let bar = self.shown.get_or_insert_with(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        });
        bar.set_style(style(line.progress));
        if let Some((done, total, _)) = line.progress {
            bar.set_length(total);
            bar.set_position(done);
        }
        bar.set_message(line.message);
        bar.tick();
    }

    fn erase(&mut self) {
        if let Some(bar) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(progress: Option<(u64, u64, bool)>) -> ProgressStyle {
    let template = match progress {
        None => "{spinner} {wide_msg}",
        Some((.., true)) => "{spinner} {msg} [{bar:20}] {bytes} of {total_bytes}",
        Some((.., false)) => "{spinner} {msg} [{bar:20}] {pos} of {len}",
    };
    // A test proves that the templates are valid.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
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

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, _: Context<'_, S>) {
        let mut state = self.state();
        if let Some(wait) = state.waits.iter_mut().find(|wait| wait.id == *id) {
            values.record(&mut wait.what);
        }
    }

    fn on_close(&self, id: tracing::Id, _: Context<'_, S>) {
        self.end(&id);
    }
}

impl Visit for What {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "attempt" => self.attempt = value,
            "done" => self.done = value,
            "total" => self.total = Some(value),
            _ => {}
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "is_bytes" => self.is_bytes = value,
            "is_timed" => self.is_timed = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "waits_for" => value.clone_into(&mut self.waits_for),
            "activity" => value.clone_into(&mut self.activity),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests;
