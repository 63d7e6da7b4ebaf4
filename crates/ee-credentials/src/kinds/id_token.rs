//! ID tokens, which identify a service account to a service (OpenID Connect).

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use ee_token::SecretString;

/// The future that [`IdTokenSource::fetch_id_token`] returns.
pub(crate) type IdTokenFuture<'a> =
    Pin<Box<dyn Future<Output = Result<SecretString, ee_token::Error>> + Send + 'a>>;

/// A source of ID tokens.
pub(crate) trait IdTokenSource: fmt::Debug + Send + Sync {
    /// Fetches an ID token for this audience, with the account's email address.
    fn fetch_id_token<'a>(&'a self, audience: &'a str) -> IdTokenFuture<'a>;
}
