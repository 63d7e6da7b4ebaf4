//! The search for credentials.

pub(crate) mod account;
pub(crate) mod config;
pub(crate) mod environment;
mod failure;
pub(crate) mod gcloud_config;
pub(crate) mod nearby;
pub(crate) mod program;
pub(crate) mod project;
mod sources;
pub(crate) mod step;

use std::path::PathBuf;
use std::pin::Pin;

use ee_token::internal::{PrintablePath, display_path};
use ee_token::{Remedy, SecretString};

use crate::discovery::failure::{
    invalid_credentials, no_allowed_credentials, no_credentials, not_in_location,
};
use crate::discovery::sources::Lookup;
use crate::discovery::step::{SearchOutcome, SearchStep};
use crate::input::file::without_blocking;
use crate::input::quote::clipped;
use crate::kinds::account_name::AccountName;
use crate::{
    CredentialOptions, CredentialSource, Credentials, Environment, Error, ErrorKind, Warning,
};

const EARTHENGINE_TOKEN: &str = "EARTHENGINE_TOKEN";
const APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The sources to which the search is restricted, separated by commas.
const CREDENTIALS_SOURCE: &str = "EARTHENGINE_CREDENTIALS_SOURCE";

/// A search for credentials in an [`Environment`].
///
/// The sources are, in this order: the caller's credentials, the account that the caller or
/// `EARTHENGINE_ACCOUNT` names, `EARTHENGINE_TOKEN`, Earth Engine's login file, the file in
/// `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's file, and the metadata server. A named account that
/// does not exist is an error.
///
/// An invalid file ends the search with an error, because the next source may belong to another
/// account. A file that cannot be reached, because of a directory above it for example, is skipped
/// with a warning. `EARTHENGINE_CREDENTIALS_SOURCE` restricts the search to some of these sources.
///
/// ```
/// use ee_credentials::{CredentialOptions, Environment, ErrorKind, Search};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_credentials::Error> {
/// let search = Search::new(Environment::empty(), CredentialOptions::default());
/// let error = search.find().await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NoCredentials);
/// for step in error.search_steps() {
///     println!("{step}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Search {
    environment: Environment,
    options: CredentialOptions,
    given: Option<Given>,
    /// The name of an account, which is validated by the search.
    account: Option<String>,
    sources: Option<Vec<CredentialSource>>,
}

/// Credentials from the caller.
#[derive(Debug, Clone)]
enum Given {
    Credentials(Credentials),
    File(PrintablePath),
    Json(SecretString),
}

/// The result of a [`Search`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FoundCredentials {
    /// The credentials.
    pub credentials: Credentials,
    /// The steps of the search, in its order.
    pub searched: Vec<SearchStep>,
}

impl Credentials {
    /// Searches the environment of this process, with default options.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), ee_credentials::Error> {
    /// let token = ee_credentials::Credentials::find_default().await?.token().await?;
    /// # let _ = token; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Search::find`] and [`Environment::endpoints`].
    pub async fn find_default() -> Result<Self, Error> {
        let environment = Environment::current();
        let http = ee_token::HttpClient::new(environment.endpoints()?);
        let search = Search::new(environment, CredentialOptions::new(http));
        Ok(search.find().await?.credentials)
    }
}

impl Search {
    /// Creates a search of this environment.
    pub fn new(environment: Environment, mut options: CredentialOptions) -> Self {
        options
            .environment
            .get_or_insert_with(|| environment.clone());
        Self {
            environment,
            options,
            given: None,
            account: None,
            sources: None,
        }
    }

