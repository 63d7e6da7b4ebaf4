//! The refresh that all callers share, and the backoff between refreshes.
//!
//! A refresh runs in its own task, so that the caller that started it can be dropped. A runtime
//! that shuts down drops the task; the waiting callers notice, and one of them starts another.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use chrono::TimeDelta;

use super::super::sync::{Handle, MutexGuard, timeout, watch};
use super::{Entry, Inner, already_expired};
use crate::cache::clock::Moment;
use crate::transport::retry::random_fraction;
use crate::{AccessToken, Error, ErrorKind, Remedy};

/// How often a running refresh extends its deadline.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The timeout of a refresh including its retries, in heartbeats: 255 s.
///
/// Each request has its own timeout, so this is for sources that hang. The slowest source takes
/// less: an executable of an external account up to 120 s, then the token exchange and two
/// impersonations up to 40 s each.
const MAX_HEARTBEATS: u32 = 17;
/// A refresh without a heartbeat for this long is abandoned. Its runtime is not being driven.
pub(crate) const ABANDON_AFTER: Duration = Duration::from_secs(75);
/// How many dropped refreshes a caller waits for before it fails.
const MAX_DROPPED_REFRESHES: u32 = 5;
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long `Retry-After` may delay the next attempt. Callers without a valid token wait for it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The backoff after a rejection of the credential. It ends, because a new key or a new role takes
/// time to propagate.
const INITIAL_REJECTION_BACKOFF: Duration = Duration::from_secs(60);
const MAX_REJECTION_BACKOFF: Duration = Duration::from_secs(30 * 60);
/// The minimum time between renewals of rejected tokens, until a server accepts a token.
const INITIAL_RENEWAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_RENEWAL_BACKOFF: Duration = Duration::from_secs(120);
/// The wait after the source returned the same token again, as metadata servers do.
const SAME_TOKEN_WAIT: Duration = Duration::from_secs(10);
/// How much the expiry of the same token may differ, because `expires_in` is in whole seconds.
const EXPIRY_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// The running refresh and the outcome of earlier ones.
#[derive(Default)]
pub(super) struct State {
    refresh: Option<Refresh>,
    last_number: u64,
    /// Transient failures since the last success or rejection.
    failures: u32,
    /// Rejections of the credential since the last success or change of the credential.
    rejections: u32,
    /// The last failure, and until when callers without a valid token get it.
    failure: Option<Box<(Error, Moment)>>,
    /// Renewals of rejected tokens since a server last accepted a token.
    renewals: Option<Box<Renewals>>,
    /// The last token that a server rejected, until the source returns another.
    rejected: Option<Box<RejectedToken>>,
}

struct RejectedToken {
    token: AccessToken,
    /// Until when further rejections are ignored, if the source returned the token again.
    kept_until: Option<Moment>,
}

struct Renewals {
    count: u32,
    /// When the next renewal may start.
    next: Moment,
}

/// The result of a refresh. `None` until it has finished.
type Outcome = Option<Result<AccessToken, Error>>;

#[derive(Clone)]
struct Refresh {
    number: u64,
    /// When it is abandoned, on the monotonic clock: [`ABANDON_AFTER`] after its last heartbeat.
    abandoned_at: u64,
    outcome: watch::Receiver<Outcome>,
}

impl Inner {
    #[cold]
    pub(super) fn reject(&self, token: &AccessToken) {
        self.reject_current(&mut self.state(), token, self.clock.now());
    }

    /// Drops a rejected token, if it is the current one and the source may have another. Returns
    /// whether it was dropped.
    fn reject_current(&self, state: &mut State, token: &AccessToken, now: Moment) -> bool {
        if !self.is_current(token) {
            return false;
        }
        if let Some(rejected) = &state.rejected
            && rejected.token.secret_eq(token)
            && let Some(until) = rejected.kept_until
            && !now.has_reached(&until)
        {
            return false;
        }
        state.rejected = Some(Box::new(RejectedToken {
            token: token.clone(),
            kept_until: None,
        }));
        self.current.store(None);
        true
    }

