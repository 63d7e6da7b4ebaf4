//! A service account key: a file of the type `service_account` (RFC 7523, and Google's page "Using
//! OAuth 2.0 for server to server applications").

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::internal::{RefusalCause, UrlField, refusal_cause, sign_claims};
use ee_token::{
    AccessToken, Claims, JWT_BEARER_AUDIENCE, Remedy, RsaPrivateKey, Scopes, SecretString,
    TokenEndpoint, TokenFuture, TokenSource,
};
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use crate::input::allowed_hosts;
use crate::input::content::base64_decoded;
use crate::input::json::{JsonObject, ProjectId};
use crate::input::location::Location;
use crate::input::restored::restored;
use crate::input::shell::is_plain_word;
use crate::input::universe::check_universe;
use crate::kinds::credential::Credential;
use crate::kinds::id_token::{IdTokenFuture, IdTokenSource};
use crate::kinds::identity::Identity;
use crate::{CredentialKind, CredentialOptions, Error, ErrorKind};

/// The audience of a self-signed token for Earth Engine.
const EARTH_ENGINE_AUDIENCE: &str = "https://earthengine.googleapis.com/";
/// The Cloud console's page of a project's service accounts.
const ACCOUNTS_PAGE: &str = "https://console.cloud.google.com/iam-admin/serviceaccounts";
/// The longest lifetime of an assertion that Google accepts.
const LIFETIME: TimeDelta = TimeDelta::seconds(3600);

/// A validated service account key, as the Cloud console creates it.
///
/// ```no_run
/// use ee_credentials::{Credentials, CredentialOptions, ServiceAccountKey};
///
/// # fn f(text_of_the_key_file: &str) -> Result<(), ee_credentials::Error> {
/// let key = ServiceAccountKey::from_json(text_of_the_key_file)?;
/// println!("{} of {:?}", key.email(), key.project_id());
/// let credentials = Credentials::from_service_account_key(key, &CredentialOptions::default())?;
/// # let _ = credentials; Ok(()) }
/// ```
#[derive(Clone)]
pub struct ServiceAccountKey {
    location: Location,
    email: String,
    key: RsaPrivateKey,
    key_id: Option<String>,
    project_id: Option<String>,
    quota_project: Option<String>,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct ServiceAccountFile {
    client_email: String,
    private_key: SecretString,
    private_key_id: Option<String>,
    project_id: Option<ProjectId>,
    quota_project_id: Option<ProjectId>,
    token_uri: Option<String>,
}

impl ServiceAccountKey {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] that names the field; [`ErrorKind::UnsupportedUniverse`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text = restored(text);
        let object = JsonObject::parse(&text, &Location::InMemory)?;
        match object.kind()?.as_deref() {
            None | Some("service_account") => Self::from_object(&object),
            _ => Err(object
                .location
                .invalid_field("type", "is not \"service_account\"")),
        }
    }

    /// Creates the key of the account with this email address from a PEM. Line breaks may be
    /// written as a literal `\n`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] that says why the PEM is invalid.
    pub fn from_pem(pem: &str, email: impl Into<String>) -> Result<Self, Error> {
        let email = email.into().trim().to_owned();
        if email.is_empty() {
            return Err(Location::InMemory
                .invalid("the service account's email address is empty")
                .with_remedy(Remedy::new(
                    "Pass the email address of the account that the key belongs to.",
                )));
        }
        Self::of_account(email, pem, &Location::InMemory)
    }

    /// Creates the key of an account from a PEM in this location.
    pub(crate) fn of_account(email: String, pem: &str, location: &Location) -> Result<Self, Error> {
        Ok(Self {
            key: parse_key(pem, location, "")?,
            location: location.clone(),
            email,
            key_id: None,
            project_id: None,
            quota_project: None,
            token_uri: None,
        })
    }

    pub(crate) fn from_object(object: &JsonObject<'_>) -> Result<Self, Error> {
        check_universe(object)?;
        let file: ServiceAccountFile = object.read()?;
        Ok(Self {
            key: parse_key(
                file.private_key.expose_secret(),
                &object.location,
                "the field `private_key`: ",
            )?,
            location: object.location.clone(),
            email: file.client_email,
            key_id: file.private_key_id,
            project_id: file.project_id.map(ProjectId::into_string),
            quota_project: file.quota_project_id.map(ProjectId::into_string),
            token_uri: file.token_uri,
        })
    }

