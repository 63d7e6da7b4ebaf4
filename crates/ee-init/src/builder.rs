//! The builder of the verified client.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use ee_credentials::internal::{network_settings, with_account, without_blocking};
use ee_credentials::{
    CredentialOptions, CredentialSource, Credentials, Environment, FoundCredentials, Search,
};
use ee_rest::internal::with_project_origin;
use ee_rest::{Auth, Client, ClientBuilder};
use ee_token::internal::{PrintablePath, open_ahead};
use ee_token::{Endpoints, HttpClient, RetryPolicy, Scopes, SecretString};
use url::Url;

use crate::earth_engine::{ConnectStats, Inner};
use crate::project::check_project;
use crate::project::resolve::{ProjectInputs, resolve};
use crate::project::suggest::add_suggestions;
use crate::scope_check;
use crate::verify::{Verified, VerifyLevel, verify};
use crate::{EarthEngine, Error, ErrorKind, Project};

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
    /// ([`ErrorKind::may_resolve_after_propagation`]). Defaults to no wait.
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

    /// Finds credentials, fetches a token, selects the project and verifies it.
    ///
    /// # Errors
    /// Returns a [credential error](crate::ErrorKind::is_credential_error), a
    /// [project error](crate::ErrorKind::is_project_error) or a network error. Everything that can
    /// be checked without a request is checked before the first one.
    pub async fn connect(self) -> Result<EarthEngine, Error> {
        let started = Instant::now();
        // A misspelled project is reported before anything is searched.
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let environment = self.search_environment();
        let (http, mut found) = self.find(&environment).await?;
        let project = resolve(&ProjectInputs {
            given: self.project.as_deref(),
            environment: &environment,
            credentials: Some(&found.credentials),
        })
        .await?;
        // Invalid options are reported before a token is fetched.
        let client = self.client(&http, &found.credentials, &project);
        let client = client.map_err(|error| Error::from(error).for_project(&project))?;
        if self.verify != VerifyLevel::Skip {
            open_ahead(&http, client.base_url());
            found.credentials = scope_check::check(found.credentials)
                .await
                .map_err(|error| error.for_project(&project))?;
        }
        let verified = verify(self.verify, &client, &project, self.max_wait).await;
        let Verified {
            registration,
            tier,
            init_message,
        } = match verified {
            Ok(verified) => verified,
            Err(error) => {
                let error = error.for_project(&project);
                return Err(add_suggestions(error, &project, &http, &found.credentials).await);
            }
        };
        tracing::debug!(project = %project.id, source = %project.source, %registration, "connected");
        Ok(EarthEngine::new(Inner {
            client,
            credentials: found.credentials,
            searched: found.searched,
            project,
            registration,
            tier,
            init_message,
            stats: ConnectStats {
                requests: http.request_count(),
                elapsed: started.elapsed(),
            },
        }))
    }

    /// Finds the credentials only, without fetching a token or selecting a project.
    ///
    /// # Errors
    /// Returns [`NoCredentials`](crate::ErrorKind::NoCredentials) or
    /// [`InvalidCredentials`](crate::ErrorKind::InvalidCredentials), or another error if the
    /// environment is invalid.
    pub async fn find_credentials(self) -> Result<FoundCredentials, Error> {
        let (_, found) = self.find(&self.search_environment()).await?;
        Ok(found)
    }

    /// Selects the project without verifying it. Credentials are searched for only if no source
    /// before them has a project, and do not need to exist.
    ///
    /// # Errors
    /// Returns [`ErrorKind::NoProject`](crate::ErrorKind::NoProject),
    /// [`ErrorKind::SdkProject`](crate::ErrorKind::SdkProject) or
    /// [`ErrorKind::InvalidProject`](crate::ErrorKind::InvalidProject), or the error of a file or
    /// credential that could contain the project.
    pub async fn find_project(self) -> Result<Project, Error> {
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let environment = self.search_environment();
        let inputs = ProjectInputs {
            given: self.project.as_deref(),
            environment: &environment,
            credentials: None,
        };
        let without = resolve(&inputs).await;
        if matches!(&without, Ok(project) if project.source.is_before_credentials()) {
            return without;
        }
        match self.find(&environment).await {
            Ok((_, found)) => {
                resolve(&ProjectInputs {
                    credentials: Some(&found.credentials),
                    ..inputs
                })
                .await
            }
            Err(error) if error.kind() == ErrorKind::NoCredentials => without,
            Err(error) => match without {
                // Both are invalid, and the caller asked about the project.
                Err(invalid) if invalid.kind() == ErrorKind::InvalidProject => Err(invalid),
                _ => Err(error),
            },
        }
    }

    /// Returns the environment that is searched.
    pub(crate) fn search_environment(&self) -> Environment {
        let environment = self.environment.clone();
        let environment = environment.unwrap_or_else(Environment::current);
        let is_given = self.credentials.is_some()
            || self.credentials_file.is_some()
            || self.credentials_json.is_some()
            || self.api_key.is_some();
        match &self.account {
            Some(name) => with_account(environment, name),
            // The variable names no account of these credentials.
            None if is_given => with_account(environment, ""),
            None => environment,
        }
    }

    /// Returns the HTTP client and the credentials that are set or found.
    pub(crate) async fn find(
        &self,
        environment: &Environment,
    ) -> Result<(HttpClient, FoundCredentials), Error> {
        let endpoints = self.hosts(environment)?;
        if !self.has_own_http_client() {
            environment.check_certificate_paths()?;
            if endpoints.emulator_address().is_none() {
                check_network(environment).await?;
            }
        }
        let http = self.http(endpoints)?;
        let found = self.search(environment, &http).await?;
        Ok((http, found))
    }

    pub(crate) fn hosts(&self, environment: &Environment) -> Result<Endpoints, Error> {
        match &self.endpoints {
            Some(endpoints) => Ok(endpoints.clone()),
            None => Ok(environment.endpoints()?),
        }
    }

    pub(crate) fn has_own_http_client(&self) -> bool {
        self.http_client.is_some()
    }

    pub(crate) fn http(&self, endpoints: Endpoints) -> Result<HttpClient, Error> {
        let http = match &self.http_client {
            Some(client) => client.clone()?.with_endpoints(endpoints),
            None => HttpClient::new(endpoints),
        };
        Ok(http.with_separate_counter())
    }

    /// Returns the base URL of the Earth Engine API.
    pub(crate) fn earth_engine_url(&self, http: &HttpClient) -> Result<Url, Error> {
        // A client needs credentials, but this one sends nothing.
        let unused = Auth::api_key("unused".into());
        let client = self.client_with_auth(unused, http).build()?;
        Ok(client.base_url().clone())
    }

    pub(crate) async fn search(
        &self,
        environment: &Environment,
        http: &HttpClient,
    ) -> Result<FoundCredentials, ee_credentials::Error> {
        let options = self.options.clone().with_http_client(http.clone());
        #[cfg(feature = "disk-cache")]
        let options = if self.disk_cache {
            options.disk_cache(ee_credentials::DiskTokenCache::open(environment)?)
        } else {
            options
        };
        let search = Search::new(environment.clone(), options.clone());
        let search = match &self.sources {
            Some(sources) => search.with_sources(sources.iter().copied()),
            None => search,
        };
        let search = match (
            &self.credentials,
            &self.credentials_json,
            &self.credentials_file,
            &self.api_key,
        ) {
            (Some(credentials), ..) => search.with_credentials(credentials.clone()),
            (None, Some(json), ..) => search.with_json(json.clone()),
            (None, None, Some(file), _) => search.with_file(file.as_path()),
            (None, None, None, Some(key)) => {
                search.with_credentials(Credentials::from_api_key(key.clone()))
            }
            (None, None, None, None) => search,
        };
        let search = match &self.account {
            Some(name) => search.with_account(name),
            None => search,
        };
        let mut found = search.find().await?;
        if let Some(email) = &self.impersonate {
            let builder = found.credentials.impersonate(email);
            let path = found.credentials.path().map(ToOwned::to_owned);
            found.credentials = without_blocking(path, move || builder.build(&options)).await?;
        }
        Ok(found)
    }

    /// Returns the project that the caller set.
    pub(crate) fn given_project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    pub(crate) fn client(
        &self,
        http: &HttpClient,
        credentials: &Credentials,
        project: &Project,
    ) -> Result<Client, ee_rest::Error> {
        let client = self.client_builder(http, credentials).project(&project.id);
        with_project_origin(client, project.source.into()).build()
    }

    /// Returns a client builder without a project: each request sets its own.
    pub(crate) fn client_builder(
        &self,
        http: &HttpClient,
        credentials: &Credentials,
    ) -> ClientBuilder {
        let key = self.api_key.as_ref().or(credentials.api_key());
        let auth = match (credentials.token_cache(), key) {
            (Some(tokens), Some(key)) => {
                Auth::token_cache(tokens.clone()).with_api_key(key.clone())
            }
            (Some(tokens), None) => Auth::token_cache(tokens.clone()),
            // Credentials without tokens are an API key.
            (None, key) => Auth::api_key(key.cloned().unwrap_or_default()),
        };
        let client = self.client_with_auth(auth, http);
        match credentials.principal() {
            Some(principal) => client.principal(principal),
            None => client,
        }
    }

    fn client_with_auth(&self, auth: Auth, http: &HttpClient) -> ClientBuilder {
        let client = Client::builder(auth, http.clone());
        let options = self.client_options.iter();
        options.fold(client, |client, ClientOption(configure)| configure(client))
    }
}

