//! ID tokens for other services, by audience.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ee_credentials::{Credentials, Error};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// How long a token is served. It is valid for an hour.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// The number of audiences to remember.
const MAX_AUDIENCES: usize = 64;

/// The last ID token for each audience.
#[derive(Default)]
pub(crate) struct IdTokens(Mutex<HashMap<String, (Bytes, Instant)>>);

impl IdTokens {
    /// Returns a token for an audience. Callers wait for one request at a time.
    pub(crate) async fn get(
        &self,
        credentials: &Credentials,
        audience: &str,
    ) -> Result<Bytes, Error> {
        let mut tokens = self.0.lock().await;
        if let Some((token, at)) = tokens.get(audience)
            && at.elapsed() < MAX_AGE
        {
            return Ok(token.clone());
        }
        let token = credentials.fetch_id_token(audience).await?;
        let token = Zeroizing::new(token.expose_secret().as_bytes().to_vec());
        let token = Bytes::from_owner(token);
        if tokens.len() >= MAX_AUDIENCES {
            tokens.clear();
        }
        tokens.insert(audience.to_owned(), (token.clone(), Instant::now()));
        Ok(token)
    }
}

impl fmt::Debug for IdTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdTokens(..)")
    }
}
