//! The two clocks that the cache compares with a token's expiry.

#[cfg(any(test, feature = "test-util"))]
pub(crate) mod manual;

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

#[cfg(any(test, feature = "test-util"))]
use self::manual::ManualClock;
use crate::transport::retry::random_fraction;

/// The origin of the monotonic clock.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where [`TokenCache`](crate::TokenCache) reads the time.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    System,
    #[cfg(any(test, feature = "test-util"))]
    Manual(ManualClock),
}

impl Clock {
    /// Reads both clocks.
    pub(crate) fn now(&self) -> Moment {
        self.at(self.wall())
    }

    /// Reads the wall clock, in nanoseconds since the Unix epoch.
    #[inline]
    pub(crate) fn wall(&self) -> u64 {
        match self {
            Self::System => unix_nanos(SystemTime::now()),
            #[cfg(any(test, feature = "test-util"))]
            Self::Manual(clock) => clock.now().wall,
        }
    }

    /// Returns a random number in [0, 1), or 0 for a test.
    pub(crate) fn jitter(&self) -> f64 {
        match self {
            Self::System => random_fraction(),
            #[cfg(any(test, feature = "test-util"))]
            Self::Manual(_) => 0.0,
        }
    }

    /// Reads the monotonic clock, to go with a wall clock that was just read.
    pub(crate) fn at(&self, wall: u64) -> Moment {
        let monotonic = match self {
            Self::System => {
                let epoch = *EPOCH;
                nanos(Instant::now().saturating_duration_since(epoch))
            }
            #[cfg(any(test, feature = "test-util"))]
            Self::Manual(clock) => clock.now().monotonic,
        };
        Moment { wall, monotonic }
    }
}

/// An instant on both clocks, because the wall clock can be set, and the monotonic clock can stop
/// while the machine is suspended. Nanoseconds in 64 bits suffice until the year 2554.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Nanoseconds since the Unix epoch. Earlier times are 0.
    pub(crate) wall: u64,
    /// Nanoseconds since the process first read this clock.
    pub(crate) monotonic: u64,
}

impl Moment {
    /// Adds `d` on both clocks, saturating.
    pub(crate) fn after(self, d: Duration) -> Self {
        let d = nanos(d);
        Self {
            wall: self.wall.saturating_add(d),
            monotonic: self.monotonic.saturating_add(d),
        }
    }

    /// Returns whether either clock has reached `limit`.
    #[inline]
    pub(crate) fn has_reached(&self, limit: &Self) -> bool {
        self.wall >= limit.wall || self.monotonic >= limit.monotonic
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Avoids the 128-bit arithmetic of [`nanos`]. Wraps after 584 years.
#[inline]
fn unix_nanos(wall: SystemTime) -> u64 {
    match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since
            .as_secs()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(since.subsec_nanos())),
        Err(_) => 0,
    }
}
