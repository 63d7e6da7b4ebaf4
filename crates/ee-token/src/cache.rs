//! The token cache: hands out the current token, and renews it once for everybody.
//!
//! Three states, told apart by two comparisons of the time:
//!
//! - *fresh*: an atomic load, a reading of the wall clock, a clone (the other clock is read
//!   once in a second: what both gave another second of freshness has it, as long as the wall
//!   clock stays within that second, so that a clock which was set shows a second late at most);
//! - *stale* (inside the refresh window): the same, and whoever comes first starts a refresh
//!   behind everybody's back;
//! - *expired* or empty: everybody waits for one refresh.
//!
//! The refresh runs as a task of its own, so that its starter may be dropped. A runtime that
//! goes away drops the task, which its waiters notice, and one of them starts another.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderValue;

use super::sync::{ArcSwapOption, AtomicU64, Handle, Mutex, MutexGuard, timeout, watch};
use crate::clock::{Clock, Moment};
use crate::retry::random_fraction;
use crate::{AccessToken, Error, ErrorKind, Remedy, TokenSource};

/// How long before its end a token is renewed, unless its life is short.
pub(crate) const REFRESH_WINDOW: Duration = Duration::from_secs(225);
/// The life that a token without an expiry is given, so that it is renewed at all.
const ASSUMED_LIFE: Duration = Duration::from_secs(3600);
/// How long one look at both clocks is good for, as long as the wall clock agrees. Reading a
/// clock is most of what handing out a token costs.
const TRUST: Duration = Duration::from_secs(1);
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
/// The wait after a refresh that brought the same token again, as metadata servers do.
const SAME_TOKEN_WAIT: Duration = Duration::from_secs(10);
/// The same token's ends may differ by this much: servers tell whole seconds from now on.
const SAME_END: TimeDelta = TimeDelta::seconds(2);

/// Wraps a [`TokenSource`]: everybody gets the current token, and it is renewed once for all.
///
/// Cheap to clone; clones share the token. Making one needs no runtime and starts no task;
/// a refresh runs on the runtime of whoever asks first.
///
/// ```
/// use ee_token::{source_fn, AccessToken, TokenCache};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_token::Error> {
/// let cache = TokenCache::new(source_fn(|| async { AccessToken::new("secret") }));
/// let header = cache.header().await?;
/// assert!(header.is_sensitive());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokenCache(Arc<Inner>);

struct Inner {
    source: Arc<dyn TokenSource>,
    clock: Clock,
    current: ArcSwapOption<Entry>,
    /// When a refresh behind a stale token may start next, by the monotonic clock, so that
    /// callers with a stale token need no lock to learn that there is nothing to do.
    next_attempt: AtomicU64,
    state: Mutex<State>,
}

/// A token and the ends of its two periods, by both clocks.
struct Entry {
    token: AccessToken,
    fresh_until: Moment,
    valid_until: Moment,
    /// The wall clock, in nanoseconds since 1970, when both clocks last said that the token is
    /// fresh for another [`TRUST`].
    checked: AtomicU64,
}

impl Entry {
    /// Whether it is fresh, by the wall clock alone: that clock is within the second after a
    /// look at both.
    #[inline]
    fn is_surely_fresh(&self, wall: u64) -> bool {
        // A clock that was set back gives a huge difference.
        wall.wrapping_sub(self.checked.load(Ordering::Relaxed)) < TRUST.as_nanos() as u64
    }

    /// Whether it is fresh by both clocks, and a note if it stays so for a while.
    fn is_fresh(&self, now: Moment) -> bool {
        if now.has_reached(&self.fresh_until) {
            return false;
        }
        if !now.after(TRUST).has_reached(&self.fresh_until) {
            self.checked.store(now.wall, Ordering::Relaxed);
        }
        true
    }
}

#[derive(Default)]
struct State {
    refresh: Option<Refresh>,
    last_number: u64,
    /// Failures since the last success.
    failures: u32,
    /// The last failure, and until when it speaks for those who ask without a valid token.
    failure: Option<Box<(Error, Option<Moment>)>>,
    /// The token that a server refused last, until the source has brought another.
    refused: Option<Box<Refused>>,
}

struct Refused {
    token: AccessToken,
    /// Once the source has brought it again: until when complaints about it change nothing.
    kept_until: Option<Moment>,
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

impl TokenCache {
    /// A cache in front of this source.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self::with_clock(source, Clock::system())
    }

