//! Replaces [`crate::cache::sync`], with a scheduling decision before each access.
//!
//! tokio's `watch` works on any executor. Each of its operations is a single step.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::JoinHandle;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::watch;

/// An atomic `Option<Arc<T>>`, with the methods of `arc_swap` that the cache uses.
pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

/// The result of [`ArcSwapOption::load`].
pub(crate) struct Guard<T>(Option<Arc<T>>);

impl<T> Deref for Guard<T> {
    type Target = Option<Arc<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn load(&self) -> Guard<T> {
        Guard(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn store(&self, new: Option<Arc<T>>) {
        *self.0.lock().unwrap() = new;
    }
}

thread_local! {
    /// The refreshes of the current execution, which runs on one thread.
    static TASKS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    static RUNTIME: Cell<Runtime> = const { Cell::new(Runtime::Running) };
}

/// The state of the callers' runtime.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Runtime {
    Running,
    /// Drops spawned tasks immediately.
    ShutDown,
    /// There is no runtime.
    Missing,
}

/// A handle to the runtime that a test can shut down.
pub(crate) struct Handle;

impl Handle {
    pub(crate) fn try_current() -> Result<Self, ()> {
        match RUNTIME.get() {
            Runtime::Missing => Err(()),
            Runtime::Running | Runtime::ShutDown => Ok(Self),
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if RUNTIME.get() == Runtime::ShutDown {
            drop(future);
            return;
        }
        let task = shuttle::future::spawn(future);
        TASKS.with_borrow_mut(|tasks| tasks.push(task));
    }
}

/// Forgets the tasks of the previous execution.
pub(crate) fn reset_runtime() {
    TASKS.take();
    set_runtime(Runtime::Running);
}

pub(crate) fn set_runtime(runtime: Runtime) {
    RUNTIME.set(runtime);
}

/// Drops all refreshes, as a runtime that shuts down does.
pub(crate) fn drop_runtime() {
    // Taken first, because other tasks run during `abort` and may start another refresh.
    for task in TASKS.take() {
        task.abort();
    }
}

/// Never times out, because time does not advance while tasks run.
pub(crate) async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, ()> {
    Ok(future.await)
}
