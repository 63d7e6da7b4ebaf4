//! The concurrency limit.
//!
//! Earth Engine allows each project a number of concurrent requests and responds with 429 to the
//! rest. The client queues requests beyond its own limit, in FIFO order, and lowers that limit when
//! it is too high (because other programs use the project, too): additive increase, multiplicative
//! decrease, as in TCP (RFC 5681 §3.1).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The default limit of a project on each of Earth Engine's endpoints ("Max concurrent requests",
/// developers.google.com/earth-engine/guides/usage).
pub(crate) const CONCURRENCY: usize = 40;

/// The limit in restricted mode. Google documents that parallelism is restricted then, but not by
/// how much; further 429 responses lower the limit as usual.
const RESTRICTED: usize = 8;

/// The concurrency limit of a client and its clones.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter {
    permits: Semaphore,
    /// Permits to withdraw as soon as they are returned.
    owed: AtomicUsize,
    /// How many times the limit was lowered.
    reductions: AtomicU64,
    /// Whether the limit is below its maximum. Otherwise a success changes nothing.
    reduced: AtomicBool,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Fractional: each success adds part of a permit.
    limit: f64,
    restricted: bool,
}

/// A permit to have one request in flight, returned on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<ConcurrencyLimiter>,
    /// [`ConcurrencyLimiter::reductions`] when the permit was acquired.
    reductions: u64,
}

impl ConcurrencyLimiter {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            permits: Semaphore::new(limit),
            owed: AtomicUsize::new(0),
            reductions: AtomicU64::new(0),
            reduced: AtomicBool::new(false),
            max: limit,
            state: Mutex::new(State {
                limit: limit as f64,
                restricted: false,
            }),
        })
    }

    /// Waits for a permit, in FIFO order. Cancel safe.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Option<Permit> {
        // The semaphore is never closed.
        let permit = self.permits.acquire().await.ok()?;
        Some(self.permit(permit))
    }

    /// Returns a permit if one is available and no request waits for it.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let permit = self.permits.try_acquire().ok()?;
        Some(self.permit(permit))
    }

    fn permit(self: &Arc<Self>, permit: SemaphorePermit<'_>) -> Permit {
        // `Permit` returns it on drop. An `OwnedSemaphorePermit` would need a second `Arc`.
        permit.forget();
        Permit {
            reductions: self.reductions.load(Ordering::Relaxed),
            limiter: self.clone(),
        }
    }

    /// Returns the current limit.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// Enters or leaves restricted mode. Returns the new limit if it was lowered.
    pub(crate) fn set_restricted(&self, restricted: bool) -> Option<usize> {
        let mut state = self.state();
        if state.restricted == restricted {
            return None;
        }
        state.restricted = restricted;
        let max = self.current_max(&state);
        if state.limit > max {
            self.lower(&mut state, max);
            return Some(max as usize);
        }
        self.reduced.store(state.limit < max, Ordering::Relaxed);
        None
    }

    fn current_max(&self, state: &State) -> f64 {
        if state.restricted {
            self.max.min(RESTRICTED) as f64
        } else {
            self.max as f64
        }
    }

    fn lower(&self, state: &mut State, to: f64) {
        let fewer = state.limit as usize - to as usize;
        state.limit = to;
        let withdrawn = self.permits.forget_permits(fewer);
        self.owed.fetch_add(fewer - withdrawn, Ordering::Relaxed);
        self.reductions.fetch_add(1, Ordering::Relaxed);
        self.reduced
            .store(to < self.current_max(state), Ordering::Relaxed);
    }

    fn raise(&self) {
        let mut state = self.state();
        let max = self.current_max(&state);
        let before = state.limit as usize;
        state.limit = (state.limit + 1.0 / state.limit).min(max);
        if state.limit as usize > before && !self.withdraw_owed() {
            self.permits.add_permits(1);
        }
        self.reduced.store(state.limit < max, Ordering::Relaxed);
    }

    /// Withdraws one owed permit. Returns whether one was owed.
    fn withdraw_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > 0
            && self
                .owed
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
                    owed.checked_sub(1)
                })
                .is_ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records a success: the limit grows by one per round of successes, but only while requests
    /// wait for it.
    pub(crate) fn record_success(&self) {
        let limiter = &self.limiter;
        if limiter.reduced.load(Ordering::Relaxed) && limiter.permits.available_permits() == 0 {
            limiter.raise();
        }
    }

    /// Records a rate limit error: the limit is halved, unless it was lowered since this request
    /// started. Returns the new limit if it was lowered.
    pub(crate) fn record_rate_limit(&self) -> Option<usize> {
        let limiter = &self.limiter;
        let mut state = limiter.state();
        if self.reductions != limiter.reductions.load(Ordering::Relaxed) {
            return None;
        }
        let half = (state.limit / 2.0).floor().max(1.0);
        if half >= state.limit {
            return None;
        }
        limiter.lower(&mut state, half);
        Some(half as usize)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.limiter.withdraw_owed() {
            self.limiter.permits.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests;
