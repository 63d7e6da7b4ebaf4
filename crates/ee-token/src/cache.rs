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
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
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
/// One refresh, with the retries inside it, ends by then.
const REFRESH_DEADLINE: Duration = Duration::from_secs(60);
/// A refresh that has not ended by then runs on a runtime that nobody drives.
const TAKEOVER: Duration = Duration::from_secs(75);
/// Runtimes that may go away under one waiter before it gives up.
pub(crate) const MAX_TAKEOVERS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The wait after a refresh that brought the same token again, as metadata servers do.
const SAME_TOKEN_WAIT: Duration = Duration::from_secs(10);
/// `next_attempt` while a refresh is under way.
const UNDER_WAY: u64 = u64::MAX;

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
}

/// What a refresh tells those who wait for it.
type Outcome = Option<Result<AccessToken, Error>>;

#[derive(Clone)]
struct Refresh {
    number: u64,
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
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.current() {
            Some(token) => Ok(token),
            None => self.0.wait().await,
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
        self.0.valid(AccessToken::clone)
    }

    /// The current token as an `Authorization` header, marked sensitive.
    ///
    /// # Errors
    /// As [`TokenCache::token`].
    pub async fn header(&self) -> Result<HeaderValue, Error> {
        match self.0.valid(|token| token.header().clone()) {
            Some(header) => Ok(header),
            None => Ok(self.0.wait().await?.header().clone()),
        }
    }

    /// Whether the credential behind it may have been replaced since it was rejected:
    /// [`TokenSource::may_have_changed`], for a source that builds upon this cache.
    pub fn may_have_changed(&self) -> bool {
        self.0.source.may_have_changed()
    }

