//! The sources of a search, each with the file, variable or server that it reads.

use std::path::{Path, PathBuf};

use ee_token::Remedy;
use ee_token::internal::display_path;

use super::{APPLICATION_CREDENTIALS, EARTHENGINE_TOKEN, Given, Search};
use crate::discovery::account::{self, ACCOUNT};
use crate::input::file::{FileContents, Optional, read_async, read_optional};
use crate::input::location::Location;
use crate::input::misplaced::MisplacedInput;
use crate::input::path_setting::PathSetting;
use crate::input::restored::restored;
use crate::kinds;
use crate::kinds::account_name::AccountName;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::kinds::metadata_server::detection::{Detection, detect};
use crate::source::reloading::Reader;
use crate::{CredentialKind, CredentialSource, Credentials, Error, Warning};

/// The result of one step.
pub(super) enum Lookup {
    Found(Credentials),
    NotFound(String),
    /// No credentials, why, and a warning about the source.
    NotFoundWithWarning(String, Warning),
}

impl Search {
    /// Returns the file of a source.
    pub(super) fn path(
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

    pub(super) async fn check_source(
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