    /// Returns the account's email address (`client_email`).
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Returns the key's ID (`private_key_id`), if the file contains it.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Returns the project that the account belongs to, if the file contains it.
    pub fn project_id(&self) -> Option<&str> {
        self.project_id.as_deref()
    }
}

impl fmt::Debug for ServiceAccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountKey")
            .field("email", &self.email)
            .field("key_id", &self.key_id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn parse_key(pem: &str, location: &Location, at: &str) -> Result<RsaPrivateKey, Error> {
    // A PEM has dashes, which base64 of it does not have.
    let decoded = match pem.contains('-') {
        true => None,
        false => base64_decoded(pem),
    };
    let decoded = decoded
        .as_ref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let is_pem = |text: &&str| text.contains("-----BEGIN");
    RsaPrivateKey::from_pem(decoded.filter(is_pem).unwrap_or(pem)).map_err(|error| {
        location
            .invalid(format_args!("{at}{error}"))
            .with_cause(error)
    })
}

/// A key, and the tokens to request with it.
struct ServiceAccount {
    key: ServiceAccountKey,
    subject: Option<String>,
    mode: Mode,
}

enum Mode {
    /// A signed assertion is exchanged for a token.
    Exchange {
        endpoint: TokenEndpoint,
        scopes: Scopes,
    },
    /// The signed assertion is the token. Without scopes it is valid for Earth Engine.
    SelfSigned { scopes: Option<Scopes> },
}

/// Validates the key with the caller's options.
pub(crate) fn load(
    key: ServiceAccountKey,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    let endpoint = match &key.token_uri {
        Some(uri) => {
            let url = allowed_hosts::check(
                uri,
                ("token_uri", UrlField::TokenUri),
                &key.location,
                options,
            )?;
            TokenEndpoint::new(options.http.clone(), url)
        }
        None => TokenEndpoint::google(options.http.clone()),
    };
    let subject = options.subject.clone();
    let mode = if options.self_signed_jwt {
        if let Some(subject) = &subject {
            return Err(Error::new(
                ErrorKind::InvalidOptions,
                format!(
                    "a self-signed token of {} cannot act for {subject}",
                    key.email
                ),
            )
            .with_remedy(Remedy::new("Use either a self-signed token or a subject.")));
        }
        Mode::SelfSigned {
            scopes: options.scopes.clone(),
        }
    } else {
        Mode::Exchange {
            endpoint,
            scopes: options.scopes.clone().unwrap_or_default(),
        }
    };
    let scopes = match &mode {
        Mode::Exchange { scopes, .. } => Some(scopes.clone()),
        Mode::SelfSigned { scopes } => scopes.clone(),
    };
    let source = Arc::new(ServiceAccount { key, subject, mode });
    let (key, subject) = (&source.key, source.subject.as_deref());
    Ok(
        Credential::new(CredentialKind::ServiceAccount, source.clone())
            .id_tokens(source.clone())
            .identity(Identity::account(key.email.as_str()))
            .principal(Some(subject.unwrap_or(&key.email)))
            .quota_project(key.quota_project.as_deref())
            .project(key.project_id.as_deref())
            .scopes(scopes),
    )
}

impl ServiceAccount {
    fn sign(
        &self,
        now: DateTime<Utc>,
        subject: Option<&str>,
        audience: Option<&str>,
        scopes: Option<&Scopes>,
    ) -> Result<SecretString, ee_token::Error> {
        let scope = scopes.map(ToString::to_string);
        let claims = Claims {
            iss: &self.key.email,
            sub: subject,
            aud: audience,
            scope: scope.as_deref(),
            iat: now.timestamp(),
            exp: (now + LIFETIME).timestamp(),
        };
        let key_id = self.key.key_id.as_deref();
        self.key.key.sign_jwt(key_id, &claims)
    }

    async fn id_token(&self, audience: &str) -> Result<SecretString, ee_token::Error> {
        use ee_token::ErrorKind as Token;
        let Mode::Exchange { endpoint, .. } = &self.mode else {
            let why = "a key that signs its own access tokens is not sent to a token endpoint";
            return Err(ee_token::Error::new(Token::InvalidCredential, why)
                .with_remedy(Remedy::new("Use the key without self-signed tokens.")));
        };
        let sign = |now: DateTime<Utc>| {
            let claims = serde_json::json!({
                "iss": self.key.email,
                "sub": self.key.email,
                "aud": JWT_BEARER_AUDIENCE,
                "target_audience": audience,
                "iat": now.timestamp(),
                "exp": (now + LIFETIME).timestamp(),
            });
            sign_claims(&self.key.key, self.key.key_id.as_deref(), &claims)
        };
        let token = endpoint.jwt_bearer_id_token(sign).await;
        token.map_err(|error| self.explain(error))
    }

    fn self_signed_jwt(&self, scopes: Option<&Scopes>) -> Result<AccessToken, ee_token::Error> {
        let now = Utc::now();
        let audience = scopes.is_none().then_some(EARTH_ENGINE_AUDIENCE);
        let jwt = self.sign(now, Some(&self.key.email), audience, scopes)?;
        let token = AccessToken::new(jwt.expose_secret())?.with_expiry(now + LIFETIME);
        Ok(match scopes {
            Some(scopes) => token.with_scopes(scopes.clone()),
            None => token,
        })
    }

    /// Adds the account, the key and the remedy to a rejection.
    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        use ee_token::ErrorKind as Token;
        let email = &self.key.email;
        let rejected = error.kind().is_rejection() || error.kind() == Token::ClockSkew;
        if !rejected {
            return error.with_principal(email);
        }
        let key = match &self.key.key_id {
            Some(id) => format!("key {id} of {email}"),
            None => format!("the key of {email}"),
        };
        let message = error.to_string();
        let explained = error
            .context(format!("{message} ({key}, from {})", self.key.location))
            .with_principal(email);
        let is_known = matches!(
            refusal_cause(&explained),
            Some(cause) if cause != RefusalCause::AccountDisabled
        );
        match self.remedy(&message) {
            Some(remedy) if explained.kind() == Token::Rejected && !is_known => {
                explained.with_remedy(remedy)
            }
            _ => explained,
        }
    }

    /// Returns the remedy for a message of Google's, or `None` for an unknown one.
    fn remedy(&self, said: &str) -> Option<Remedy> {
        let email = self.key.email.as_str();
        let page = match &self.key.project_id {
            Some(project) => format!(
                "{ACCOUNTS_PAGE}?project={}",
                byte_serialize(project.as_bytes()).collect::<String>()
            ),
            None => ACCOUNTS_PAGE.to_owned(),
        };
        // The author of the file chose the address, and users run the command.
        let account = if is_plain_word(email) {
            email
        } else {
            "ACCOUNT"
        };
        let remedy = if said.contains("Invalid JWT Signature") {
            Remedy::new("The key was deleted, disabled or has expired. Create a new key for the service account.")
                .command(format!("gcloud iam service-accounts keys list --iam-account={account}"))
        } else if said.contains("account not found") {
            Remedy::new("The service account was deleted, or its email address is wrong. Use the key of an existing account.")
                .command(format!("gcloud iam service-accounts describe {account}"))
        } else if said.contains("disabled") {
            Remedy::new("The service account is disabled. Enable it.")
                .command(format!("gcloud iam service-accounts enable {account}"))
        } else if let (true, Some(subject)) =
            (said.contains("Invalid email or User ID"), &self.subject)
        {
            return Some(Remedy::new(format!(
                "The service account cannot act for {subject}: this user does not exist. Check the subject."
            )));
        } else if said.contains("unauthorized_client") {
            return Some(
                Remedy::new("A service account that acts for a person needs domain-wide delegation for exactly these scopes: ask the domain's administrator.")
                    .url("https://admin.google.com/ac/owl/domainwidedelegation"),
            );
        } else if !said.contains("Invalid JWT") && !said.ends_with("invalid_grant") {
            return None;
        } else {
            Remedy::new(
                "Check that the key is the current one, and that its service account exists and is enabled.",
            )
        };
        Some(remedy.url(page))
    }
}

impl IdTokenSource for ServiceAccount {
    fn fetch_id_token<'a>(&'a self, audience: &'a str) -> IdTokenFuture<'a> {
        Box::pin(self.id_token(audience))
    }
}

impl TokenSource for ServiceAccount {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            let (endpoint, scopes) = match &self.mode {
                Mode::Exchange { endpoint, scopes } => (endpoint, scopes),
                Mode::SelfSigned { scopes } => return self.self_signed_jwt(scopes.as_ref()),
            };
            let sign = |now| {
                self.sign(
                    now,
                    self.subject.as_deref(),
                    Some(JWT_BEARER_AUDIENCE),
                    Some(scopes),
                )
            };
            match endpoint.jwt_bearer(sign).await {
                Ok(response) => Ok(response.access_token),
                Err(error) => Err(self.explain(error)),
            }
        })
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("key", &self.key)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
