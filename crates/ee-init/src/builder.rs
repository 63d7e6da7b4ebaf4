//! The builder of the verified client.

mod connect;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ee_credentials::{CredentialOptions, CredentialSource, Credentials, Environment};
use ee_rest::ClientBuilder;
use ee_token::internal::PrintablePath;
use ee_token::{Endpoints, HttpClient, RetryPolicy, Scopes, SecretString};
use url::Url;

use crate::EarthEngine;
use crate::verify::VerifyLevel;

/// A builder for [`EarthEngine`]. All options are optional: credentials and project are found
/// where the other Earth Engine clients find them.
///
/// ```no_run
/// # async fn f() -> Result<(), ee_init::Error> {
/// let ee = ee_init::EarthEngine::builder()
///     .project("my-project")
///     .connect()
///     .await?;
/// # let _ = ee; Ok(()) }
/// ```
#[derive(Debug)]
#[must_use]
pub struct EarthEngineBuilder {
    credentials: Option<Credentials>,
    credentials_file: Option<PrintablePath>,
    credentials_json: Option<SecretString>,
    api_key: Option<SecretString>,
    account: Option<String>,
    impersonate: Option<String>,
    /// The HTTP client in these options is replaced when connecting.
    options: CredentialOptions,
    project: Option<String>,
    environment: Option<Environment>,
    sources: Option<Vec<CredentialSource>>,
    endpoints: Option<Endpoints>,
    http_client: Option<Result<HttpClient, ee_token::Error>>,
    client_options: Vec<ClientOption>,
    verify: VerifyLevel,
    max_wait: Duration,
    #[cfg(feature = "disk-cache")]
    disk_cache: bool,
}

/// A change to the request layer's client.
struct ClientOption(Box<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>);

impl fmt::Debug for ClientOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientOption(..)")
    }
}

impl EarthEngine {
    /// Creates a builder. All options are optional: credentials and project are found where the
    /// other Earth Engine clients find them.
    pub fn builder() -> EarthEngineBuilder {
        EarthEngineBuilder::default()
    }
}

impl Default for EarthEngineBuilder {
    fn default() -> Self {
        Self {
            credentials: None,
            credentials_file: None,
            credentials_json: None,
            api_key: None,
            account: None,
            impersonate: None,
            options: CredentialOptions::default(),
            project: None,
            environment: None,
            sources: None,
            endpoints: None,
            http_client: None,
            client_options: Vec::new(),
            verify: VerifyLevel::default(),
            max_wait: Duration::ZERO,
            #[cfg(feature = "disk-cache")]
            disk_cache: false,
        }
    }
}

