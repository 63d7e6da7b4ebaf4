//! A user login: a refresh token and the OAuth client that it was issued to (RFC 6749 §6).

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
#[cfg(feature = "login")]
use ee_token::internal::is_unsafe_for_display;
use ee_token::internal::{is_about_grant, refusal_cause};
use ee_token::{
    AccessToken, ErrorKind as Token, Grant, HttpClient, Remedy, Scopes, SecretString,
    TokenEndpoint, TokenFuture, TokenSource, token_info,
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::input::location::Location;
use crate::input::placeholder::Placeholder;
use crate::input::shell::is_plain_word;
use crate::kinds::account_name::login_command;
use crate::kinds::identity::{LoginOwner, OwnerQuery, Subject};
use crate::kinds::oauth_clients::{GCLOUD_CLIENT_ID, GCLOUD_LOGIN};
use crate::{CredentialOptions, Error};

/// A refresh token and the parameters of its exchange.
#[derive(Debug)]
pub(crate) struct RefreshToken {
    pub(crate) client_id: Arc<str>,
    pub(crate) client_secret: SecretString,
    pub(crate) refresh_token: SecretString,
    pub(crate) rapt: Option<SecretString>,
    /// The caller's scopes. Requesting one that was not granted fails; without any, the token has all
    /// granted scopes.
    pub(crate) scopes: Option<Scopes>,
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) login: Login,
    pub(crate) location: Location,
    pub(crate) principal: Option<Arc<str>>,
    /// The known expiry of the login.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The subject, after a response has named it.
    pub(crate) owner: OnceLock<Box<str>>,
}

/// Rejects a refresh token that no server has issued, so that it is not sent.
pub(crate) fn check_refresh_token(token: &SecretString, location: &Location) -> Result<(), Error> {
    const FIELD: &str = "refresh_token";
    let text = token.expose_secret();
    if let Some(found) = Placeholder::identify(text) {
        return Err(location
            .invalid_field(FIELD, format_args!("is {found}"))
            .with_remedy(Remedy::new(found.advice())));
    }
    let why = if text.starts_with('{') {
        "contains JSON, not a refresh token"
    } else if text.contains(char::is_whitespace) {
        "contains a space or a line break, which no refresh token has"
    } else if text.starts_with("ya29.") {
        "is an access token, not a refresh token"
    } else {
        return Ok(());
    };
    Err(location.invalid_field(FIELD, why).with_remedy(Remedy::new(
        "Copy the refresh token again, or log in again.",
    )))
}

/// How the user logs in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    EarthEngine,
    Gcloud,
    /// With the program whose OAuth client it is.
    Other,
}

impl Login {
    /// Returns how to log in again with an OAuth client.
    pub(crate) fn of_client(client_id: &str) -> Self {
        if client_id == GCLOUD_CLIENT_ID {
            Self::Gcloud
        } else {
            Self::Other
        }
    }

    /// Returns the command that logs in with these scopes.
    fn command_with(self, scopes: &Scopes, location: &Location) -> String {
        let plain = scopes.iter().filter(|scope| is_plain_word(scope));
        let scopes = plain.collect::<Vec<_>>().join(",");
        match self {
            Self::Gcloud => format!("gcloud auth application-default login --scopes={scopes}"),
            _ => format!("{} --scopes {scopes} --force", login_command(location)),
        }
    }

    /// Returns the endpoint of every login. A file never determines where its token is sent.
    pub(crate) fn endpoint(options: &CredentialOptions) -> TokenEndpoint {
        TokenEndpoint::google(options.http.clone())
    }
}

