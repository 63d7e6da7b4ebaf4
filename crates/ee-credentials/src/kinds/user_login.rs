//! What every login comes down to: a refresh token and the OAuth client that it was issued to
//! (RFC 6749 §6).

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ee_token::{
    AccessToken, ErrorKind as Token, Grant, HttpClient, Remedy, Scopes, SecretString,
    TokenEndpoint, TokenFuture, TokenSource, token_info,
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::CredentialOptions;
use crate::input::location::Location;
use crate::kinds::identity::{LoginOwner, OwnerQuery, Subject};
use crate::kinds::oauth_clients::{EARTH_ENGINE_LOGIN, GCLOUD_CLIENT_ID, GCLOUD_LOGIN};

/// A refresh token, and how to exchange it.
#[derive(Debug)]
pub(crate) struct RefreshToken {
    pub(crate) client_id: Arc<str>,
    pub(crate) client_secret: SecretString,
    pub(crate) refresh_token: SecretString,
    pub(crate) rapt: Option<SecretString>,
    /// Only what the caller asked for outright: asking for more than was granted fails, and
    /// without any the token has whatever was granted.
    pub(crate) scopes: Option<Scopes>,
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) login: Login,
    pub(crate) location: Location,
    pub(crate) principal: Option<Arc<str>>,
    /// When the login ends by itself, if that is known.
    pub(crate) ends_at: Option<DateTime<Utc>>,
    /// Whose it is, once an answer has said so.
    pub(crate) owner: OnceLock<Box<str>>,
}

/// How a person logs in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    EarthEngine,
    Gcloud,
    /// With the program whose OAuth client it was.
    Other,
}

impl Login {
    /// How one logs in for a file that gcloud or another program with that client wrote.
    pub(crate) fn of_client(client_id: &str) -> Self {
        if client_id == GCLOUD_CLIENT_ID {
            Self::Gcloud
        } else {
            Self::Other
        }
    }

    /// The endpoint of every login: a file never chooses where its token is sent.
    pub(crate) fn endpoint(options: &CredentialOptions) -> TokenEndpoint {
        TokenEndpoint::google(options.http.clone())
    }
}

impl RefreshToken {
    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        let kind = error.kind();
        let about_the_login = matches!(
            kind,
            Token::Rejected | Token::ReauthenticationRequired | Token::InvalidScope
        );
        let explained = if about_the_login {
            let message = format!("{error} (the login in {})", self.location);
            ee_token::Error::new(kind, message)
                .with_remedy(self.remedy(kind, &error))
                .with_source(error)
        } else {
            error
        };
        match &self.principal {
            Some(principal) => explained.with_principal(&**principal),
            None => explained,
        }
    }

    fn remedy(&self, kind: Token, error: &ee_token::Error) -> Remedy {
        let over = self.ends_at.filter(|end| *end <= Utc::now()).map(|end| {
            format!(
                "The login was made in a notebook, where logins last 7 days, and ended on {}",
                end.format("%Y-%m-%d")
            )
        });
        let why = match (kind, &over) {
            (Token::ReauthenticationRequired, _) => {
                "Your organisation asks for a new login from time to time"
            }
            (Token::InvalidScope, _) => {
                "The login does not cover all of the scopes that were asked for: ask for fewer"
            }
            _ if error.to_string().contains("_client") => {
                "The OAuth client of this login is gone or its secret has changed"
            }
            (_, Some(over)) => over,
            _ if self.login == Login::EarthEngine => {
                "The login has ended: it was revoked, went unused for six months, or was made in a notebook, where logins last 7 days"
            }
            _ => "The login has ended: it was revoked, or went unused for six months",
        };
        let or = if kind == Token::InvalidScope {
            ", or"
        } else {
            ":"
        };
        let (then, command) = match self.login {
            Login::EarthEngine => (" log in again", Some(EARTH_ENGINE_LOGIN)),
            Login::Gcloud => (" log in again", Some(GCLOUD_LOGIN)),
            Login::Other => (" log in again with the program that made this file", None),
        };
        let afterwards = match &self.location {
            Location::Variable(name) => format!(", and set {name} from the new file"),
            Location::File {
                named_by: Some(variable),
                ..
            } => format!(", and let {variable} name the new file"),
            _ => String::new(),
        };
        let remedy = Remedy::new(format!("{why}{or}{then}{afterwards}."));
        match command {
            Some(command) => remedy.command(command),
            None => remedy,
        }
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

/// Returns the subject of an ID token (`sub`, OpenID Connect Core 1.0 §2). It came straight from the token
/// endpoint, so that its signature need not be looked at (§3.1.3.7).
fn subject(id_token: &SecretString) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Claims {
        sub: Box<str>,
    }
    let claims = id_token.expose_secret().split('.').nth(1)?;
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.sub)
}
