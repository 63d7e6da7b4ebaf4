//! The emulator's clock, which tests can set.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The clock by which the emulator validates JWTs, expires tokens and writes `Date` headers.
///
/// Follows the system clock until it is moved. Clones share one clock. Tests move it to make tokens
/// expire, or to simulate clock skew between client and server.
///
/// ```
/// use std::time::Duration;
/// let clock = ee_emulator::EmulatorClock::system();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert!(clock.now() - before >= chrono::TimeDelta::hours(1));
/// ```
#[derive(Clone, Debug)]
pub struct EmulatorClock(Arc<Mutex<ClockState>>);

#[derive(Clone, Copy, Debug)]
enum ClockState {
    /// The system clock plus this offset.
    Running(TimeDelta),
    /// A fixed time.
    Frozen(DateTime<Utc>),
}

impl EmulatorClock {
    /// Creates a clock that follows the system clock.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(ClockState::Running(TimeDelta::zero()))))
    }

    /// Creates a clock that is stopped at `time`.
    pub fn frozen_at(time: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(ClockState::Frozen(time))))
    }

    /// Returns the current time.
    pub fn now(&self) -> DateTime<Utc> {
        match *self.lock() {
            ClockState::Running(offset) => shifted(Utc::now(), offset),
            ClockState::Frozen(time) => time,
        }
    }

    /// Sets the time. A running clock continues from there, a frozen one stays there.
    pub fn set(&self, time: DateTime<Utc>) {
        let mut state = self.lock();
        *state = match *state {
            ClockState::Running(_) => ClockState::Running(time - Utc::now()),
            ClockState::Frozen(_) => ClockState::Frozen(time),
        };
    }

    /// Moves the clock forward. A step beyond the range of dates is ignored.
    pub fn advance(&self, by: Duration) {
        self.shift(TimeDelta::from_std(by).unwrap_or(TimeDelta::zero()));
    }

    /// Moves the clock back.
    pub fn rewind(&self, by: Duration) {
        self.shift(-TimeDelta::from_std(by).unwrap_or(TimeDelta::zero()));
    }

    fn shift(&self, by: TimeDelta) {
        let mut state = self.lock();
        *state = match *state {
            ClockState::Running(offset) => {
                ClockState::Running(offset.checked_add(&by).unwrap_or(offset))
            }
            ClockState::Frozen(time) => ClockState::Frozen(shifted(time, by)),
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ClockState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shifted(time: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(by).unwrap_or(time)
}

impl Default for EmulatorClock {
    fn default() -> Self {
        Self::system()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_clock_moves_only_explicitly() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let clock = EmulatorClock::frozen_at(start);
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now() - start, TimeDelta::seconds(60));
        clock.rewind(Duration::from_secs(120));
        assert_eq!(clock.now() - start, TimeDelta::seconds(-60));
    }

    #[test]
    fn clones_share_one_clock() {
        let clock = EmulatorClock::system();
        let other = clock.clone();
        clock.set(DateTime::from_timestamp(1_000_000_000, 0).unwrap());
        assert_eq!(other.now().timestamp(), 1_000_000_000);
    }
}
