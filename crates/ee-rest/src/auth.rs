//! What a client proves itself with.

use ee_token::{AccessToken, SecretString, TokenCache};
use tokio::time::Instant;

use crate::send::deadline::within;

/// What a client proves itself with: a token, an API key, or both.
///
/// A token says who asks. An API key only says which project asks, and gives access to what
/// that project may do without a person. Earth Engine takes both at once, as its Python
/// client sends them; the key must then belong to the project that is billed.
///
/// `Debug` shows neither.
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
    /// Tokens from this cache, in the header `authorization`.
    pub fn token_cache(tokens: TokenCache) -> Self {
        Self {
            tokens: Some(tokens),
            api_key: None,
        }
    }

    /// An API key, in the header `x-goog-api-key` (never in the URL, which gets logged).
    pub fn api_key(key: SecretString) -> Self {
        Self {
            tokens: None,
            api_key: Some(key),
        }
    }

    /// Adds an API key to the token.
    #[must_use]
    pub fn with_api_key(mut self, key: SecretString) -> Self {
        self.api_key = Some(key);
        self
    }

    /// Whether there is another token by then, in place of one that a server rejected.
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

    /// Records that a server accepted a token that was renewed.
    pub(crate) fn accepted(&self, renewed: Option<&AccessToken>) {
        if let (Some(tokens), Some(renewed)) = (&self.tokens, renewed) {
            tokens.accepted(renewed);
        }
    }
}
