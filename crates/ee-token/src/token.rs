//! What a token is.

use std::fmt;

use chrono::{DateTime, Utc};
use http::HeaderValue;

use crate::secret::wipe::sensitive_header;
use crate::source::{TokenFuture, TokenSource};
use crate::{Error, ErrorKind, Scopes};

const BEARER: &str = "Bearer ";

/// A short-lived secret that proves who is asking (RFC 6749 §1.4), with its
/// expiry and what is known of its scopes.
///
/// It is kept as the `Authorization` header that it will be sent as: made once,
/// marked sensitive, cheap to clone, its bytes overwritten when the last clone goes.
/// `Debug` never shows the secret.
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
    /// A token without a known expiry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidResponse`] if it is empty or holds characters that no header may
    /// have: whoever made it may do better the next time.
    pub fn new(secret: &str) -> Result<Self, Error> {
        // RFC 6750 §2.1 allows less; what matters is that nothing can break out of the header.
        // Without an early end, many bytes are looked at in one step.
        let fits = secret
            .bytes()
            .fold(true, |fits, b| fits & (0x21..=0x7e).contains(&b));
        let unfit = || {
            Error::new(
                ErrorKind::InvalidResponse,
                "the access token is empty or has characters that cannot stand in a header",
            )
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

    /// Sets when it expires, by the wall clock.
    #[must_use]
    pub fn with_expiry(mut self, expires_at: DateTime<Utc>) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Sets the scopes that were granted.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// The secret itself. Whoever has it can act as the credential's owner until it expires.
    pub fn secret(&self) -> &str {
        let bytes = self.header.as_bytes().get(BEARER.len()..).unwrap_or(b"");
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The `Authorization` header, marked sensitive.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// When it expires, where that is known.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// The scopes that were granted, where the server said so.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// Whether both are the same secret.
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

/// A token that its owner brings along: handed out until it expires, and never renewed.
impl TokenSource for AccessToken {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            match self.expires_at {
                Some(at) if at <= Utc::now() => Err(Error::new(
                    ErrorKind::Expired,
                    format!(
                        "the access token that was given expired at {}",
                        at.format("%Y-%m-%dT%H:%M:%SZ")
                    ),
                )
                .with_remedy(crate::Remedy::new(
                    "Give a new token, or give a credential or a closure that can make one.",
                ))),
                _ => Ok(self.clone()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_the_header_show_no_secret() {
        let token = AccessToken::new("ya29.canary").unwrap();
        assert!(!format!("{token:?} {:?}", token.header()).contains("canary"));
        assert_eq!(token.header().as_bytes(), b"Bearer ya29.canary");
    }

    #[test]
    fn what_could_break_out_of_the_header_is_refused() {
        for bad in ["", "a b", "a\r\nX-Evil: 1", "a\u{7f}", "zurück"] {
            assert_eq!(
                AccessToken::new(bad).unwrap_err().kind(),
                ErrorKind::InvalidResponse,
                "{bad:?}"
            );
        }
    }
}
