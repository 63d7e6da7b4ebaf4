//! The rate limit.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// How much idle time may be made up for in a burst. This also evens out coarse timers.
const BURST: Duration = Duration::from_millis(100);

/// Spaces the starts of requests evenly, in FIFO order.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    interval: Duration,
    /// When the next request may start. The holder of the lock is next; a cancelled waiter does
    /// not delay the others.
    next: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// Returns `None` if this is not a positive, finite rate.
    pub(crate) fn new(per_second: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(per_second.recip()).ok()?;
        (per_second > 0.0).then(|| Self {
            interval,
            next: Mutex::new(None),
        })
    }

    pub(crate) async fn acquire(&self) {
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
        // Saturates: an interval may be longer than `Instant` can represent.
        *next = at.checked_add(self.interval).or(Some(at));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn starts_are_spaced_and_cancelled_waiters_cost_nothing() {
        let limiter = Arc::new(RateLimiter::new(10.0).unwrap());
        let started = Instant::now();
        limiter.acquire().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..5 {
            // Cancelled at once.
            let _ = tokio::time::timeout(Duration::ZERO, limiter.acquire()).await;
        }
        for _ in 0..10 {
            limiter.acquire().await;
        }
        let elapsed = started.elapsed();
        assert!(elapsed >= Duration::from_millis(1000), "{elapsed:?}");
        assert!(elapsed <= Duration::from_millis(1020), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_made_up_for_up_to_a_tenth_of_a_second() {
        let limiter = RateLimiter::new(100.0).unwrap();
        limiter.acquire().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        for _ in 0..11 {
            limiter.acquire().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        limiter.acquire().await;
        assert!(started.elapsed() >= Duration::from_millis(9));
    }

    #[test]
    fn invalid_rates_are_rejected() {
        for rate in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 1e-300] {
            assert!(RateLimiter::new(rate).is_none(), "{rate}");
        }
        assert!(RateLimiter::new(0.001).is_some());
    }
}
