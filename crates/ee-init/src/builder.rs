//! From nothing to a verified client: two requests, one for the token, one for the project.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ee_credentials::internal::without_blocking;
use ee_credentials::{CredentialOptions, Credentials, Environment, Found, Search};
use ee_rest::{Auth, Client, ClientBuilder};
use ee_token::{HttpClient, PrintablePath, RetryPolicy, Scopes, SecretString};
use url::Url;

use crate::earth_engine::Inner;
use crate::project::check_project;
use crate::project::resolve::{Places, resolve};
use crate::project::suggest::add_suggestions;
use crate::refusal::ErrorContext;
use crate::scope_check;
use crate::verify::{Verified, VerifyLevel, verify_with_patience};
use crate::{EarthEngine, Error, ErrorKind, Project};

/// How [`EarthEngine::connect`](EarthEngineBuilder::connect) goes about it. Nothing needs to be set:
/// what is not is found where the other clients find it.
///
/// ```no_run
/// # async fn f() -> Result<(), ee_init::Error> {
/// let ee = ee_init::EarthEngine::builder()
///     .project("my-project")
///     .connect()
///     .await?;
/// # let _ = ee; Ok(()) }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct EarthEngineBuilder {
    credentials: Option<Credentials>,
    credentials_file: Option<PrintablePath>,
    credentials_json: Option<SecretString>,
    api_key: Option<SecretString>,
    project: Option<String>,
    scopes: Option<Scopes>,
    subject: Option<String>,
    self_signed_jwt: bool,
    allowed_hosts: Vec<String>,
    service_account_email: Option<String>,
    impersonate: Option<String>,
    gdch_audience: Option<String>,
    environment: Option<Environment>,
    endpoints: Option<ee_token::Endpoints>,
    base_url: Option<BaseUrl>,
    high_volume: bool,
    http_client: Option<Result<HttpClient, ee_token::Error>>,
    user_agent: Option<String>,
    timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
    verify: VerifyLevel,
    patience: Duration,
    requests: Option<Requests>,
    #[cfg(feature = "disk-cache")]
    token_cache: bool,
}

/// Shows its host alone: a name and a password can stand before it.
struct BaseUrl(Url);

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.host_str().fmt(f)
    }
}

/// What else the program wants of the request layer.
struct Requests(Box<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests(..)")
    }
}

/// What connecting cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectStats {
    /// The requests that were sent, retries included.
    pub requests: u64,
    /// The time from the call to the verified client.
    pub elapsed: Duration,
}

