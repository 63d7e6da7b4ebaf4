//! The credentials of a client.

use ee_token::{AccessToken, SecretString, TokenCache};
use tokio::time::Instant;

use crate::send::deadline::within;

/// The credentials of a client: an access token, an API key, or both.
///
/// A token identifies a principal. An API key identifies only a project, and grants access to
/// what that project may do without a principal. Earth Engine accepts both at once, as its Python
/// client sends them; the key must then belong to the billed project.
///
/// `Debug` shows neither secret.
///
/// ```
/// use ee_rest::Auth;
///
/// let auth = Auth::api_key("AIza-mine".into());
/// assert!(!format!("{auth:?}").contains("AIza"));
/// ```
#[derive(Debug, Clone)]
pub struct Auth {
    pub(crate) tokens: Option<TokenCache>,
    pub(crate) api_key: Option<SecretString>,
}

impl Auth {
    /// Authenticates with tokens from this cache, in the `authorization` header.
    pub fn token_cache(tokens: TokenCache) -> Self {
        Self {
            tokens: Some(tokens),
            api_key: None,
        }
    }

    /// Authenticates with an API key, in the `x-goog-api-key` header (never in the URL, because
    /// URLs are logged).
    pub fn api_key(key: SecretString) -> Self {
        Self {
            tokens: None,
            api_key: Some(key),
        }
    }

    /// Adds an API key to the access token.
    #[must_use]
    pub fn with_api_key(mut self, key: SecretString) -> Self {
        self.api_key = Some(key);
        self
    }

    /// Renews a token that the server rejected. Returns whether a different token is available
    /// before the deadline.
    pub(crate) async fn renew(
        &self,
        rejected: &AccessToken,
        until: Option<Instant>,
    ) -> Result<bool, ee_token::Error> {
        let Some(tokens) = &self.tokens else {
            return Ok(false);
        };
        let renewed = within(until, tokens.renew(rejected)).await.transpose()?;
        Ok(renewed.flatten().is_some())
    }

    /// Records that the server accepted a token.
    pub(crate) fn accepted(&self, token: Option<&AccessToken>) {
        if let (Some(tokens), Some(token)) = (&self.tokens, token) {
            tokens.accepted(token);
        }
    }
}
