//! The number of connections is bounded: when it is reached, the one that has been idle for longest is
//! closed for a new one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a new connection has to send its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be idle, slow to send a request, or slow to read a response.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection must have been idle before it is closed for another. Its last response may
/// not be written yet.
const MIN_IDLE: Duration = Duration::from_millis(100);
const EVICTION_INTERVAL: Duration = Duration::from_millis(50);
const MIN_CONNECTIONS: usize = 2;
/// File descriptors to leave for the work on requests: the check of the peer, a token request.
const SPARE_FILES: usize = 8;

#[derive(Debug)]
pub(crate) struct Connections {
    max: AtomicUsize,
    slots: Mutex<HashMap<u64, Weak<Slot>>>,
    freed: Notify,
    next: AtomicU64,
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Slot {
    id: u64,
    started: Instant,
    /// When the last request ended, in milliseconds after the start.
    active_at: AtomicU64,
    requests: AtomicU64,
    /// Requests that are being answered.
    busy: AtomicU32,
    closed: Notify,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(MIN_CONNECTIONS).into(),
            slots: Mutex::default(),
            freed: Notify::new(),
            next: AtomicU64::new(0),
        })
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<u64, Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.slots().len()
    }

    /// Returns a place for a new connection, once there is one.
    pub(crate) async fn admit(self: &Arc<Self>) -> Arc<Slot> {
        loop {
            let freed = self.freed.notified();
            if let Some(slot) = self.try_admit() {
                return slot;
            }
            self.evict();
            // A busy connection may become idle.
            let _ = tokio::time::timeout(EVICTION_INTERVAL, freed).await;
        }
    }

    fn try_admit(self: &Arc<Self>) -> Option<Arc<Slot>> {
        let mut slots = self.slots();
        if slots.len() >= self.max.load(Ordering::Relaxed) {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot {
            id,
            started: Instant::now(),
            active_at: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            closed: Notify::new(),
            connections: self.clone(),
        });
        slots.insert(id, Arc::downgrade(&slot));
        Some(slot)
    }

    /// Allows fewer connections from now on, because the system does not allow as many open files.
    pub(crate) fn shrink(&self) {
        let fewer = self.count().saturating_sub(SPARE_FILES);
        self.max
            .fetch_min(fewer.max(MIN_CONNECTIONS), Ordering::Relaxed);
    }

    /// Closes the connection that has been idle for longest.
    pub(crate) fn evict(&self) {
        // Not dropped under the lock, which their destructor takes.
        let all: Vec<_> = {
            let slots = self.slots();
            slots.values().filter_map(Weak::upgrade).collect()
        };
        let idle = all.into_iter();
        let idle = idle.filter(|slot| slot.busy.load(Ordering::Relaxed) == 0);
        let oldest = idle.min_by_key(|slot| slot.active_since());
        let oldest = oldest.filter(|slot| slot.active_since().elapsed() >= MIN_IDLE);
        if let Some(slot) = oldest {
            slot.closed.notify_one();
        }
    }
}

impl Slot {
    fn active_since(&self) -> Instant {
        self.started + Duration::from_millis(self.active_at.load(Ordering::Relaxed))
    }

    /// Marks the connection as busy until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Waits until the connection has been idle for too long, or is evicted.
    pub(crate) async fn idle(&self) {
        let expired = async {
            loop {
                let timeout = match self.requests.load(Ordering::Relaxed) {
                    0 => FIRST_REQUEST_TIMEOUT,
                    _ => IDLE_TIMEOUT,
                };
                let is_busy = self.busy.load(Ordering::Relaxed) > 0;
                let idle = self.active_since().elapsed();
                match timeout.checked_sub(idle).filter(|left| !left.is_zero()) {
                    None if !is_busy => break,
                    None => tokio::time::sleep(FIRST_REQUEST_TIMEOUT).await,
                    Some(left) => tokio::time::sleep(left).await,
                }
            }
        };
        tokio::select! {
            () = expired => {}
            () = self.closed.notified() => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.slots().remove(&self.id);
        self.connections.freed.notify_waiters();
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Slot>);

impl Drop for Busy {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.started.elapsed().as_millis());
        let elapsed = elapsed.unwrap_or(u64::MAX);
        self.0.active_at.store(elapsed, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room() {
        let connections = Connections::new(3);
        let first = connections.admit().await;
        let second = connections.admit().await;
        let third = connections.admit().await;
        // The first is busy, and the second was used after the third.
        let busy = first.begin();
        tokio::time::sleep(Duration::from_millis(5)).await;
        drop(second.begin());
        let waiting = tokio::spawn({
            let connections = connections.clone();
            async move { connections.admit().await }
        });
        third.closed.notified().await;
        drop(third);
        let fourth = waiting.await.unwrap();
        assert_eq!(connections.count(), 3);
        drop((first, busy, second, fourth));
        assert_eq!(connections.count(), 0);
    }

    #[tokio::test]
    async fn fewer_files_allow_fewer_connections() {
        let connections = Connections::new(100);
        let mut slots = Vec::new();
        for _ in 0..20 {
            slots.push(connections.admit().await);
        }
        connections.shrink();
        slots.truncate(12);
        assert!(connections.try_admit().is_none());
        slots.truncate(11);
        assert!(connections.try_admit().is_some());
        slots.truncate(2);
        connections.shrink();
        assert!(connections.try_admit().is_none());
        slots.truncate(1);
        assert!(connections.try_admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_are_closed() {
        let connections = Connections::new(3);
        let slot = connections.admit().await;
        let started = tokio::time::Instant::now();
        // The slot's clock is not paused, so that its start is set to the past.
        let slot = Slot {
            id: u64::MAX,
            started: slot.started.checked_sub(FIRST_REQUEST_TIMEOUT).unwrap(),
            active_at: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            closed: Notify::new(),
            connections: connections.clone(),
        };
        slot.idle().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        slot.requests.store(1, Ordering::Relaxed);
        let idle = tokio::time::timeout(Duration::from_secs(1), slot.idle()).await;
        assert!(
            idle.is_err(),
            "a connection that was used may be idle for longer"
        );
    }
}
