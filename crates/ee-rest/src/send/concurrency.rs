//! How many requests are under way at once.
//!
//! Earth Engine lets a project have so many requests at once, and answers 429 beyond. The
//! client keeps to a limit of its own, in the order of arrival, and finds out by itself when
//! that is too high (somebody else uses the project too): additive increase, multiplicative
//! decrease, as TCP does it (RFC 5681 §3.1).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// What a project may have at once on each of Earth Engine's endpoints, without special
/// arrangements ("Max concurrent requests", developers.google.com/earth-engine/guides/usage).
pub(crate) const CONCURRENCY: usize = 40;

/// At most this many while a project runs restricted. Google says that parallelism is
/// restricted then, not how far: what is too much still comes back as 429 and shrinks the
/// limit further.
const RESTRICTED: usize = 8;

/// The limit of one client and its clones.
#[derive(Debug)]
pub(crate) struct Limiter {
    places: Semaphore,
    /// Places that are taken away as soon as they are given back.
    owed: AtomicUsize,
    /// How many times the limit was lowered.
    lowered: AtomicU64,
    /// Whether it is lower than it may be; otherwise a success changes nothing.
    below: AtomicBool,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// With its fraction: each success adds a part of a place.
    limit: f64,
    restricted: bool,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: Arc<Limiter>,
    /// [`Limiter::lowered`] when it was taken.
    lowered: u64,
}

impl Limiter {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            places: Semaphore::new(limit),
            owed: AtomicUsize::new(0),
            lowered: AtomicU64::new(0),
            below: AtomicBool::new(false),
            most: limit,
            state: Mutex::new(State {
                limit: limit as f64,
                restricted: false,
            }),
        })
    }

    /// The next free place, in the order of asking. Who stops waiting takes none.
    pub(crate) async fn place(self: &Arc<Self>) -> Option<Place> {
        // Nobody closes the semaphore.
        let permit = self.places.acquire().await.ok()?;
        Some(self.place_of(permit))
    }

    /// A place, if one is free and nobody waits for it.
    pub(crate) fn free_place(self: &Arc<Self>) -> Option<Place> {
        let permit = self.places.try_acquire().ok()?;
        Some(self.place_of(permit))
    }

    fn place_of(self: &Arc<Self>, permit: SemaphorePermit<'_>) -> Place {
        // The place gives it back, without a second counter of who has the semaphore.
        permit.forget();
        Place {
            lowered: self.lowered.load(Ordering::Relaxed),
            limiter: self.clone(),
        }
    }

    /// The present limit.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// Whether the project runs restricted. Returns the limit if this changed it.
    pub(crate) fn restrict(&self, restricted: bool) -> Option<usize> {
        let mut state = self.state();
        if state.restricted == restricted {
            return None;
        }
        state.restricted = restricted;
        let top = self.top(&state);
        if state.limit > top {
            self.lower(&mut state, top);
            return Some(top as usize);
        }
        self.below.store(state.limit < top, Ordering::Relaxed);
        None
    }

    fn top(&self, state: &State) -> f64 {
        if state.restricted {
            self.most.min(RESTRICTED) as f64
        } else {
            self.most as f64
        }
    }

    fn lower(&self, state: &mut State, to: f64) {
        let fewer = state.limit as usize - to as usize;
        state.limit = to;
        let taken = self.places.forget_permits(fewer);
        self.owed.fetch_add(fewer - taken, Ordering::Relaxed);
        self.lowered.fetch_add(1, Ordering::Relaxed);
        self.below.store(to < self.top(state), Ordering::Relaxed);
    }

    fn raise(&self) {
        let mut state = self.state();
        let top = self.top(&state);
        let before = state.limit as usize;
        state.limit = (state.limit + 1.0 / state.limit).min(top);
        if state.limit as usize > before && !self.pay() {
            self.places.add_permits(1);
        }
        self.below.store(state.limit < top, Ordering::Relaxed);
    }

    /// Crosses out one place that is owed, if there is one.
    fn pay(&self) -> bool {
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

impl Place {
    /// The server took the request: the limit grows by one place per round of as many
    /// successes, as long as it is the limit that requests wait for.
    pub(crate) fn succeeded(&self) {
        let limiter = &self.limiter;
        if limiter.below.load(Ordering::Relaxed) && limiter.places.available_permits() == 0 {
            limiter.raise();
        }
    }

    /// The server had too many requests: half the limit. Those that were under way when the
    /// limit was last lowered say nothing new. Returns the limit if this changed it.
    pub(crate) fn turned_away(&self) -> Option<usize> {
        let limiter = &self.limiter;
        let mut state = limiter.state();
        if self.lowered != limiter.lowered.load(Ordering::Relaxed) {
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

impl Drop for Place {
    fn drop(&mut self) {
        if !self.limiter.pay() {
            self.limiter.places.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests;
