//! The search for credentials.

pub(crate) mod config;
pub(crate) mod environment;
pub(crate) mod gcloud_config;
pub(crate) mod program;
pub(crate) mod project;
pub(crate) mod step;

use std::path::{Path, PathBuf};

use ee_token::internal::{PrintablePath, display_path};
use ee_token::{Remedy, SecretString};

use crate::discovery::step::{FailedSearch, SearchOutcome, SearchStep};
use crate::input::file::{read_async, read_if_there};
use crate::input::location::Location;
use crate::input::misplaced::MisplacedInput;
use crate::input::path_setting::PathSetting;
use crate::kinds;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::kinds::metadata_server::{self, Detection};
use crate::kinds::oauth_clients::{EARTH_ENGINE_LOGIN, GCLOUD_LOGIN};
use crate::source::reloading::Reader;
use crate::{
    CredentialKind, CredentialOptions, CredentialSource, Credentials, Environment, Error,
    ErrorKind, Warning,
};

/// The order of the search. The first source with credentials, valid or not, ends it.
const ORDER: [CredentialSource; 6] = [
    CredentialSource::Explicit,
    CredentialSource::EnvEarthEngineToken,
    CredentialSource::EarthEngineFile,
    CredentialSource::EnvGoogleApplicationCredentials,
    CredentialSource::GcloudAdc,
    CredentialSource::MetadataServer,
];

const EARTHENGINE_TOKEN: &str = "EARTHENGINE_TOKEN";
const APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// A search for credentials in an [`Environment`].
///
/// The sources are, in this order: the caller's credentials, `EARTHENGINE_TOKEN`, Earth Engine's
/// login file, the file in `GOOGLE_APPLICATION_CREDENTIALS`, gcloud's file, and the metadata server.
/// An invalid file ends the search with an error, because the next source may belong to another
/// account.
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
pub struct Found {
    /// The credentials.
    pub credentials: Credentials,
    /// The steps of the search, in its order.
    pub searched: Vec<SearchStep>,
}

