//! Workload and workforce identity federation: somebody else's token is exchanged for one of
//! Google's (RFC 8693; AIP-4117 describes the file).
//!
//! One module per source of the other token; what is common to all stands here.

pub(crate) mod config;
pub(crate) mod subject_token;

mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::url::Url;
use ee_token::{Endpoint, HttpClient, SecretString, UrlField, display_path};

use crate::input::allowed_hosts;
use crate::input::json::Document;
use crate::input::location::Location;
use crate::input::universe::check_universe;
use crate::kinds::credential::Credential;
use crate::kinds::identity::Identity;
use crate::{CredentialKind, CredentialOptions, Environment, Error};

pub use crate::kinds::external_account::config::ExternalAccountConfig;

use crate::kinds::external_account::subject_token::aws::Aws;
use crate::kinds::external_account::subject_token::certificate::CertificateSource;
use crate::kinds::external_account::subject_token::executable::Executable;
use crate::kinds::external_account::subject_token::file::FileToken;
use crate::kinds::external_account::subject_token::url::UrlToken;
use exchange::{Exchange, Impersonation};

/// The type of a subject token that is a signed request to Amazon's STS.
const AWS4_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
/// The type of a subject token that is a chain of certificates.
const MTLS: &str = "urn:ietf:params:oauth:token-type:mtls";
/// The types that a file, a URL or a program can bring.
const BEARER_TYPES: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:saml2",
];

/// How the caller's closure answers.
type Supplied = Pin<Box<dyn Future<Output = Result<SecretString, ee_token::Error>> + Send>>;

/// Where the subject token comes from.
pub(crate) enum Source {
    File(FileToken),
    Url(UrlToken),
    Executable(Executable),
    Aws(Aws),
    Certificate(CertificateSource),
    Closure(Box<dyn Fn() -> Supplied + Send + Sync>),
}

impl Source {
    /// What messages call it.
    fn noun(&self) -> String {
        match self {
            Self::File(file) => format!("the file {}", display_path(file.path())),
            Self::Url(url) => format!("the URL source at {}", url.host()),
            Self::Executable(_) => "the executable".into(),
            Self::Aws(_) => "AWS".into(),
            Self::Certificate(_) => "the client certificate".into(),
            Self::Closure(_) => "the program".into(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.noun())
    }
}

/// What every source is told.
pub(crate) struct Context {
    http: HttpClient,
    environment: Option<Environment>,
    location: Location,
    audience: String,
    subject_token_type: String,
    /// The service account that is acted as in the end.
    email: Option<String>,
}

impl Context {
    /// The variables to go by, now.
    fn environment(&self) -> Environment {
        self.environment
            .clone()
            .unwrap_or_else(Environment::current)
    }

    /// An error about something outside of the credential's own file.
    fn error(&self, kind: ee_token::ErrorKind, why: impl fmt::Display) -> ee_token::Error {
        ee_token::Error::new(kind, format!("{}: {why}", self.location))
    }
}

/// Reads a file of the type `external_account`.
pub(crate) fn load(document: &Document, options: &CredentialOptions) -> Result<Credential, Error> {
    check_universe(document)?;
    let account = ExternalAccountConfig::from_document(document)?;
    let source = source(document, &account.subject_token_type, options)?;
    assemble(account, source, &document.location, options)
}

/// A federation whose subject tokens the program brings.
pub(crate) fn of_closure<F, Fut>(
    account: ExternalAccountConfig,
    supply: F,
    options: &CredentialOptions,
) -> Result<Credential, Error>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<SecretString, ee_token::Error>> + Send + 'static,
{
    let source = Source::Closure(Box::new(move || Box::pin(supply())));
    assemble(account, source, &Location::InMemory, options)
}

/// Reads `credential_source`, which says by its fields what it is.
fn source(
    document: &Document,
    token_type: &str,
    options: &CredentialOptions,
) -> Result<Source, Error> {
    let part = document.required_part("credential_source")?;
    let location = &part.location;
    let kinds = ["file", "url", "executable", "certificate", "environment_id"];
    let mut named = kinds.into_iter().filter(|name| part.has(name));
    let first = named.next();
    // AWS has a `url` of its own beside `environment_id`.
    let is_aws = part.has("environment_id");
    if let (Some(one), Some(other)) = (first, named.next())
        && !(is_aws && one == "url" && other == "environment_id")
    {
        return Err(location.invalid(format_args!(
            "the fields `{one}` and `{other}` exclude each other"
        )));
    }
    let source = match first {
        _ if is_aws => Source::Aws(Aws::from_document(&part, options)?),
        Some("file") => Source::File(FileToken::from_document(&part)?),
        Some("url") => Source::Url(UrlToken::from_document(&part, options)?),
        Some("executable") => Source::Executable(Executable::from_document(
            &part.required_part("executable")?,
        )?),
        Some("certificate") => Source::Certificate(CertificateSource::from_document(
            &part.required_part("certificate")?,
        )?),
        _ => {
            return Err(location.invalid(
                "there is none of the fields `file`, `url`, `executable`, `certificate` and `environment_id`, one of which says where the subject token comes from",
            ));
        }
    };
    let fits = match &source {
        Source::Aws(_) => token_type == AWS4_REQUEST,
        Source::Certificate(_) => token_type == MTLS,
        _ => BEARER_TYPES.contains(&token_type),
    };
    if fits {
        return Ok(source);
    }
    Err(crate::kinds::external_account::config::wrong_token_type(
        &document.location,
        token_type,
        &source,
    ))
}

/// Checks where the tokens go, and puts all of it together.
fn assemble(
    account: ExternalAccountConfig,
    source: Source,
    location: &Location,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    options.refuse_subject(CredentialKind::ExternalAccount)?;
    account.check(location)?;
    let token_url = match &account.token_url {
        Some(url) => {
            allowed_hosts::check(url, ("token_url", UrlField::TokenUrl), location, options)?
        }
        None => default_token_url(&options.http, location)?,
    };
    let quota_project = account.quota_project.clone();
    let impersonation = Impersonation::new(&account, location, options)?;
    let email = impersonation.as_ref().map(|i| i.email.clone());
    let scopes = options.scopes.clone().unwrap_or_default();
    let project = account.project_number().map(str::to_owned);
    let context = Context {
        http: options.http.clone(),
        environment: options.environment.clone(),
        location: location.clone(),
        audience: account.audience.clone(),
        subject_token_type: account.subject_token_type.clone(),
        email: email.clone(),
    };
    Ok(Credential {
        kind: CredentialKind::ExternalAccount,
        login: None,
        identity: match email.as_deref() {
            Some(email) => Identity::account(email),
            None => Identity::member_of(Some(account.audience.as_str())),
        },
        principal: email.as_deref().map(Arc::from),
        quota_project,
        project,
        oauth_client_id: None,
        scopes: Some(scopes.clone()),
        source: Arc::new(Exchange::new(
            context,
            source,
            token_url,
            account,
            impersonation,
            scopes,
        )),
    })
}

fn default_token_url(http: &HttpClient, location: &Location) -> Result<Url, Error> {
    http.endpoints()
        .url(Endpoint::Sts)
        .join("v1/token")
        .map_err(|_| location.invalid("Google's token exchange has no URL"))
}

#[cfg(test)]
mod tests;
