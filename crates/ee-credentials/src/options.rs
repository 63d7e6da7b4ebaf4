//! What a caller may ask for beside the credential itself.

use ee_token::{Endpoints, HttpClient, Scopes};

use crate::{Environment, Error, ErrorKind};

/// How credentials get their tokens, and for what.
///
/// ```
/// use ee_credentials::CredentialOptions;
/// use ee_token::{Endpoints, HttpClient, Scopes};
///
/// let options = CredentialOptions::new(HttpClient::new(Endpoints::google()))
///     .scopes(Scopes::new(["earthengine.readonly"]))
///     .allow_host("tokens.example.com");
/// assert_eq!(options.allowed_hosts, ["tokens.example.com"]);
/// # Ok::<(), ee_token::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CredentialOptions {
    /// What token requests are sent with, and to which hosts.
    pub http: HttpClient,
    /// The scopes to ask for. `None`: [`Scopes::earth_engine`] where a request must name
    /// scopes, and whatever was granted where it need not.
    pub scopes: Option<Scopes>,
    /// The person that a service account acts for (domain-wide delegation).
    pub subject: Option<String>,
    /// Lets a service account sign its own access tokens, without a token request. Other
    /// kinds of credentials take no notice.
    pub self_signed_jwt: bool,
    /// Hosts to which credential files may send requests although they are not listed for the
    /// field that names them.
    pub allowed_hosts: Vec<String>,
    /// The quota project, whatever the credential says.
    pub quota_project: Option<String>,
    /// The variables that federation reads when it needs a token (`AWS_ACCESS_KEY_ID`,
    /// `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES`, …). `None`: those of the process, each
    /// time. A [`Search`](crate::Search) puts its own environment here.
    pub environment: Option<Environment>,
    /// Which of a machine's service accounts to use, by its address; its default one otherwise.
    pub service_account_email: Option<String>,
    /// The service that a token of Google Distributed Cloud is for. Other kinds of credentials
    /// take no notice.
    pub gdch_audience: Option<String>,
    /// Where access tokens are kept for the next start of the program, if they are.
    #[cfg(feature = "disk-cache")]
    pub disk_cache: Option<crate::DiskTokenCache>,
}

impl CredentialOptions {
    /// The defaults, with this HTTP client.
    pub fn new(http: HttpClient) -> Self {
        Self {
            http,
            scopes: None,
            subject: None,
            self_signed_jwt: false,
            allowed_hosts: Vec::new(),
            quota_project: None,
            environment: None,
            service_account_email: None,
            gdch_audience: None,
            #[cfg(feature = "disk-cache")]
            disk_cache: None,
        }
    }

    /// The defaults, with Google's own hosts.
    pub fn google() -> Self {
        Self::new(HttpClient::new(Endpoints::google()))
    }

    /// Asks for these scopes; an empty set is as good as none.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = (!scopes.is_empty()).then_some(scopes);
        self
    }

    /// Lets a service account act for this person.
    #[must_use]
    pub fn subject(mut self, email: impl Into<String>) -> Self {
        self.subject = Some(email.into());
        self
    }

    /// Lets a service account sign its own access tokens.
    #[must_use]
    pub fn self_signed_jwt(mut self, yes: bool) -> Self {
        self.self_signed_jwt = yes;
        self
    }

    /// Allows credential files to send requests to this host, given as `HOST` or `HOST:PORT`, with any
    /// path. Google's and AWS's own token services need no permission.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Sets the quota project.
    #[must_use]
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// Sets the variables that federation reads, in place of the process's own.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Uses this service account of the machine that the program runs on, instead of its
    /// default one. Other kinds of credentials take no notice.
    #[must_use]
    pub fn service_account_email(mut self, email: impl Into<String>) -> Self {
        self.service_account_email = Some(email.into());
        self
    }

    /// Sets the service that a token of Google Distributed Cloud is for.
    #[must_use]
    pub fn gdch_audience(mut self, audience: impl Into<String>) -> Self {
        self.gdch_audience = Some(audience.into()).filter(|text| !text.is_empty());
        self
    }

    /// Keeps access tokens on disk, for the next start of the program.
    #[cfg(feature = "disk-cache")]
    #[must_use]
    pub fn disk_cache(mut self, cache: crate::DiskTokenCache) -> Self {
        self.disk_cache = Some(cache);
        self
    }

    /// The variables to go by, now.
    pub(crate) fn variables(&self) -> Environment {
        self.environment
            .clone()
            .unwrap_or_else(Environment::current)
    }

    /// Fails if a subject was asked for, which only a service account's key can act for:
    /// acting as somebody else than asked would be worse than an error.
    pub(crate) fn reject_subject(&self, kind: crate::CredentialKind) -> Result<(), Error> {
        match &self.subject {
            None => Ok(()),
            Some(subject) => Err(Error::new(
                ErrorKind::InvalidOptions,
                format!("a credential of the kind {kind} cannot act for {subject}"),
            )
            .with_remedy(ee_token::Remedy::new(
                "Use a service account's key with domain-wide delegation, or leave the subject out.",
            ))),
        }
    }
}
