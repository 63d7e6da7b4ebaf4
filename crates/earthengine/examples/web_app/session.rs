//! Browser sessions, each with its own login and client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use earthengine::EarthEngine;
use earthengine::credentials::login::{PendingLogin, WebLogin};
use ring::rand::{SecureRandom as _, SystemRandom};

const COOKIE: &str = "session";
const MAX_AGE: Duration = Duration::from_secs(12 * 60 * 60);
/// Beyond this number, the oldest sessions are removed.
const MAX_SESSIONS: usize = 10_000;

/// The state of one browser.
pub(crate) struct Session {
    since: Instant,
    /// The pending login. A new login replaces it.
    pub(crate) pending: Option<PendingLogin>,
    pub(crate) login: Option<WebLogin>,
    pub(crate) ee: Option<EarthEngine>,
}

impl Session {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            pending: None,
            login: None,
            ee: None,
        }
    }
}

/// All sessions, in memory: after a restart of the server, users must sign in again. To avoid that,
/// store `WebLogin::refresh_token` encrypted and use `WebFlow::restore`.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

impl Sessions {
    /// Calls `act` with the session of the browser that sent these headers, if there is one.
    pub(crate) fn with<T>(
        &self,
        headers: &HeaderMap,
        act: impl FnOnce(&mut Session) -> T,
    ) -> Option<T> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(cookie(headers)?)?;
        (session.since.elapsed() < MAX_AGE).then(|| act(session))
    }

    /// Creates a session and returns the `Set-Cookie` value.
    pub(crate) fn begin(
        &self,
        fill: impl FnOnce(&mut Session),
    ) -> Result<HeaderValue, &'static str> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| "the operating system's random number generator failed")?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        // `Lax`, because the redirect from the consent page is a cross-site navigation that needs the
        // cookie, while cross-site requests must not have it. Add `Secure` if the site uses HTTPS.
        let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
        let mut session = Session::new();
        fill(&mut session);
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.since.elapsed() < MAX_AGE);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.since);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                sessions.remove(&id);
            }
        }
        sessions.insert(id, session);
        HeaderValue::from_str(&cookie).map_err(|_| "the session cookie is not a valid header value")
    }

    /// Ends the session of the browser that sent these headers.
    pub(crate) fn end(&self, headers: &HeaderMap) -> Option<Session> {
        self.lock().remove(cookie(headers)?)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, id)| id)
}
