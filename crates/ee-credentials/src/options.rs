//! The caller's options for credentials.

use std::time::Duration;

use ee_token::internal::is_google_sdk_project;
use ee_token::{HttpClient, Remedy, Scopes};

use crate::{CredentialKind, Environment, Error, ErrorKind};

/// Options for credentials: which tokens they request, and how.
///
/// ```
/// use ee_credentials::CredentialOptions;
/// use ee_token::Scopes;
///
/// let options = CredentialOptions::default()
///     .scopes(Scopes::new(["earthengine.readonly"]))
///     .allow_host("tokens.example.com");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct CredentialOptions {
    pub(crate) http: HttpClient,
    pub(crate) scopes: Option<Scopes>,
    pub(crate) subject: Option<String>,
    pub(crate) self_signed_jwt: bool,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) quota_project: Option<String>,
    pub(crate) environment: Option<Environment>,
    pub(crate) service_account_email: Option<String>,
    pub(crate) gdch_audience: Option<String>,
    pub(crate) max_token_lifetime: Option<Duration>,
    #[cfg(feature = "disk-cache")]
    pub(crate) disk_cache: Option<crate::DiskTokenCache>,
}

impl CredentialOptions {
    /// Creates default options with this HTTP client, which also determines the endpoints.
    /// `CredentialOptions::default()` uses Google's endpoints.
    pub fn new(http: HttpClient) -> Self {
        Self {
            http,
            ..Self::default()
        }
    }

    /// Sets the HTTP client.
    #[must_use]
    pub fn with_http_client(mut self, http: HttpClient) -> Self {
        self.http = http;
        self
    }

    /// Returns the HTTP client.
    pub fn http_client(&self) -> &HttpClient {
        &self.http
    }

    /// Sets the scopes to request. An empty set restores the default: [`Scopes::earth_engine`] if a
    /// request must name scopes, and all granted scopes otherwise.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = (!scopes.is_empty()).then_some(scopes);
        self
    }

    /// Sets the user that a service account acts for (domain-wide delegation). An error for other
    /// kinds of credentials.
    #[must_use]
    pub fn subject(mut self, email: impl Into<String>) -> Self {
        self.subject = Some(email.into());
        self
    }

    /// Sets whether a service account signs its own access tokens instead of requesting them. Other
    /// kinds of credentials ignore it. Defaults to `false`.
    #[must_use]
    pub fn self_signed_jwt(mut self, yes: bool) -> Self {
        self.self_signed_jwt = yes;
        self
    }

    /// Allows credential files to send requests to any path of this host, given as `HOST`,
    /// `HOST:PORT`, `https://HOST` or `http://HOST`. Plain HTTP, which only a source of subject
    /// tokens may use, must be allowed with its scheme or port. The token services of Google and AWS
    /// are always allowed.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Sets the quota project, which takes precedence over `GOOGLE_CLOUD_QUOTA_PROJECT` and the
    /// credential's own.
    #[must_use]
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// Returns the quota project that takes precedence over the credential's own: the caller's, or
    /// `GOOGLE_CLOUD_QUOTA_PROJECT`. Projects of Google's SDKs are never billed.
    pub(crate) fn overriding_quota_project(&self) -> Option<String> {
        const VARIABLE: &str = "GOOGLE_CLOUD_QUOTA_PROJECT";
        let of_environment = || match &self.environment {
            Some(environment) => environment.var(VARIABLE).map(str::to_owned),
            None => std::env::var(VARIABLE).ok(),
        };
        let variable = of_environment().map(|project| project.trim().to_owned());
        let usable = |project: &String| !project.is_empty() && !is_google_sdk_project(project);
        self.quota_project.clone().or(variable.filter(usable))
    }

    /// Sets the environment that federation reads when it needs a token (`AWS_ACCESS_KEY_ID`,
    /// `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES`, …). Defaults to that of the process at that
    /// time. A [`Search`](crate::Search) sets its own environment.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Returns the environment, or a snapshot of the process's if none is set.
    pub fn current_environment(&self) -> Environment {
        self.environment
            .clone()
            .unwrap_or_else(Environment::current)
    }

    /// Sets which service account of the metadata server to use. Defaults to the machine's default
    /// account. Other kinds of credentials ignore it.
    #[must_use]
    pub fn service_account_email(mut self, email: impl Into<String>) -> Self {
        self.service_account_email = Some(email.into());
        self
    }

    /// Sets the service that a token of Google Distributed Cloud is for. Other kinds of credentials
    /// ignore it.
    #[must_use]
    pub fn gdch_audience(mut self, audience: impl Into<String>) -> Self {
        self.gdch_audience = Some(audience.into()).filter(|text| !text.is_empty());
        self
    }

    /// Sets the longest lifetime of a token, for credentials that can request a shorter one:
    /// impersonated service accounts. Other kinds of credentials ignore it. Such tokens are not kept
    /// on disk.
    #[must_use]
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_token_lifetime = Some(lifetime.max(Duration::from_secs(1)));
        self
    }

    /// Returns the lifetime to request instead of this one.
    pub(crate) fn token_lifetime(&self, lifetime: Duration) -> Duration {
        self.max_token_lifetime
            .map_or(lifetime, |max| lifetime.min(max))
    }

    /// Sets the cache that keeps access tokens on disk. Defaults to `None`.
    #[cfg(feature = "disk-cache")]
    #[must_use]
    pub fn disk_cache(mut self, cache: impl Into<Option<crate::DiskTokenCache>>) -> Self {
        self.disk_cache = cache.into();
        self
    }

    /// Rejects a subject for a credential that is not a service account key. Ignoring it would
    /// make requests as another account.
    pub(crate) fn reject_subject(&self, kind: CredentialKind) -> Result<(), Error> {
        match &self.subject {
            None => Ok(()),
            Some(subject) => Err(Error::new(
                ErrorKind::InvalidOptions,
                format!("a credential of the kind \"{kind}\" cannot act for {subject}"),
            )
            .with_remedy(Remedy::new(
                "Use a service account key with domain-wide delegation, or remove the subject.",
            ))),
        }
    }
}

/// Returns options whose requests go to this emulator.
#[cfg(test)]
pub(crate) fn options(emulator: &ee_emulator::Emulator) -> CredentialOptions {
    let endpoints = ee_token::Endpoints::emulator(emulator.address()).unwrap();
    CredentialOptions::new(HttpClient::new(endpoints))
}