impl EarthEngineBuilder {
    /// These credentials, instead of a search.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The credentials in this file, of any type that Application Default Credentials know.
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials_file = Some(PrintablePath::from(path));
        self
    }

    /// The credentials in this text, such as a service account's key from a secret store.
    pub fn credentials_json(mut self, json: impl Into<SecretString>) -> Self {
        self.credentials_json = Some(json.into());
        self
    }

    /// An API key. With credentials as well, both are sent; the key's project must then be
    /// the credentials' project. Without, nothing else is searched for.
    pub fn api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The Cloud project to route requests through and bill them to, as an id or a number.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The scopes to ask for; [`Scopes::earth_engine`] otherwise.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// The person that a service account acts for (domain-wide delegation).
    pub fn subject(mut self, email: impl Into<String>) -> Self {
        self.subject = Some(email.into());
        self
    }

    /// Lets a service account sign its own access tokens, without a token request.
    pub fn self_signed_jwt(mut self, yes: bool) -> Self {
        self.self_signed_jwt = yes;
        self
    }

    /// Allows credential files to send requests to this host, given as `HOST` or `HOST:PORT`, with
    /// any path. Google's and AWS's own token services need no permission.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Which of a machine's service accounts to use, by its address; its default one otherwise.
    pub fn service_account_email(mut self, email: impl Into<String>) -> Self {
        self.service_account_email = Some(email.into());
        self
    }

    /// The service that a token of Google Distributed Cloud is for. Other kinds of credentials
    /// take no notice.
    pub fn gdch_audience(mut self, audience: impl Into<String>) -> Self {
        self.gdch_audience = Some(audience.into());
        self
    }

    /// Acts as this service account, through whatever credentials are given or found. They need
    /// the role Service Account Token Creator on it.
    pub fn impersonate(mut self, email: impl Into<String>) -> Self {
        self.impersonate = Some(email.into());
        self
    }

    /// The environment to search instead of the process's own.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Looks at nothing but what this builder was given: no variables, no files, no metadata
    /// server. For servers that work for many people.
    pub fn isolated(self) -> Self {
        self.environment(Environment::empty())
    }

    /// Other hosts than Google's; an emulator's, for example.
    pub fn endpoints(mut self, endpoints: ee_token::Endpoints) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// The base URL of the Earth Engine API alone, as the Python client's `url`.
    pub fn base_url(mut self, url: Url) -> Self {
        self.base_url = Some(BaseUrl(url));
        self
    }

    /// Uses the endpoint for many small requests at once.
    pub fn high_volume(mut self, yes: bool) -> Self {
        self.high_volume = yes;
        self
    }

    /// A connection pool of the program's own, with its proxies, roots and time-outs. It
    /// follows no redirects ([`HttpClient::from_reqwest_builder`] says why).
    pub fn http_client(mut self, client: reqwest::ClientBuilder) -> Self {
        // Where it leads is known once everything is.
        let elsewhere = ee_token::Endpoints::google();
        self.http_client = Some(HttpClient::from_reqwest_builder(client, elsewhere));
        self
    }

    /// A name to put in front of the user agent: `my-program/1.0`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// How long one attempt of a request may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How requests that failed for the moment are sent again.
    pub fn retry_policy(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets what the request layer can do and this builder has no method for: limits, deadlines,
    /// workload tags, profiling, signals ([`ClientBuilder`]).
    ///
    /// ```
    /// # use ee_init::EarthEngine;
    /// let builder = EarthEngine::builder()
    ///     .configure_client(|requests| requests.max_concurrent_requests(10).workload_tag("nightly"));
    /// ```
    pub fn configure_client(
        mut self,
        configure: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.requests = Some(Requests(Box::new(configure)));
        self
    }

    /// How far the project is verified; by reading its configuration if nothing is said.
    pub fn verify(mut self, level: VerifyLevel) -> Self {
        self.verify = level;
        self
    }

    /// Keeps access tokens in the user's cache folder for the next start of the program
    /// ([`ee_credentials::DiskTokenCache`]), which then needs one request instead of two.
    #[cfg(feature = "disk-cache")]
    pub fn disk_cache(mut self, yes: bool) -> Self {
        self.token_cache = yes;
        self
    }

    /// Finds credentials, gets a token, chooses the project and verifies it.
    ///
    /// # Errors
    /// What is wrong with the credentials ([`ErrorKind::is_credential_error`](crate::ErrorKind::is_credential_error)), with the
    /// project ([`ErrorKind::is_project_error`](crate::ErrorKind::is_project_error)) or with the network. Everything that can
    /// be known without a request is checked before the first.
    pub async fn connect(self) -> Result<EarthEngine, Error> {
        let started = Instant::now();
        // What was misspelt is said before anything is looked for.
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let environment = self.surroundings();
        let (http, mut found) = self.find(&environment).await?;
        let project = resolve(&Places {
            given: self.project.as_deref(),
            environment: &environment,
            credentials: Some(&found.credentials),
        })
        .await?;
        // What is wrong with the settings costs no token.
        let client = self.client(&http, &found.credentials, &project.id)?;
        if self.verify != VerifyLevel::Skip {
            found.credentials = scope_check::check(found.credentials).await?;
        }
        let context = ErrorContext {
            project: Some(project.id.clone()),
            principal: found.credentials.principal().map(str::to_owned),
        };
        let verified =
            verify_with_patience(self.verify, &client, &project.id, &context, self.patience).await;
        let Verified {
            registration,
            init_message,
        } = match verified {
            Ok(verified) => verified,
            Err(error) => {
                return Err(add_suggestions(error, &context, &http, &found.credentials).await);
            }
        };
        tracing::debug!(project = %project.id, source = %project.source, %registration, "connected");
        Ok(EarthEngine::new(Inner {
            client,
            credentials: found.credentials,
            searched: found.searched,
            project,
            registration,
            init_message,
            context,
            effort: ConnectStats {
                requests: http.request_count(),
                elapsed: started.elapsed(),
            },
        }))
    }

    /// [`EarthEngineBuilder::connect`], and where what is wrong with the project passes by itself, again
    /// until it has passed or the patience is over. An API that was just enabled, a role that was
    /// just granted, a project that was just registered take a few minutes to be known
    /// everywhere ([`ErrorKind::may_resolve_after_propagation`](crate::ErrorKind::may_resolve_after_propagation)).
    ///
    /// A server that fails for a moment meanwhile does not end the wait. Any patience is good,
    /// [`Duration::MAX`] too.
    ///
    /// # Errors
    /// As [`EarthEngineBuilder::connect`]; the last refusal, if it has not passed.
    pub async fn connect_with_patience(mut self, patience: Duration) -> Result<EarthEngine, Error> {
        self.patience = patience;
        self.connect().await
    }

    /// Finds the credentials alone, without a token and without a project.
    ///
    /// # Errors
    /// [`NoCredentials`](crate::ErrorKind::NoCredentials) or
    /// [`InvalidCredentials`](crate::ErrorKind::InvalidCredentials); others if the
    /// environment cannot be used.
    pub async fn find_credentials(self) -> Result<Found, Error> {
        let (_, found) = self.find(&self.surroundings()).await?;
        Ok(found)
    }

    /// Chooses the project, and verifies nothing. Credentials are looked for only if no place
    /// before them names a project, and need not be found.
    ///
    /// # Errors
    /// [`ErrorKind::NoProject`](crate::ErrorKind::NoProject),
    /// [`ErrorKind::SdkProject`](crate::ErrorKind::SdkProject) or
    /// [`ErrorKind::InvalidProject`](crate::ErrorKind::InvalidProject); what is wrong with a
    /// file or the credentials that could have named one.
    pub async fn find_project(self) -> Result<Project, Error> {
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        let environment = self.surroundings();
        let places = Places {
            given: self.project.as_deref(),
            environment: &environment,
            credentials: None,
        };
        let without = resolve(&places).await;
        if matches!(&without, Ok(project) if project.source.is_before_credentials()) {
            return without;
        }
        match self.find(&environment).await {
            Ok((_, found)) => {
                resolve(&Places {
                    credentials: Some(&found.credentials),
                    ..places
                })
                .await
            }
            Err(error) if error.kind() == ErrorKind::NoCredentials => without,
            Err(error) => match without {
                // Both are wrong, and the project is what was asked about.
                Err(misspelt) if misspelt.kind() == ErrorKind::InvalidProject => Err(misspelt),
                _ => Err(error),
            },
        }
    }

    pub(crate) fn surroundings(&self) -> Environment {
        self.environment
            .clone()
            .unwrap_or_else(Environment::current)
    }

    /// The credentials and the way out: what was given, else what the search finds.
    pub(crate) async fn find(
        &self,
        environment: &Environment,
    ) -> Result<(HttpClient, Found), Error> {
        if !self.has_own_http_client() {
            environment.check_certificate_paths()?;
        }
        let http = self.http(self.hosts(environment)?)?;
        let found = self.search(environment, &http).await?;
        Ok((http, found))
    }

    pub(crate) fn hosts(&self, environment: &Environment) -> Result<ee_token::Endpoints, Error> {
        match &self.endpoints {
            Some(endpoints) => Ok(endpoints.clone()),
            None => Ok(environment.endpoints()?),
        }
    }

    pub(crate) fn has_own_http_client(&self) -> bool {
        self.http_client.is_some()
    }

    pub(crate) fn http(&self, endpoints: ee_token::Endpoints) -> Result<HttpClient, Error> {
        let http = match &self.http_client {
            Some(client) => client.clone()?.with_endpoints(endpoints),
            None => HttpClient::new(endpoints),
        };
        Ok(http.with_separate_counter())
    }

    /// Where requests to Earth Engine go, whoever sends them.
    pub(crate) fn earth_engine_url(&self, http: &HttpClient) -> Result<Url, Error> {
        // A client must be somebody's; this one asks for nothing.
        let nobody = Auth::api_key("nobody".into());
        let client = self.requests_of(nobody, http).build()?;
        Ok(client.base_url().clone())
    }

    pub(crate) async fn search(
        &self,
        environment: &Environment,
        http: &HttpClient,
    ) -> Result<Found, ee_credentials::Error> {
        let mut options =
            CredentialOptions::new(http.clone()).self_signed_jwt(self.self_signed_jwt);
        if let Some(scopes) = &self.scopes {
            options = options.scopes(scopes.clone());
        }
        if let Some(subject) = &self.subject {
            options = options.subject(subject);
        }
        for host in &self.allowed_hosts {
            options = options.allow_host(host);
        }
        if let Some(email) = &self.service_account_email {
            options = options.service_account_email(email);
        }
        if let Some(audience) = &self.gdch_audience {
            options = options.gdch_audience(audience);
        }
        #[cfg(feature = "disk-cache")]
        if self.token_cache {
            options = options.disk_cache(ee_credentials::DiskTokenCache::open(environment)?);
        }
        let search = Search::new(environment.clone(), options.clone());
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
        let mut found = search.find().await?;
        if let Some(email) = &self.impersonate {
            let step = found.credentials.impersonate(email);
            let path = found.credentials.path().map(ToOwned::to_owned);
            found.credentials = without_blocking(path, move || step.build(&options)).await?;
        }
        Ok(found)
    }

    /// The project that the caller named.
    pub(crate) fn given_project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    pub(crate) fn client(
        &self,
        http: &HttpClient,
        credentials: &Credentials,
        project: &str,
    ) -> Result<Client, ee_rest::Error> {
        self.client_builder(http, credentials)
            .project(project)
            .build()
    }

    /// A client of no project: each request names its own.
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
        self.requests_of(auth, http)
    }

    fn requests_of(&self, auth: Auth, http: &HttpClient) -> ClientBuilder {
        let mut client = Client::builder(auth, http.clone()).high_volume(self.high_volume);
        if let Some(BaseUrl(url)) = &self.base_url {
            client = client.base_url(url.clone());
        }
        if let Some(user_agent) = &self.user_agent {
            client = client.user_agent(user_agent);
        }
        if let Some(timeout) = self.timeout {
            client = client.timeout(timeout);
        }
        if let Some(retry) = &self.retry {
            client = client.retry_policy(retry.clone());
        }
        match &self.requests {
            Some(Requests(configure)) => configure(client),
            None => client,
        }
    }
}

