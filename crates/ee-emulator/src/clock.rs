//! The emulator's idea of the time, which a test may move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The clock by which the emulator judges JWTs, expires tokens and writes `Date` headers.
///
/// It follows the system's clock until it is moved; a clone is the same clock. Moving it is how
/// a test makes an hour pass, or makes this machine's clock wrong as seen from the server.
///
/// ```
/// use std::time::Duration;
/// let clock = ee_emulator::EmulatorClock::system();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert!(clock.now() - before >= chrono::TimeDelta::hours(1));
/// ```
#[derive(Clone, Debug)]
pub struct EmulatorClock(Arc<Mutex<Reading>>);

#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The system's clock plus this much.
    Ticking(TimeDelta),
    /// Stands still.
    Frozen(DateTime<Utc>),
}

impl EmulatorClock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Reading::Ticking(TimeDelta::zero()))))
    }

    /// A clock that stands at `time` and moves only when it is told to.
    pub fn frozen_at(time: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Reading::Frozen(time))))
    }

    /// What the clock says.
    pub fn now(&self) -> DateTime<Utc> {
        match *self.lock() {
            Reading::Ticking(offset) => shifted(Utc::now(), offset),
            Reading::Frozen(time) => time,
        }
    }

    /// Makes `time` the present. A ticking clock ticks on from there, a frozen one stays there.
    pub fn set(&self, time: DateTime<Utc>) {
        let mut reading = self.lock();
        *reading = match *reading {
            Reading::Ticking(_) => Reading::Ticking(time - Utc::now()),
            Reading::Frozen(_) => Reading::Frozen(time),
        };
    }

    /// Moves the clock forward. A step beyond what a date can say is not taken.
    pub fn advance(&self, by: Duration) {
        self.shift(TimeDelta::from_std(by).unwrap_or(TimeDelta::zero()));
    }

    /// Moves the clock back.
    pub fn rewind(&self, by: Duration) {
        self.shift(-TimeDelta::from_std(by).unwrap_or(TimeDelta::zero()));
    }

    fn shift(&self, by: TimeDelta) {
        let mut reading = self.lock();
        *reading = match *reading {
            Reading::Ticking(offset) => Reading::Ticking(offset.checked_add(&by).unwrap_or(offset)),
            Reading::Frozen(time) => Reading::Frozen(shifted(time, by)),
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
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
    fn a_frozen_clock_moves_only_when_told() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let clock = EmulatorClock::frozen_at(start);
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now() - start, TimeDelta::seconds(60));
        clock.rewind(Duration::from_secs(120));
        assert_eq!(clock.now() - start, TimeDelta::seconds(-60));
    }

    #[test]
    fn a_clone_is_the_same_clock() {
        let clock = EmulatorClock::system();
        let other = clock.clone();
        clock.set(DateTime::from_timestamp(1_000_000_000, 0).unwrap());
        assert_eq!(other.now().timestamp(), 1_000_000_000);
    }
}
