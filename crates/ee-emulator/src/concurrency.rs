//! The number of requests that a host handles at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The request counts of a host, from [`Emulator::concurrency`](crate::Emulator::concurrency).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concurrency {
    /// The number of requests in flight.
    pub in_flight: usize,
    /// The highest number of requests that were in flight at once, without those rejected.
    pub peak: usize,
    /// The number of requests rejected with a 429.
    pub rejected: usize,
}

/// The limits and counts of all hosts.
#[derive(Clone, Default)]
pub(crate) struct ConcurrencyLimits(Arc<Mutex<HashMap<String, HostLoad>>>);

#[derive(Default)]
struct HostLoad {
    limit: Option<usize>,
    count: Concurrency,
}

impl ConcurrencyLimits {
    pub(crate) fn set_limit(&self, host: &str, limit: Option<usize>) {
        self.with(host, |load| load.limit = limit);
    }

    pub(crate) fn count(&self, host: &str) -> Concurrency {
        self.with(host, |load| load.count)
    }

    /// Returns a permit for one request, or `None` if the host is at its limit.
    pub(crate) fn try_acquire(&self, host: &str) -> Option<Permit> {
        let admitted = self.with(host, |load| {
            let count = &mut load.count;
            let admitted = load.limit.is_none_or(|limit| count.in_flight < limit);
            if admitted {
                count.in_flight += 1;
                count.peak = count.peak.max(count.in_flight);
            } else {
                count.rejected += 1;
            }
            admitted
        });
        admitted.then(|| Permit {
            limits: self.clone(),
            host: host.to_owned(),
        })
    }

    fn with<T>(&self, host: &str, update: impl FnOnce(&mut HostLoad) -> T) -> T {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = hosts.get_mut(host) {
            return update(load);
        }
        update(hosts.entry(host.to_owned()).or_default())
    }
}

/// Counts one request as in flight until dropped, which the response's body does.
pub(crate) struct Permit {
    limits: ConcurrencyLimits,
    host: String,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits
            .with(&self.host, |load| load.count.in_flight -= 1);
    }
}
