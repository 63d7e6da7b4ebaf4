//! Service accounts: a private key that signs for tokens.

use std::fmt;

use chrono::{DateTime, Utc};
use ee_token::{
    AccessToken, Claims, HttpClient, Remedy, RsaPrivateKey, Scopes, SecretString, TOKEN_AUDIENCE,
    TokenEndpoint, TokenFuture, TokenSource, sign_jwt,
};
use url::Url;

use crate::document::Document;
use crate::host::check_host;
use crate::{Error, ErrorKind};

/// How long an assertion and a self-signed token last, in seconds; Google allows no more.
const LIFE: i64 = 3600;
/// The audience of a self-signed token that names no scope.
const EARTH_ENGINE_AUDIENCE: &str = "https://earthengine.googleapis.com/";

/// A service account's key, as the Cloud console's JSON file has it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceAccountKey {
    /// The account's e-mail address.
    pub client_email: String,
    /// The key's id, where it is known.
    pub private_key_id: Option<String>,
    /// The project that the account belongs to, where it is known.
    pub project_id: Option<String>,
    /// The project to bill, where the file names one.
    pub quota_project_id: Option<String>,
    key: RsaPrivateKey,
    token_uri: Url,
}

impl ServiceAccountKey {
    /// Reads a JSON key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] naming the field; [`ErrorKind::RefusedHost`] for a
    /// `token_uri` elsewhere than at Google; [`ErrorKind::ForeignUniverse`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::read(&Document::parse(text, "the service-account key")?, &[])
    }

    /// A key in PEM and the account's e-mail address.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if the key cannot be used.
    pub fn from_pem(pem: &str, client_email: impl Into<String>) -> Result<Self, Error> {
        let key = RsaPrivateKey::from_pem(pem).map_err(|e| unusable_key("the PEM key", e))?;
        Ok(Self {
            client_email: client_email.into(),
            private_key_id: None,
            project_id: None,
            quota_project_id: None,
            key,
            token_uri: ee_token::Endpoints::google().token,
        })
    }

    pub(crate) fn read(document: &Document, allowed_hosts: &[String]) -> Result<Self, Error> {
        if let Some(universe) = document.optional("universe_domain")?
            && universe != "googleapis.com"
        {
            return Err(foreign_universe(document.place(), universe));
        }
        let client_email = document.text("client_email")?.to_owned();
        let pem = document.text("private_key")?;
        let token_uri = match document.optional("token_uri")? {
            None => ee_token::Endpoints::google().token,
            Some(uri) => check_host(document, "token_uri", uri, allowed_hosts)?,
        };
        let owned = |field: &str| Ok::<_, Error>(document.optional(field)?.map(str::to_owned));
        Ok(Self {
            client_email,
            private_key_id: owned("private_key_id")?,
            project_id: owned("project_id")?,
            quota_project_id: owned("quota_project_id")?,
            key: RsaPrivateKey::from_pem(pem).map_err(|e| {
                unusable_key(&format!("{}: field private_key", document.place()), e)
            })?,
            token_uri,
        })
    }
}

fn unusable_key(place: &str, error: ee_token::Error) -> Error {
    let unusable = Error::new(ErrorKind::InvalidFile, format!("{place}: {error}"));
    match error.remedy() {
        Some(remedy) => unusable.with_remedy(remedy.clone()),
        None => unusable,
    }
    .with_source(error)
}

fn foreign_universe(place: &str, universe: &str) -> Error {
    Error::new(
        ErrorKind::ForeignUniverse,
        format!("{place} is a credential of the cloud {universe}, and Earth Engine is offered at googleapis.com alone"),
    )
    .with_remedy(Remedy::new("Use a service account of a project at Google Cloud itself."))
}

/// What a service account signs for.
#[derive(Debug, Clone, Default)]
pub struct ServiceAccountOptions {
    /// The scopes; Earth Engine's if none are given.
    pub scopes: Option<Scopes>,
    /// The person to act for (domain-wide delegation).
    pub subject: Option<String>,
    /// Whether to sign access tokens oneself, without a token request. Not possible with a subject.
    pub self_signed: bool,
}

/// A service account that mints tokens: one signature and one request each, or no request
/// at all if it signs them itself.
pub struct ServiceAccount {
    key: ServiceAccountKey,
    options: ServiceAccountOptions,
    scopes: Scopes,
    endpoint: TokenEndpoint,
}

