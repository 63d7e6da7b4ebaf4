//! The clock for tests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Clock, Moment, nanos};

/// A clock that a test advances, for [`TokenCache::with_clock`](crate::TokenCache::with_clock).
///
/// Clones share the time. Available with the feature `test-util`.
///
/// ```
/// use std::time::Duration;
/// use ee_token::ManualClock;
///
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_secs(3600)); // an hour passes
/// clock.sleep(Duration::from_secs(3600));   // the machine is suspended for an hour
/// clock.set_back(Duration::from_secs(60));  // the wall clock is set back
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Moment>>);

impl ManualClock {
    /// Creates a clock that shows the current time.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Clock::System.now())))
    }

    /// Returns the time of the wall clock.
    pub fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.now().wall)
    }

    /// Advances both clocks.
    pub fn advance(&self, d: Duration) {
        self.update(|now| *now = now.after(d));
    }

    /// Advances the wall clock only, as when the machine is suspended.
    pub fn sleep(&self, d: Duration) {
        self.update(|now| now.wall = now.wall.saturating_add(nanos(d)));
    }

    /// Sets the wall clock back.
    pub fn set_back(&self, d: Duration) {
        self.update(|now| now.wall = now.wall.saturating_sub(nanos(d)));
    }

    pub(super) fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, f: impl FnOnce(&mut Moment)) {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
