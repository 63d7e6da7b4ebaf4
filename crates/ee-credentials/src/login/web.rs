//! User logins for web applications with their own OAuth client.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::internal::is_loopback;
use ee_token::{AccessToken, Remedy, Scopes, SecretString, TokenFuture, TokenSource};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::credential::Credential;
use crate::kinds::user_login::{Login, RefreshToken};
use crate::login::authorization::{
    AuthorizationRequest, AuthorizationResponse, Client, CodeExchange, InvalidCallback, denied,
    missing,
};
use crate::login::pkce;
use crate::{CredentialKind, CredentialOptions, Credentials, Error, ErrorKind};

/// The maximum age of a pending login.
const MAX_AGE: TimeDelta = TimeDelta::hours(1);

/// A user login for a web application, with an OAuth client of the type "web application", `state`,
/// PKCE, offline access and incremental authorization.
///
/// [`WebFlow::begin`] returns the URL to redirect the browser to, and a [`PendingLogin`] to store in
/// the browser's session. [`WebFlow::finish`] takes the `PendingLogin` and the query of the
/// callback. A `PendingLogin` accepts only its own callback, so that users who log in at the same
/// time never receive each other's login.
///
/// ```
/// use ee_credentials::CredentialOptions;
/// use ee_credentials::login::WebFlow;
/// use ee_token::Scopes;
///
/// let options = CredentialOptions::default().scopes(Scopes::new(["earthengine", "openid", "email"]));
/// let flow = WebFlow::new("1234-abc.apps.googleusercontent.com", "secret", "https://app.example.com/callback", options)?;
/// let (url, pending) = flow.begin()?;
/// assert_eq!(url.host_str(), Some("accounts.google.com"));
/// // In the handler of /callback, with the `pending` of this browser's session:
/// # async fn callback(flow: ee_credentials::login::WebFlow, pending: ee_credentials::login::PendingLogin, query: &str) -> Result<(), ee_credentials::Error> {
/// let login = flow.finish(pending, query).await?;
/// let token = login.credentials.token().await?;
/// # let _ = token; Ok(()) }
/// # Ok::<(), ee_credentials::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WebFlow {
    client: Client,
    /// Kept verbatim, because it must match the registered URI exactly.
    redirect_uri: String,
    options: CredentialOptions,
    prompt: String,
    login_hint: Option<String>,
}

/// The server's part of a login that was started. It can be serialized into a session store. It is
/// a secret: together with the browser's callback it yields the login.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingLogin {
    #[serde(serialize_with = "expose")]
    state: SecretString,
    #[serde(serialize_with = "expose")]
    verifier: SecretString,
    #[serde(serialize_with = "write_scopes", deserialize_with = "read_scopes")]
    scopes: Scopes,
    /// Seconds since the Unix epoch.
    began_at: i64,
}

/// A finished login.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebLogin {
    /// Credentials of the user, which refresh their token as long as the grant is valid.
    pub credentials: Credentials,
    /// The granted scopes, including those of earlier logins.
    pub granted: Scopes,
    /// The requested scopes that the user did not grant.
    pub missing: Scopes,
    /// A long-lived secret from which [`WebFlow::restore`] creates the credentials again. `None` if
    /// Google returned none; then the credentials expire with their first token.
    pub refresh_token: Option<SecretString>,
}