    /// Drops a rejected token, unless the last renewal is too recent. Returns whether another token
    /// is cached or can be fetched.
    #[cold]
    pub(super) fn start_renewal(&self, rejected: &AccessToken) -> bool {
        let mut state = self.state();
        let now = self.clock.now();
        let is_in_use = self.current.load().as_ref().is_some_and(|current| {
            current.token.secret_eq(rejected) && !now.has_reached(&current.valid_until)
        });
        if !is_in_use {
            return true;
        }
        let count = match state.renewals.as_deref() {
            Some(last) if !now.has_reached(&last.next) => return false,
            Some(last) if !now.has_reached(&last.next.after(MAX_RENEWAL_BACKOFF)) => last.count,
            _ => 0,
        };
        if self.reject_current(&mut state, rejected, now) {
            state.renewals = Some(Box::new(Renewals {
                count: count.saturating_add(1),
                next: now.after(doubled(INITIAL_RENEWAL_BACKOFF, count, MAX_RENEWAL_BACKOFF)),
            }));
            self.is_renewing.store(true, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// Ends the backoff of renewals if a server accepted the current token.
    #[cold]
    pub(super) fn end_renewals(&self, accepted: &AccessToken) {
        let mut state = self.state();
        if self.is_current(accepted) {
            self.is_renewing.store(false, Ordering::Relaxed);
            state.renewals = None;
        }
    }

    /// Starts a background refresh, unless one is running or the last failure is too recent. Does
    /// not wait.
    #[cold]
    pub(super) fn start_background_refresh(self: &Arc<Self>, mut now: Moment) {
        if now.monotonic < self.next_attempt.load(Ordering::Acquire) {
            return;
        }
        // Without a runtime, the current token is used until it expires.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let task = {
            let mut state = self.state();
            if state.is_running(now) || now.monotonic < self.next_attempt.load(Ordering::Acquire) {
                return;
            }
            // Another refresh may have finished in the meantime.
            let current = self.current.load();
            if current
                .as_ref()
                .is_none_or(|current| !now.has_reached(&current.fresh_until))
            {
                return;
            }
            if let Some((error, until)) = state.failure.as_deref()
                && error.kind().is_rejection()
                && !now.has_reached(until)
            {
                // The source checks a file, which may be slow. Not under the lock, so that it does
                // not block other callers.
                self.schedule_recheck(now, *until);
                let last_number = state.last_number;
                drop(state);
                if !self.source.can_retry_after_rejection() {
                    return;
                }
                state = self.state();
                now = self.clock.now();
                // Another caller may have started a refresh in the meantime.
                if state.last_number != last_number
                    || state.is_running(now)
                    || state.failure.is_none()
                {
                    return;
                }
                state.rejections = 0;
            }
            self.start(&mut state, now).1
        };
        runtime.spawn(task.run());
    }

    /// Waits for the running refresh, or for one that this caller starts.
    #[cold]
    pub(super) async fn wait(self: &Arc<Self>) -> Result<AccessToken, Error> {
        let mut dropped = 0;
        while dropped < MAX_DROPPED_REFRESHES {
            let mut refresh = match self.join()? {
                Joined::Token(token) => return Ok(token),
                Joined::Refresh(refresh) => refresh,
            };
            let left = refresh
                .abandoned_at
                .saturating_sub(self.clock.now().monotonic);
            let outcome = refresh.outcome.wait_for(Option::is_some);
            match timeout(Duration::from_nanos(left), outcome).await {
                Ok(Ok(outcome)) => {
                    if let Some(result) = &*outcome {
                        return result.clone();
                    }
                }
                // Its task was dropped. The next iteration starts another.
                Ok(Err(_)) => dropped += 1,
                // The next iteration starts another if there was no heartbeat.
                Err(_) => {}
            }
        }
        Err(no_runtime(
            "the token refresh was dropped repeatedly because its runtime shut down",
        ))
    }

    /// Joins the running refresh or starts one, unless the last failure is too recent.
    fn join(self: &Arc<Self>) -> Result<Joined, Error> {
        let runtime;
        // The number of the last refresh, and whether the credential has changed since.
        let mut recheck: Option<(u64, bool)> = None;
        let (refresh, task) = loop {
            let mut state = self.state();
            // Another refresh may have finished in the meantime.
            let now = self.clock.now();
            if let Some(entry) = &*self.current.load()
                && !now.has_reached(&entry.valid_until)
            {
                return Ok(Joined::Token(entry.token.clone()));
            }
            let is_running = state.is_running(now);
            if !is_running
                && let Some((error, until)) = state.failure.as_deref()
                && !now.has_reached(until)
            {
                if !error.kind().is_rejection() {
                    return Err(error.clone());
                }
                match recheck {
                    Some((after, changed)) if after == state.last_number => {
                        if !changed {
                            return Err(error.clone());
                        }
                        state.rejections = 0;
                    }
                    _ => {
                        // Not under the lock, as above.
                        let last_number = state.last_number;
                        drop(state);
                        recheck = Some((last_number, self.source.can_retry_after_rejection()));
                        continue;
                    }
                }
            }
            // Also required to wait, for the timer.
            runtime = Handle::try_current()
                .map_err(|_| no_runtime("fetching a token requires a tokio runtime"))?;
            if is_running && let Some(refresh) = &state.refresh {
                return Ok(Joined::Refresh(refresh.clone()));
            }
            break self.start(&mut state, now);
        };
        runtime.spawn(task.run());
        Ok(Joined::Refresh(refresh))
    }

    /// Registers a refresh. The caller must release the lock before it spawns the task, because a
    /// runtime that is shutting down drops the task immediately, which takes the lock.
    fn start(self: &Arc<Self>, state: &mut State, now: Moment) -> (Refresh, Task) {
        let (sender, outcome) = watch::channel(None);
        state.last_number += 1;
        let abandoned_at = now.after(ABANDON_AFTER);
        let refresh = Refresh {
            number: state.last_number,
            abandoned_at: abandoned_at.monotonic,
            outcome,
        };
        state.refresh = Some(refresh.clone());
        self.schedule(abandoned_at);
        let task = Task {
            inner: self.clone(),
            number: refresh.number,
            sender,
        };
        (refresh, task)
    }

    /// Records the result of a refresh.
    fn finish(
        &self,
        number: u64,
        result: Result<AccessToken, Error>,
    ) -> Result<AccessToken, Error> {
        let now = self.clock.now();
        let mut state = self.state();
        // Of an abandoned refresh, a token is used and a failure is ignored.
        let is_registered = state.refresh.as_ref().is_some_and(|r| r.number == number);
        if is_registered {
            state.refresh = None;
        }
        let result = result
            .and_then(|token| Entry::new(token, now, self.clock.jitter()))
            .and_then(|entry| self.store(&mut state, entry, is_registered, now));
        match &result {
            Ok(_) => {
                state.failures = 0;
                state.rejections = 0;
                state.failure = None;
            }
            Err(error) if is_registered => {
                let until;
                if error.kind().is_rejection() {
                    let (initial, max) = (INITIAL_REJECTION_BACKOFF, MAX_REJECTION_BACKOFF);
                    until = now.after(doubled(initial, state.rejections, max));
                    self.schedule_recheck(now, until);
                    state.failures = 0;
                    state.rejections = state.rejections.saturating_add(1);
                } else {
                    until = now.after(backoff(state.failures, error.retry_after()));
                    self.schedule(until);
                    state.failures = state.failures.saturating_add(1);
                }
                state.failure = Some(Box::new((error.clone(), until)));
            }
            Err(_) => {}
        }
        drop(state);
        if let Err(error) = &result {
            tracing::debug!(%error, "a token refresh failed");
        }
        result
    }

    /// Stores a new token, or keeps the current one if that is as good.
    fn store(
        &self,
        state: &mut State,
        new: Entry,
        is_registered: bool,
        now: Moment,
    ) -> Result<AccessToken, Error> {
        let mut is_same = false;
        if let Some(current) = self.current.load_full() {
            let is_expired = now.has_reached(&current.valid_until);
            if !is_registered && !is_expired && new.valid_until.wall <= current.valid_until.wall {
                return Ok(current.token.clone());
            }
            is_same = current.token.secret_eq(&new.token);
            if is_same && expire_together(&current.token, &new.token) {
                if is_expired {
                    return Err(already_expired(
                        "the token source returned an expired token again",
                    ));
                }
                // The refresh window stays the same.
                self.schedule(now.after(SAME_TOKEN_WAIT));
                return Ok(current.token.clone());
            }
        }
        match &mut state.rejected {
            Some(rejected) if rejected.token.secret_eq(&new.token) => {
                rejected.kept_until = Some(now.after(SAME_TOKEN_WAIT));
                is_same = true;
            }
            rejected => *rejected = None,
        }
        if is_same {
            self.schedule(now.after(SAME_TOKEN_WAIT));
        } else if is_registered {
            self.schedule(now);
        }
        let token = new.token.clone();
        self.current.store(Some(Arc::new(new)));
        Ok(token)
    }

    /// Extends the deadline of a running refresh.
    fn heartbeat(&self, number: u64) {
        let abandoned_at = self.clock.now().after(ABANDON_AFTER);
        let mut state = self.state();
        if let Some(refresh) = state.refresh.as_mut().filter(|r| r.number == number) {
            refresh.abandoned_at = abandoned_at.monotonic;
            self.schedule(abandoned_at);
        }
    }

    /// Forgets a refresh that was dropped, unless it was replaced.
    fn abandon(&self, number: u64) {
        let mut state = self.state();
        if state.refresh.as_ref().is_some_and(|r| r.number == number) {
            state.refresh = None;
            self.schedule(self.clock.now().after(INITIAL_BACKOFF));
        }
    }

    fn schedule(&self, at: Moment) {
        self.next_attempt.store(at.monotonic, Ordering::Release);
    }

    /// Schedules the next background attempt after a rejection: when its backoff ends, or earlier
    /// to check whether the credential has changed.
    fn schedule_recheck(&self, now: Moment, until: Moment) {
        let recheck = now.after(MAX_BACKOFF);
        self.schedule(if until.monotonic < recheck.monotonic {
            until
        } else {
            recheck
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_running(&self, now: Moment) -> bool {
        let refresh = self.refresh.as_ref();
        refresh.is_some_and(|refresh| now.monotonic < refresh.abandoned_at)
    }
}

enum Joined {
    Token(AccessToken),
    Refresh(Refresh),
}

/// A running refresh. If it is dropped by a runtime that shuts down, another can start.
struct Task {
    inner: Arc<Inner>,
    number: u64,
    sender: watch::Sender<Outcome>,
}

impl Task {
    async fn run(self) {
        let result = self.fetch_with_timeout().await;
        let result = self.inner.finish(self.number, result);
        self.sender.send_replace(Some(result));
    }

    async fn fetch_with_timeout(&self) -> Result<AccessToken, Error> {
        let mut fetch = pin!(self.fetch_token());
        for _ in 0..MAX_HEARTBEATS {
            if let Ok(result) = timeout(HEARTBEAT, &mut fetch).await {
                return result;
            }
            self.inner.heartbeat(self.number);
        }
        let limit = HEARTBEAT * MAX_HEARTBEATS;
        Err(Error::new(
            ErrorKind::Timeout,
            format!(
                "the token source returned no token within {} s",
                limit.as_secs()
            ),
        ))
    }

    /// Calls the source. A panic becomes an error, so that the backoff applies.
    async fn fetch_token(&self) -> Result<AccessToken, Error> {
        let mut fetch = None;
        let poll = poll_fn(|context| {
            let step = AssertUnwindSafe(|| {
                let fetch = fetch.get_or_insert_with(|| self.inner.source.fetch_token());
                fetch.as_mut().poll(context)
            });
            catch_unwind(step).unwrap_or_else(|_| {
                let error = Error::new(ErrorKind::Runtime, "the token source panicked");
                Poll::Ready(Err(error))
            })
        });
        poll.await
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.inner.abandon(self.number);
    }
}

/// Returns whether two tokens expire at the same time.
fn expire_together(one: &AccessToken, other: &AccessToken) -> bool {
    let expiries = one.expires_at().zip(other.expires_at());
    expiries.is_some_and(|(one, other)| (one - other).abs() <= EXPIRY_TOLERANCE)
}

/// Returns the backoff after `failures` earlier failures, or the delay that the server asked for if
/// that is longer, with up to 20 % of jitter.
fn backoff(failures: u32, retry_after: Option<Duration>) -> Duration {
    let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    let wait = doubled(INITIAL_BACKOFF, failures, MAX_BACKOFF).max(asked);
    wait.mul_f64(1.0 + random_fraction() / 5.0)
}

/// Doubles a wait `times` times, up to `max`.
fn doubled(initial: Duration, times: u32, max: Duration) -> Duration {
    initial
        .saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
        .min(max)
}

fn no_runtime(message: &str) -> Error {
    Error::new(ErrorKind::Runtime, message).with_remedy(Remedy::new(
        "Call it on a tokio runtime with the time and I/O drivers enabled, or use the blocking client.",
    ))
}