    /// A cache that reads the time from this clock; for tests.
    pub fn with_clock(source: impl TokenSource + 'static, clock: Clock) -> Self {
        Self::shared(Arc::new(source), clock)
    }

    fn shared(source: Arc<dyn TokenSource>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            source,
            clock,
            current: ArcSwapOption::empty(),
            next_attempt: AtomicU64::new(0),
            state: Mutex::default(),
        }))
    }

    /// The current token, renewed if it has expired.
    ///
    /// # Errors
    /// What the source returned. After a failure that may pass, those who ask within the
    /// next seconds get the same error without another attempt; a rejection stays until the
    /// credential changes. [`ErrorKind::Runtime`] outside of a tokio runtime.
    ///
    /// # Panics
    /// As tokio's timers do, if it has to wait on a runtime without a time driver.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.current() {
            Some(token) => Ok(token),
            // Boxed: what is rarely waited for would be the most of a future that is made often.
            None => Box::pin(self.0.wait()).await,
        }
    }

    /// The current token if it is valid, without waiting for another. One that is about to
    /// expire is renewed behind the caller's back, as by [`token`](Self::token).
    ///
    /// ```
    /// use ee_token::{AccessToken, TokenCache};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_token::Error> {
    /// let cache = TokenCache::new(AccessToken::new("secret")?);
    /// assert!(cache.current().is_none());
    /// cache.token().await?;
    /// assert!(cache.current().is_some());
    /// # Ok(()) }
    /// ```
    pub fn current(&self) -> Option<AccessToken> {
        match &*self.0.current.load() {
            Some(entry) if self.0.is_valid(entry) => Some(entry.token.clone()),
            _ => None,
        }
    }

    /// The current token as an `Authorization` header, marked sensitive.
    ///
    /// # Errors
    /// As [`TokenCache::token`].
    ///
    /// # Panics
    /// As [`TokenCache::token`].
    pub async fn header(&self) -> Result<HeaderValue, Error> {
        if let Some(entry) = &*self.0.current.load()
            && self.0.is_valid(entry)
        {
            return Ok(entry.token.header().clone());
        }
        Ok(Box::pin(self.0.wait()).await?.header().clone())
    }

    /// Whether the credential behind it may have been replaced since it was rejected:
    /// [`TokenSource::may_have_changed`], for a source that builds upon this cache.
    pub fn may_have_changed(&self) -> bool {
        self.0.source.may_have_changed()
    }

    /// Says that a server did not take this token. It is dropped only if it is still the
    /// current one, so that a hundred such complaints cost one refresh. A source that brings the
    /// same token again, as metadata servers do, is not asked for another in the next 10 s.
    pub fn invalidate(&self, token: &AccessToken) {
        // Most complaints come late, about a token that is gone.
        if self.0.is_current(token) {
            self.0.refuse(token);
        }
    }
}

/// A cache in front of a source that is shared already: one allocation less than
/// [`TokenCache::new`].
impl From<Arc<dyn TokenSource>> for TokenCache {
    fn from(source: Arc<dyn TokenSource>) -> Self {
        Self::shared(source, Clock::system())
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("source", &self.0.source)
            .field(
                "token",
                &self.0.current.load().as_ref().map(|e| e.token.clone()),
            )
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The hot path: whether the current token is valid.
    #[inline]
    fn is_valid(self: &Arc<Self>, entry: &Entry) -> bool {
        let wall = self.clock.wall();
        entry.is_surely_fresh(wall) || self.look_closer(entry, wall)
    }

    /// Looks at both clocks, and starts a refresh if it is time for one.
    #[cold]
    fn look_closer(self: &Arc<Self>, entry: &Entry, wall: u64) -> bool {
        let now = self.clock.at(wall);
        if entry.is_fresh(now) {
            return true;
        }
        if now.has_reached(&entry.valid_until) {
            return false;
        }
        self.refresh_behind(now);
        true
    }

    fn is_current(&self, token: &AccessToken) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_some_and(|entry| entry.token.is_same(token))
    }

    #[cold]
    fn refuse(&self, token: &AccessToken) {
        let mut state = self.state();
        // Another may have taken its place since.
        if !self.is_current(token) {
            return;
        }
        if let Some(refused) = &state.refused
            && refused.token.is_same(token)
            && let Some(until) = refused.kept_until
            && !self.clock.now().has_reached(&until)
        {
            return;
        }
        state.refused = Some(Box::new(Refused {
            token: token.clone(),
            kept_until: None,
        }));
        self.current.store(None);
    }

