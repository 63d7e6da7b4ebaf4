//! The search for credentials: a list of places, read from top to bottom.

pub(crate) mod config;
pub(crate) mod environment;
pub(crate) mod gcloud_config;
pub(crate) mod program;

use std::fmt;
use std::path::{Path, PathBuf};

use ee_token::{PrintablePath, Remedy, SecretString, display_path};

use crate::input::file::{read_async, read_if_there};
use crate::input::location::Location;
use crate::input::misplaced::MisplacedInput;
use crate::input::path_setting::PathSetting;
use crate::kinds;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::kinds::metadata_server::{self, Detection};
use crate::kinds::oauth_clients::{EARTH_ENGINE_LOGIN, GCLOUD_LOGIN};
use crate::source::reloading;
use crate::{
    CredentialKind, CredentialOptions, CredentialSource, Credentials, Environment, Error,
    ErrorKind, Warning,
};

/// Where credentials are looked for, in this order. The first place that has any ends the
/// search, and so does the first that has broken ones.
const ORDER: [CredentialSource; 6] = [
    CredentialSource::Explicit,
    CredentialSource::EnvEarthEngineToken,
    CredentialSource::EarthEngineFile,
    CredentialSource::EnvGoogleApplicationCredentials,
    CredentialSource::GcloudAdc,
    CredentialSource::MetadataServer,
];

const EARTHENGINE_TOKEN: &str = "EARTHENGINE_TOKEN";

/// A search for credentials in an [`Environment`].
///
/// What the caller gives wins; otherwise `EARTHENGINE_TOKEN`, Earth Engine's own file, the
/// file that `GOOGLE_APPLICATION_CREDENTIALS` names, gcloud's, and the metadata server, in
/// this order. A broken file ends the search with an error that names it: the next place
/// could hold somebody else's credential.
///
/// ```
/// use ee_credentials::{Environment, ErrorKind, CredentialOptions, Search};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ee_credentials::Error> {
/// let nowhere = Search::new(Environment::empty(), CredentialOptions::google());
/// let error = nowhere.find().await.unwrap_err();
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

#[derive(Debug, Clone)]
enum Given {
    Credentials(Credentials),
    File(PrintablePath),
    Json(SecretString),
}

/// What a search found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The credentials.
    pub credentials: Credentials,
    /// What each place held, in the order of the search.
    pub searched: Vec<SearchStep>,
}

/// One place of a search.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchStep {
    /// The place's name: [`CredentialSource::as_str`].
    pub name: &'static str,
    /// What it held.
    pub outcome: SearchOutcome,
    /// The file that was looked at, if the place is a file.
    pub path: Option<PathBuf>,
}

/// What one place of a search held.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SearchOutcome {
    /// Credentials.
    Found,
    /// None, and why.
    NotFound(String),
    /// Something that should be credentials and cannot be used, and why.
    Invalid(String),
    /// It was not looked at, as the search had ended before.
    Skipped,
}

impl SearchOutcome {
    /// Its name: `found`, `not_found`, `broken` or `skipped`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound(_) => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Debug for SearchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchStep")
            .field("name", &self.name)
            .field("outcome", &self.outcome)
            .field("path", &self.path.as_deref().map(display_path))
            .finish()
    }
}

impl fmt::Display for SearchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            SearchOutcome::Found => match &self.path {
                Some(path) => write!(f, "{}: found ({})", self.name, display_path(path)),
                None => write!(f, "{}: found", self.name),
            },
            SearchOutcome::NotFound(why) => write!(f, "{}: {why}", self.name),
            SearchOutcome::Invalid(why) => write!(f, "{}: cannot be used: {why}", self.name),
            SearchOutcome::Skipped => write!(f, "{}: not looked at", self.name),
        }
    }
}

/// What one place has, if it is not broken.
enum Lookup {
    Found(Credentials),
    NotFound(String),
}

impl Search {
    /// A search of this environment.
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

