//! The path of every call: returns the cached token, or waits for a [refresh](refresh).
//!
//! A token is in one of three states:
//!
//! - *fresh*: returned after an atomic load and a read of the wall clock. The monotonic clock is
//!   read once a second, so that a change of the wall clock is noticed within a second;
//! - *stale*, in the refresh window: returned as well, and the first caller starts a background
//!   refresh;
//! - *expired* or missing: all callers wait for one refresh.

// An explicit path, because the model checker compiles this file from another directory.
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
#[cfg(any(test, feature = "test-util"))]
use crate::cache::clock::manual::ManualClock;
use crate::cache::clock::{Clock, Moment};
use crate::{AccessToken, Error, ErrorKind, Remedy, TokenSource};

/// How long before its expiry a token is refreshed, unless its lifetime is short.
pub(crate) const REFRESH_WINDOW: Duration = Duration::from_secs(225);
/// The assumed lifetime of a token without an expiry.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);
/// How often the monotonic clock is read in addition to the wall clock. Reading a clock is the
/// largest part of the cost of a call.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A cache for the tokens of a [`TokenSource`].
///
/// It returns the current token to any number of callers, and refreshes it once for all of them: in
/// the background during the last 225 s of its lifetime, or its last quarter if that is shorter,
/// after a random part of that time.
///
/// Cheap to clone; clones share the token. Creating a cache requires no runtime and starts no task.
/// A refresh runs on the runtime of the first caller that needs it.
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
    /// When the next background refresh may start, on the monotonic clock. Lets callers with a
    /// stale token skip the lock.
    next_attempt: AtomicU64,
    /// Whether a token was renewed and not accepted by a server yet. Lets
    /// [`TokenCache::accepted`] skip the lock.
    is_renewing: AtomicBool,
    state: Mutex<State>,
}

/// A token with its refresh time and its expiry.
struct Entry {
    token: AccessToken,
    fresh_until: Moment,
    valid_until: Moment,
    /// The wall clock when the token was last found to be fresh on both clocks for another
    /// [`CLOCK_CHECK_INTERVAL`].
    checked_at: AtomicU64,
}

impl Entry {
    /// `jitter` is a number in [0, 1). Up to a third of the refresh window passes before the
    /// refresh, so that processes that were started together do not refresh together.
    fn new(token: AccessToken, now: Moment, jitter: f64) -> Result<Self, Error> {
        let lifetime = match token.expires_at() {
            None => ASSUMED_LIFETIME,
            Some(at) => unix_nanos(at)
                .checked_sub(now.wall)
                .filter(|lifetime| *lifetime > 0)
                .map(Duration::from_nanos)
                .ok_or_else(|| {
                    already_expired(format!(
                        "the token source returned a token that expired at {}",
                        at.to_rfc3339()
                    ))
                })?,
        };
        let window = REFRESH_WINDOW.min(lifetime / 4).mul_f64(1.0 - jitter / 3.0);
        Ok(Self {
            token,
            fresh_until: now.after(lifetime - window),
            valid_until: now.after(lifetime),
            // Not checked yet: 292 years away from the current time.
            checked_at: AtomicU64::new(now.wall ^ (1 << 63)),
        })
    }

    /// Returns whether the last check of both clocks still proves the token fresh.
    #[inline]
    fn is_known_fresh(&self, wall: u64) -> bool {
        // If the clock was set back, the difference wraps to a huge value.
        wall.wrapping_sub(self.checked_at.load(Ordering::Relaxed))
            < CLOCK_CHECK_INTERVAL.as_nanos() as u64
    }

    /// Returns whether the token is fresh on both clocks, and records the check.
    fn is_fresh(&self, now: Moment) -> bool {
        if now.has_reached(&self.fresh_until) {
            return false;
        }
        if !now
            .after(CLOCK_CHECK_INTERVAL)
            .has_reached(&self.fresh_until)
        {
            self.checked_at.store(now.wall, Ordering::Relaxed);
        }
        true
    }
}