    /// Says that a server did not take this token. It is dropped only if it is still the
    /// current one, so that a hundred such complaints cost one refresh.
    pub fn invalidate(&self, token: &AccessToken) {
        let current = self.0.current.load();
        if current
            .as_ref()
            .is_some_and(|entry| entry.token.is_same(token))
        {
            // Only this very entry: another may have taken its place since.
            self.0.current.compare_and_swap(&current, None);
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
    /// The hot path: what `read` makes of the current token, if it is valid.
    #[inline]
    fn valid<T>(self: &Arc<Self>, read: impl FnOnce(&AccessToken) -> T) -> Option<T> {
        let current = self.current.load();
        let entry = current.as_ref()?;
        let wall = self.clock.wall();
        if entry.is_surely_fresh(wall) || self.is_valid(entry, wall) {
            return Some(read(&entry.token));
        }
        None
    }

    /// Looks at both clocks, and starts a refresh if it is time for one.
    #[cold]
    fn is_valid(self: &Arc<Self>, entry: &Entry, wall: u64) -> bool {
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

    /// Starts a refresh behind a token that is still valid, unless one is under way, or the
    /// last failure is too recent. Nothing here waits.
    #[cold]
    fn refresh_behind(self: &Arc<Self>, now: Moment) {
        if now.monotonic < self.next_attempt.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state();
        if state.refresh.is_some() || now.monotonic < self.next_attempt.load(Ordering::Acquire) {
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
            && !self.source.may_have_changed()
        {
            self.schedule(now.after(MAX_BACKOFF));
            return;
        }
        // Without a runtime the token that is there is all there is.
        if let Ok(runtime) = Handle::try_current() {
            self.start(&mut state, &runtime);
        }
    }

    /// Waits for a token: for the refresh under way, or for one that is started here.
    #[cold]
    async fn wait(self: &Arc<Self>) -> Result<AccessToken, Error> {
        for _ in 0..MAX_TAKEOVERS {
            let mut refresh = match self.join()? {
                Joined::Token(token) => return Ok(token),
                Joined::Refresh(refresh) => refresh,
            };
            let outcome = timeout(TAKEOVER, refresh.outcome.wait_for(Option::is_some));
            match outcome.await {
                Ok(Ok(outcome)) => match &*outcome {
                    Some(result) => return result.clone(),
                    None => continue,
                },
                // Its task was dropped, or nobody drives it: the next round starts another.
                Ok(Err(_)) | Err(_) => self.abandon(refresh.number),
            }
        }
        Err(no_runtime(
            "the refresh was cut off again and again: its runtime went away, or the token source panicked",
        ))
    }

    /// Joins the refresh under way or starts one, unless the last failure still speaks.
    fn join(self: &Arc<Self>) -> Result<Joined, Error> {
        let mut state = self.state();
        // Somebody may have brought a token while we came here.
        let now = self.clock.now();
        if let Some(entry) = &*self.current.load()
            && !now.has_reached(&entry.valid_until)
        {
            return Ok(Joined::Token(entry.token.clone()));
        }
        if let Some(refresh) = &state.refresh {
            return Ok(Joined::Refresh(refresh.clone()));
        }
        if let Some((error, until)) = state.failure.as_deref() {
            let still = match until {
                Some(until) => !now.has_reached(until),
                None => !self.source.may_have_changed(),
            };
            if still {
                return Err(error.clone());
            }
        }
        let runtime = Handle::try_current()
            .map_err(|_| no_runtime("there is no tokio runtime to ask for a token on"))?;
        Ok(Joined::Refresh(self.start(&mut state, &runtime)))
    }

    fn start(self: &Arc<Self>, state: &mut State, runtime: &Handle) -> Refresh {
        let (sender, outcome) = watch::channel(None);
        state.last_number += 1;
        let refresh = Refresh {
            number: state.last_number,
            outcome,
        };
        state.refresh = Some(refresh.clone());
        self.next_attempt.store(UNDER_WAY, Ordering::Release);
        let task = Task {
            inner: self.clone(),
            number: refresh.number,
            sender,
        };
        runtime.spawn(task.run());
        refresh
    }

    /// A refresh has ended: notes what it brought.
    fn finish(
        &self,
        number: u64,
        result: Result<AccessToken, Error>,
    ) -> Result<AccessToken, Error> {
        let now = self.clock.now();
        let mut state = self.state();
        let ours = state.refresh.as_ref().is_some_and(|r| r.number == number);
        if !ours {
            // Somebody took over; a token is welcome all the same, a failure is not news.
            return match result.and_then(|token| entry(token, now)) {
                Ok(entry) => Ok(self.keep(entry)),
                Err(error) => Err(error),
            };
        }
        state.refresh = None;
        match result.and_then(|token| entry(token, now)) {
            Ok(entry) => {
                state.failures = 0;
                state.failure = None;
                let previous = self.current.load_full();
                let Some(same) = previous.filter(|p| p.token.is_same(&entry.token)) else {
                    self.schedule(now);
                    return Ok(self.keep(entry));
                };
                self.schedule(now.after(SAME_TOKEN_WAIT));
                if same.token.expires_at() == entry.token.expires_at()
                    && entry.token.expires_at().is_some()
                {
                    // Nothing is new: its refresh window stays where it was.
                    return Ok(same.token.clone());
                }
                Ok(self.keep(entry))
            }
            Err(error) => {
                let wait = backoff(state.failures);
                state.failures = state.failures.saturating_add(1);
                let until = (!error.kind().is_rejection()).then(|| now.after(wait));
                self.schedule(until.unwrap_or_else(|| now.after(MAX_BACKOFF)));
                tracing::debug!(%error, "a token refresh failed");
                state.failure = Some(Box::new((error.clone(), until)));
                Err(error)
            }
        }
    }

    fn keep(&self, entry: Entry) -> AccessToken {
        let token = entry.token.clone();
        self.current.store(Some(Arc::new(entry)));
        token
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

enum Joined {
    Token(AccessToken),
    Refresh(Refresh),
}

/// One refresh under way. Dropped before its end — its runtime went away, or the source
/// panicked — it makes room for another.
struct Task {
    inner: Arc<Inner>,
    number: u64,
    sender: watch::Sender<Outcome>,
}

impl Task {
    async fn run(self) {
        let mint = self.inner.source.mint();
        let result = match deadline(mint).await {
            Some(result) => result,
            None => Err(Error::new(
                ErrorKind::Timeout,
                format!("no token within {} s", REFRESH_DEADLINE.as_secs()),
            )),
        };
        let result = self.inner.finish(self.number, result);
        self.sender.send_replace(Some(result));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.inner.abandon(self.number);
    }
}

async fn deadline<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(REFRESH_DEADLINE, future).await.ok()
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
                Error::new(
                    ErrorKind::InvalidResponse,
                    format!(
                        "the new token expired at {}, before it arrived",
                        at.to_rfc3339()
                    ),
                )
                .with_remedy(Remedy::new("Check this machine's clock."))
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
