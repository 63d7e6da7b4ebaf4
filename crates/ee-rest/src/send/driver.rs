//! Who polls a call.
//!
//! A call holds a place that other calls need, also when its caller does not poll it: between two
//! items of a `buffer_unordered` stream, for example. Its caller polls it as long as that happens
//! soon after each wake-up; otherwise a task takes the call over. A task for each call would cost
//! more than sending a small request.

use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use ee_token::Remedy;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::{Error, ErrorKind};

/// A call that was woken is taken over at the second check after it.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The number of checks without a call after which they stop.
const IDLE_CHECKS: u32 = 50;
/// The time without a check after which another task begins to check: the runtime of the first may
/// not be running.
const MAX_CHECK_DELAY: Duration = Duration::from_millis(500);

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// The calls of a client and its clones, in places that are reused.
pub(crate) struct Driver<T> {
    places: Mutex<Places<T>>,
}

struct Places<T> {
    all: Vec<Arc<Place<T>>>,
    free: Vec<Arc<Place<T>>>,
    /// When the calls were last checked, if a task checks them.
    checked: Option<Instant>,
    /// The number of the task. A new one ends the one before.
    checker: u64,
}

struct Place<T> {
    stage: Mutex<Stage<T>>,
    wake_up: AtomicU8,
    caller: Mutex<Option<Waker>>,
}

/// What became of the last wake-up of a call.
mod wake_up {
    /// The call was polled after it.
    pub(super) const ANSWERED: u8 = 0;
    /// The call was not polled yet.
    pub(super) const PENDING: u8 = 1;
    /// The call was not polled before a check, either.
    pub(super) const OVERDUE: u8 = 2;
}

enum Stage<T> {
    /// There is no call.
    Free,
    /// The caller polls.
    Caller(Work<T>, Handle),
    Task(CallTask<T>),
}

/// Aborts the task on drop, which cancels the call.
struct CallTask<T>(JoinHandle<Result<T, Error>>);

impl<T> Drop for CallTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Driver<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Mutex::new(Places {
                all: Vec::new(),
                free: Vec::new(),
                checked: None,
                checker: 0,
            }),
        })
    }

    /// Runs a call. Dropping the future cancels it.
    pub(crate) async fn run(
        self: &Arc<Self>,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = runtime()?;
        let place = self.take_place(&runtime);
        *lock(&place.stage) = Stage::Caller(Box::pin(call), runtime);
        let waker = Waker::from(Arc::clone(&place));
        Driven {
            driver: self,
            place,
            waker,
        }
        .await
    }

    fn take_place(self: &Arc<Self>, runtime: &Handle) -> Arc<Place<T>> {
        let now = Instant::now();
        let mut places = lock(&self.places);
        let is_checked = |checked| now.saturating_duration_since(checked) < MAX_CHECK_DELAY;
        if !places.checked.is_some_and(is_checked) {
            places.checked = Some(now);
            places.checker += 1;
            runtime.spawn(check_regularly(Arc::downgrade(self), places.checker));
        }
        if let Some(place) = places.free.pop() {
            return place;
        }
        let place = Arc::new(Place {
            stage: Mutex::new(Stage::Free),
            wake_up: AtomicU8::new(wake_up::ANSWERED),
            caller: Mutex::new(None),
        });
        places.all.push(Arc::clone(&place));
        place
    }

    /// Takes over the calls that are overdue. Returns whether there is a call, or `None` if another
    /// task checks.
    fn check(&self, checker: u64) -> Option<bool> {
        let (overdue, has_calls) = {
            let mut places = lock(&self.places);
            if places.checker != checker {
                return None;
            }
            places.checked = Some(Instant::now());
            let overdue = places.all.iter().filter(|place| place.is_overdue());
            let overdue: Vec<_> = overdue.cloned().collect();
            (overdue, places.has_calls())
        };
        // Not under the lock: a runtime that shuts down drops the call, which may have made others.
        for place in overdue {
            place.take_over();
        }
        Some(has_calls)
    }

    /// Ends the checks, unless a call has begun. Returns whether they ended.
    fn end_checks(&self, checker: u64) -> bool {
        let mut places = lock(&self.places);
        if places.checker == checker && !places.has_calls() {
            places.all.clear();
            places.free.clear();
            places.checked = None;
        }
        places.checked.is_none()
    }
}