impl RefreshToken {
    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        let kind = error.kind();
        let is_about_login = matches!(
            kind,
            Token::Rejected | Token::ReauthenticationRequired | Token::InvalidScope
        );
        let explained = if is_about_login {
            let message = format!("{error} (the login in {})", self.location);
            let remedy = self.remedy(kind, &error);
            let error = error.context(message);
            match remedy {
                Some(remedy) => error.with_remedy(remedy),
                None => error,
            }
        } else {
            error
        };
        match &self.principal {
            Some(principal) => explained.with_principal(&**principal),
            None => explained,
        }
    }

    /// Returns how to log in again, or `None` if another login would not help as far as is known.
    fn remedy(&self, kind: Token, error: &ee_token::Error) -> Option<Remedy> {
        let said = error.server_message().unwrap_or_default();
        let is_about_client = said.contains("_client");
        let is_about_grant =
            |description: &str| is_about_grant(description.trim_start_matches(": "));
        let is_about_login = said
            .strip_prefix("invalid_grant")
            .is_some_and(is_about_grant);
        if kind == Token::Rejected
            && (refusal_cause(error).is_some() || !is_about_client && !is_about_login)
        {
            return None;
        }
        let expired = self.expires_at.filter(|end| *end <= Utc::now()).map(|end| {
            format!(
                "The login was made in a notebook, where logins expire after 7 days, and expired on {}",
                end.format("%Y-%m-%d")
            )
        });
        let why = match (kind, &expired) {
            (Token::ReauthenticationRequired, _) => {
                "Your organization requires a new login from time to time"
            }
            (Token::InvalidScope, _) => {
                "The login does not have all requested scopes: request fewer"
            }
            _ if said.contains("unauthorized_client") => {
                "The login belongs to another OAuth client"
            }
            _ if is_about_client => {
                "The OAuth client of the login was deleted or its secret has changed"
            }
            (_, Some(expired)) => expired,
            _ if self.login == Login::EarthEngine => {
                "The login was revoked, was unused for six months, or was made in a notebook, where logins expire after 7 days"
            }
            _ => "The login was revoked, or was unused for six months",
        };
        let or = if kind == Token::InvalidScope {
            ", or"
        } else {
            ":"
        };
        let (then, command) = match self.login {
            Login::EarthEngine => (" log in again", Some(login_command(&self.location))),
            Login::Gcloud => (" log in again", Some(GCLOUD_LOGIN.to_owned())),
            Login::Other => (" log in again with the program that wrote this file", None),
        };
        let command = match (&self.scopes, kind) {
            (Some(scopes), Token::InvalidScope) => {
                Some(self.login.command_with(scopes, &self.location))
            }
            _ => command,
        };
        let afterwards = match &self.location {
            Location::Variable(name) => format!(", and set {name} from the new file"),
            Location::File {
                named_by: Some(variable),
                ..
            } => format!(", and set {variable} to the path of the new file"),
            _ => String::new(),
        };
        let remedy = Remedy::new(format!("{why}{or}{then}{afterwards}."));
        Some(match command {
            Some(command) => remedy.command(command),
            None => remedy,
        })
    }
}

impl TokenSource for RefreshToken {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let grant = Grant::RefreshToken {
                client_id: Some(&self.client_id),
                client_secret: Some(&self.client_secret),
                refresh_token: &self.refresh_token,
                rapt: self.rapt.as_ref(),
                scopes: self.scopes.as_ref(),
            };
            match self.endpoint.exchange(&grant, None).await {
                Ok(response) => {
                    if let Some(owner) = response.id_token.as_ref().and_then(subject) {
                        self.owner.get_or_init(|| owner);
                    }
                    Ok(response.access_token)
                }
                Err(error) => Err(self.explain(error)),
            }
        })
    }
}

impl LoginOwner for RefreshToken {
    fn named(&self) -> Subject {
        Subject {
            id: self.owner.get().cloned(),
            email: None,
        }
    }

    fn query<'a>(&'a self, token: &'a AccessToken, http: &'a HttpClient) -> OwnerQuery<'a> {
        Box::pin(async {
            let info = token_info(http, token).await?;
            Ok(Subject {
                id: info.subject.map(String::into_boxed_str),
                email: info.email.map(String::into_boxed_str),
            })
        })
    }
}

/// The claims of an ID token that are used (OpenID Connect Core 1.0 §2 and §5.1).
#[derive(Deserialize)]
struct Claims {
    sub: Box<str>,
    #[cfg(feature = "login")]
    email: Option<String>,
}

/// Reads the claims of an ID token. The token came directly from the token endpoint, so its
/// signature need not be verified (§3.1.3.7).
fn claims(id_token: &SecretString) -> Option<Claims> {
    let claims = id_token.expose_secret().split('.').nth(1)?;
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    serde_json::from_slice(&claims).ok()
}

fn subject(id_token: &SecretString) -> Option<Box<str>> {
    Some(claims(id_token)?.sub)
}

/// Returns the email address in an ID token, unless it contains characters that cannot be shown.
#[cfg(feature = "login")]
pub(crate) fn email_of(id_token: &SecretString) -> Option<String> {
    let email = claims(id_token)?.email?;
    let is_address = email.contains('@') && !email.contains(is_unsafe_for_display);
    is_address.then_some(email)
}