    /// Takes these credentials, and looks at no other place.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.given = Some(Given::Credentials(credentials));
        self
    }

    /// Takes the credentials in this file, and looks at no other place.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.given = Some(Given::File(PrintablePath::from(path)));
        self
    }

    /// Takes the credentials in this text, and looks at no other place.
    #[must_use]
    pub fn with_json(mut self, text: impl Into<SecretString>) -> Self {
        self.given = Some(Given::Json(text.into()));
        self
    }

    /// Searches. No token is asked for; requests go to the metadata server alone. Files are read
    /// away from the runtime's worker threads.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`] if no place has any; what is wrong with the first that
    /// are broken; [`ErrorKind::Io`] if a file cannot be read for now. [`Error::search_steps`] says
    /// what was found on the way.
    ///
    /// # Panics
    /// As tokio's timers do, if it has to wait on a runtime without a time driver.
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
            Some(Err(error)) => Err(broken(error, searched)),
            None => Err(none(searched)),
        }
    }

    /// Looks at this place alone.
    pub(crate) async fn check_only(&self, origin: CredentialSource) -> Result<Credentials, Error> {
        let path = self.path(origin)?;
        match self.check_source(origin, path.as_deref()).await? {
            Lookup::Found(credentials) => Ok(credentials),
            Lookup::NotFound(why) => Err(Error::new(
                ErrorKind::NoCredentials,
                format!("there are no credentials in the place {origin}: {why}"),
            )
            .with_remedy(Remedy::new(
                "Put the credentials where the settings say that they are, on this machine too.",
            ))),
        }
    }

    /// The file of a place, if it is one.
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
        // A text may name a file too, which is read with it.
        let (search, path) = (self.clone(), path.map(Path::to_owned));
        read_async(&location, move |_| {
            search.check_local_source(origin, path.as_deref())
        })
        .await
    }

    /// Looks at a place that needs no request. This may read a file.
    fn check_local_source(
        &self,
        origin: CredentialSource,
        path: Option<&Path>,
    ) -> Result<Lookup, Error> {
        match origin {
            CredentialSource::Explicit => self.given(),
            CredentialSource::EnvEarthEngineToken => self.earthengine_token(),
            CredentialSource::EarthEngineFile => self.earthengine_file(path),
            CredentialSource::EnvGoogleApplicationCredentials => {
                self.application_credentials_file(path)
            }
            CredentialSource::GcloudAdc => self.gcloud_adc(path),
            CredentialSource::MetadataServer | CredentialSource::InMemory => {
                Ok(Lookup::NotFound("nothing".into()))
            }
        }
    }

    fn given(&self) -> Result<Lookup, Error> {
        let credentials = match &self.given {
            None => return Ok(Lookup::NotFound("nothing was given".into())),
            // These say themselves where they come from.
            Some(Given::Credentials(credentials)) => return Ok(Lookup::Found(credentials.clone())),
            Some(Given::File(path)) => Credentials::from_file(path.as_path(), &self.options)?,
            Some(Given::Json(text)) => Credentials::from_json(text.expose_secret(), &self.options)?,
        };
        Ok(Lookup::Found(
            credentials.with_origin(CredentialSource::Explicit),
        ))
    }

    /// `EARTHENGINE_TOKEN`: the JSON of a credential of any kind, or a bare refresh token of
    /// Earth Engine's own client.
    fn earthengine_token(&self) -> Result<Lookup, Error> {
        let Some(text) = self.environment.try_var(EARTHENGINE_TOKEN)? else {
            return Ok(Lookup::NotFound("the variable is not set".into()));
        };
        let location = Location::Variable(EARTHENGINE_TOKEN);
        let is_one_word = text.len() < 2048 && text.bytes().all(|b| b.is_ascii_graphic());
        let credential = match MisplacedInput::identify(text) {
            None => kinds::load(text, &location, &self.options)?,
            // Google does not promise how a refresh token begins.
            Some(MisplacedInput::RefreshToken) | Some(MisplacedInput::OtherText) if is_one_word => {
                EarthEngineFile::from_refresh_token(text).load(&location, &self.options)?
            }
            Some(other) => return Err(other.into_error(&location)),
        };
        let credentials = Credentials::from_text(credential, text, location, &self.options);
        Ok(Lookup::Found(
            credentials.with_origin(CredentialSource::EnvEarthEngineToken),
        ))
    }

    /// Earth Engine's own file, if there is a login in it.
    fn earthengine_file(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        let Some(path) = path else {
            return Ok(Lookup::NotFound("there is no home folder".into()));
        };
        let location = Location::file(path);
        let Some(file) = read_if_there(&location)? else {
            return Ok(Lookup::NotFound(format!(
                "{} does not exist",
                display_path(path)
            )));
        };
        let contents = EarthEngineFile::read(&file.text, &location)?;
        if !contents.has_login() {
            return Ok(Lookup::NotFound(format!(
                "there is no login in {}",
                display_path(path)
            )));
        }
        let reader: reloading::Reader = |text, location, options| {
            EarthEngineFile::read(text, location)?.load(location, options)
        };
        let credentials = Credentials::from_file_contents(file, location, reader, &self.options)?
            .with_origin(CredentialSource::EarthEngineFile);
        Ok(Lookup::Found(match contents.warning() {
            Some(warning) => credentials.with_warning(warning),
            None => credentials,
        }))
    }

    /// The file that `GOOGLE_APPLICATION_CREDENTIALS` names, which must exist.
    fn application_credentials_file(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        let Some(path) = path else {
            return Ok(Lookup::NotFound("the variable is not set".into()));
        };
        let location = file_of(CredentialSource::EnvGoogleApplicationCredentials, path);
        let credentials = Credentials::from_location(location, &self.options)?;
        Ok(Lookup::Found(credentials.with_origin(
            CredentialSource::EnvGoogleApplicationCredentials,
        )))
    }

    /// gcloud's file.
    fn gcloud_adc(&self, path: Option<&Path>) -> Result<Lookup, Error> {
        let Some(path) = path else {
            return Ok(Lookup::NotFound("there is no home folder".into()));
        };
        let location = Location::file(path);
        let Some(file) = read_if_there(&location)? else {
            return Ok(Lookup::NotFound(format!(
                "{} does not exist",
                display_path(path)
            )));
        };
        let credentials =
            Credentials::from_file_contents(file, location, kinds::load, &self.options)?;
        Ok(Lookup::Found(
            credentials.with_origin(CredentialSource::GcloudAdc),
        ))
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

    /// A variable that is set and loses surprises everybody once.
    fn warn_about_ignored_variable(
        &self,
        winner: CredentialSource,
        credentials: Credentials,
    ) -> Credentials {
        const NAME: &str = "GOOGLE_APPLICATION_CREDENTIALS";
        let loses = matches!(
            winner,
            CredentialSource::EnvEarthEngineToken | CredentialSource::EarthEngineFile
        ) && self.environment.is_set(NAME);
        if !loses {
            return credentials;
        }
        let found = match credentials.path() {
            Some(path) => format!("the login in {}", display_path(path)),
            None => "the variable EARTHENGINE_TOKEN".to_owned(),
        };
        credentials.with_warning(Warning::new(
            "env_var_ignored",
            format!("{NAME} is set, and {found} comes first, as in the Python client"),
            Remedy::new(format!(
                "To use {NAME}, remove what comes first or name the file outright; otherwise unset it."
            )),
        ))
    }
}

