//! Who is who: each browser has a session, each session its own login and its own client.

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
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// More sessions than this, and the oldest go.
const MOST: usize = 10_000;

/// What one browser has done so far.
pub(crate) struct Session {
    since: Instant,
    /// The login that has begun; a new one takes its place.
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

/// All sessions, in memory: a server that starts again asks people to sign in again. One that
/// must not keeps `WebLogin::refresh_token` in an encrypted store, and uses `WebFlow::restore`.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

impl Sessions {
    /// Does something with the session of the browser that sent these headers, if it has one.
    pub(crate) fn of<T>(
        &self,
        headers: &HeaderMap,
        act: impl FnOnce(&mut Session) -> T,
    ) -> Option<T> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(cookie(headers)?)?;
        (session.since.elapsed() < LONGEST).then(|| act(session))
    }

    /// Begins a session; the header value gives the browser its cookie.
    pub(crate) fn begin(
        &self,
        fill: impl FnOnce(&mut Session),
    ) -> Result<HeaderValue, &'static str> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| "the operating system has no random numbers")?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        // `Lax`: the consent page's answer is a navigation from another site, and must find
        // its session; requests that another site's page makes must not. Add `Secure` where
        // the site is served over HTTPS.
        let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
        let mut session = Session::new();
        fill(&mut session);
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.since.elapsed() < LONGEST);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.since);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                sessions.remove(&id);
            }
        }
        sessions.insert(id, session);
        HeaderValue::from_str(&cookie).map_err(|_| "the session's cookie cannot be sent")
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
