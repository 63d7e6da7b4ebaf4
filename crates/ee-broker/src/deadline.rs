//! The end of a broker's life, and of an ID token's use.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A time that has passed as soon as either clock says so: the monotonic clock stands still while a
/// machine sleeps, and the wall clock can be set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    instant: Option<Instant>,
    time: DateTime<Utc>,
}

impl Deadline {
    pub(crate) fn after(lifetime: Duration) -> Self {
        let delta = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        Self {
            instant: Instant::now().checked_add(lifetime),
            time: Utc::now()
                .checked_add_signed(delta)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    pub(crate) fn time(&self) -> DateTime<Utc> {
        self.time
    }

    pub(crate) fn remaining(&self) -> TimeDelta {
        let by_wall = self.time - Utc::now();
        let by_instant = self.instant.map_or(TimeDelta::MAX, |instant| {
            let left = instant.saturating_duration_since(Instant::now());
            TimeDelta::from_std(left).unwrap_or(TimeDelta::MAX)
        });
        by_wall.min(by_instant)
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.remaining() <= TimeDelta::zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_clock_ends_it() {
        let hour = Duration::from_secs(3600);
        let deadline = Deadline::after(hour);
        assert!(!deadline.has_passed());
        let now = Instant::now();
        let slept = Deadline {
            time: Utc::now() - TimeDelta::seconds(1),
            ..deadline
        };
        let set_back = Deadline {
            instant: Some(now),
            ..deadline
        };
        assert!(slept.has_passed());
        assert!(set_back.has_passed());
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::MAX).has_passed());
    }
}