impl EarthEngineBuilder {
    /// Uses these credentials instead of searching for some.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Uses the credentials in this file, of any type that Application Default Credentials
    /// support.
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials_file = Some(PrintablePath::from(path));
        self
    }

    /// Uses the credentials in this JSON text, such as a service account key from a secret store.
    pub fn credentials_json(mut self, json: impl Into<SecretString>) -> Self {
        self.credentials_json = Some(json.into());
        self
    }

    /// Sets an API key. If credentials are set too, both are sent, and the key must belong to the
    /// credentials' project. Otherwise no credentials are searched for.
    pub fn api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Uses the login and the project of a named [account](ee_credentials::AccountName), which
    /// `eectl auth login --account NAME` creates. Precedes `EARTHENGINE_ACCOUNT`. An error together
    /// with other credentials of this builder.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), ee_init::Error> {
    /// let ee = ee_init::EarthEngine::builder().account("work").connect().await?;
    /// # let _ = ee; Ok(()) }
    /// ```
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
    }

    /// Sets the Cloud project, by ID or number, that requests are sent for and billed to.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Sets the scopes to request. Defaults to [`Scopes::earth_engine`].
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.options = self.options.scopes(scopes);
        self
    }

    /// Sets the user that a service account acts for (domain-wide delegation).
    pub fn subject(mut self, email: impl Into<String>) -> Self {
        self.options = self.options.subject(email);
        self
    }

    /// Lets a service account sign its own access tokens, without a token request.
    pub fn self_signed_jwt(mut self, yes: bool) -> Self {
        self.options = self.options.self_signed_jwt(yes);
        self
    }

    /// Sets the longest lifetime of a token, for credentials that can request a shorter one:
    /// impersonated service accounts.
    pub fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.options = self.options.max_token_lifetime(lifetime);
        self
    }

    /// Allows credential files to send requests to this host, given as `HOST`, `HOST:PORT` or
    /// `http://HOST`, with any path. The token services of Google and AWS need no permission.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.options = self.options.allow_host(host);
        self
    }

    /// Selects one of the machine's service accounts by email address. Defaults to its default
    /// service account.
    pub fn service_account_email(mut self, email: impl Into<String>) -> Self {
        self.options = self.options.service_account_email(email);
        self
    }

    /// Sets the audience of tokens of Google Distributed Cloud. Ignored by other kinds of
    /// credentials.
    pub fn gdch_audience(mut self, audience: impl Into<String>) -> Self {
        self.options = self.options.gdch_audience(audience);
        self
    }

    /// Impersonates this service account with the credentials that are set or found. They need the
    /// role Service Account Token Creator on it.
    pub fn impersonate(mut self, email: impl Into<String>) -> Self {
        self.impersonate = Some(email.into());
        self
    }

    /// Searches only these sources for credentials, as `EARTHENGINE_CREDENTIALS_SOURCE` does, over
    /// which this takes precedence. Credentials that are set on this builder are always used.
    ///
    /// ```
    /// use ee_credentials::CredentialSource;
    /// # use ee_init::EarthEngine;
    ///
    /// let builder = EarthEngine::builder().credential_sources([CredentialSource::MetadataServer]);
    /// ```
    pub fn credential_sources(
        mut self,
        sources: impl IntoIterator<Item = CredentialSource>,
    ) -> Self {
        self.sources = Some(sources.into_iter().collect());
        self
    }

    /// Searches this environment instead of the process's.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Uses only what is set on this builder: no variables, files or metadata server. For servers
    /// that act for many users.
    pub fn isolated(self) -> Self {
        self.environment(Environment::empty())
    }

    /// Sets the hosts to use instead of Google's, for example an emulator's.
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// Sets the base URL of the Earth Engine API, like the Python client's `url`.
    pub fn base_url(self, url: Url) -> Self {
        self.configure_client(move |client| client.base_url(url.clone()))
    }

    /// Uses the high-volume endpoint, which is meant for many small concurrent requests.
    pub fn high_volume(self, yes: bool) -> Self {
        self.configure_client(move |client| client.high_volume(yes))
    }

    /// Uses an HTTP client with other proxies, root certificates or timeouts. It follows no
    /// redirects; see [`HttpClient::from_reqwest_builder`].
    pub fn http_client(mut self, client: reqwest::ClientBuilder) -> Self {
        // The endpoints are set when connecting.
        let http = HttpClient::from_reqwest_builder(client, Endpoints::google());
        self.http_client = Some(http);
        self
    }

    /// Sets a product token that is put before this library's in `User-Agent`: `my-program/1.0`.
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        let user_agent = user_agent.into();
        self.configure_client(move |client| client.user_agent(&user_agent))
    }

    /// Sets the timeout of one attempt of a request.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.configure_client(move |client| client.timeout(timeout))
    }

    /// Sets the policy for retrying transient failures.
    pub fn retry_policy(self, retry: RetryPolicy) -> Self {
        self.configure_client(move |client| client.retry_policy(retry.clone()))
    }

    /// Sets any option of the request layer's client: limits, deadlines, workload tags, profiling,
    /// events (see [`ClientBuilder`]). Options are applied in the order of the calls.
    ///
    /// ```
    /// # use ee_init::EarthEngine;
    /// let builder = EarthEngine::builder()
    ///     .configure_client(|client| client.max_concurrent_requests(10).workload_tag("nightly"));
    /// ```
    pub fn configure_client(
        mut self,
        configure: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.client_options.push(ClientOption(Box::new(configure)));
        self
    }

    /// Sets how far the project is verified. Defaults to [`VerifyLevel::Config`].
    pub fn verify(mut self, level: VerifyLevel) -> Self {
        self.verify = level;
        self
    }

    /// Retries the verification for up to this time while a change propagates: an API that was
    /// just enabled, a role that was just granted, or a project that was just registered
    /// ([`may_resolve_after_propagation`](crate::ErrorKind::may_resolve_after_propagation)). Defaults to no wait.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), ee_init::Error> {
    /// use std::time::Duration;
    ///
    /// let ee = ee_init::EarthEngine::builder()
    ///     .wait_for_propagation(Duration::from_secs(300))
    ///     .connect()
    ///     .await?;
    /// # let _ = ee; Ok(()) }
    /// ```
    pub fn wait_for_propagation(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Stores access tokens in the user's cache directory ([`ee_credentials::DiskTokenCache`]), so
    /// that the next start of the program sends one request instead of two.
    #[cfg(feature = "disk-cache")]
    pub fn disk_cache(mut self, yes: bool) -> Self {
        self.disk_cache = yes;
        self
    }
}
