//! The refresh: one for everybody, and how long the next one waits.
//!
//! It runs as a task of its own, so that its starter may be dropped. A runtime that goes away
//! drops the task, which its waiters notice, and one of them starts another.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use chrono::TimeDelta;

use super::super::sync::{Handle, MutexGuard, timeout, watch};
use super::{Entry, Inner, over_already};
use crate::cache::clock::Moment;
use crate::transport::retry::random_fraction;
use crate::{AccessToken, Error, ErrorKind, Remedy};

/// How often a refresh shows that it goes on.
const BEAT: Duration = Duration::from_secs(15);
/// One refresh, with the retries inside it, ends after so many beats, or 255 s. Each of its
/// requests has a time-out of its own; this is for sources that hang, and must not cut off one
/// that does not: a program of an external account may take 120 s, and the exchange and two
/// impersonations after it 40 s each.
const BEATS: u32 = 17;
/// A refresh that shows no sign of life for so long runs on a runtime that nobody drives.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(75);
/// Runtimes that may go away under one waiter before it gives up.
const MAX_TAKEOVERS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long a rejection of the credential stands before the source is asked again: a key that
/// was just created is rejected until it has propagated, and a role can be granted meanwhile.
const FIRST_REJECTION_WAIT: Duration = Duration::from_secs(60);
const MAX_REJECTION_WAIT: Duration = Duration::from_secs(30 * 60);
/// The least time between a renewal of a rejected token and the next, until a server has accepted
/// the new token.
const FIRST_RENEWAL_WAIT: Duration = Duration::from_secs(1);
const MAX_RENEWAL_WAIT: Duration = Duration::from_secs(120);
/// The wait after a refresh that brought the same token again, as metadata servers do.
const SAME_TOKEN_WAIT: Duration = Duration::from_secs(10);
/// The same token's ends may differ by this much: servers tell whole seconds from now on.
const SAME_END: TimeDelta = TimeDelta::seconds(2);

/// What is known of refreshes, the one under way and the last one.
#[derive(Default)]
pub(super) struct State {
    refresh: Option<Refresh>,
    last_number: u64,
    /// Transient failures since the last success or rejection.
    failures: u32,
    /// Rejections of the credential since the last success or the last change of its file.
    rejections: u32,
    /// The last failure, and until when callers without a valid token get it.
    failure: Option<Box<(Error, Moment)>>,
    /// The renewals of tokens that a server rejected, until it has accepted one.
    renewals: Option<Box<Renewals>>,
    /// The token that a server refused last, until the source has brought another.
    refused: Option<Box<Refused>>,
}

struct Refused {
    token: AccessToken,
    /// Once the source has brought it again: until when complaints about it change nothing.
    kept_until: Option<Moment>,
}

struct Renewals {
    count: u32,
    /// When the next one may start.
    next: Moment,
}

/// What a refresh tells those who wait for it.
type Outcome = Option<Result<AccessToken, Error>>;

#[derive(Clone)]
struct Refresh {
    number: u64,
    /// When it is given up, by the monotonic clock: [`TAKEOVER`] after its last sign of life.
    lost_at: u64,
    outcome: watch::Receiver<Outcome>,
}

impl Inner {
    #[cold]
    pub(super) fn refuse(&self, token: &AccessToken) {
        self.refuse_current(&mut self.state(), token, self.clock.now());
    }

    /// Drops a token that a server rejected, if it is the current one and the source may have
    /// another. Returns whether it was dropped.
    fn refuse_current(&self, state: &mut State, token: &AccessToken, now: Moment) -> bool {
        if !self.is_current(token) {
            return false;
        }
        if let Some(refused) = &state.refused
            && refused.token.secret_eq(token)
            && let Some(until) = refused.kept_until
            && !now.has_reached(&until)
        {
            return false;
        }
        state.refused = Some(Box::new(Refused {
            token: token.clone(),
            kept_until: None,
        }));
        self.current.store(None);
        true
    }