impl WebFlow {
    /// Creates a flow for an OAuth client. `redirect_uri` must be registered for it in the Cloud
    /// console. The requested scopes are those of the options, by default
    /// [`Scopes::earth_engine`].
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidOptions`] if the redirect URI is neither an `https` URL nor an
    /// `http` URL on loopback, or if the client's ID or secret is empty.
    pub fn new(
        client_id: impl Into<String>,
        client_secret: impl Into<SecretString>,
        redirect_uri: &str,
        options: CredentialOptions,
    ) -> Result<Self, Error> {
        let client = Client {
            id: client_id.into(),
            secret: client_secret.into(),
        };
        if client.id.trim().is_empty() || client.secret.expose_secret().trim().is_empty() {
            return Err(invalid("the OAuth client's ID or secret is empty".into()));
        }
        Ok(Self {
            client,
            redirect_uri: validate_redirect_uri(redirect_uri)?.to_owned(),
            options,
            prompt: "consent".into(),
            login_hint: None,
        })
    }

    /// Suggests an account to the consent page, as an email address.
    #[must_use]
    pub fn login_hint(mut self, email: impl Into<String>) -> Self {
        self.login_hint = Some(email.into());
        self
    }

    /// Sets how the consent page treats users who have granted access before: `consent` asks them
    /// again, `select_account` lets them choose an account, and both can be combined with a space.
    /// Defaults to `consent`, because Google returns no refresh token otherwise.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Starts a login. Returns the URL for the browser and the [`PendingLogin`] to store.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::LoginFailed`] if the operating system returns no random numbers.
    pub fn begin(&self) -> Result<(Url, PendingLogin), Error> {
        let pending = PendingLogin {
            state: pkce::nonce()?,
            verifier: pkce::nonce()?,
            scopes: self.options.scopes.clone().unwrap_or_default(),
            began_at: Utc::now().timestamp(),
        };
        let mut more = vec![
            ("access_type", "offline"),
            ("include_granted_scopes", "true"),
        ];
        if !self.prompt.is_empty() {
            more.push(("prompt", &self.prompt));
        }
        if let Some(email) = &self.login_hint {
            more.push(("login_hint", email));
        }
        let request = AuthorizationRequest {
            client_id: &self.client.id,
            redirect_uri: &self.redirect_uri,
            scopes: &pending.scopes,
            verifier: &pending.verifier,
            state: pending.state(),
            more: &more,
        };
        Ok((request.url(self.options.http.endpoints())?, pending))
    }

    /// Finishes a login with the query of the callback (`state=…&code=…`). Sends one request.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::LoginDenied`] if the user denied access
    /// - [`ErrorKind::LoginTimeout`] if the login was started more than an hour ago
    /// - [`ErrorKind::LoginFailed`] if the query belongs to another login or its code is rejected
    /// - [`ErrorKind::Token`] if Google cannot be reached
    pub async fn finish(&self, pending: PendingLogin, query: &str) -> Result<WebLogin, Error> {
        let began_at = DateTime::from_timestamp(pending.began_at, 0).unwrap_or_default();
        if Utc::now() - began_at > MAX_AGE {
            return Err(Error::new(
                ErrorKind::LoginTimeout,
                "the login was started more than an hour ago",
            )
            .with_remedy(Remedy::new("Log in again.")));
        }
        let query = query.strip_prefix('?').unwrap_or(query);
        let code = match AuthorizationResponse::parse(query, pending.state()) {
            Ok(AuthorizationResponse::Code(code)) => code,
            Ok(AuthorizationResponse::Denied(reason)) => return Err(denied(&reason)),
            Err(reason) => return Err(invalid_callback(reason)),
        };
        let granted = CodeExchange {
            code: &code,
            client: &self.client,
            redirect_uri: &self.redirect_uri,
            verifier: &pending.verifier,
            requested: &pending.scopes,
        }
        .exchange(&self.options.http)
        .await?;
        let first = granted.access_token;
        let credentials = match &granted.refresh_token {
            Some(token) => self.credentials(token.clone(), Some(first)),
            None => Credentials::from_token(first),
        };
        Ok(WebLogin {
            credentials,
            missing: missing(&pending.scopes, &granted.scopes),
            granted: granted.scopes,
            refresh_token: granted.refresh_token,
        })
    }

    /// Creates the credentials of a user who logged in before from the stored refresh token.
    pub fn restore(&self, refresh_token: impl Into<SecretString>) -> Credentials {
        self.credentials(refresh_token.into(), None)
    }

    fn credentials(&self, refresh_token: SecretString, first: Option<AccessToken>) -> Credentials {
        let client_id: Arc<str> = self.client.id.as_str().into();
        let renewals = RefreshToken {
            client_id: client_id.clone(),
            client_secret: self.client.secret.clone(),
            refresh_token,
            rapt: None,
            scopes: None,
            endpoint: Login::endpoint(&self.options),
            login: Login::Other,
            location: Location::InMemory,
            principal: None,
            expires_at: None,
            owner: OnceLock::new(),
        };
        let source = SeededSource {
            first: Mutex::new(first),
            renewals,
        };
        let credential = Credential::new(CredentialKind::AuthorizedUser, Arc::new(source))
            .oauth_client_id(client_id);
        Credentials::new(credential, &self.options)
    }
}

impl PendingLogin {
    /// Returns the `state` of the expected callback, which can identify the login in a session
    /// store.
    pub fn state(&self) -> &str {
        self.state.expose_secret()
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin")
            .field("scopes", &self.scopes)
            .field("began_at", &self.began_at)
            .finish_non_exhaustive()
    }
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn write_scopes<S: Serializer>(scopes: &Scopes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(scopes)
}

fn read_scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scopes, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Scopes::new([text]))
}

/// A source that returns the token of the login first, and refreshed tokens later.
#[derive(Debug)]
struct SeededSource {
    first: Mutex<Option<AccessToken>>,
    renewals: RefreshToken,
}

impl TokenSource for SeededSource {
    fn fetch_token(&self) -> TokenFuture<'_> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(|token| token.expires_at().is_none_or(|end| end > Utc::now()));
        match first {
            Some(token) => Box::pin(async { Ok(token) }),
            None => self.renewals.fetch_token(),
        }
    }
}

fn validate_redirect_uri(redirect_uri: &str) -> Result<&str, Error> {
    let url: Url = redirect_uri.parse().map_err(|_| {
        invalid(format!(
            "the redirect URI {:?} is not a valid URL",
            clipped(redirect_uri)
        ))
    })?;
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
    if !is_safe {
        return Err(invalid(format!(
            "the redirect URI at {} uses neither https nor a loopback address",
            url.host_str().unwrap_or("no host")
        )));
    }
    Ok(redirect_uri)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOptions, message).with_remedy(
        Remedy::new("Use an OAuth client of the type \"web application\" and a redirect URI that is registered for it.")
            .url("https://console.cloud.google.com/apis/credentials"),
    )
}

fn invalid_callback(reason: InvalidCallback) -> Error {
    let message = match reason {
        InvalidCallback::StateMismatch => "the state of the callback belongs to another login",
        InvalidCallback::Malformed => "the callback contains neither a code nor an error",
    };
    Error::new(ErrorKind::LoginFailed, message).with_remedy(Remedy::new("Log in again."))
}

#[cfg(test)]
mod tests;
