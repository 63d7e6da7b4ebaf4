//! Admission: which calls may send a request now, and which wait.
//!
//! The decisions are those of [`Control`]. This module queues the calls that must wait, in FIFO
//! order. The [driver](super::driver) polls the first in a queue if its caller does not.

pub(crate) mod control;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::send::admission::control::{Caller, Control, Slot, Wait};
use crate::send::deadline::{earlier, within};

/// The limits of a client and its clones, and the calls that wait for them.
#[derive(Debug)]
pub(crate) struct Admission {
    control: Mutex<Control>,
    /// Held by the new call that is next.
    new_calls: tokio::sync::Mutex<()>,
    /// Held by the retry that is next.
    retries: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// The right of a call to send a request. What it holds is given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    slot: Slot,
    holds: Holds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A request in flight.
    Request,
    /// A place during the backoff.
    Place,
    /// The place of a streamed response, which others get if it is not read.
    Lease(u64),
    Nothing,
}

/// A call was held in an outage for as long as it is willing to wait.
#[derive(Debug)]
pub(crate) struct Outage;

impl Admission {
    pub(crate) fn new(max: Option<usize>, spacing: Option<Duration>) -> Arc<Self> {
        Self::with_seed(max, spacing, RandomState::new().hash_one(0))
    }

    /// `seed` determines the jitter.
    fn with_seed(max: Option<usize>, spacing: Option<Duration>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            control: Mutex::new(Control::new(max, spacing, seed)),
            new_calls: tokio::sync::Mutex::default(),
            retries: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Returns a permit if a request may be sent now and no call waits.
    pub(crate) fn try_acquire(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        let _next = self.new_calls.try_lock().ok()?;
        let slot = self.control().start(Caller::NewCall, now).ok()?;
        Some(self.permit(slot))
    }

    /// Waits for a permit, in FIFO order. In an outage, it waits for `patience`.
    pub(crate) async fn acquire(self: &Arc<Self>, patience: Duration) -> Result<Permit, Outage> {
        let started = Instant::now();
        let _waiting = Waiting::new(self, false);
        let _next = self.new_calls.lock().await;
        let slot = self.wait(Caller::NewCall, started, patience).await?;
        Ok(self.permit(slot))
    }

    fn permit(self: &Arc<Self>, slot: Slot) -> Permit {
        Permit {
            admission: self.clone(),
            slot,
            holds: Holds::Request,
        }
    }

    async fn wait(
        &self,
        caller: Caller,
        started: Instant,
        patience: Duration,
    ) -> Result<Slot, Outage> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the check, to miss no change.
            changed.as_mut().enable();
            let until = {
                let mut control = self.control();
                let now = Instant::now();
                match control.start(caller, now) {
                    Ok(slot) => return Ok(slot),
                    Err(Wait(until)) => match control.held_until(started, patience) {
                        Some(end) if end <= now => return Err(Outage),
                        end => earlier(until, end),
                    },
                }
            };
            within(until, changed).await;
        }
    }

    /// Enters or leaves restricted mode. Returns the new limit if it was lowered.
    pub(crate) fn set_restricted(&self, restricted: bool) -> Option<usize> {
        self.update(|control| control.set_restricted(restricted))
    }

    /// Changes the state and wakes the calls that wait for it.
    fn update<T>(&self, change: impl FnOnce(&mut Control) -> T) -> T {
        let result = change(&mut self.control());
        self.changed.notify_waiters();
        result
    }

    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records that the server accepted the request, successful or not.
    pub(crate) fn accepted(&self) {
        self.admission.update(|control| control.accepted(self.slot));
    }

    /// Records that the request succeeded.
    pub(crate) fn succeeded(&self, now: Instant) {
        let mut control = self.admission.control();
        control.succeeded(self.slot, now);
    }

    /// Records that a rate limit rejected the request. Returns the new limit if it was lowered.
    pub(crate) fn rejected(&mut self, retry_after: Duration, now: Instant) -> Option<usize> {
        let change = |control: &mut Control| control.rejected(self.slot, retry_after, now);
        let (has_place, limit) = self.admission.update(change);
        self.holds = if has_place {
            Holds::Place
        } else {
            Holds::Nothing
        };
        limit
    }

    /// Records that the request failed in another way. Returns whether this is the beginning of
    /// an outage.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.holds = Holds::Place;
        self.admission
            .update(|control| control.failed(self.slot, now))
    }

    /// Waits until the request may be sent again, in FIFO order and before new calls.
    pub(crate) async fn renew(&mut self, patience: Duration) -> Result<(), Outage> {
        let started = Instant::now();
        let admission = &*self.admission;
        if self.holds == Holds::Request {
            admission.update(Control::end_request);
            self.holds = Holds::Nothing;
        }
        let has_place = self.holds == Holds::Place;
        let _waiting = Waiting::new(admission, true);
        let _next = admission.retries.lock().await;
        let retry = Caller::Retry { has_place };
        self.slot = admission.wait(retry, started, patience).await?;
        self.holds = Holds::Request;
        Ok(())
    }

    /// Turns the place into that of a streamed response.
    pub(crate) fn lease(&mut self, now: Instant) {
        self.holds = Holds::Lease(self.admission.update(|control| control.lease(now)));
    }

    /// Records that the streamed response was read.
    pub(crate) fn was_read(&self, now: Instant) {
        if let Holds::Lease(id) = self.holds {
            self.admission.control().renew_lease(id, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.update(|control| match self.holds {
            Holds::Request => control.end_request(),
            Holds::Place => control.give_up_place(),
            Holds::Lease(id) => control.end_lease(id),
            Holds::Nothing => {}
        });
    }
}

/// A call that waits for its turn.
struct Waiting<'a> {
    admission: &'a Admission,
    is_retry: bool,
}

impl<'a> Waiting<'a> {
    fn new(admission: &'a Admission, is_retry: bool) -> Self {
        admission.control().wait(is_retry);
        Self {
            admission,
            is_retry,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission.control().end_wait(self.is_retry);
        if self.is_retry {
            // New calls wait for retries.
            self.admission.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