fn file_of(origin: CredentialSource, path: &Path) -> Location {
    let is_named = origin == CredentialSource::EnvGoogleApplicationCredentials;
    Location::File {
        path: path.to_owned().into(),
        named_by: is_named.then_some("GOOGLE_APPLICATION_CREDENTIALS"),
    }
}

/// What was searched, kept in the error as its cause.
#[derive(Debug)]
pub(crate) struct Searched {
    pub(crate) steps: Vec<SearchStep>,
    cause: Option<Error>,
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("searched")?;
        let looked_at = self
            .steps
            .iter()
            .filter(|s| s.outcome != SearchOutcome::Skipped);
        for (i, step) in looked_at.enumerate() {
            write!(f, "{} {step}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Searched {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref()?.source()
    }
}

fn broken(error: Error, steps: Vec<SearchStep>) -> Error {
    let mut told = Error::new(error.kind(), error.to_string());
    if let Some(remedy) = error.remedy() {
        told = told.with_remedy(remedy.clone());
    }
    told.with_source(Searched {
        steps,
        cause: Some(error),
    })
}

fn none(steps: Vec<SearchStep>) -> Error {
    Error::new(ErrorKind::NoCredentials, "no Google credentials were found")
        .with_remedy(
            Remedy::new(format!(
                "Log in with `{EARTH_ENGINE_LOGIN}` or `{GCLOUD_LOGIN}`, or let GOOGLE_APPLICATION_CREDENTIALS name a service account's key file."
            ))
            .command(EARTH_ENGINE_LOGIN)
            .url("https://developers.google.com/earth-engine/guides/auth"),
        )
        .with_source(Searched { steps, cause: None })
}

#[cfg(test)]
mod tests;
