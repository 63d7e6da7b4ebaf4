//! What [`crate::cache::sync`] has, with a scheduling decision of the model checker before each access.
//!
//! `watch` is tokio's own: it works on any executor, and counts as one step.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::JoinHandle;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use tokio::sync::watch;

/// One place for an [`Arc`], read and written as a whole.
pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

/// What [`ArcSwapOption::load`] lends.
pub(crate) struct Loaded<T>(Option<Arc<T>>);

impl<T> Deref for Loaded<T> {
    type Target = Option<Arc<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self(Mutex::new(None))
    }

    fn place(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.0.lock().unwrap()
    }

    pub(crate) fn load(&self) -> Loaded<T> {
        Loaded(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.place().clone()
    }

    pub(crate) fn store(&self, new: Option<Arc<T>>) {
        *self.place() = new;
    }
}

thread_local! {
    /// The refreshes of the execution that is being explored. All of it runs on one thread.
    static TASKS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    static RUNTIME: Cell<Runtime> = const { Cell::new(Runtime::Running) };
}

/// What those who ask find themselves on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Runtime {
    Running,
    /// It has shut down, and drops at once whatever is spawned.
    ShutDown,
    /// There is none.
    Missing,
}

/// The runtime, which can go away.
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

/// Forgets the tasks of the execution before.
pub(crate) fn new_runtime() {
    TASKS.take();
    become_runtime(Runtime::Running);
}

pub(crate) fn become_runtime(runtime: Runtime) {
    RUNTIME.set(runtime);
}

/// Drops every refresh, finished or not, as a runtime does that goes away.
pub(crate) fn drop_runtime() {
    // Taken out first: aborting lets others run, who may start another refresh.
    for task in TASKS.take() {
        task.abort();
    }
}

/// Time stands still while tasks run, so that nothing is late.
pub(crate) async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, ()> {
    Ok(future.await)
}
