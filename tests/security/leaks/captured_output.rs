//! Output that could contain secrets: collected texts, and the log of the whole process.

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;

use ee_test_support::canaries::{Canaries, Finder, Leak};
use tracing_subscriber::fmt::format::FmtSpan;

/// Texts that users or programs may see, and the secrets that they must not contain.
#[derive(Default)]
pub(crate) struct CapturedOutput {
    pub(crate) canaries: Canaries,
    pub(crate) failures: usize,
    /// The texts, by where they are seen.
    texts: Vec<(String, String)>,
    /// The kinds of the errors in the texts, each with the crate that declares it.
    kinds: BTreeSet<String>,
}

impl CapturedOutput {
    pub(crate) fn add(&mut self, sink: impl Into<String>, text: impl Into<String>) {
        self.texts.push((sink.into(), text.into()));
    }

    pub(crate) fn debug(&mut self, sink: &str, value: &dyn Debug) {
        self.add(format!("{sink} as {{:?}}"), format!("{value:?}"));
        self.add(format!("{sink} as {{:#?}}"), format!("{value:#?}"));
    }

    /// Adds the value or the error of a result, and returns the value.
    pub(crate) fn result<T: Debug, E: Error + 'static>(
        &mut self,
        sink: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        let value = self.value_of(sink, result)?;
        self.debug(sink, &value);
        Some(value)
    }

    /// Like [`Self::result`], and adds the output of a panic with the error.
    pub(crate) fn result_and_panic<T: Debug, E: Error + 'static>(
        &mut self,
        sink: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        if let Err(error) = &result {
            self.add(sink, panic_text(|| panic!("{error:?}: {error}")));
        }
        self.result(sink, result)
    }

    /// Adds the error of a result, and returns the value.
    pub(crate) fn value_of<T, E: Error + 'static>(
        &mut self,
        sink: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .inspect_err(|error| {
                self.failures += 1;
                self.error(sink, error);
            })
            .ok()
    }

    /// Adds an error in all its forms, with its sources and remedies.
    pub(crate) fn error<E: Error + 'static>(&mut self, sink: &str, error: &E) {
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        let mut text = String::new();
        while let Some(error) = next {
            let _ = writeln!(text, "{error}\n{error:?}\n{error:#?}");
            if let Some((kind, remedy)) = kind_and_remedy(error) {
                self.kinds.insert(kind);
                text.push_str(&remedy);
            }
            next = error.source();
        }
        self.add(format!("{sink}, the error"), text);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.canaries.extend(other.canaries);
        self.failures += other.failures;
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

    /// Returns the secrets in the texts, except allowed ones: pairs of prefixes of a sink and of a
    /// secret's name. An allowed secret must be present, or the test checks nothing.
    pub(crate) fn leaks(&self, allowed: &[(&str, &str)]) -> Vec<(String, Leak)> {
        self.leaks_of(&self.canaries.finder(), allowed)
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
            assert!(used, "{entry:?} is allowed but not present");
        }
        leaks
    }

    /// Fails if the texts or the log contain a secret.
    pub(crate) fn assert_clean(&self) {
        assert_none(&self.leaks(&[]));
        assert_log_clean(&self.canaries);
    }
}

/// Returns the kind of an error of this workspace, with the crate that declares it, and its remedy.
fn kind_and_remedy(error: &(dyn Error + 'static)) -> Option<(String, String)> {
    macro_rules! first_of {
        ($($name:literal: $error:ty),*) => {
            $(if let Some(error) = error.downcast_ref::<$error>() {
                let kind = format!("{:?}", error.kind());
                let bare = kind.split('(').next().unwrap_or_default();
                return Some((format!("{} {bare}", $name), format!("{:?}", error.remedy())));
            })*
        };
    }
    first_of!(
        "ee-token": earthengine::token::Error,
        "ee-credentials": earthengine::credentials::Error,
        "ee-rest": earthengine::rest::Error,
        "ee-rest": earthengine::Error
    );
    None
}

/// Fails if there are leaks.
pub(crate) fn assert_none(leaks: &[(String, Leak)]) {
    let mut messages = String::new();
    // One leak of each sink is enough to read.
    let mut places = BTreeSet::new();
    let hosts = |sink: &str| sink.rsplit(", ").next().map(str::to_owned);
    let first = leaks.iter().filter(|(sink, _)| places.insert(hosts(sink)));
    for (sink, leak) in first {
        let _ = writeln!(
            messages,
            "{} ({}) in {sink}: …{}",
            leak.secret, leak.form, leak.context
        );
    }
    assert!(leaks.is_empty(), "{} leaks:\n{messages}", leaks.len());
}

/// Returns what a panic hook receives when `panicking` panics, with the backtrace.
pub(crate) fn panic_text(panicking: impl FnOnce()) -> String {
    let (ended, seen) = with_panic_hook(panicking);
    assert!(ended.is_err(), "it did not panic");
    seen
}

/// Returns the result of `work`, and what a panic hook receives of panics in it, even if they are
/// caught.
pub(crate) fn with_panic_hook<T>(work: impl FnOnce() -> T) -> (thread::Result<T>, String) {
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

/// Receives the records of crates that use `log` instead of `tracing`.
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

/// Captures everything that is logged from now on, at the finest level.
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

/// Fails if the log contains one of these secrets.
fn assert_log_clean(canaries: &Canaries) {
    let found = canaries.find(&log_text());
    let found: Vec<_> = found
        .into_iter()
        .map(|leak| ("the log".to_owned(), leak))
        .collect();
    assert_none(&found);
}