impl TokenCache {
    /// Creates a cache for the tokens of `source`.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self::shared(Arc::new(source), Clock::System)
    }

    /// Creates a cache that reads the time from `clock`, for tests.
    ///
    /// Available with the feature `test-util`.
    #[cfg(any(test, feature = "test-util"))]
    pub fn with_clock(source: impl TokenSource + 'static, clock: &ManualClock) -> Self {
        Self::shared(Arc::new(source), Clock::Manual(clock.clone()))
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

    /// Returns the current token, after a refresh if it has expired.
    ///
    /// # Errors
    /// Returns the source's error. After a transient failure, callers get the same error without
    /// another attempt for 1 s, doubling to 30 s. After a [rejection](ErrorKind::is_rejection) of
    /// the credential, they get it for 1 minute, doubling to 30 minutes, unless the credential
    /// [may have changed](TokenSource::can_retry_after_rejection).
    ///
    /// Returns [`ErrorKind::Runtime`] if a refresh is needed outside of a tokio runtime.
    ///
    /// # Panics
    /// Panics if a refresh is needed on a tokio runtime without a time driver.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.cached() {
            Some(token) => Ok(token),
            // Boxed, because it is rarely needed and would make every future large.
            None => Box::pin(self.0.wait()).await,
        }
    }

    /// Returns the current token if it is valid, without waiting. Starts a background refresh if it
    /// expires soon, like [`token`](Self::token).
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

    /// Returns the value of the `Authorization` header for the current token, marked as sensitive.
    ///
    /// # Errors
    /// The same as [`TokenCache::token`].
    ///
    /// # Panics
    /// The same as [`TokenCache::token`].
    pub async fn header(&self) -> Result<HeaderValue, Error> {
        if let Some(entry) = &*self.0.current.load()
            && self.0.is_valid(entry)
        {
            return Ok(entry.token.header().clone());
        }
        Ok(Box::pin(self.0.wait()).await?.header().clone())
    }

    /// Calls [`TokenSource::can_retry_after_rejection`], for a source that uses this cache.
    pub fn can_retry_after_rejection(&self) -> bool {
        self.0.source.can_retry_after_rejection()
    }

    /// Drops a token that a server rejected, if it is still the current one.
    ///
    /// A hundred calls for the same token cost one refresh. If the source returns the same token
    /// again, as metadata servers do, no other is fetched for 10 s.
    ///
    /// To retry a request after status 401, use [`renew`](Self::renew).
    pub fn invalidate(&self, token: &AccessToken) {
        // Most calls are for a token that was replaced.
        if self.0.is_current(token) {
            self.0.reject(token);
        }
    }

    /// Returns the token to retry a request with, after a server rejected `rejected` with status
    /// 401. Returns `None` if no other token is available.
    ///
    /// A hundred calls for the same token cost one refresh. If a server rejects every token, the
    /// time between renewals is 1 s, doubling to 2 minutes, until [`accepted`](Self::accepted) is
    /// called for the current token. Until a renewal is due, this method returns `None`.
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
    /// // The server responds with status 401.
    /// if let Some(renewed) = cache.renew(&token).await? {
    ///     // Send the request again. If the status is not 401:
    ///     cache.accepted(&renewed);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The same as [`TokenCache::token`].
    ///
    /// # Panics
    /// The same as [`TokenCache::token`].
    pub async fn renew(&self, rejected: &AccessToken) -> Result<Option<AccessToken>, Error> {
        if !self.0.start_renewal(rejected) {
            return Ok(None);
        }
        let token = self.token().await?;
        Ok((!token.secret_eq(rejected)).then_some(token))
    }

    /// Records that a server accepted a token, which ends the backoff of [`renew`](Self::renew).
    /// Costs an atomic load, unless a renewed token has not been accepted yet.
    #[inline]
    pub fn accepted(&self, token: &AccessToken) {
        if self.0.is_renewing.load(Ordering::Relaxed) {
            self.0.end_renewals(token);
        }
    }
}

/// Like [`TokenCache::new`], without another allocation for the source.
impl From<Arc<dyn TokenSource>> for TokenCache {
    fn from(source: Arc<dyn TokenSource>) -> Self {
        Self::shared(source, Clock::System)
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
    /// Returns whether the current token is valid. The hot path.
    #[inline]
    fn is_valid(self: &Arc<Self>, entry: &Entry) -> bool {
        let wall = self.clock.wall();
        entry.is_known_fresh(wall) || self.check_both_clocks(entry, wall)
    }

    /// Returns whether the current token is valid, and starts a background refresh if it is stale.
    #[cold]
    fn check_both_clocks(self: &Arc<Self>, entry: &Entry, wall: u64) -> bool {
        let now = self.clock.at(wall);
        if entry.is_fresh(now) {
            return true;
        }
        if now.has_reached(&entry.valid_until) {
            return false;
        }
        self.start_background_refresh(now);
        true
    }

    fn is_current(&self, token: &AccessToken) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_some_and(|entry| entry.token.secret_eq(token))
    }
}

fn already_expired(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidResponse, message)
        .with_remedy(Remedy::new("Check the clock of this machine."))
}

/// Converts a time to nanoseconds since the Unix epoch, saturating.
fn unix_nanos(at: DateTime<Utc>) -> u64 {
    let Ok(seconds) = u64::try_from(at.timestamp()) else {
        return 0;
    };
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(at.timestamp_subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_delays_the_refresh_by_up_to_a_third_of_its_window() {
        let now = Clock::System.now();
        for (jitter, delay) in [(0.0, 0), (0.5, 37), (0.999, 74)] {
            let entry = Entry::new(AccessToken::new("token").unwrap(), now, jitter).unwrap();
            let refresh = now.after(ASSUMED_LIFETIME - REFRESH_WINDOW);
            let delayed = Duration::from_nanos(entry.fresh_until.wall - refresh.wall);
            assert_eq!(delayed.as_secs(), delay, "{jitter}");
        }
    }
}
