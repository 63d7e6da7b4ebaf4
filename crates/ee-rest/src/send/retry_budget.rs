//! How much may be sent again while everything fails.
//!
//! Each retry takes from a store that only success fills again. A few failures are always
//! retried; in an outage the store is soon empty, and the client then sends each request once
//! instead of six times. The numbers are those of the AWS SDKs' standard retry mode.

use std::sync::atomic::{AtomicU32, Ordering};

/// What the store of a client holds, if nothing else is said.
pub(crate) const CAPACITY: u32 = 500;
/// What a retry takes.
const RETRY: u32 = 5;
/// What a retry after a time-out takes: the attempt kept the server busy for long.
const RETRY_AFTER_TIMEOUT: u32 = 10;
/// What a request that succeeds at once brings back.
const SUCCESS: u32 = 1;

/// The store of one client and its clones.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    left: AtomicU32,
    capacity: u32,
}

/// What was taken for one retry, and is given back if it succeeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent(u32);

impl RetryBudget {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            left: AtomicU32::new(capacity),
            capacity,
        }
    }

    /// Takes what a retry costs; none if there is not enough left.
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

    /// A request succeeded, and this was taken for its last attempt.
    pub(crate) fn succeeded(&self, spent: Option<Spent>) {
        if self.left.load(Ordering::Relaxed) == self.capacity {
            return;
        }
        let back = spent.map_or(SUCCESS, |spent| spent.0);
        // The closure always has a value, so that this cannot fail.
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
    fn a_hundred_retries_empty_it_and_success_fills_it_slowly() {
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
            "a time-out costs twice as much"
        );
        let spent = budget.spend(false);
        budget.succeeded(spent);
        assert!(budget.spend(false).is_some(), "a retry that helped is free");
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let budget = RetryBudget::new(7);
        assert!(budget.spend(false).is_some());
        for _ in 0..100 {
            budget.succeeded(None);
        }
        assert!(budget.spend(false).is_some());
        assert!(budget.spend(false).is_none());
    }
}
