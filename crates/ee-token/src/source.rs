//! The trait of token sources.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use chrono::Utc;

use crate::{AccessToken, Error, ErrorKind, Remedy};

/// The future that [`TokenSource::fetch_token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, Error>> + Send + 'a>>;

/// A source of new access tokens.
///
/// A source does not cache; a [`TokenCache`](crate::TokenCache) does. The kind of an error decides
/// when the cache tries again: a [transient](crate::ErrorKind::is_transient) error after 1 second,
/// doubling to 30 seconds; a [rejection](crate::ErrorKind::is_rejection) after 1 minute, doubling to
/// 30 minutes. A token that [`AccessToken::new`] does not accept is a transient error.
///
/// ```
/// use ee_token::{AccessToken, TokenFuture, TokenSource};
///
/// #[derive(Debug)]
/// struct Vault;
///
/// impl TokenSource for Vault {
///     fn fetch_token(&self) -> TokenFuture<'_> {
///         Box::pin(async { AccessToken::new("from-the-vault") })
///     }
/// }
/// ```
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// Fetches a new token.
    fn fetch_token(&self) -> TokenFuture<'_>;

    /// Returns whether a rejected credential may have been replaced, for example by a new login
    /// file, so that a token is worth fetching before the cache's next scheduled attempt.
    ///
    /// Called after a rejection, concurrently, by each caller that needs a token. It must be cheap
    /// (a `stat`, not a read).
    fn can_retry_after_rejection(&self) -> bool {
        false
    }
}

impl<T: TokenSource + ?Sized> TokenSource for std::sync::Arc<T> {
    fn fetch_token(&self) -> TokenFuture<'_> {
        (**self).fetch_token()
    }

    fn can_retry_after_rejection(&self) -> bool {
        (**self).can_retry_after_rejection()
    }
}

/// A caller-supplied token. Returned until it expires, and never refreshed.
impl TokenSource for AccessToken {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            match self.expires_at() {
                Some(at) if at <= Utc::now() => Err(Error::new(
                    ErrorKind::Expired,
                    format!(
                        "the caller-supplied access token expired at {}",
                        at.format("%Y-%m-%dT%H:%M:%SZ")
                    ),
                )
                .with_remedy(Remedy::new(
                    "Supply a new token, or a credential or closure that can refresh it.",
                ))),
                _ => Ok(self.clone()),
            }
        })
    }
}

/// Creates a token source from an async closure.
///
/// ```
/// use ee_token::{source_fn, AccessToken, TokenCache};
///
/// let cache = TokenCache::new(source_fn(|| async { AccessToken::new("mine") }));
/// ```
pub fn source_fn<F, Fut>(fetch_token: F) -> impl TokenSource
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AccessToken, Error>> + Send + 'static,
{
    SourceFn(fetch_token)
}

struct SourceFn<F>(F);

impl<F> fmt::Debug for SourceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source_fn(..)")
    }
}

impl<F, Fut> TokenSource for SourceFn<F>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<AccessToken, Error>> + Send + 'static,
{
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin((self.0)())
    }
}
