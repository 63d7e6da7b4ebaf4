//! A service identity of Google Distributed Cloud: a file of the type `gdch_service_account`.
//!
//! Earth Engine is not available there. The tokens are valid for the service that
//! [`CredentialOptions::gdch_audience`] names.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use ee_token::internal::{UrlField, display_path, is_loopback};
use ee_token::{
    AccessToken, Claims, EcPrivateKey, Grant, HttpClient, Remedy, SecretString, TokenEndpoint,
    TokenFuture, TokenSource,
};
use serde::Deserialize;

use crate::input::allowed_hosts;
use crate::input::file::read;
use crate::input::json::{FilePath, JsonObject};
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::credential::Credential;
use crate::kinds::identity::Identity;
use crate::{CredentialKind, CredentialOptions, Error, ErrorKind};

/// The supported `format_version`.
const FORMAT: &str = "1";
const LIFETIME: TimeDelta = TimeDelta::seconds(3600);

#[derive(Deserialize)]
struct GdchServiceAccountFile {
    project: String,
    name: String,
    private_key_id: String,
    private_key: SecretString,
    token_uri: String,
    ca_cert_path: Option<FilePath>,
}

struct ServiceIdentity {
    location: Location,
    subject: Arc<str>,
    key: EcPrivateKey,
    key_id: String,
    /// The audience of the JWT, also if an emulator receives it.
    token_uri: String,
    audience: String,
    endpoint: TokenEndpoint,
}

pub(crate) fn load(
    object: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    options.reject_subject(CredentialKind::GdchServiceAccount)?;
    let location = &object.location;
    let format: String = object.field("format_version")?;
    if format != FORMAT {
        return Err(location.invalid_field(
            "format_version",
            format_args!(
                "is {:?}, and only {FORMAT:?} is supported",
                clipped(&format)
            ),
        ));
    }
    let file: GdchServiceAccountFile = object.read()?;
    let key = EcPrivateKey::from_pem(file.private_key.expose_secret()).map_err(|error| {
        location.invalid_field("private_key", format_args!("cannot be used: {error}"))
    })?;
    let url = allowed_hosts::check(
        &file.token_uri,
        ("token_uri", UrlField::GdchTokenUri),
        location,
        options,
    )?;
    let http = match &file.ca_cert_path {
        // Loopback needs no TLS.
        Some(_) if is_loopback(&url) => options.http.clone(),
        Some(path) => with_authorities(&options.http, path.as_ref(), location)?,
        None => options.http.clone(),
    };
    let Some(audience) = options.gdch_audience.clone() else {
        return Err(Error::new(
            ErrorKind::InvalidOptions,
            format!("{location}: a gdch_service_account needs an audience, and none is set"),
        )
        .with_remedy(Remedy::new(
            "Set the service that the token is for with CredentialOptions::gdch_audience(…). Earth Engine is not available in Google Distributed Cloud.",
        )));
    };
    let project = file.project;
    let subject: Arc<str> = format!("system:serviceaccount:{project}:{}", file.name).into();
    let source = ServiceIdentity {
        location: location.clone(),
        subject: subject.clone(),
        key,
        key_id: file.private_key_id,
        token_uri: file.token_uri,
        audience,
        endpoint: TokenEndpoint::new(http, url),
    };
    Ok(
        Credential::new(CredentialKind::GdchServiceAccount, Arc::new(source))
            .identity(Identity::account(subject.clone()))
            .principal(Some(subject))
            .project(Some(project)),
    )
}

/// Returns a client that trusts the certificate authorities in this file alone.
fn with_authorities(
    http: &HttpClient,
    path: &Path,
    location: &Location,
) -> Result<HttpClient, Error> {
    let wrong = |why: &dyn fmt::Display| {
        location.invalid_field("ca_cert_path", format_args!("cannot be used: {why}"))
    };
    // A relative path starts at the directory of the file that contains it.
    let path = match location.path().and_then(|file| file.parent()) {
        Some(dir) => dir.join(path),
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
            exp: (now + LIFETIME).timestamp(),
        };
        let assertion = self.key.sign_jwt(Some(&self.key_id), &claims)?;
        let grant = Grant::GdchTokenExchange {
            assertion: &assertion,
            audience: &self.audience,
        };
        match self.endpoint.exchange(&grant, None).await {
            Ok(response) => Ok(response.access_token),
            Err(error) if error.kind().is_rejection() => {
                let message = format!("{error} (the service identity in {})", self.location);
                Err(error
                    .context(message)
                    .with_principal(&*self.subject)
                    .with_remedy(Remedy::new(
                        "Check that the service identity and its key exist, and that the token server knows the audience.",
                    )))
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
