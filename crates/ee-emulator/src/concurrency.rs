//! How many requests a host takes at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How crowded a host is and was; [`Emulator::concurrency`](crate::Emulator::concurrency)
/// tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concurrency {
    /// The requests that are being answered.
    pub now: usize,
    /// The most that there ever were, without those that were turned away.
    pub most: usize,
    /// How many were turned away with a 429.
    pub refused: usize,
}

/// All hosts.
#[derive(Clone, Default)]
pub(crate) struct Crowds(Arc<Mutex<HashMap<String, Crowd>>>);

#[derive(Default)]
struct Crowd {
    limit: Option<usize>,
    count: Concurrency,
}

impl Crowds {
    pub(crate) fn limit(&self, host: &str, limit: Option<usize>) {
        self.with(host, |crowd| crowd.limit = limit);
    }

    pub(crate) fn count(&self, host: &str) -> Concurrency {
        self.with(host, |crowd| crowd.count)
    }

    /// A place at the host, unless it is full.
    pub(crate) fn enter(&self, host: &str) -> Option<Inside> {
        let room = self.with(host, |crowd| {
            let count = &mut crowd.count;
            let room = crowd.limit.is_none_or(|limit| count.now < limit);
            if room {
                count.now += 1;
                count.most = count.most.max(count.now);
            } else {
                count.refused += 1;
            }
            room
        });
        room.then(|| Inside {
            crowds: self.clone(),
            host: host.to_owned(),
        })
    }

    fn with<T>(&self, host: &str, change: impl FnOnce(&mut Crowd) -> T) -> T {
        let mut crowds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(crowd) = crowds.get_mut(host) {
            return change(crowd);
        }
        change(crowds.entry(host.to_owned()).or_default())
    }
}

/// One request that is being answered; until it is dropped, which its body does.
pub(crate) struct Inside {
    crowds: Crowds,
    host: String,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.crowds.with(&self.host, |crowd| crowd.count.now -= 1);
    }
}