impl<T> Places<T> {
    fn has_calls(&self) -> bool {
        self.free.len() < self.all.len()
    }
}

async fn check_regularly<T: Send + 'static>(driver: Weak<Driver<T>>, checker: u64) {
    let mut idle = 0;
    loop {
        sleep(CHECK_INTERVAL).await;
        let Some(driver) = driver.upgrade() else {
            return;
        };
        idle = match driver.check(checker) {
            None => return,
            Some(true) => 0,
            Some(false) => idle + 1,
        };
        if idle >= IDLE_CHECKS && driver.end_checks(checker) {
            return;
        }
    }
}

impl<T: Send + 'static> Place<T> {
    /// Returns whether the call was woken before the last check and not polled since.
    fn is_overdue(&self) -> bool {
        self.change_wake_up(wake_up::PENDING, wake_up::OVERDUE) == Err(wake_up::OVERDUE)
    }

    /// Changes the state of the last wake-up, or returns the one that it has instead of `from`.
    fn change_wake_up(&self, from: u8, to: u8) -> Result<u8, u8> {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.wake_up.compare_exchange(from, to, success, failure)
    }

    /// Gives a call to a task, unless its caller is polling it.
    fn take_over(&self) {
        let mut stage = match self.stage.try_lock() {
            Ok(stage) => stage,
            Err(TryLockError::Poisoned(stage)) => stage.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let overdue = self.change_wake_up(wake_up::OVERDUE, wake_up::ANSWERED);
        if overdue.is_err() {
            return;
        }
        *stage = match std::mem::replace(&mut *stage, Stage::Free) {
            Stage::Caller(work, runtime) => Stage::Task(CallTask(runtime.spawn(work))),
            other => other,
        };
    }
}

impl<T: Send + 'static> Wake for Place<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A late wake-up for an earlier call in this place does no harm.
        self.wake_up.store(wake_up::PENDING, Ordering::Relaxed);
        let caller = lock(&self.caller).take();
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

/// A call as its caller sees it.
struct Driven<'a, T: Send + 'static> {
    driver: &'a Driver<T>,
    place: Arc<Place<T>>,
    waker: Waker,
}

impl<T: Send + 'static> Future for Driven<'_, T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = lock(&self.place.stage);
        match &mut *stage {
            Stage::Caller(work, _) => {
                *lock(&self.place.caller) = Some(cx.waker().clone());
                let wake_up = &self.place.wake_up;
                wake_up.store(wake_up::ANSWERED, Ordering::Relaxed);
                work.as_mut().poll(&mut Context::from_waker(&self.waker))
            }
            Stage::Task(CallTask(task)) => {
                let result = ready!(Pin::new(task).poll(cx));
                Poll::Ready(result.unwrap_or_else(|error| match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_) => Err(runtime_ended()),
                }))
            }
            Stage::Free => Poll::Ready(Err(runtime_ended())),
        }
    }
}

impl<T: Send + 'static> Drop for Driven<'_, T> {
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut *lock(&self.place.stage), Stage::Free);
        *lock(&self.place.caller) = None;
        lock(&self.driver.places).free.push(Arc::clone(&self.place));
        // Its end may start other calls.
        drop(stage);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A call that panicked is not polled again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime_ended() -> Error {
    without_runtime("the tokio runtime of the request shut down")
}

/// Returns the current runtime, which connections need and without which timers panic.
pub(crate) fn runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| without_runtime("a request needs a tokio runtime"))
}

fn without_runtime(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message).with_remedy(Remedy::new(
        "Call it from within a tokio runtime, or use the blocking client.",
    ))
}

#[cfg(test)]
mod tests;
