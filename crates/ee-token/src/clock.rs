//! The two clocks that a token's life is measured by.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Where [`TokenCache`](crate::TokenCache) reads the time: the system, or a [`ManualClock`] in tests.
#[derive(Clone, Default)]
pub struct Clock(Option<ManualClock>);

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self(None)
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Moment {
        self.at(self.wall())
    }

    /// The wall clock alone.
    #[inline]
    pub(crate) fn wall(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(manual) => manual.wall(),
        }
    }

    /// The moment of which the wall clock was read just now.
    pub(crate) fn at(&self, wall: SystemTime) -> Moment {
        let monotonic = match &self.0 {
            None => Instant::now(),
            Some(manual) => manual.now().monotonic,
        };
        Moment { wall, monotonic }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Clock(manual)"
        } else {
            "Clock(system)"
        })
    }
}

/// One instant by both clocks: the wall clock can be set, the monotonic one can stop
/// while a machine sleeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

impl Moment {
    /// This moment moved on by `d` on both clocks. A moment past the end of time stays put.
    pub(crate) fn after(self, d: Duration) -> Self {
        Self {
            wall: self.wall.checked_add(d).unwrap_or(self.wall),
            monotonic: self.monotonic.checked_add(d).unwrap_or(self.monotonic),
        }
    }

    /// Whether either clock has reached `limit`.
    #[inline]
    pub(crate) fn has_reached(&self, limit: &Self) -> bool {
        self.wall >= limit.wall || self.monotonic >= limit.monotonic
    }
}

/// A clock that moves only when told to, so that a test of an hour takes no time.
///
/// ```
/// use std::time::Duration;
/// use ee_token::ManualClock;
///
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_secs(3600)); // an hour goes by
/// clock.sleep(Duration::from_secs(3600));   // the machine sleeps: the monotonic clock stands still
/// clock.set_back(Duration::from_secs(60));  // somebody sets the wall clock back
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Moment>>);

impl ManualClock {
    /// A clock that stands at the present moment.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Clock::system().now())))
    }

    /// The clock to give to a cache.
    pub fn clock(&self) -> Clock {
        Clock(Some(self.clone()))
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> SystemTime {
        self.now().wall
    }

    /// Time goes by.
    pub fn advance(&self, d: Duration) {
        self.change(|now| *now = now.after(d));
    }

    /// The machine sleeps: the wall clock moves on, the monotonic one does not.
    pub fn sleep(&self, d: Duration) {
        self.change(|now| now.wall = now.wall.checked_add(d).unwrap_or(now.wall));
    }

    /// The wall clock is set back.
    pub fn set_back(&self, d: Duration) {
        self.change(|now| now.wall = now.wall.checked_sub(d).unwrap_or(now.wall));
    }

    fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, f: impl FnOnce(&mut Moment)) {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
