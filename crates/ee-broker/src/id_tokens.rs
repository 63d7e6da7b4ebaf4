//! ID tokens for other services, by audience.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::Utc;
use ee_credentials::{Credentials, Error};
use serde_json::Value;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::deadline::Deadline;

/// The longest time that a token is served. It is valid for an hour if it is new; a metadata server
/// remembers tokens as well.
const MAX_USE: Duration = Duration::from_secs(30 * 60);
/// How much of its lifetime a token has left at least when it is served again.
const MARGIN: i64 = 300;
/// The number of audiences to remember.
const MAX_AUDIENCES: usize = 64;

/// The last ID token for each audience, and when it must be replaced.
#[derive(Default)]
pub(crate) struct IdTokens(Mutex<HashMap<String, (Bytes, Deadline)>>);

impl IdTokens {
    /// Returns a token for an audience. Callers wait for one request at a time.
    pub(crate) async fn get(
        &self,
        credentials: &Credentials,
        audience: &str,
    ) -> Result<Bytes, Error> {
        let mut tokens = self.0.lock().await;
        if let Some((token, end)) = tokens.get(audience)
            && !end.has_passed()
        {
            return Ok(token.clone());
        }
        let token = credentials.fetch_id_token(audience).await?;
        let end = Deadline::after(time_to_use(token.expose_secret(), Utc::now().timestamp()));
        let token = Zeroizing::new(token.expose_secret().as_bytes().to_vec());
        let token = Bytes::from_owner(token);
        if tokens.len() >= MAX_AUDIENCES {
            tokens.clear();
        }
        tokens.insert(audience.to_owned(), (token.clone(), end));
        Ok(token)
    }
}

/// Returns how long a token may be served again. Zero if its expiry is unknown.
fn time_to_use(token: &str, now: i64) -> Duration {
    let expires_at = || {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        claims["exp"].as_i64()
    };
    let left = expires_at().map_or(0, |at| at.saturating_sub(now).saturating_sub(MARGIN));
    Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(MAX_USE)
}

impl fmt::Debug for IdTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdTokens(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_served_again_until_shortly_before_their_expiry() {
        let time = |claims: &str| {
            let claims = URL_SAFE_NO_PAD.encode(claims);
            time_to_use(&format!("e30.{claims}.sig"), 10_000).as_secs()
        };
        assert_eq!(time(r#"{"exp": 13600}"#), 1800);
        assert_eq!(time(r#"{"exp": 11000}"#), 700);
        assert_eq!(time(r#"{"exp": 10200}"#), 0);
        assert_eq!(time(r#"{"exp": 9000}"#), 0);
        assert_eq!(time(r#"{"exp": -9223372036854775808}"#), 0);
        assert_eq!(time("{}"), 0);
        for other in ["", "a.b.c", "a", "..", "e30.***.x"] {
            assert_eq!(time_to_use(other, 0), Duration::ZERO, "{other}");
        }
    }
}
