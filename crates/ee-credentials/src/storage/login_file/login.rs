//! A login to save in the file.

use chrono::{DateTime, SecondsFormat, Utc};
use ee_token::{Scopes, SecretString};

use super::json_fields::Fields;
use crate::kinds::earth_engine_file as keys;
use crate::kinds::oauth_clients::CLIENT_ID;

/// The keys of a login, which are removed with it.
pub(super) const LOGIN_KEYS: [&str; 10] = [
    "refresh_token",
    keys::TOKEN,
    keys::TOKEN_EXPIRY,
    "client_id",
    "client_secret",
    "scopes",
    "redirect_uri",
    "rapt_token",
    keys::LOGIN_MODE,
    keys::LOGIN_AT,
];

/// A login to save.
#[derive(Debug, Clone)]
pub struct Login {
    refresh_token: SecretString,
    scopes: Scopes,
    client: Option<(String, SecretString)>,
    redirect_uri: Option<String>,
    mode: Option<(String, DateTime<Utc>)>,
}

impl Login {
    /// Creates a login with Earth Engine's own OAuth client. `scopes` must be the granted scopes,
    /// because the Python client requests all scopes of the file and fails if one was not granted.
    pub fn new(refresh_token: impl Into<SecretString>, scopes: Scopes) -> Self {
        Self {
            refresh_token: refresh_token.into(),
            scopes,
            client: None,
            redirect_uri: None,
            mode: None,
        }
    }

    /// Sets the OAuth client of the refresh token. Defaults to Earth Engine's own client.
    #[must_use]
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        let id = id.into();
        self.client = (id != CLIENT_ID).then(|| (id, secret.into()));
        self
    }

    /// Sets the redirect URI of the login.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// Sets the mode and the time of the login, from which
    /// [`EarthEngineFile::login_expires_at`](crate::EarthEngineFile::login_expires_at) computes its
    /// expiry. The Python client ignores these two keys.
    #[must_use]
    pub fn login_mode_at(mut self, mode: impl Into<String>, at: DateTime<Utc>) -> Self {
        self.mode = Some((mode.into(), at));
        self
    }

    pub(super) fn write_to(&self, fields: &mut Fields) {
        for key in LOGIN_KEYS {
            fields.remove(key);
        }
        fields.set("refresh_token", self.refresh_token.expose_secret());
        fields.set("scopes", self.scopes.iter().collect::<Vec<_>>());
        if let Some((id, secret)) = &self.client {
            fields.set("client_id", id);
            fields.set("client_secret", secret.expose_secret());
        }
        if let Some(uri) = &self.redirect_uri {
            fields.set("redirect_uri", uri);
        }
        if let Some((mode, at)) = &self.mode {
            fields.set(keys::LOGIN_MODE, mode);
            fields.set(
                keys::LOGIN_AT,
                at.to_rfc3339_opts(SecondsFormat::Secs, true),
            );
        }
    }
}
