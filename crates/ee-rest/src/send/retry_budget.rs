//! The retry budget.
//!
//! A token bucket that retries drain and only successes refill. A few failures are always retried,
//! but in an outage the bucket is soon empty, and each request is then sent once instead of six
//! times. The numbers are those of the AWS SDKs' standard retry mode.

use std::sync::atomic::{AtomicU32, Ordering};

/// The default capacity.
pub(crate) const CAPACITY: u32 = 500;
/// The cost of a retry.
const RETRY: u32 = 5;
/// The cost of a retry after a timeout, which occupied the server for longer.
const RETRY_AFTER_TIMEOUT: u32 = 10;
/// The refill by a request that succeeds at its first attempt.
const SUCCESS: u32 = 1;

/// The retry budget of a client and its clones.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    left: AtomicU32,
    capacity: u32,
}

/// The cost of one retry, refunded if it succeeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent(u32);

impl RetryBudget {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            left: AtomicU32::new(capacity),
            capacity,
        }
    }

    /// Takes the cost of a retry. Returns `None` if the budget is exhausted.
    pub(crate) fn spend(&self, after_timeout: bool) -> Option<Spent> {
        let cost = if after_timeout {
            RETRY_AFTER_TIMEOUT
        } else {
            RETRY
        };
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(cost)
            })
            .ok()
            .map(|_| Spent(cost))
    }

    /// Records a success, whose last attempt cost `spent`.
    pub(crate) fn succeeded(&self, spent: Option<Spent>) {
        if self.left.load(Ordering::Relaxed) == self.capacity {
            return;
        }
        let back = spent.map_or(SUCCESS, |spent| spent.0);
        // Cannot fail, because the closure always returns a value.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_add(back).min(self.capacity))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundred_retries_empty_the_budget_and_successes_refill_it() {
        let budget = RetryBudget::new(CAPACITY);
        for _ in 0..100 {
            assert!(budget.spend(false).is_some());
        }
        assert!(budget.spend(false).is_none());
        for _ in 0..4 {
            budget.succeeded(None);
        }
        assert!(budget.spend(false).is_none());
        budget.succeeded(None);
        assert!(
            budget.spend(true).is_none(),
            "a timeout costs twice as much"
        );
        let spent = budget.spend(false);
        budget.succeeded(spent);
        assert!(budget.spend(false).is_some(), "a successful retry is free");
    }

    #[test]
    fn budget_never_exceeds_its_capacity() {
        let budget = RetryBudget::new(7);
        assert!(budget.spend(false).is_some());
        for _ in 0..100 {
            budget.succeeded(None);
        }
        assert!(budget.spend(false).is_some());
        assert!(budget.spend(false).is_none());
    }
}
