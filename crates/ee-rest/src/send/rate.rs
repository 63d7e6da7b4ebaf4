//! How many requests begin in a second.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// So much of a pause may be caught up with at once, which also evens out a timer's
/// coarseness.
const BURST: Duration = Duration::from_millis(100);

/// Spaces beginnings evenly, in the order of asking.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When the next request may begin. Who holds the lock is next; who is dropped while
    /// waiting takes no turn from anybody.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// `None` if that is no number of requests per second that can be kept to.
    pub(crate) fn new(per_second: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(per_second.recip()).ok()?;
        (per_second > 0.0).then(|| Self {
            interval,
            next: Mutex::new(None),
        })
    }

    pub(crate) async fn turn(&self) {
        let mut next = self.next.lock().await;
        let now = Instant::now();
        let at = match *next {
            Some(at) if at > now => {
                sleep_until(at).await;
                at
            }
            Some(at) => at.max(now.checked_sub(BURST).unwrap_or(now)),
            None => now,
        };
        // One in a thousand years still is an instant; one past the end of time is not.
        *next = at.checked_add(self.interval).or(Some(at));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beginnings_are_spaced_and_who_gives_up_takes_no_turn() {
        let pace = Arc::new(Pace::new(10.0).unwrap());
        let started = Instant::now();
        pace.turn().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..5 {
            // Not a millisecond is waited for.
            let _ = tokio::time::timeout(Duration::ZERO, pace.turn()).await;
        }
        for _ in 0..10 {
            pace.turn().await;
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= Duration::from_millis(1000), "{elapsed:?}");
        assert!(elapsed <= Duration::from_millis(1020), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_no_more_than_a_tenth_of_a_second_is_caught_up_with() {
        let pace = Pace::new(100.0).unwrap();
        pace.turn().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        for _ in 0..11 {
            pace.turn().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        pace.turn().await;
        assert!(started.elapsed() >= Duration::from_millis(9));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 1e-300] {
            assert!(Pace::new(rate).is_none(), "{rate}");
        }
        assert!(Pace::new(0.001).is_some());
    }
}