    /// Uses these credentials and no other source.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.given = Some(Given::Credentials(credentials));
        self
    }

    /// Uses the credentials in this file and no other source.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.given = Some(Given::File(PrintablePath::from(path)));
        self
    }

    /// Uses the credentials in this JSON and no other source.
    #[must_use]
    pub fn with_json(mut self, text: impl Into<SecretString>) -> Self {
        self.given = Some(Given::Json(text.into()));
        self
    }

    /// Uses the login of this [account](crate::AccountName) and no other source, whatever
    /// `EARTHENGINE_ACCOUNT` contains. An error together with other credentials from the caller.
    ///
    /// ```no_run
    /// use ee_credentials::{CredentialOptions, Environment, Search};
    ///
    /// let search = Search::new(Environment::current(), CredentialOptions::default())
    ///     .with_account("work");
    /// # let _ = search;
    /// ```
    #[must_use]
    pub fn with_account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
    }

    /// Searches only these sources, whatever `EARTHENGINE_CREDENTIALS_SOURCE` contains. An empty list
    /// stands for all. Credentials from the caller are always used.
    ///
    /// ```
    /// use ee_credentials::{CredentialOptions, CredentialSource, Environment, Search};
    ///
    /// let search = Search::new(Environment::current(), CredentialOptions::default())
    ///     .with_sources([CredentialSource::MetadataServer]);
    /// # let _ = search;
    /// ```
    #[must_use]
    pub fn with_sources(mut self, sources: impl IntoIterator<Item = CredentialSource>) -> Self {
        self.sources = Some(sources.into_iter().collect());
        self
    }

    /// Returns the sources to which the search is restricted.
    fn allowed_sources(&self) -> Result<Option<Vec<CredentialSource>>, Error> {
        if self.sources.is_some() || self.given.is_some() {
            return Ok(self.sources.clone());
        }
        let Some(names) = self.environment.try_var(CREDENTIALS_SOURCE)? else {
            return Ok(None);
        };
        let names = names.split(',').map(str::trim);
        let sources: Result<_, Error> = names.map(str::parse).collect();
        sources.map(Some).map_err(|error| {
            let message = format!("the variable {CREDENTIALS_SOURCE}: {error}");
            Error::new(ErrorKind::InvalidEnvironment, message).with_cause(error)
        })
    }

    /// Returns the account to use. Credentials from the caller precede the variable.
    fn account(&self, is_allowed: bool) -> Result<Option<AccountName>, Error> {
        match (&self.account, &self.given) {
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::InvalidOptions,
                "an account and other credentials are given, and only one of them can be used",
            )
            .with_remedy(Remedy::new("Omit the account or the other credentials."))),
            (Some(name), None) => name.parse().map(Some),
            (None, Some(_)) => Ok(None),
            (None, None) => account::from_variable(&self.environment, is_allowed),
        }
    }

    /// Searches for credentials. No token is requested: the only requests are to the metadata
    /// server. Files are read outside of the runtime's worker threads.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`] if no source has credentials; the error of the first invalid
    /// ones; [`ErrorKind::Io`] if the system fails to read a file. [`Error::search_steps`] returns
    /// the steps of the search.
    ///
    /// # Panics
    /// If it has to wait on a tokio runtime without a time driver.
    pub async fn find(&self) -> Result<FoundCredentials, Error> {
        self.boxed().await
    }

    /// Boxed, so that the search is compiled here and not again in each crate that awaits it.
    fn boxed(&self) -> Pin<Box<dyn Future<Output = Result<FoundCredentials, Error>> + Send + '_>> {
        Box::pin(self.search())
    }

    async fn search(&self) -> Result<FoundCredentials, Error> {
        let allowed = self.allowed_sources()?;
        let allowed = allowed.as_deref().filter(|allowed| !allowed.is_empty());
        let is_allowed =
            |origin: CredentialSource| allowed.is_none_or(|allowed| allowed.contains(&origin));
        let account = self.account(is_allowed(CredentialSource::EarthEngineFile))?;
        let mut searched = Vec::with_capacity(CredentialSource::SEARCHED.len() + 2);
        let mut warnings = Vec::new();
        let mut end = None;
        let from_caller = [CredentialSource::Explicit].into_iter();
        let named = account.as_ref().map(|_| CredentialSource::Account);
        for origin in from_caller.chain(named).chain(CredentialSource::SEARCHED) {
            let mut step = SearchStep {
                source: origin,
                outcome: SearchOutcome::Skipped,
                path: None,
            };
            let is_searched = CredentialSource::SEARCHED.contains(&origin);
            if end.is_none() && is_searched && !is_allowed(origin) {
                step.outcome = SearchOutcome::NotFound(self.exclusion());
            } else if end.is_none() {
                let lookup = match self.path(origin, account.as_ref()) {
                    Ok(path) => {
                        step.path = path;
                        self.check_source(origin, step.path.as_deref()).await
                    }
                    Err(error) => Err(error),
                };
                step.outcome = match lookup {
                    Ok(Lookup::NotFound(why)) => SearchOutcome::NotFound(why),
                    Ok(Lookup::NotFoundWithWarning(why, warning)) => {
                        warnings.push(warning);
                        SearchOutcome::NotFound(why)
                    }
                    Ok(Lookup::Found(credentials)) => {
                        end = Some(Ok((origin, credentials)));
                        SearchOutcome::Found
                    }
                    Err(error) => {
                        let why = error.to_string();
                        end = Some(Err(error));
                        SearchOutcome::Invalid(why)
                    }
                };
            }
            tracing::debug!(%step, "searched for credentials");
            searched.push(step);
        }
        match end {
            Some(Ok((origin, credentials))) => {
                if is_allowed(CredentialSource::EnvGoogleApplicationCredentials) {
                    warnings.extend(self.ignored_variable(origin, &credentials));
                }
                let credentials = warnings
                    .into_iter()
                    .fold(credentials, Credentials::with_warning);
                Ok(FoundCredentials {
                    credentials,
                    searched,
                })
            }
            Some(Err(error)) => Err(invalid_credentials(error, searched)),
            None if allowed.is_some() => {
                let variable = self.sources.is_none().then_some(CREDENTIALS_SOURCE);
                Err(no_allowed_credentials(variable, searched))
            }
            None => {
                let environment = self.environment.clone();
                let unused = without_blocking(environment.gcloud_config_dir()?, move || {
                    Ok(nearby::unused(&environment))
                });
                // They are only a hint.
                let unused = unused.await.unwrap_or_default();
                Err(no_credentials(searched, warnings, unused))
            }
        }
    }

    /// Why a source is not searched.
    fn exclusion(&self) -> String {
        match (&self.sources, self.environment.var(CREDENTIALS_SOURCE)) {
            (None, Some(names)) => format!("excluded by {CREDENTIALS_SOURCE}={}", clipped(names)),
            _ => "excluded by the program".to_owned(),
        }
    }

    /// Searches one source.
    pub(crate) async fn check_only(&self, origin: CredentialSource) -> Result<Credentials, Error> {
        let account = match origin {
            CredentialSource::Account => self.account(true)?,
            _ => None,
        };
        let path = self.path(origin, account.as_ref())?;
        match self.check_source(origin, path.as_deref()).await? {
            Lookup::Found(credentials) => Ok(credentials),
            Lookup::NotFound(why) | Lookup::NotFoundWithWarning(why, _) => {
                Err(not_in_location(origin, &why))
            }
        }
    }

    /// Returns a warning if `GOOGLE_APPLICATION_CREDENTIALS` is set and an earlier source was used.
    fn ignored_variable(
        &self,
        used: CredentialSource,
        credentials: &Credentials,
    ) -> Option<Warning> {
        let is_ignored = matches!(
            used,
            CredentialSource::EnvEarthEngineToken | CredentialSource::EarthEngineFile
        ) && self.environment.is_set(APPLICATION_CREDENTIALS);
        let used = match credentials.path() {
            Some(path) => format!("the login in {}", display_path(path)),
            None => format!("the variable {EARTHENGINE_TOKEN}"),
        };
        is_ignored.then(|| Warning::new(
            "env_var_ignored",
            format!(
                "{APPLICATION_CREDENTIALS} is set and ignored: {used} takes precedence, as in the Python client"
            ),
            Remedy::new(format!(
                "To use {APPLICATION_CREDENTIALS}, remove the other credentials or pass the file explicitly. Otherwise unset the variable."
            )),
        ))
    }
}

#[cfg(test)]
mod tests;
