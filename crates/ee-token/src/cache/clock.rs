//! The two clocks that a token's life is measured by.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// From where this process counts the time of the monotonic clock.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

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

    /// The wall clock alone, in nanoseconds since 1970.
    #[inline]
    pub(crate) fn wall(&self) -> u64 {
        match &self.0 {
            None => since_1970(SystemTime::now()),
            Some(manual) => manual.now().wall,
        }
    }

    /// The moment of which the wall clock was read just now.
    pub(crate) fn at(&self, wall: u64) -> Moment {
        let monotonic = match &self.0 {
            None => {
                let epoch = *EPOCH;
                in_nanos(Instant::now().saturating_duration_since(epoch))
            }
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
/// while a machine sleeps. Both are in nanoseconds, which will do until the year 2554.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Since 1970. A time before is 1970.
    pub(crate) wall: u64,
    /// Since the process first looked.
    pub(crate) monotonic: u64,
}

impl Moment {
    /// This moment moved on by `d` on both clocks, to the end of time at most.
    pub(crate) fn after(self, d: Duration) -> Self {
        let d = in_nanos(d);
        Self {
            wall: self.wall.saturating_add(d),
            monotonic: self.monotonic.saturating_add(d),
        }
    }

    /// Whether either clock has reached `limit`.
    #[inline]
    pub(crate) fn has_reached(&self, limit: &Self) -> bool {
        self.wall >= limit.wall || self.monotonic >= limit.monotonic
    }
}

fn in_nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration of less than 584 years in nanoseconds, without the wide arithmetic that
/// [`in_nanos`] needs; more wraps around, as no clock's reading does.
#[inline]
fn since_1970(wall: SystemTime) -> u64 {
    match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since
            .as_secs()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(since.subsec_nanos())),
        Err(_) => 0,
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
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.now().wall)
    }

    /// Time goes by.
    pub fn advance(&self, d: Duration) {
        self.change(|now| *now = now.after(d));
    }

    /// The machine sleeps: the wall clock moves on, the monotonic one does not.
    pub fn sleep(&self, d: Duration) {
        self.change(|now| now.wall = now.wall.saturating_add(in_nanos(d)));
    }

    /// The wall clock is set back.
    pub fn set_back(&self, d: Duration) {
        self.change(|now| now.wall = now.wall.saturating_sub(in_nanos(d)));
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
