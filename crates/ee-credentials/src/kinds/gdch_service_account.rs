//! A service identity of Google Distributed Cloud: a file of the type `gdch_service_account`.
//!
//! Earth Engine is not served there. The credential is good for the services that are, with
//! the audience that [`CredentialOptions::gdch_audience`] names.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use ee_token::{
    AccessToken, Claims, EcPrivateKey, Grant, HttpClient, Remedy, TokenEndpoint, TokenFuture,
    TokenSource, UrlField, display_path, is_loopback, sign_jwt_es256,
};

use crate::input::allowed_hosts;
use crate::input::file::read;
use crate::input::json::Document;
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::credential::Credential;
use crate::kinds::identity::Identity;
use crate::{CredentialKind, CredentialOptions, Error, ErrorKind};

/// The one format of the file that there is.
const FORMAT: &str = "1";
const LIFE: TimeDelta = TimeDelta::seconds(3600);

struct ServiceIdentity {
    location: Location,
    subject: String,
    key: EcPrivateKey,
    key_id: String,
    /// As the file has it: what the JWT is made out to, wherever it is sent.
    token_uri: String,
    audience: String,
    endpoint: TokenEndpoint,
}

/// Reads `format_version`, `project`, `name`, `private_key_id`, `private_key` and `token_uri`,
/// and if there is one `ca_cert_path`.
pub(crate) fn load(document: &Document, options: &CredentialOptions) -> Result<Credential, Error> {
    options.refuse_subject(CredentialKind::GdchServiceAccount)?;
    let location = &document.location;
    let format = document.required_text("format_version")?;
    if format != FORMAT {
        return Err(location.invalid_field(
            "format_version",
            format_args!("is {:?}, and only {FORMAT:?} is known", clipped(format)),
        ));
    }
    let project = document.required_text("project")?;
    let name = document.required_text("name")?;
    let key_id = document.required_text("private_key_id")?.to_owned();
    let key = EcPrivateKey::from_pem(document.required_secret("private_key")?.expose_secret())
        .map_err(|error| {
            location.invalid_field("private_key", format_args!("cannot be used: {error}"))
        })?;
    let token_uri = document.required_text("token_uri")?.to_owned();
    let url = allowed_hosts::check(
        &token_uri,
        ("token_uri", UrlField::GdchTokenUri),
        location,
        options,
    )?;
    let http = match document.path("ca_cert_path")? {
        // On this machine there is no TLS to check.
        Some(_) if is_loopback(&url) => options.http.clone(),
        Some(path) => with_authorities(&options.http, &path, location)?,
        None => options.http.clone(),
    };
    let Some(audience) = options.gdch_audience.clone() else {
        return Err(Error::new(
            ErrorKind::InvalidOptions,
            format!("{location}: a gdch_service_account needs an audience, and none was given"),
        )
        .with_remedy(Remedy::new(
            "Say which service the token is for, with CredentialOptions::gdch_audience(…). It is not for Earth Engine, which is not offered in Google Distributed Cloud.",
        )));
    };
    let subject = format!("system:serviceaccount:{project}:{name}");
    let whose: Arc<str> = subject.as_str().into();
    Ok(Credential {
        kind: CredentialKind::GdchServiceAccount,
        login: None,
        identity: Identity::account(whose.clone()),
        principal: Some(whose),
        quota_project: None,
        project: Some(project.to_owned()),
        oauth_client_id: None,
        scopes: None,
        source: Arc::new(ServiceIdentity {
            location: location.clone(),
            subject,
            key,
            key_id,
            token_uri,
            audience,
            endpoint: TokenEndpoint::new(http, url),
        }),
    })
}

/// A client that trusts the certificate authorities in this file alone.
fn with_authorities(
    http: &HttpClient,
    path: &Path,
    location: &Location,
) -> Result<HttpClient, Error> {
    let wrong = |why: &dyn fmt::Display| {
        location.invalid_field("ca_cert_path", format_args!("cannot be used: {why}"))
    };
    // A relative path is meant from the file that names it.
    let path = match location.path().and_then(|file| file.parent()) {
        Some(folder) => folder.join(path),
        None => path.to_owned(),
    };
    let certificates = Location::file(&path);
    let text = read(&certificates).map_err(|error| match error.is_transient() {
        true => error,
        false => wrong(&error),
    })?;
    http.with_root_certificates(&text.text)
        .map_err(|error| wrong(&format_args!("{}: {error}", display_path(&path))))
}

impl ServiceIdentity {
    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        let now = Utc::now();
        let claims = Claims {
            iss: &self.subject,
            sub: Some(&self.subject),
            aud: Some(&self.token_uri),
            scope: None,
            iat: now.timestamp(),
            exp: (now + LIFE).timestamp(),
        };
        let assertion = sign_jwt_es256(&self.key, Some(&self.key_id), &claims)?;
        let grant = Grant::GdchTokenExchange {
            assertion: &assertion,
            audience: &self.audience,
        };
        match self.endpoint.exchange(&grant, None).await {
            Ok(reply) => Ok(reply.access_token),
            Err(error) if error.kind().is_rejection() => {
                let told = format!("{error} (the service identity in {})", self.location);
                Err(ee_token::Error::new(error.kind(), told)
                    .with_principal(&self.subject)
                    .with_remedy(Remedy::new(
                        "Check that the service identity and its key exist, and that the audience is one that its token server knows.",
                    ))
                    .with_source(error))
            }
            Err(error) => Err(error),
        }
    }
}

impl TokenSource for ServiceIdentity {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }
}

impl fmt::Debug for ServiceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceIdentity")
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
