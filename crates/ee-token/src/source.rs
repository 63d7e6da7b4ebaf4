//! The trait that everything which makes tokens implements.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::{AccessToken, Error};

/// What [`TokenSource::fetch_token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, Error>> + Send + 'a>>;

/// Something that can make a new access token now.
///
/// It does not cache: wrap it in a [`TokenCache`](crate::TokenCache) for that. The kind of its
/// error decides when it is asked again: after 1 s, doubling to 30 s, for a
/// [transient](crate::ErrorKind::is_transient) error; after 1 minute, doubling to 30 minutes, for a
/// [rejection](crate::ErrorKind::is_rejection). A token that [`AccessToken::new`] does not accept is
/// a transient error.
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
    /// Makes a new token.
    fn fetch_token(&self) -> TokenFuture<'_>;

    /// Whether a credential that was rejected may have been replaced since, so that it is worth
    /// fetching a token before the cache's next scheduled attempt: a file that a new login was
    /// written to.
    ///
    /// Called only after a rejection, by each caller that needs a token, concurrently; must be
    /// cheap (a `stat`, not a read).
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

/// A token source from an async closure: the program's own way to get a token.
///
/// ```
/// use ee_token::{source_fn, AccessToken, TokenCache};
///
/// let cache = TokenCache::new(source_fn(|| async { AccessToken::new("mine") }));
/// ```
pub fn source_fn<F, Fut>(mint: F) -> impl TokenSource
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AccessToken, Error>> + Send + 'static,
{
    SourceFn(mint)
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
