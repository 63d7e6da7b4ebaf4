//! Tokens with enough lifetime left for clients, and the response bodies that contain them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use ee_credentials::Credentials;
use ee_credentials::internal::token_source;
use ee_token::{AccessToken, Error, TokenCache, TokenFuture, TokenSource};
use zeroize::Zeroizing;

use crate::deadline::Deadline;

/// How much of its lifetime a token has left at least, if its source allows: the four minutes of
/// Google's own servers, and time for the response.
const MARGIN: TimeDelta = TimeDelta::seconds(245);
/// The shortest time between two refreshes of tokens that live hardly longer than [`MARGIN`].
const MIN_USE: TimeDelta = TimeDelta::seconds(60);
/// The lifetime to state for a token whose expiry is unknown, so that clients ask again soon.
const UNKNOWN_LIFETIME: TimeDelta = TimeDelta::seconds(300);

/// The tokens of a credential.
#[derive(Debug)]
pub(crate) struct Tokens {
    cache: TokenCache,
    issued: Arc<IssuedTokens>,
    deadline: Option<Deadline>,
    prepared: Mutex<Option<Prepared>>,
}

/// A token in the form that clients receive.
#[derive(Debug, Clone)]
pub(crate) struct ServedToken {
    pub(crate) token: AccessToken,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) body: Bytes,
}

/// The response body for one token and one second.
struct Prepared {
    second: i64,
    served: ServedToken,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(..)")
    }
}

/// The last tokens of the source with their own expiry. The cache contains an earlier one.
#[derive(Debug)]
struct IssuedTokens {
    credentials: Credentials,
    source: Arc<dyn TokenSource>,
    last: Mutex<[Option<Issued>; 2]>,
}

#[derive(Debug, Clone)]
struct Issued {
    token: AccessToken,
    expires_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    received: Instant,
}

impl Issued {
    /// Returns how long the token is valid by both clocks.
    fn remaining(&self, now: DateTime<Utc>) -> TimeDelta {
        let Some(expires_at) = self.expires_at else {
            return UNKNOWN_LIFETIME;
        };
        let elapsed = TimeDelta::from_std(self.received.elapsed()).unwrap_or(TimeDelta::MAX);
        (expires_at - now).min(expires_at - self.received_at - elapsed)
    }
}

impl IssuedTokens {
    fn last(&self) -> MutexGuard<'_, [Option<Issued>; 2]> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, token: &AccessToken) -> Option<Issued> {
        let last = self.last();
        let found = last.iter().flatten().find(|i| i.token.secret_eq(token));
        found.cloned()
    }

    /// Fetches a token. The credentials' own cache is used unless its token expires too soon for a
    /// client; it refreshes later than a server of tokens must.
    async fn fetch(&self) -> Result<AccessToken, Error> {
        let token = self.credentials.token().await?;
        let is_known = self.find(&token).is_some();
        let token = match remaining(&token) {
            Some(left) if left <= MARGIN + MIN_USE || is_known => self.source.fetch_token().await?,
            _ => token,
        };
        let issued = Issued {
            expires_at: token.expires_at(),
            received_at: Utc::now(),
            received: Instant::now(),
            token,
        };
        let token = issued.token.clone();
        let cached = match issued.expires_at {
            Some(at) => token.with_expiry(cached_until(at, issued.received_at)),
            None => token,
        };
        let mut last = self.last();
        if !last[0]
            .as_ref()
            .is_some_and(|last| last.token.secret_eq(&cached))
        {
            last.swap(0, 1);
        }
        last[0] = Some(issued);
        Ok(cached)
    }
}

fn remaining(token: &AccessToken) -> Option<TimeDelta> {
    Some(token.expires_at()? - Utc::now())
}

/// Returns when the cache has to have another token.
fn cached_until(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let lifetime = expires_at - now;
    expires_at - MARGIN.min((lifetime - MIN_USE).max(lifetime / 2))
}

/// The source of the broker's token cache.
#[derive(Debug)]
struct EarlySource(Arc<IssuedTokens>);

impl TokenSource for EarlySource {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(self.0.fetch())
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.0.source.can_retry_after_rejection()
    }
}

impl Tokens {
    /// Returns `None` for an API key, which has no tokens.
    pub(crate) fn new(credentials: &Credentials, deadline: Option<Deadline>) -> Option<Self> {
        let issued = Arc::new(IssuedTokens {
            source: token_source(credentials)?,
            credentials: credentials.clone(),
            last: Mutex::default(),
        });
        Some(Self {
            cache: TokenCache::new(EarlySource(issued.clone())),
            issued,
            deadline,
            prepared: Mutex::default(),
        })
    }

    /// Returns the current token, after a refresh if it expires soon.
    pub(crate) async fn serve(&self) -> Result<ServedToken, Error> {
        let token = match self.cache.cached() {
            Some(token) => token,
            None => match Box::pin(self.cache.token()).await {
                Ok(token) => token,
                Err(error) => self.last_resort().ok_or(error)?,
            },
        };
        Ok(self.prepare(token, Utc::now()))
    }

    /// Returns the current token's expiry without a request.
    pub(crate) fn expires_at(&self) -> Option<DateTime<Utc>> {
        let last = self.issued.last();
        last[0].as_ref()?.expires_at
    }

    /// Returns a token that the cache replaces, if it is still valid: less than four minutes are
    /// better than an error.
    fn last_resort(&self) -> Option<AccessToken> {
        let now = Utc::now();
        let last = self.issued.last().clone();
        let valid = last.into_iter().flatten();
        let valid = valid.filter(|i| i.remaining(now) > TimeDelta::seconds(5));
        valid.map(|issued| issued.token).next()
    }

    fn prepare(&self, token: AccessToken, now: DateTime<Utc>) -> ServedToken {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = &*prepared
            && prepared.second == now.timestamp()
            && prepared.served.token.secret_eq(&token)
        {
            return prepared.served.clone();
        }
        let remaining = match self.issued.find(&token) {
            Some(issued) => issued.remaining(now),
            None => token.expires_at().map_or(UNKNOWN_LIFETIME, |at| at - now),
        };
        let remaining = match &self.deadline {
            Some(deadline) => remaining.min(deadline.remaining()),
            None => remaining,
        };
        // Clients reject a response without a lifetime.
        let seconds = remaining.num_seconds().max(1);
        let served = ServedToken {
            body: body(&token, seconds),
            expires_at: now + remaining,
            token,
        };
        *prepared = Some(Prepared {
            second: now.timestamp(),
            served: served.clone(),
        });
        served
    }
}

/// Returns the JSON of a token response, in memory that is zeroized when it is freed.
fn body(token: &AccessToken, expires_in: i64) -> Bytes {
    const START: &[u8] = br#"{"access_token":""#;
    let end = format!(r#"","expires_in":{expires_in},"token_type":"Bearer"}}"#);
    let secret = token.secret().as_bytes();
    // A buffer that grows would leave a copy. Each character may need a backslash.
    let mut body = Zeroizing::new(Vec::with_capacity(
        START.len() + 2 * secret.len() + end.len(),
    ));
    body.extend_from_slice(START);
    for &byte in secret {
        if matches!(byte, b'"' | b'\\') {
            body.push(b'\\');
        }
        body.push(byte);
    }
    body.extend_from_slice(end.as_bytes());
    Bytes::from_owner(body)
}

#[cfg(test)]
mod tests;
