//! The search for credentials.

pub(crate) mod account;
pub(crate) mod config;
pub(crate) mod environment;
mod failure;
pub(crate) mod gcloud_config;
pub(crate) mod nearby;
pub(crate) mod program;
pub(crate) mod project;
pub(crate) mod step;

use std::path::{Path, PathBuf};
use std::pin::Pin;

use ee_token::internal::{PrintablePath, display_path};
use ee_token::{Remedy, SecretString};

use crate::discovery::account::ACCOUNT;
use crate::discovery::failure::{
    invalid_credentials, no_allowed_credentials, no_credentials, not_in_location,
};
use crate::discovery::step::{SearchOutcome, SearchStep};
use crate::input::file::{FileContents, Optional, read_async, read_optional, without_blocking};
use crate::input::location::Location;
use crate::input::misplaced::MisplacedInput;
use crate::input::path_setting::PathSetting;
use crate::input::quote::clipped;
use crate::input::restored::restored;
use crate::kinds;
use crate::kinds::account_name::AccountName;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::kinds::metadata_server::detection::{Detection, detect};
use crate::source::reloading::Reader;
use crate::{
    CredentialKind, CredentialOptions, CredentialSource, Credentials, Environment, Error,
    ErrorKind, Warning,
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

/// The result of one step.
enum Lookup {
    Found(Credentials),
    NotFound(String),
    /// No credentials, why, and a warning about the source.
    NotFoundWithWarning(String, Warning),
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

    /// Returns the file of a source.
    fn path(
        &self,
        origin: CredentialSource,
        account: Option<&AccountName>,
    ) -> Result<Option<PathBuf>, Error> {
        match origin {
            CredentialSource::Explicit => Ok(match &self.given {
                Some(Given::File(path)) => {
                    PathSetting::Argument.check(path)?;
                    Some(path.as_path().to_owned())
                }
                Some(Given::Credentials(credentials)) => credentials.path().map(Path::to_owned),
                _ => None,
            }),
            CredentialSource::Account => match account {
                Some(name) => Ok(Some(account::file_of(&self.environment, name)?)),
                None => Ok(None),
            },
            CredentialSource::EarthEngineFile => self.environment.earth_engine_credentials_file(),
            CredentialSource::EnvGoogleApplicationCredentials => {
                self.environment.application_credentials_file()
            }
            CredentialSource::GcloudAdc => self.environment.gcloud_adc_file(),
            _ => Ok(None),
        }
    }

    async fn check_source(
        &self,
        origin: CredentialSource,
        path: Option<&Path>,
    ) -> Result<Lookup, Error> {
        let location = match (origin, &self.given) {
            (CredentialSource::MetadataServer, _) => return self.metadata_server().await,
            (CredentialSource::Explicit, Some(Given::Json(_))) => Location::InMemory,
            (CredentialSource::EnvEarthEngineToken, _)
                if self.environment.raw(EARTHENGINE_TOKEN).is_some() =>
            {
                Location::Variable(EARTHENGINE_TOKEN)
            }
            (CredentialSource::Explicit, Some(Given::Credentials(_))) => {
                return self.check_local_source(origin, None);
            }
            _ => match path {
                Some(path) => file_of(origin, path),
                None => return self.check_local_source(origin, None),
            },
        };
        // JSON may contain the path of another file, which is read with it.
        let (search, path) = (self.clone(), path.map(Path::to_owned));
        let check = move |_: &Location| search.check_local_source(origin, path.as_deref());
        read_async(&location, check).await
    }

    /// Searches a source that needs no request. This may read a file.
    fn check_local_source(
        &self,
        origin: CredentialSource,
        path: Option<&Path>,
    ) -> Result<Lookup, Error> {
        match origin {
            CredentialSource::Explicit => self.given(),
            CredentialSource::Account => self.account_file(path),
            CredentialSource::EnvEarthEngineToken => self.earthengine_token(),
            CredentialSource::EarthEngineFile => self.earth_engine_file(path),
            CredentialSource::EnvGoogleApplicationCredentials => {
                self.application_credentials_file(path)
            }
            CredentialSource::GcloudAdc => self.gcloud_adc(path),
            CredentialSource::MetadataServer | CredentialSource::InMemory => {
                Ok(Lookup::NotFound("not a local source".into()))
            }
        }
    }

    fn given(&self) -> Result<Lookup, Error> {
        let credentials = match &self.given {
            None => return Ok(Lookup::NotFound("not set".into())),
            // These have an origin of their own.
            Some(Given::Credentials(credentials)) => {
                return Ok(Lookup::Found(credentials.clone()));
            }
            Some(Given::File(path)) => Credentials::from_file(path.as_path(), &self.options)?,
            Some(Given::Json(text)) => Credentials::from_json(text.expose_secret(), &self.options)?,
        };
        Ok(found(credentials, CredentialSource::Explicit))
    }

    /// `EARTHENGINE_TOKEN`: the JSON of a credential of any kind, or a refresh token of Earth
    /// Engine's client.
    fn earthengine_token(&self) -> Result<Lookup, Error> {
        let Some(text) = self.environment.try_var(EARTHENGINE_TOKEN)? else {
            return Ok(self.not_set(EARTHENGINE_TOKEN));
        };
        let location = Location::Variable(EARTHENGINE_TOKEN);
        let restored = restored(text);
        let credential = match MisplacedInput::identify(&restored) {
            None => kinds::load(&restored, &location, &self.options)?,
            Some(MisplacedInput::RefreshToken) => {
                EarthEngineFile::from_refresh_token(&restored).load(&location, &self.options)?
            }
            Some(MisplacedInput::OtherText) => {
                return Err(location
                    .invalid("it is neither JSON nor a refresh token")
                    .with_remedy(Remedy::new(
                        "Set it to the contents of a service account's key file or of a file that a login has written, or to the refresh token in Earth Engine's file. A refresh token that does not start with 1// can be written as {\"refresh_token\": \"…\"}.",
                    )));
            }
            Some(other) => return Err(other.into_error(&location)),
        };
        let credentials = Credentials::from_text(credential, text, location, &self.options);
        Ok(found(credentials, CredentialSource::EnvEarthEngineToken))
    }

    /// Earth Engine's login file, if it contains a login.
    fn earth_engine_file(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        let Some(path) = path else {
            return Ok(home_is_unknown());
        };
        let Some(location) = self.environment.earth_engine_location()? else {
            return Ok(home_is_unknown());
        };
        let file = match read_optional(&location)? {
            Optional::File(file) => file,
            Optional::Missing => return Ok(does_not_exist(path)),
            Optional::Inaccessible(warning) => return Ok(skipped(warning)),
        };
        let contents = EarthEngineFile::read(&file.text, &location)?;
        let warnings = contents.warnings(&location);
        if !contents.has_credentials() {
            let why = format!("{} contains no login", display_path(path));
            return Ok(match warnings.into_iter().next() {
                Some(warning) => Lookup::NotFoundWithWarning(why, warning),
                None => Lookup::NotFound(why),
            });
        }
        let credentials = self.login_in(file, location, warnings)?;
        Ok(found(credentials, CredentialSource::EarthEngineFile))
    }

    /// The file of the named account, which must contain a login.
    fn account_file(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        let Some(path) = path else {
            return Ok(self.not_set(ACCOUNT));
        };
        let location = Location::file(path);
        let (file, warnings) = account::read_login(&location)?;
        let credentials = self.login_in(file, location, warnings)?;
        Ok(found(credentials, CredentialSource::Account))
    }

    /// Creates the credentials of a login file.
    fn login_in(
        &self,
        file: FileContents,
        location: Location,
        warnings: Vec<Warning>,
    ) -> Result<Credentials, Error> {
        let reader: Reader = |text, location, options| {
            EarthEngineFile::read(text, location)?.load(location, options)
        };
        let credentials = Credentials::from_file_contents(file, location, reader, &self.options)?;
        Ok(warnings
            .into_iter()
            .fold(credentials, Credentials::with_warning))
    }

    /// The file in `GOOGLE_APPLICATION_CREDENTIALS`, which must exist.
    fn application_credentials_file(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        const ORIGIN: CredentialSource = CredentialSource::EnvGoogleApplicationCredentials;
        let Some(path) = path else {
            return Ok(self.not_set(APPLICATION_CREDENTIALS));
        };
        let location = file_of(ORIGIN, path);
        let credentials = Credentials::from_location(location, &self.options)?;
        Ok(found(credentials, ORIGIN))
    }

    /// The file of `gcloud auth application-default login`.
    fn gcloud_adc(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        let Some(path) = path else {
            return Ok(home_is_unknown());
        };
        let location = Location::file(path);
        let file = match read_optional(&location)? {
            Optional::File(file) => file,
            Optional::Missing => return Ok(does_not_exist(path)),
            Optional::Inaccessible(warning) => return Ok(skipped(warning)),
        };
        let credentials =
            Credentials::from_file_contents(file, location, kinds::load, &self.options)?;
        Ok(found(credentials, CredentialSource::GcloudAdc))
    }

    async fn metadata_server(&self) -> Result<Lookup, Error> {
        match detect(&self.environment, &self.options).await? {
            Detection::NotFound(why) => Ok(Lookup::NotFound(why.into())),
            Detection::Server(server) => {
                self.options
                    .reject_subject(CredentialKind::MetadataServer)?;
                Ok(Lookup::Found(Credentials::from_metadata_server(
                    server,
                    &self.options,
                )))
            }
        }
    }

    fn not_set(&self, variable: &str) -> Lookup {
        Lookup::NotFound(match self.environment.raw(variable) {
            Some(_) => "set, but empty".to_owned(),
            None => "not set".to_owned(),
        })
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

fn found(credentials: Credentials, origin: CredentialSource) -> Lookup {
    Lookup::Found(credentials.with_origin(origin))
}

fn skipped(warning: Warning) -> Lookup {
    Lookup::NotFoundWithWarning(warning.message.clone(), warning)
}

fn home_is_unknown() -> Lookup {
    Lookup::NotFound("the home directory is unknown".into())
}

fn does_not_exist(path: &Path) -> Lookup {
    Lookup::NotFound(format!("{} does not exist", display_path(path)))
}

fn file_of(origin: CredentialSource, path: &Path) -> Location {
    match origin {
        CredentialSource::EnvGoogleApplicationCredentials => {
            Location::named(path, APPLICATION_CREDENTIALS)
        }
        _ => Location::file(path),
    }
}

#[cfg(test)]
mod tests;
