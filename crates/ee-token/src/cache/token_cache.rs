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
//! Here is what every call goes through; how a token is renewed is in [`refresh`].

// Found from wherever this file is compiled: the model checker's copy of it, too.
#[path = "refresh.rs"]
pub(crate) mod refresh;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderValue;

use self::refresh::State;
use super::sync::{ArcSwapOption, AtomicBool, AtomicU64, Mutex};
use crate::cache::clock::{Clock, Moment};
use crate::{AccessToken, Error, ErrorKind, Remedy, TokenSource};

/// How long before its end a token is renewed, unless its life is short.
pub(crate) const REFRESH_WINDOW: Duration = Duration::from_secs(225);
/// The life that a token without an expiry is given, so that it is renewed at all.
const ASSUMED_LIFE: Duration = Duration::from_secs(3600);
/// How long one look at both clocks is good for, as long as the wall clock agrees. Reading a
/// clock is most of what handing out a token costs.
const TRUST: Duration = Duration::from_secs(1);

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
    /// Whether a token was renewed that no server has accepted yet, so that requests with other
    /// tokens need no lock to report their success.
    is_renewing: AtomicBool,
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
    /// A token that was minted just now, and when it goes stale and expires.
    fn new(token: AccessToken, now: Moment) -> Result<Self, Error> {
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
        Ok(Self {
            token,
            fresh_until: now.after(life - window),
            valid_until: now.after(life),
            // Nothing was checked yet: centuries from any time that the wall clock will show.
            checked: AtomicU64::new(now.wall ^ (1 << 63)),
        })
    }

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
            is_renewing: AtomicBool::new(false),
            state: Mutex::default(),
        }))
    }

    /// The current token, renewed if it has expired.
    ///
    /// # Errors
    /// What the source returned. After a transient failure, callers get the same error without
    /// another attempt for 1 s, doubling to 30 s while it fails again; after a
    /// [rejection](ErrorKind::is_rejection) of the credential for 1 minute, doubling to 30, unless
    /// the credential [may have changed](TokenSource::can_retry_after_rejection) meanwhile.
    /// [`ErrorKind::Runtime`] outside of a tokio runtime.
    ///
    /// # Panics
    /// As tokio's timers do, if it has to wait on a runtime without a time driver.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.cached() {
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
    /// assert!(cache.cached().is_none());
    /// cache.token().await?;
    /// assert!(cache.cached().is_some());
    /// # Ok(()) }
    /// ```
    pub fn cached(&self) -> Option<AccessToken> {
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
    /// [`TokenSource::can_retry_after_rejection`], for a source that builds upon this cache.
    pub fn can_retry_after_rejection(&self) -> bool {
        self.0.source.can_retry_after_rejection()
    }

    /// Drops a token that a server rejected, if it is still the current one: a hundred calls for
    /// the same token cost one refresh. A source that returns the same token again, as metadata
    /// servers do, is not asked for another in the next 10 s.
    ///
    /// To send a request again after a response with status 401, use [`renew`](Self::renew).
    pub fn invalidate(&self, token: &AccessToken) {
        // Most calls come late, for a token that is gone.
        if self.0.is_current(token) {
            self.0.refuse(token);
        }
    }

    /// Returns the token to send a request again with after a server rejected `rejected` (status
    /// 401). Returns `None` if there is no other token now.
    ///
    /// A hundred calls for the same token cost one refresh. Where a server rejects every token,
    /// the next renewal waits 1 s, doubling to 2 minutes, until [`accepted`](Self::accepted) is
    /// called for the current token; meanwhile there is no other token.
    ///
    /// ```
    /// use ee_token::{source_fn, AccessToken, TokenCache};
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_token::Error> {
    /// # let count = AtomicU32::new(0);
    /// # let fetch_token = move || AccessToken::new(&count.fetch_add(1, Ordering::Relaxed).to_string());
    /// let cache = TokenCache::new(source_fn(move || std::future::ready(fetch_token())));
    /// let token = cache.token().await?;
    /// // A server responds with status 401.
    /// if let Some(renewed) = cache.renew(&token).await? {
    ///     // Send the request again. If the status is another than 401:
    ///     cache.accepted(&renewed);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`TokenCache::token`].
    ///
    /// # Panics
    /// As [`TokenCache::token`].
    pub async fn renew(&self, rejected: &AccessToken) -> Result<Option<AccessToken>, Error> {
        if !self.0.start_renewal(rejected) {
            return Ok(None);
        }
        let token = self.token().await?;
        Ok((!token.secret_eq(rejected)).then_some(token))
    }

    /// Records that a server accepted a token, so that the next [`renew`](Self::renew) need not
    /// wait. Costs an atomic load unless a token was renewed and not accepted since.
    #[inline]
    pub fn accepted(&self, token: &AccessToken) {
        if self.0.is_renewing.load(Ordering::Relaxed) {
            self.0.end_renewals(token);
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
            .is_some_and(|entry| entry.token.secret_eq(token))
    }
}

fn over_already(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidResponse, why)
        .with_remedy(Remedy::new("Check this machine's clock."))
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