impl ServiceAccount {
    /// A source of tokens from this key.
    pub fn new(key: ServiceAccountKey, options: ServiceAccountOptions, http: HttpClient) -> Self {
        Self {
            scopes: options.scopes.clone().unwrap_or_default(),
            endpoint: TokenEndpoint::new(http, key.token_uri.clone()),
            key,
            options,
        }
    }

    fn assertion(&self, now: DateTime<Utc>) -> Result<SecretString, ee_token::Error> {
        let iat = now.timestamp();
        let scope = self.scopes.to_string();
        let claims = Claims {
            iss: &self.key.client_email,
            sub: self.options.subject.as_deref(),
            aud: Some(TOKEN_AUDIENCE),
            scope: Some(&scope),
            iat,
            exp: iat + LIFE,
        };
        sign_jwt(&self.key.key, self.key.private_key_id.as_deref(), &claims)
    }

    fn self_signed(&self, now: DateTime<Utc>) -> Result<AccessToken, ee_token::Error> {
        let iat = now.timestamp();
        let scope = self.options.scopes.as_ref().map(ToString::to_string);
        let claims = Claims {
            iss: &self.key.client_email,
            sub: Some(&self.key.client_email),
            aud: scope.is_none().then_some(EARTH_ENGINE_AUDIENCE),
            scope: scope.as_deref(),
            iat,
            exp: iat + LIFE,
        };
        let jwt = sign_jwt(&self.key.key, self.key.private_key_id.as_deref(), &claims)?;
        let token = AccessToken::new(ee_token::ExposeSecret::expose_secret(&jwt))?;
        Ok(token.with_expiry(now + chrono::TimeDelta::seconds(LIFE)))
    }

    async fn minted(&self) -> Result<AccessToken, ee_token::Error> {
        if self.options.self_signed && self.options.subject.is_none() {
            return self.self_signed(Utc::now());
        }
        let response = self.endpoint.jwt_bearer(|now| self.assertion(now)).await?;
        Ok(response.access_token)
    }
}

impl TokenSource for ServiceAccount {
    fn mint(&self) -> TokenFuture<'_> {
        Box::pin(async {
            self.minted().await.map_err(|error| {
                let error = error.with_principal(&self.key.client_email);
                if error.kind() == ee_token::ErrorKind::Rejected && error.remedy().is_none() {
                    return error.with_remedy(
                        Remedy::new("The key or its account was deleted or disabled: check the account's keys, and download a new one.")
                            .url("https://console.cloud.google.com/iam-admin/serviceaccounts"),
                    );
                }
                error
            })
        })
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("client_email", &self.key.client_email)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_emulator::{Emulator, RsaKey};
    use ee_token::Endpoints;

    async fn emulator() -> (Emulator, HttpClient) {
        let emulator = Emulator::start().await.unwrap();
        let http = HttpClient::new(Endpoints::emulator(emulator.address()).unwrap()).unwrap();
        (emulator, http)
    }

    #[tokio::test]
    async fn a_json_key_and_a_pem_key_get_a_token() {
        let (emulator, http) = emulator().await;
        let account = emulator.create_service_account(
            "robot@ee-demo-project.iam.gserviceaccount.com",
            "ee-demo-project",
        );
        for key in [
            ServiceAccountKey::from_json(&account.json_key()).unwrap(),
            ServiceAccountKey::from_pem(account.pkcs8_pem(), account.email()).unwrap(),
            ServiceAccountKey::from_pem(&account.pkcs1_pem().replace('\n', "\\n"), account.email())
                .unwrap(),
        ] {
            let source = ServiceAccount::new(key, ServiceAccountOptions::default(), http.clone());
            assert!(source.mint().await.unwrap().expires_at().is_some());
        }
    }

    #[tokio::test]
    async fn a_deleted_account_is_named_with_what_to_do() {
        let (emulator, http) = emulator().await;
        let account = emulator.create_service_account(
            "gone@ee-demo-project.iam.gserviceaccount.com",
            "ee-demo-project",
        );
        emulator.delete_service_account(account.email());
        let key = ServiceAccountKey::from_json(&account.json_key()).unwrap();
        let error = ServiceAccount::new(key, ServiceAccountOptions::default(), http)
            .mint()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ee_token::ErrorKind::Rejected);
        assert_eq!(error.principal(), Some(account.email()));
        assert!(error.remedy().unwrap().text.contains("download a new one"));
    }

    #[test]
    fn debug_shows_no_key() {
        let pem = RsaKey::shared().pkcs8_pem();
        let key = ServiceAccountKey::from_pem(pem, "a@b").unwrap();
        let line = pem.lines().nth(2).unwrap();
        assert!(!format!("{key:?}").contains(line));
    }
}