/// Checks the proxies and certificate authorities in the variables before a request needs them, so
/// that no failure of the network hides the cause.
async fn check_network(environment: &Environment) -> Result<(), Error> {
    let settings = network_settings(environment);
    settings.https_proxy()?;
    settings.http_proxy()?;
    if settings.names_authorities() {
        without_blocking(None, move || Ok(settings.authorities()?)).await?;
    }
    Ok(())
}

/// Connects, like [`EarthEngineBuilder::connect`].
impl IntoFuture for EarthEngineBuilder {
    type Output = Result<EarthEngine, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProjectSource;

    fn on(environment: Environment) -> EarthEngineBuilder {
        // Nothing listens here: no request may be sent.
        let endpoints = Endpoints::emulator("127.0.0.1:9".parse().unwrap()).unwrap();
        EarthEngine::builder()
            .environment(environment)
            .endpoints(endpoints)
    }

    #[tokio::test]
    async fn project_is_found_without_credentials_or_requests() {
        let nothing = Environment::empty();
        for (name, source) in [
            ("EARTHENGINE_PROJECT", ProjectSource::EnvEarthEngineProject),
            ("GOOGLE_CLOUD_PROJECT", ProjectSource::EnvGoogleCloudProject),
        ] {
            let builder = on(nothing.clone().with_var(name, "my-project"));
            assert_eq!(builder.find_project().await.unwrap().source, source);
        }
        let error = on(nothing).find_project().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoProject);
    }

    #[tokio::test]
    async fn invalid_project_is_reported_before_invalid_credentials() {
        let broken = Environment::empty().with_var("EARTHENGINE_TOKEN", "{}");
        for name in ["EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT"] {
            let invalid = broken.clone().with_var(name, "My Project");
            let error = on(invalid).find_project().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidProject, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn base_url_with_a_password_is_not_shown() {
        let url = "https://jane:canary@example.com/".parse().unwrap();
        let shown = format!("{:?}", EarthEngine::builder().base_url(url));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[tokio::test]
    async fn invalid_credentials_matter_only_if_they_could_have_a_project() {
        let broken = Environment::empty().with_var("EARTHENGINE_TOKEN", "{}");
        let named = broken.clone().with_var("EE_PROJECT_ID", "my-project");
        assert!(on(named).find_project().await.is_ok());
        let later = broken.with_var("GOOGLE_CLOUD_PROJECT", "my-project");
        let error = on(later).find_project().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCredentials);
    }
}
