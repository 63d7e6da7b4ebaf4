//! Where secrets could come out: what was collected, and the log of everything that runs here.

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{Debug, Display, Write as _};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;

use tracing_subscriber::fmt::format::FmtSpan;

use crate::canary::{Canaries, Finder, Leak};

/// Texts that people or programs may see, by where they see them.
#[derive(Default)]
pub(crate) struct Sinks {
    texts: Vec<(String, String)>,
    /// The crates and kinds of the errors among them.
    kinds: BTreeSet<String>,
}

impl Sinks {
    pub(crate) fn add(&mut self, sink: impl Into<String>, text: impl Into<String>) {
        self.texts.push((sink.into(), text.into()));
    }

    pub(crate) fn debug(&mut self, sink: &str, value: &dyn Debug) {
        self.add(format!("{sink} as {{:?}}"), format!("{value:?}"));
        self.add(format!("{sink} as {{:#?}}"), format!("{value:#?}"));
    }

    /// An error in all its forms, with all that it stems from.
    pub(crate) fn error<E: Error + Display + 'static>(&mut self, sink: &str, error: &E) {
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        let mut text = String::new();
        while let Some(error) = next {
            let _ = writeln!(text, "{error}\n{error:?}\n{error:#?}");
            self.kinds.extend(kind(error));
            next = error.source();
        }
        self.add(format!("{sink}, the error"), text);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.texts.extend(other.texts);
        self.kinds.extend(other.kinds);
    }

    pub(crate) fn kinds(&self) -> &BTreeSet<String> {
        &self.kinds
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn contains(&self, what: &str) -> bool {
        self.texts.iter().any(|(_, text)| text.contains(what))
    }

    /// The secrets in them, but for those that may be there: pairs of the beginnings of a sink's
    /// and of a secret's name. What may be there must be there, or the test looks at nothing.
    pub(crate) fn leaks(
        &self,
        canaries: &Canaries,
        allowed: &[(&str, &str)],
    ) -> Vec<(String, Leak)> {
        self.leaks_of(&canaries.finder(), allowed)
    }

    pub(crate) fn leaks_of(
        &self,
        finder: &Finder,
        allowed: &[(&str, &str)],
    ) -> Vec<(String, Leak)> {
        let mut leaks = Vec::new();
        let mut used = vec![false; allowed.len()];
        for (sink, text) in &self.texts {
            for leak in finder.find(text) {
                let entry = allowed.iter().position(|(in_sink, secret)| {
                    sink.starts_with(in_sink) && leak.secret.starts_with(secret)
                });
                match entry {
                    Some(entry) => used[entry] = true,
                    None => leaks.push((sink.clone(), leak)),
                }
            }
        }
        for (entry, used) in allowed.iter().zip(used) {
            assert!(used, "{entry:?} is allowed, and nothing of it was seen");
        }
        leaks
    }

    /// Fails if there is a secret in them that may not be there.
    pub(crate) fn assert_clean(&self, canaries: &Canaries, allowed: &[(&str, &str)]) {
        assert_none(&self.leaks(canaries, allowed));
    }
}

/// The crate and the kind of an error of ours.
fn kind(error: &(dyn Error + 'static)) -> Option<String> {
    let (name, kind) = if let Some(error) = error.downcast_ref::<earthengine::token::Error>() {
        ("ee-token", format!("{:?}", error.kind()))
    } else if let Some(error) = error.downcast_ref::<earthengine::credentials::Error>() {
        ("ee-credentials", format!("{:?}", error.kind()))
    } else if let Some(error) = error.downcast_ref::<earthengine::rest::Error>() {
        ("ee-rest", format!("{:?}", error.kind()))
    } else {
        let error = error.downcast_ref::<earthengine::Error>()?;
        ("ee-init", format!("{:?}", error.kind()))
    };
    let bare = kind.split('(').next().unwrap_or_default();
    Some(format!("{name} {bare}"))
}

/// Fails if there is one.
pub(crate) fn assert_none(leaks: &[(String, Leak)]) {
    let mut told = String::new();
    // One of each place is enough to read.
    let mut places = BTreeSet::new();
    let place = |sink: &str| sink.rsplit(", ").next().map(str::to_owned);
    let first = leaks.iter().filter(|(sink, _)| places.insert(place(sink)));
    for (sink, leak) in first {
        let _ = writeln!(
            told,
            "{} ({}) in {sink}: …{}",
            leak.secret, leak.form, leak.context
        );
    }
    assert!(leaks.is_empty(), "{} leaks:\n{told}", leaks.len());
}

/// What a panic's hook is told, and where it was, when this panics.
pub(crate) fn panic_text(panicking: impl FnOnce()) -> String {
    let (ended, seen) = hooked(panicking);
    assert!(ended.is_err(), "it did not panic");
    seen
}

/// How something ends, and what a hook is told of the panics in it, wherever they are caught.
pub(crate) fn hooked<T>(work: impl FnOnce() -> T) -> (thread::Result<T>, String) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = Arc::new(Mutex::new(String::new()));
    let hook_seen = Arc::clone(&seen);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let backtrace = Backtrace::force_capture();
        let text = format!("{info}\n{info:?}\n{backtrace}\n{backtrace:?}");
        hook_seen.lock().unwrap().push_str(&text);
    }));
    let ended = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(before);
    let seen = seen.lock().unwrap().clone();
    (ended, seen)
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The records of those who use `log` and not `tracing`.
impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = io::Write::write_all(
            &mut Log,
            format!("log {}: {}\n", record.target(), record.args()).as_bytes(),
        );
    }

    fn flush(&self) {}
}

/// Keeps everything from now on that any crate here says, in the finest grain.
pub(crate) fn start_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log::set_logger(&Log).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

pub(crate) fn log_text() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// Fails if one of these is in the log.
pub(crate) fn assert_log_clean(canaries: &Canaries) {
    let found = canaries.find(&log_text());
    let found: Vec<_> = found
        .into_iter()
        .map(|leak| ("the log".to_owned(), leak))
        .collect();
    assert_none(&found);
}