    /// Starts a refresh behind a token that is still valid, unless one is under way, or the
    /// last failure is too recent. Nothing here waits.
    #[cold]
    fn refresh_behind(self: &Arc<Self>, mut now: Moment) {
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
            if let Some((error, _)) = state.failure.as_deref()
                && error.kind().is_rejection()
            {
                // The source looks at a file, which may take its time: not under the lock, so that
                // others go on with the token that there is.
                self.schedule(now.after(MAX_BACKOFF));
                let last_number = state.last_number;
                drop(state);
                if !self.source.may_have_changed() {
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
            }
            self.start(&mut state, now).1
        };
        runtime.spawn(task.run());
    }

    /// Waits for a token: for the refresh under way, or for one that is started here.
    #[cold]
    async fn wait(self: &Arc<Self>) -> Result<AccessToken, Error> {
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

    /// Joins the refresh under way or starts one, unless the last failure still speaks.
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
            if !under_way && let Some((error, until)) = state.failure.as_deref() {
                let still = match (until, look) {
                    (Some(until), _) => !now.has_reached(until),
                    (None, Some((after, changed))) if after == state.last_number => !changed,
                    (None, _) => {
                        // As above: not under the lock.
                        let last_number = state.last_number;
                        drop(state);
                        look = Some((last_number, self.source.may_have_changed()));
                        continue;
                    }
                };
                if still {
                    return Err(error.clone());
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
            .and_then(|token| entry(token, now))
            .and_then(|entry| self.take(&mut state, entry, ours, now));
        match &result {
            Ok(_) => {
                state.failures = 0;
                state.failure = None;
            }
            Err(error) if ours => {
                let wait = backoff(state.failures);
                state.failures = state.failures.saturating_add(1);
                let until = (!error.kind().is_rejection()).then(|| now.after(wait));
                self.schedule(until.unwrap_or_else(|| now.after(MAX_BACKOFF)));
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
            came_again = current.token.is_same(&new.token);
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
            Some(refused) if refused.token.is_same(&new.token) => {
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
        let mut mint = pin!(self.mint());
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
    async fn mint(&self) -> Result<AccessToken, Error> {
        let mut mint = None;
        let poll = poll_fn(|context| {
            let step = AssertUnwindSafe(|| {
                let mint = mint.get_or_insert_with(|| self.inner.source.mint());
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

/// When a token that was minted just now goes stale and expires.
fn entry(token: AccessToken, now: Moment) -> Result<Entry, Error> {
    let life = match token.expires_at() {
        None => ASSUMED_LIFE,
        Some(at) => nanos(at)
            .checked_sub(now.wall)
            .filter(|life| *life > 0)
            .map(Duration::from_nanos)
            .ok_or_else(|| {
                over_already(format!(
                    "the new token expired at {}, before it arrived",
                    at.to_rfc3339()
                ))
            })?,
    };
    let window = REFRESH_WINDOW.min(life / 4);
    Ok(Entry {
        token,
        fresh_until: now.after(life - window),
        valid_until: now.after(life),
        // Nothing was checked yet: centuries from any time that the wall clock will show.
        checked: AtomicU64::new(now.wall ^ (1 << 63)),
    })
}

fn over_already(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidResponse, why)
        .with_remedy(Remedy::new("Check this machine's clock."))
}

/// Whether the two say that they end at the same time.
fn end_alike(one: &AccessToken, other: &AccessToken) -> bool {
    let ends = one.expires_at().zip(other.expires_at());
    ends.is_some_and(|(one, other)| (one - other).abs() <= SAME_END)
}

/// Nanoseconds since 1970, as [`Moment`] counts them.
fn nanos(at: DateTime<Utc>) -> u64 {
    let Ok(seconds) = u64::try_from(at.timestamp()) else {
        return 0;
    };
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(at.timestamp_subsec_nanos()))
}

/// The wait after failure number `failures` (from 0): 1 s doubling to 30 s, and up to a
/// fifth more, so that processes that failed together do not come back together.
fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX));
    doubled
        .min(MAX_BACKOFF)
        .mul_f64(1.0 + random_fraction() / 5.0)
}

fn no_runtime(why: &str) -> Error {
    Error::new(ErrorKind::Runtime, why).with_remedy(Remedy::new(
        "Call from inside a tokio runtime that has its time and I/O drivers enabled, or use the blocking client.",
    ))
}