/// The result of one step.
enum Lookup {
    Found(Credentials),
    NotFound(String),
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
    pub async fn find(&self) -> Result<Found, Error> {
        let mut searched = Vec::with_capacity(ORDER.len());
        let mut end = None;
        for origin in ORDER {
            let mut step = SearchStep {
                name: origin.as_str(),
                outcome: SearchOutcome::Skipped,
                path: None,
            };
            if end.is_none() {
                let lookup = match self.path(origin) {
                    Ok(path) => {
                        step.path = path;
                        self.check_source(origin, step.path.as_deref()).await
                    }
                    Err(error) => Err(error),
                };
                step.outcome = match lookup {
                    Ok(Lookup::NotFound(why)) => SearchOutcome::NotFound(why),
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
            Some(Ok((origin, credentials))) => Ok(Found {
                credentials: self.warn_about_ignored_variable(origin, credentials),
                searched,
            }),
            Some(Err(error)) => Err(invalid_credentials(error, searched)),
            None => Err(no_credentials(searched)),
        }
    }

    /// Searches one source.
    pub(crate) async fn check_only(&self, origin: CredentialSource) -> Result<Credentials, Error> {
        let path = self.path(origin)?;
        match self.check_source(origin, path.as_deref()).await? {
            Lookup::Found(credentials) => Ok(credentials),
            Lookup::NotFound(why) => Err(Error::new(
                ErrorKind::NoCredentials,
                format!("no credentials were found in {origin}: {why}"),
            )
            .with_remedy(Remedy::new(
                "Put the credentials on this machine where the configuration says.",
            ))),
        }
    }

    /// Returns the file of a source.
    fn path(&self, origin: CredentialSource) -> Result<Option<PathBuf>, Error> {
        match origin {
            CredentialSource::Explicit => Ok(match &self.given {
                Some(Given::File(path)) => {
                    PathSetting::Argument.check(path)?;
                    Some(path.as_path().to_owned())
                }
                Some(Given::Credentials(credentials)) => credentials.path().map(Path::to_owned),
                _ => None,
            }),
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
            return Ok(Lookup::NotFound("not set".into()));
        };
        let location = Location::Variable(EARTHENGINE_TOKEN);
        let is_one_word = text.len() < 2048 && text.bytes().all(|b| b.is_ascii_graphic());
        let credential = match MisplacedInput::identify(text) {
            None => kinds::load(text, &location, &self.options)?,
            // Google does not specify the prefix of refresh tokens.
            Some(MisplacedInput::RefreshToken | MisplacedInput::OtherText) if is_one_word => {
                EarthEngineFile::from_refresh_token(text).load(&location, &self.options)?
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
        let location = Location::file(path);
        let Some(file) = read_if_there(&location)? else {
            return Ok(does_not_exist(path));
        };
        let contents = EarthEngineFile::read(&file.text, &location)?;
        if !contents.has_login() {
            let why = format!("{} contains no login", display_path(path));
            return Ok(Lookup::NotFound(why));
        }
        let reader: Reader = |text, location, options| {
            EarthEngineFile::read(text, location)?.load(location, options)
        };
        let credentials = Credentials::from_file_contents(file, location, reader, &self.options)?;
        let credentials = match contents.warning() {
            Some(warning) => credentials.with_warning(warning),
            None => credentials,
        };
        Ok(found(credentials, CredentialSource::EarthEngineFile))
    }

    /// The file in `GOOGLE_APPLICATION_CREDENTIALS`, which must exist.
    fn application_credentials_file(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        const ORIGIN: CredentialSource = CredentialSource::EnvGoogleApplicationCredentials;
        let Some(path) = path else {
            return Ok(Lookup::NotFound("not set".into()));
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
        let Some(file) = read_if_there(&location)? else {
            return Ok(does_not_exist(path));
        };
        let credentials =
            Credentials::from_file_contents(file, location, kinds::load, &self.options)?;
        Ok(found(credentials, CredentialSource::GcloudAdc))
    }

    async fn metadata_server(&self) -> Result<Lookup, Error> {
        match metadata_server::detect(&self.environment, &self.options).await? {
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

    /// Adds a warning if `GOOGLE_APPLICATION_CREDENTIALS` is set and an earlier source was used.
    fn warn_about_ignored_variable(
        &self,
        used: CredentialSource,
        credentials: Credentials,
    ) -> Credentials {
        let is_ignored = matches!(
            used,
            CredentialSource::EnvEarthEngineToken | CredentialSource::EarthEngineFile
        ) && self.environment.is_set(APPLICATION_CREDENTIALS);
        if !is_ignored {
            return credentials;
        }
        let used = match credentials.path() {
            Some(path) => format!("the login in {}", display_path(path)),
            None => format!("the variable {EARTHENGINE_TOKEN}"),
        };
        credentials.with_warning(Warning::new(
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

fn home_is_unknown() -> Lookup {
    Lookup::NotFound("the home directory is unknown".into())
}

fn does_not_exist(path: &Path) -> Lookup {
    Lookup::NotFound(format!("{} does not exist", display_path(path)))
}

fn file_of(origin: CredentialSource, path: &Path) -> Location {
    let is_named = origin == CredentialSource::EnvGoogleApplicationCredentials;
    Location::File {
        path: path.to_owned().into(),
        named_by: is_named.then_some(APPLICATION_CREDENTIALS),
    }
}

/// Adds the steps of the search to the error that ended it.
fn invalid_credentials(error: Error, steps: Vec<SearchStep>) -> Error {
    error.clone().with_source(FailedSearch {
        steps,
        cause: Some(Box::new(error)),
    })
}

fn no_credentials(steps: Vec<SearchStep>) -> Error {
    Error::new(ErrorKind::NoCredentials, "no Google credentials were found")
        .with_remedy(
            Remedy::new(format!(
                "Log in with `{EARTH_ENGINE_LOGIN}` or `{GCLOUD_LOGIN}`, or set {APPLICATION_CREDENTIALS} to the path of a service account key."
            ))
            .command(EARTH_ENGINE_LOGIN)
            .url("https://developers.google.com/earth-engine/guides/auth"),
        )
        .with_source(FailedSearch { steps, cause: None })
}

#[cfg(test)]
mod tests;
