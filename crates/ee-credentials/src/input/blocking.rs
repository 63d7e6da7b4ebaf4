//! File operations outside of the threads that run asynchronous tasks.
//!
//! Operations run on detached threads, which wait briefly for another operation before they end.
//! Tokio's blocking threads are unsuitable: dropping a runtime waits for them, so a file system that
//! does not respond would keep a program from exiting.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

/// The timeout of a file operation.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout for a caller that cannot await. Checking a file takes microseconds.
const BRIEF_TIMEOUT: Duration = Duration::from_millis(50);
/// The limit of threads that wait for file systems.
const MAX_THREADS: usize = 64;

/// How long a thread waits for another operation. Starting a thread costs much more than waking one.
const IDLE_TIMEOUT: Duration = Duration::from_millis(200);

static THREADS: Semaphore = Semaphore::const_new(MAX_THREADS);
static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());
/// The threads that wait for another operation.
static IDLE: Mutex<Vec<(ThreadId, mpsc::Sender<Operation>)>> = Mutex::new(Vec::new());

type Operation = Box<dyn FnOnce() + Send>;

struct Running {
    id: u64,
    path: PathBuf,
    since: Instant,
}

/// Runs an operation on the file or directory `path`, and waits at most `limit` for its result.
///
/// While an operation exceeds its limit, others on the same path fail immediately, so a file system
/// that does not respond blocks one thread for each path.
///
/// Without a tokio runtime there are no tasks to block, and the operation runs in the calling thread.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`], or the error of starting a thread.
pub(crate) async fn run<T: Send + 'static>(
    path: &Path,
    limit: Duration,
    operation: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if Handle::try_current().is_err() {
        return Ok(operation());
    }
    let result = async {
        let permit = THREADS.acquire().await.map_err(io::Error::other)?;
        let (sender, receiver) = oneshot::channel();
        start(path, limit, permit, move || drop(sender.send(operation())))?;
        receiver.await.map_err(|_| io::Error::other("it panicked"))
    };
    timeout(limit, result)
        .await
        .unwrap_or_else(|_| Err(no_response(limit)))
}

/// Returns whether the system knows without I/O that the path does not exist. Starting a thread
/// only to learn this takes longer than the rest of a search.
#[cfg(target_os = "linux")]
pub(crate) fn is_known_absent(path: &Path) -> bool {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED);
    matches!(opened, Err(Errno::NOENT | Errno::NOTDIR))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_known_absent(_: &Path) -> bool {
    false
}

/// [`run`] for a caller that cannot await. Returns `None` if there is no result within 50 ms.
pub(crate) fn run_briefly<T: Send + 'static>(
    path: &Path,
    operation: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if Handle::try_current().is_err() {
        return Some(operation());
    }
    let permit = THREADS.try_acquire().ok()?;
    let (sender, receiver) = mpsc::channel();
    let operation = move || drop(sender.send(operation()));
    start(path, BRIEF_TIMEOUT, permit, operation).ok()?;
    receiver.recv_timeout(BRIEF_TIMEOUT).ok()
}

/// Runs an operation and ignores its result. If no thread can be started, the operation is dropped.
#[cfg(feature = "disk-cache")]
pub(crate) fn detach(operation: impl FnOnce() + Send + 'static) {
    if Handle::try_current().is_err() {
        operation();
    } else if let Err(error) = execute(Box::new(operation)) {
        tracing::debug!(%error, "no thread could be started for a file operation");
    }
}

fn start(
    path: &Path,
    limit: Duration,
    permit: SemaphorePermit<'static>,
    operation: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let registration = Registration::new(path, limit)?;
    execute(Box::new(move || {
        let _held = (permit, registration);
        operation();
    }))
}

/// Runs an operation on an idle thread or a new one.
fn execute(mut operation: Operation) -> io::Result<()> {
    while let Some((_, idle)) = locked(&IDLE).pop() {
        match idle.send(operation) {
            Ok(()) => return Ok(()),
            Err(mpsc::SendError(unsent)) => operation = unsent,
        }
    }
    let thread = thread::Builder::new().name("ee-files".into());
    thread.spawn(|| run_operations(operation)).map(drop)
}

/// Runs an operation and those that follow within [`IDLE_TIMEOUT`].
fn run_operations(mut operation: Operation) {
    let (sender, receiver) = mpsc::channel();
    let this = thread::current().id();
    loop {
        operation();
        locked(&IDLE).push((this, sender.clone()));
        if let Ok(next) = receiver.recv_timeout(IDLE_TIMEOUT) {
            operation = next;
            continue;
        }
        let mut idle = locked(&IDLE);
        let Some(at) = idle.iter().position(|(id, _)| *id == this) else {
            // Another thread has removed the entry and sends an operation.
            drop(idle);
            match receiver.recv() {
                Ok(next) => operation = next,
                Err(_) => return,
            }
            continue;
        };
        idle.swap_remove(at);
        return;
    }
}

/// The entry of an operation in [`RUNNING`].
struct Registration(u64);

impl Registration {
    fn new(path: &Path, limit: Duration) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut running = locked(&RUNNING);
        if running
            .iter()
            .any(|other| other.path == path && other.since.elapsed() > limit)
        {
            return Err(no_response(limit));
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        running.push(Running {
            id,
            path: path.to_owned(),
            since: Instant::now(),
        });
        Ok(Self(id))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        locked(&RUNNING).retain(|other| other.id != self.0);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_response(limit: Duration) -> io::Error {
    let why = format!("the file system did not respond within {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
pub(crate) mod tests;
