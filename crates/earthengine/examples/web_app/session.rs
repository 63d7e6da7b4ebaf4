//! Browser sessions, each with its own login and client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use earthengine::credentials::login::{PendingLogin, WebLogin};
use earthengine::rest::MapTiles;
use earthengine::{Credentials, EarthEngine, SecretString};
use ring::rand::{SecureRandom as _, SystemRandom};

pub(crate) const MAX_AGE: Duration = Duration::from_secs(12 * 60 * 60);
/// Beyond this number, the oldest sessions are removed.
const MAX_SESSIONS: usize = 10_000;

/// The state of one browser.
pub(crate) struct Session {
    pub(crate) since: SystemTime,
    /// The pending login. A new login replaces it.
    pub(crate) pending: Option<PendingLogin>,
    pub(crate) user: Option<User>,
    /// The selected project.
    pub(crate) project: Option<String>,
    /// The client for this project. `None` until it is needed if the session was restored.
    pub(crate) ee: Option<EarthEngine>,
    pub(crate) map: Option<MapTiles>,
}

/// A user who signed in.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) credentials: Credentials,
    /// The scopes that the user did not grant.
    pub(crate) missing: Vec<String>,
    pub(crate) refresh_token: Option<SecretString>,
}

impl From<WebLogin> for User {
    fn from(login: WebLogin) -> Self {
        Self {
            missing: login.missing.iter().map(str::to_owned).collect(),
            credentials: login.credentials,
            refresh_token: login.refresh_token,
        }
    }
}

impl Session {
    pub(crate) fn new(user: Option<User>) -> Self {
        Self {
            since: SystemTime::now(),
            pending: None,
            user,
            project: None,
            ee: None,
            map: None,
        }
    }

    pub(crate) fn is_current(&self) -> bool {
        self.since.elapsed().is_ok_and(|age| age < MAX_AGE)
    }
}

/// The sessions in use, by ID.
#[derive(Clone)]
pub(crate) struct Sessions {
    cookies: Cookies,
    all: Arc<Mutex<HashMap<String, Session>>>,
}

impl Sessions {
    pub(crate) fn new(cookies: Cookies) -> Self {
        Self {
            cookies,
            all: Arc::default(),
        }
    }

    /// Returns the session ID that these headers contain, which may be unknown.
    pub(crate) fn id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.cookies.read(headers)
    }

    /// Calls `act` with the session of the browser that sent these headers, if there is one.
    pub(crate) fn with<T>(
        &self,
        headers: &HeaderMap,
        act: impl FnOnce(&mut Session) -> T,
    ) -> Option<T> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(self.id(headers)?)?;
        session.is_current().then(|| act(session))
    }

    /// Adds a session with a new ID, and returns the ID and the `Set-Cookie` header.
    pub(crate) fn begin(&self, session: Session) -> Result<(String, HeaderValue), &'static str> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| "the operating system's random number generator failed")?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        let cookie = self.cookies.set(&id)?;
        self.insert(id.clone(), session);
        Ok((id, cookie))
    }

    /// Adds a session with a known ID, which was restored.
    pub(crate) fn insert(&self, id: String, session: Session) {
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.is_current());
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.since);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                sessions.remove(&id);
            }
        }
        sessions.insert(id, session);
    }

    /// Ends the session of the browser that sent these headers.
    pub(crate) fn end(&self, headers: &HeaderMap) -> Option<Session> {
        self.lock().remove(self.id(headers)?)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How session IDs are sent to browsers and back.
#[derive(Clone, Copy)]
pub(crate) struct Cookies {
    /// Whether the site uses HTTPS.
    secure: bool,
}

impl Cookies {
    pub(crate) fn for_site(base_url: &str) -> Self {
        Self {
            secure: base_url.starts_with("https://"),
        }
    }

    fn name(self) -> &'static str {
        // Browsers accept this prefix only with `Secure`, from this host and for the whole site, so
        // that a neighboring subdomain cannot set the cookie.
        if self.secure {
            "__Host-session"
        } else {
            "session"
        }
    }

    fn set(self, id: &str) -> Result<HeaderValue, &'static str> {
        // `Lax`, because the redirect from the consent page is a cross-site navigation that needs the
        // cookie, while cross-site requests must not have it.
        let secure = if self.secure { "; Secure" } else { "" };
        let (name, max_age) = (self.name(), MAX_AGE.as_secs());
        let cookie =
            format!("{name}={id}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&cookie).map_err(|_| "the session cookie is not a valid header value")
    }

    fn read(self, headers: &HeaderMap) -> Option<&str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name())
            .map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_sites_have_secure_cookies() {
        for (site, name, is_secure) in [
            ("https://app.example.com", "__Host-session=", true),
            ("http://localhost:3000", "session=", false),
        ] {
            let sessions = Sessions::new(Cookies::for_site(site));
            let (id, cookie) = sessions.begin(Session::new(None)).unwrap();
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.starts_with(&format!("{name}{id}; ")), "{cookie}");
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            assert_eq!(cookie.ends_with("; Secure"), is_secure, "{cookie}");

            let mut headers = HeaderMap::new();
            let sent = format!("other=1; {name}{id}");
            headers.insert(header::COOKIE, sent.parse().unwrap());
            assert_eq!(sessions.with(&headers, |_| ()), Some(()));
            assert!(sessions.end(&headers).is_some());
            assert_eq!(sessions.with(&headers, |_| ()), None);
        }
    }

    #[test]
    fn expired_sessions_are_not_used() {
        let sessions = Sessions::new(Cookies::for_site("http://localhost:3000"));
        let mut session = Session::new(None);
        session.since -= MAX_AGE;
        let (id, _) = sessions.begin(session).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("session={id}").parse().unwrap());
        assert_eq!(sessions.with(&headers, |_| ()), None);
    }
}
