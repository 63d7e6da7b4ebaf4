//! Logging people in to a web application, with the application's own OAuth client.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::{AccessToken, Remedy, Scopes, SecretString, TokenFuture, TokenSource, is_loopback};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::credential::Credential;
use crate::kinds::user_login::{Login, RefreshToken};
use crate::login::authorization::{Answer, Client, Code, NoAnswer, Question, missing, refused};
use crate::login::pkce;
use crate::{CredentialKind, CredentialOptions, Credentials, Error, ErrorKind};

/// Nobody stays on a consent page for longer.
const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// A login for a web application: Google's consent page, with an OAuth client of the type
/// "web application", `state`, PKCE, offline access and incremental scopes.
///
/// [`WebFlow::begin`] gives the address to send the browser to, and a [`PendingLogin`] to keep in
/// that browser's session; [`WebFlow::finish`] takes it back with the query that the page sent
/// the browser back with. A `PendingLogin` is good for its own answer alone, so that two people at
/// once never get each other's login.
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
    /// As it was given: it must be what is registered, to the letter.
    redirect_uri: String,
    options: CredentialOptions,
    prompt: String,
    login_hint: Option<String>,
}

/// A login that has begun: the half that stays on the server. It can be serialized into a
/// session store; whoever can read it there, and the browser's answer, has the login.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingLogin {
    #[serde(serialize_with = "expose")]
    state: SecretString,
    #[serde(serialize_with = "expose")]
    verifier: SecretString,
    #[serde(serialize_with = "write_scopes", deserialize_with = "read_scopes")]
    scopes: Scopes,
    /// NumericSeconds since 1970.
    began_at: i64,
}

/// Somebody who logged in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebLogin {
    /// Ready for use; they renew their token for as long as the grant lasts.
    pub credentials: Credentials,
    /// The scopes that were granted, those of earlier logins included.
    pub granted: Scopes,
    /// Those that were asked for and are not among them: the person unticked them.
    pub missing: Scopes,
    /// What [`WebFlow::restore`] makes the credentials of again, later. A long-lived secret.
    /// `None` if Google gave none: then the credentials end with their first token.
    pub refresh_token: Option<SecretString>,
}

impl WebFlow {
    /// A flow for this OAuth client. `redirect_uri` is registered for it in the Cloud console.
    /// The options' scopes are asked for, [`Scopes::earth_engine`] without any.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] if the redirect URI is no `https` URL, nor an `http` one
    /// on this machine, or the client has no id or secret.
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
            return Err(invalid("the OAuth client's id or secret is empty".into()));
        }
        Ok(Self {
            client,
            redirect_uri: checked(redirect_uri)?.to_owned(),
            options,
            prompt: "consent".into(),
            login_hint: None,
        })
    }

    /// Suggests an account to the consent page: an e-mail address.
    #[must_use]
    pub fn login_hint(mut self, email: impl Into<String>) -> Self {
        self.login_hint = Some(email.into());
        self
    }

    /// What the page does for people who have consented before: `consent` asks them again,
    /// and is the default, since without being asked they bring no refresh token;
    /// `select_account` lets them choose an account; both can be given, with a blank between.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Begins a login: the address for the browser, and what to keep for the answer.
    ///
    /// # Errors
    /// [`ErrorKind::LoginFailed`] if the operating system has no random numbers.
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
        let question = Question {
            client_id: &self.client.id,
            redirect_uri: &self.redirect_uri,
            scopes: &pending.scopes,
            verifier: &pending.verifier,
            state: pending.state(),
            more: &more,
        };
        Ok((question.url(self.options.http.endpoints())?, pending))
    }

    /// Ends a login with the query that the consent page sent the browser back with
    /// (`state=…&code=…`). One request.
    ///
    /// # Errors
    /// [`ErrorKind::LoginDenied`] if the person did not consent;
    /// [`ErrorKind::LoginTimeout`] if the login began more than an hour ago;
    /// [`ErrorKind::LoginFailed`] if the query belongs to another login, or its code is not
    /// accepted; [`ErrorKind::Token`] if Google cannot be reached.
    pub async fn finish(&self, pending: PendingLogin, query: &str) -> Result<WebLogin, Error> {
        let began_at = DateTime::from_timestamp(pending.began_at, 0).unwrap_or_default();
        if Utc::now() - began_at > PATIENCE {
            return Err(Error::new(
                ErrorKind::LoginTimeout,
                "the login began more than an hour ago",
            )
            .with_remedy(Remedy::new("Log in again.")));
        }
        let query = query.strip_prefix('?').unwrap_or(query);
        let code = match Answer::parse(query, pending.state()) {
            Ok(Answer::Code(code)) => code,
            Ok(Answer::Refused(reason)) => return Err(refused(&reason)),
            Err(why) => return Err(no_answer(why)),
        };
        let granted = Code {
            code: &code,
            client: &self.client,
            redirect_uri: &self.redirect_uri,
            verifier: &pending.verifier,
            asked: &pending.scopes,
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

    /// The credentials of somebody who logged in before, of the refresh token that was kept.
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
        let source = FirstThen {
            first: Mutex::new(first),
            renewals,
        };
        let credential = Credential::new(CredentialKind::AuthorizedUser, Arc::new(source))
            .oauth_client_id(client_id);
        Credentials::new(credential, &self.options)
    }
}

impl PendingLogin {
    /// The `state` that the answer will have: a name for this login in a session store.
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

/// The token that came with the login, and then those that its refresh token brings.
#[derive(Debug)]
struct FirstThen {
    first: Mutex<Option<AccessToken>>,
    renewals: RefreshToken,
}

impl TokenSource for FirstThen {
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

fn checked(redirect_uri: &str) -> Result<&str, Error> {
    let url: Url = redirect_uri.parse().map_err(|_| {
        invalid(format!(
            "the redirect URI {:?} is no URL",
            clipped(redirect_uri)
        ))
    })?;
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
    if !is_safe {
        return Err(invalid(format!(
            "the redirect URI is at {}, and codes go over https, or to this machine, only",
            url.host_str().unwrap_or("no host")
        )));
    }
    Ok(redirect_uri)
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidOptions, why).with_remedy(
        Remedy::new("Use an OAuth client of the type \"web application\", and a redirect URI that is registered for it.")
            .url("https://console.cloud.google.com/apis/credentials"),
    )
}

fn no_answer(why: NoAnswer) -> Error {
    let why = match why {
        NoAnswer::ForeignState => "the answer's state is not this login's: it belongs to another",
        NoAnswer::Malformed => "the answer has neither a code nor an error",
    };
    Error::new(ErrorKind::LoginFailed, why).with_remedy(Remedy::new("Log in again."))
}

#[cfg(test)]
mod tests;
