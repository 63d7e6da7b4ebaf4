//! From options to credentials, a project and a verified client.

use std::pin::Pin;
use std::time::Instant;

use ee_credentials::internal::{network_settings, with_account, without_blocking};
use ee_credentials::{Credentials, Environment, FoundCredentials, Search};
use ee_rest::internal::with_project_origin;
use ee_rest::{Auth, Client, ClientBuilder};
use ee_token::internal::open_ahead;
use ee_token::{Endpoints, HttpClient};
use url::Url;

use super::{ClientOption, EarthEngineBuilder};
use crate::earth_engine::{ConnectStats, Inner};
use crate::project::check_project;
use crate::project::resolve::{ProjectInputs, resolve};
use crate::project::suggest::add_suggestions;
use crate::scope_check;
use crate::verify::{Verified, VerifyLevel, verify};
use crate::{EarthEngine, Error, ErrorKind, Project};

impl EarthEngineBuilder {
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