    /// Drops a token that a server rejected, unless the last renewal is too recent. Returns whether
    /// there is, or may soon be, another token.
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
            Some(last) if !now.has_reached(&last.next.after(MAX_RENEWAL_WAIT)) => last.count,
            _ => 0,
        };
        if self.refuse_current(&mut state, rejected, now) {
            state.renewals = Some(Box::new(Renewals {
                count: count.saturating_add(1),
                next: now.after(doubled(FIRST_RENEWAL_WAIT, count, MAX_RENEWAL_WAIT)),
            }));
            self.is_renewing.store(true, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// A server accepted a token: if it is the current one, the next renewal need not wait.
    #[cold]
    pub(super) fn end_renewals(&self, accepted: &AccessToken) {
        let mut state = self.state();
        if self.is_current(accepted) {
            self.is_renewing.store(false, Ordering::Relaxed);
            state.renewals = None;
        }
    }

    /// Starts a refresh behind a token that is still valid, unless one is under way, or the
    /// last failure is too recent. Nothing here waits.
    #[cold]
    pub(super) fn refresh_behind(self: &Arc<Self>, mut now: Moment) {
        if now.monotonic < self.next_attempt.load(Ordering::Acquire) {
            return;
        }
        // Without a runtime the token that is there is all there is.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let task = {
            let mut state = self.state();
            if state.is_under_way(now) || now.monotonic < self.next_attempt.load(Ordering::Acquire)
            {
                return;
            }
            // A refresh may have begun and ended while we came here.
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
                // The source looks at a file, which may take its time: not under the lock, so that
                // others go on with the token that there is.
                self.schedule_look(now, *until);
                let last_number = state.last_number;
                drop(state);
                if !self.source.can_retry_after_rejection() {
                    return;
                }
                state = self.state();
                now = self.clock.now();
                // Somebody else may have tried since.
                if state.last_number != last_number
                    || state.is_under_way(now)
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

    /// Waits for a token: for the refresh under way, or for one that is started here.
    #[cold]
    pub(super) async fn wait(self: &Arc<Self>) -> Result<AccessToken, Error> {
        let mut cut_off = 0;
        while cut_off < MAX_TAKEOVERS {
            let mut refresh = match self.join()? {
                Joined::Token(token) => return Ok(token),
                Joined::Refresh(refresh) => refresh,
            };
            let left = refresh.lost_at.saturating_sub(self.clock.now().monotonic);
            let outcome = refresh.outcome.wait_for(Option::is_some);
            match timeout(Duration::from_nanos(left), outcome).await {
                Ok(Ok(outcome)) => {
                    if let Some(result) = &*outcome {
                        return result.clone();
                    }
                }
                // Its task was dropped: the next round starts another.
                Ok(Err(_)) => cut_off += 1,
                // So does the next round if nobody drives it; or else it has shown that it goes on.
                Err(_) => {}
            }
        }
        Err(no_runtime(
            "the refresh was cut off again and again: its runtime went away",
        ))
    }

    /// Joins the refresh under way or starts one, unless the last failure still stands.
    fn join(self: &Arc<Self>) -> Result<Joined, Error> {
        let runtime;
        // What the source said of a change, after which refresh.
        let mut look: Option<(u64, bool)> = None;
        let (refresh, task) = loop {
            let mut state = self.state();
            // Somebody may have brought a token while we came here.
            let now = self.clock.now();
            if let Some(entry) = &*self.current.load()
                && !now.has_reached(&entry.valid_until)
            {
                return Ok(Joined::Token(entry.token.clone()));
            }
            let under_way = state.is_under_way(now);
            if !under_way
                && let Some((error, until)) = state.failure.as_deref()
                && !now.has_reached(until)
            {
                if !error.kind().is_rejection() {
                    return Err(error.clone());
                }
                match look {
                    Some((after, changed)) if after == state.last_number => {
                        if !changed {
                            return Err(error.clone());
                        }
                        state.rejections = 0;
                    }
                    _ => {
                        // As above: not under the lock.
                        let last_number = state.last_number;
                        drop(state);
                        look = Some((last_number, self.source.can_retry_after_rejection()));
                        continue;
                    }
                }
            }
            // Who only waits needs one too, for its timer.
            runtime = Handle::try_current()
                .map_err(|_| no_runtime("there is no tokio runtime to ask for a token on"))?;
            if under_way && let Some(refresh) = &state.refresh {
                return Ok(Joined::Refresh(refresh.clone()));
            }
            break self.start(&mut state, now);
        };
        runtime.spawn(task.run());
        Ok(Joined::Refresh(refresh))
    }

    /// The task is for the caller to spawn, when it has let go of the state: a runtime that is
    /// shutting down drops it at once, and its drop takes the lock.
    fn start(self: &Arc<Self>, state: &mut State, now: Moment) -> (Refresh, Task) {
        let (sender, outcome) = watch::channel(None);
        state.last_number += 1;
        let lost_at = now.after(TAKEOVER);
        let refresh = Refresh {
            number: state.last_number,
            lost_at: lost_at.monotonic,
            outcome,
        };
        state.refresh = Some(refresh.clone());
        self.schedule(lost_at);
        let task = Task {
            inner: self.clone(),
            number: refresh.number,
            sender,
        };
        (refresh, task)
    }

    /// A refresh has ended: notes what it brought.
    fn finish(
        &self,
        number: u64,
        result: Result<AccessToken, Error>,
    ) -> Result<AccessToken, Error> {
        let now = self.clock.now();
        let mut state = self.state();
        // If not, somebody took over: a token is welcome all the same, a failure is not news.
        let ours = state.refresh.as_ref().is_some_and(|r| r.number == number);
        if ours {
            state.refresh = None;
        }
        let result = result
            .and_then(|token| Entry::new(token, now))
            .and_then(|entry| self.take(&mut state, entry, ours, now));
        match &result {
            Ok(_) => {
                state.failures = 0;
                state.rejections = 0;
                state.failure = None;
            }
            Err(error) if ours => {
                let until;
                if error.kind().is_rejection() {
                    let wait = doubled(FIRST_REJECTION_WAIT, state.rejections, MAX_REJECTION_WAIT);
                    until = now.after(wait);
                    self.schedule_look(now, until);
                    state.failures = 0;
                    state.rejections = state.rejections.saturating_add(1);
                } else {
                    until = now.after(backoff(state.failures));
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

    /// Puts a new token in its place, or finds that the one there is as good.
    fn take(
        &self,
        state: &mut State,
        new: Entry,
        ours: bool,
        now: Moment,
    ) -> Result<AccessToken, Error> {
        let mut came_again = false;
        if let Some(current) = self.current.load_full() {
            let over = now.has_reached(&current.valid_until);
            if !ours && !over && new.valid_until.wall <= current.valid_until.wall {
                return Ok(current.token.clone());
            }
            came_again = current.token.secret_eq(&new.token);
            if came_again && end_alike(&current.token, &new.token) {
                if over {
                    return Err(over_already(
                        "the source brought a token again that is over",
                    ));
                }
                // Nothing is new: its refresh window stays where it was.
                self.schedule(now.after(SAME_TOKEN_WAIT));
                return Ok(current.token.clone());
            }
        }
        match &mut state.refused {
            Some(refused) if refused.token.secret_eq(&new.token) => {
                refused.kept_until = Some(now.after(SAME_TOKEN_WAIT));
                came_again = true;
            }
            refused => *refused = None,
        }
        if came_again {
            self.schedule(now.after(SAME_TOKEN_WAIT));
        } else if ours {
            self.schedule(now);
        }
        Ok(self.keep(new))
    }

    fn keep(&self, entry: Entry) -> AccessToken {
        let token = entry.token.clone();
        self.current.store(Some(Arc::new(entry)));
        token
    }

    /// A refresh shows that it is driven, so that nobody takes over.
    fn goes_on(&self, number: u64) {
        let lost_at = self.clock.now().after(TAKEOVER);
        let mut state = self.state();
        if let Some(refresh) = state.refresh.as_mut().filter(|r| r.number == number) {
            refresh.lost_at = lost_at.monotonic;
            self.schedule(lost_at);
        }
    }

    /// Forgets a refresh that will not end, if it is still the one that everybody waits for.
    fn abandon(&self, number: u64) {
        let mut state = self.state();
        if state.refresh.as_ref().is_some_and(|r| r.number == number) {
            state.refresh = None;
            self.schedule(self.clock.now().after(FIRST_BACKOFF));
        }
    }

    fn schedule(&self, at: Moment) {
        self.next_attempt.store(at.monotonic, Ordering::Release);
    }

    /// While a rejection stands until this moment, and a token is valid: when to look for another
    /// credential in its file.
    fn schedule_look(&self, now: Moment, until: Moment) {
        let look = now.after(MAX_BACKOFF);
        self.schedule(if until.monotonic < look.monotonic {
            until
        } else {
            look
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_under_way(&self, now: Moment) -> bool {
        let refresh = self.refresh.as_ref();
        refresh.is_some_and(|refresh| now.monotonic < refresh.lost_at)
    }
}

enum Joined {
    Token(AccessToken),
    Refresh(Refresh),
}

/// One refresh under way. Dropped before its end, when its runtime goes away, it makes room for
/// another.
struct Task {
    inner: Arc<Inner>,
    number: u64,
    sender: watch::Sender<Outcome>,
}

impl Task {
    async fn run(self) {
        let result = self.mint_in_time().await;
        let result = self.inner.finish(self.number, result);
        self.sender.send_replace(Some(result));
    }

    async fn mint_in_time(&self) -> Result<AccessToken, Error> {
        let mut mint = pin!(self.fetch_token());
        for _ in 0..BEATS {
            if let Ok(result) = timeout(BEAT, &mut mint).await {
                return result;
            }
            self.inner.goes_on(self.number);
        }
        let limit = BEAT * BEATS;
        Err(Error::new(
            ErrorKind::Timeout,
            format!("no token within {} s", limit.as_secs()),
        ))
    }

    /// Asks the source. Its panic is a failure like others: noted, so that the next attempt waits.
    async fn fetch_token(&self) -> Result<AccessToken, Error> {
        let mut mint = None;
        let poll = poll_fn(|context| {
            let step = AssertUnwindSafe(|| {
                let mint = mint.get_or_insert_with(|| self.inner.source.fetch_token());
                mint.as_mut().poll(context)
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

/// Whether the two say that they end at the same time.
fn end_alike(one: &AccessToken, other: &AccessToken) -> bool {
    let ends = one.expires_at().zip(other.expires_at());
    ends.is_some_and(|(one, other)| (one - other).abs() <= SAME_END)
}

/// The wait after failure number `failures` (from 0), and up to a fifth more, so that processes that
/// failed together do not come back together.
fn backoff(failures: u32) -> Duration {
    doubled(FIRST_BACKOFF, failures, MAX_BACKOFF).mul_f64(1.0 + random_fraction() / 5.0)
}

/// A wait that doubles each time, up to a limit.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first
        .saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
        .min(max)
}

fn no_runtime(why: &str) -> Error {
    Error::new(ErrorKind::Runtime, why).with_remedy(Remedy::new(
        "Call from inside a tokio runtime that has its time and I/O drivers enabled, or use the blocking client.",
    ))
}