#[cfg(test)]
mod tests {
    use ee_token::Endpoints;

    use super::*;
    use crate::ProjectSource;

    fn on(environment: Environment) -> EarthEngineBuilder {
        // Nobody listens here: nothing may be asked.
        let endpoints = Endpoints::emulator("127.0.0.1:9".parse().unwrap()).unwrap();
        EarthEngine::builder()
            .environment(environment)
            .endpoints(endpoints)
    }

    #[tokio::test]
    async fn the_project_is_found_without_credentials_and_without_a_request() {
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
    async fn a_misspelt_project_is_told_whatever_is_wrong_with_the_credentials() {
        let broken = Environment::empty().with_var("EARTHENGINE_TOKEN", "{}");
        for name in ["EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT"] {
            let misspelt = broken.clone().with_var(name, "My Project");
            let error = on(misspelt).find_project().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidProject, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_base_urls_password_is_not_shown() {
        let url = "https://jane:canary@example.com/".parse().unwrap();
        let shown = format!("{:?}", EarthEngine::builder().base_url(url));
        assert!(shown.contains("example.com"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[tokio::test]
    async fn broken_credentials_matter_only_if_they_could_have_named_the_project() {
        let broken = Environment::empty().with_var("EARTHENGINE_TOKEN", "{}");
        let named = broken.clone().with_var("EE_PROJECT_ID", "my-project");
        assert!(on(named).find_project().await.is_ok());
        let later = broken.with_var("GOOGLE_CLOUD_PROJECT", "my-project");
        let error = on(later).find_project().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCredentials);
    }
}
