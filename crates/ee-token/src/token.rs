//! Access tokens.

use std::fmt;

use chrono::{DateTime, Utc};
use http::HeaderValue;

use crate::secret::wipe::sensitive_header;
use crate::{Error, ErrorKind, Remedy, Scopes};

const BEARER: &str = "Bearer ";

/// An access token (RFC 6749 §1.4) with its expiry and scopes, if known.
///
/// Stored as the `Authorization` header that it is sent in: marked sensitive, cheap to clone, and
/// wiped when the last clone is dropped. `Debug` does not show the secret.
///
/// ```
/// use ee_token::AccessToken;
///
/// let token = AccessToken::new("ya29.secret")?;
/// assert_eq!(token.secret(), "ya29.secret");
/// assert!(!format!("{token:?}").contains("secret\""));
/// # Ok::<(), ee_token::Error>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    header: HeaderValue,
    expires_at: Option<DateTime<Utc>>,
    scopes: Option<Scopes>,
}

impl AccessToken {
    /// Creates a token without a known expiry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidResponse`] if it is empty or contains characters that a header cannot
    /// hold. The error is transient, because the next token may be valid.
    pub fn new(secret: &str) -> Result<Self, Error> {
        // RFC 6750 §2.1 allows fewer characters, but only a header injection must be prevented.
        // Without an early return, the loop is vectorized.
        let fits = secret
            .bytes()
            .fold(true, |fits, b| fits & (0x21..=0x7e).contains(&b));
        let unfit = || {
            Error::new(
                ErrorKind::InvalidResponse,
                "the access token is empty or contains characters that a header cannot hold",
            )
            .with_remedy(Remedy::new(
                "Copy the access token again, without quotes, spaces and line breaks.",
            ))
        };
        if secret.is_empty() || !fits {
            return Err(unfit());
        }
        Ok(Self {
            header: sensitive_header(&[BEARER, secret]).map_err(|_| unfit())?,
            expires_at: None,
            scopes: None,
        })
    }

    /// Sets when the token expires, by the wall clock.
    #[must_use]
    pub fn with_expiry(mut self, expires_at: DateTime<Utc>) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Sets the granted scopes.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// Returns the token itself, which grants access until it expires.
    pub fn secret(&self) -> &str {
        let bytes = self.header.as_bytes().get(BEARER.len()..).unwrap_or(b"");
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Returns the `Authorization` header, marked sensitive.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Returns when the token expires, if known.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// Returns the granted scopes, if the server named them.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// Returns whether both tokens have the same secret.
    pub fn secret_eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("secret", &"[redacted]")
            .field("expires_at", &self.expires_at)
            .field("scopes", &self.scopes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        let token = AccessToken::new("ya29.canary").unwrap();
        assert!(!format!("{token:?} {:?}", token.header()).contains("canary"));
        assert_eq!(token.header().as_bytes(), b"Bearer ya29.canary");
    }

    #[test]
    fn header_injection_is_rejected() {
        for bad in ["", "a b", "a\r\nX-Evil: 1", "a\u{7f}", "zurück"] {
            assert_eq!(
                AccessToken::new(bad).unwrap_err().kind(),
                ErrorKind::InvalidResponse,
                "{bad:?}"
            );
        }
    }
}
