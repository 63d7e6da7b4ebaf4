//! The search for credentials: an ordered list of places, each of which says what it found.

use std::fmt;
use std::path::{Path, PathBuf};

use ee_token::Remedy;

use crate::authorized_user::GCLOUD_LOGIN;
use crate::credentials::{Credentials, Options};
use crate::document::Document;
use crate::parse::{parse, person};
use crate::{Environment, Error, ErrorKind, Kind, Origin, earthengine_file, file};

/// The places, in order.
const ORDER: [Origin; 5] = [
    Origin::Flag,
    Origin::EnvEarthEngineToken,
    Origin::EarthEngineFile,
    Origin::EnvApplicationCredentials,
    Origin::GcloudAdc,
];

/// What a search found, and what it saw on the way.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The credential.
    pub credentials: Credentials,
    /// Every place, in order, with what was there.
    pub searched: Vec<Step>,
}

impl Found {
    /// Credentials that were given: nothing else was looked at.
    pub fn given(credentials: Credentials) -> Self {
        let step = |place| Step {
            place,
            outcome: match place {
                Origin::Flag => Outcome::Found,
                _ => Outcome::NotNeeded,
            },
        };
        Self {
            credentials,
            searched: ORDER.map(step).into(),
        }
    }
}

/// One place of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The place.
    pub place: Origin,
    /// What was there.
    pub outcome: Outcome,
}

/// What was in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The credential that is used.
    Found,
    /// Nothing; why.
    Nothing(String),
    /// It was not looked at: an earlier place had a credential.
    NotNeeded,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Found => write!(f, "{}: found", self.place),
            Outcome::Nothing(why) => write!(f, "{}: {why}", self.place),
            Outcome::NotNeeded => write!(f, "{}: not needed", self.place),
        }
    }
}

/// Searches everywhere: a file that the caller names, then the environment.
///
/// # Errors
/// [`ErrorKind::NoCredentials`] if there is none anywhere, with how to log in as remedy.
/// A credential that is there and broken is an error, and never passed over: the next one
/// found would be somebody else.
///
/// ```
/// use ee_credentials::{Environment, ErrorKind, Options, search};
/// use ee_token::{Endpoints, HttpClient};
///
/// let options = Options::new(HttpClient::new(Endpoints::google())?);
/// let error = search(None, &Environment::empty(), &options).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NoCredentials);
/// # Ok::<(), ee_token::Error>(())
/// ```
pub fn search(
    file: Option<&Path>,
    environment: &Environment,
    options: &Options,
) -> Result<Found, Error> {
    let mut searched = Vec::with_capacity(ORDER.len());
    let mut found = None;
    for place in ORDER {
        let outcome = if found.is_some() {
            Outcome::NotNeeded
        } else {
            match look(place, file, environment, options)? {
                Ok(credentials) => {
                    found = Some(credentials);
                    Outcome::Found
                }
                Err(why) => Outcome::Nothing(why),
            }
        };
        let step = Step { place, outcome };
        tracing::debug!(%step, "searched");
        searched.push(step);
    }
    match found {
        Some(credentials) => Ok(Found {
            credentials,
            searched,
        }),
        None => Err(nothing_found(&searched)),
    }
}

/// Credentials, or why there are none in this place.
type Look = Result<Credentials, String>;

fn look(
    place: Origin,
    file: Option<&Path>,
    environment: &Environment,
    options: &Options,
) -> Result<Look, Error> {
    match place {
        Origin::Flag => match file {
            None => nothing("none was given"),
            Some(path) => Ok(Ok(Credentials::from_file_at(path, place, options)?)),
        },
        Origin::EnvEarthEngineToken => match environment.var("EARTHENGINE_TOKEN") {
            None => nothing("not set"),
            Some(text) => token_variable(text, options).map(Ok),
        },
        Origin::EarthEngineFile => match environment.earthengine_file() {
            None => nothing("there is no home folder"),
            Some(path) => earthengine_login(&path, options),
        },
        Origin::EnvApplicationCredentials => application_credentials(environment, options),
        Origin::GcloudAdc => match environment.adc_file() {
            None => nothing("there is no home folder"),
            Some(path) => match file::read_if_there(&path)? {
                None => nothing(format!("{} does not exist", path.display())),
                Some(_) => Ok(Ok(Credentials::from_file_at(&path, place, options)?)),
            },
        },
    }
}

fn nothing(why: impl Into<String>) -> Result<Look, Error> {
    Ok(Err(why.into()))
}

/// `EARTHENGINE_TOKEN`: JSON of any kind, or a bare refresh token.
fn token_variable(text: &str, options: &Options) -> Result<Credentials, Error> {
    let place = Origin::EnvEarthEngineToken;
    if text.starts_with(['{', '[', '<']) || text.contains("-----BEGIN") {
        let parsed = parse(text, "the variable EARTHENGINE_TOKEN", options)?;
        return Ok(Credentials::of(parsed, place, options));
    }
    if text.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Error::new(
            ErrorKind::InvalidFile,
            "the variable EARTHENGINE_TOKEN holds neither JSON nor a refresh token",
        )
        .with_remedy(Remedy::new(
            "Put the contents of the credentials file into it, or of a service account's key.",
        )));
    }
    let login = earthengine_file::bare(text);
    let parsed = person(Kind::EarthEngineFile, login, None, options);
    Ok(Credentials::of(parsed, place, options))
}

/// Earth Engine's own file, if it holds a login; one with a project alone is legal.
fn earthengine_login(path: &Path, options: &Options) -> Result<Look, Error> {
    let Some(text) = file::read_if_there(path)? else {
        return nothing(format!("{} does not exist", path.display()));
    };
    let document = Document::parse(&text, &path.display().to_string())?;
    if !document.has("type")
        && document.has("project")
        && document.optional("refresh_token")?.is_none()
    {
        return nothing(format!(
            "{} names a project and holds no login",
            path.display()
        ));
    }
    Ok(Ok(Credentials::from_file_at(
        path,
        Origin::EarthEngineFile,
        options,
    )?))
}

/// A variable that is set and points nowhere is an error, never skipped.
fn application_credentials(environment: &Environment, options: &Options) -> Result<Look, Error> {
    const NAME: &str = "GOOGLE_APPLICATION_CREDENTIALS";
    let Some(path) = environment.var(NAME).map(PathBuf::from) else {
        return nothing("not set");
    };
    let place = Origin::EnvApplicationCredentials;
    Credentials::from_file_at(&path, place, options)
        .map(Ok)
        .map_err(|error| {
            let named = Error::new(error.kind(), format!("{error} (named by {NAME})"));
            match error.remedy() {
                Some(remedy) => named.with_remedy(remedy.clone()),
                None => named.with_remedy(Remedy::new(format!(
                    "Point {NAME} at a credential file, or unset it."
                ))),
            }
            .with_source(error)
        })
}

fn nothing_found(searched: &[Step]) -> Error {
    let places: Vec<_> = searched.iter().map(ToString::to_string).collect();
    Error::new(
        ErrorKind::NoCredentials,
        format!("no credentials were found ({})", places.join("; ")),
    )
    .with_remedy(
        Remedy::new("Log in with `earthengine authenticate` or with gcloud; or set GOOGLE_APPLICATION_CREDENTIALS to a service account's key.")
            .command(GCLOUD_LOGIN)
            .url("https://developers.google.com/earth-engine/guides/auth"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_token::{Endpoints, HttpClient};

    const LOGIN: &str = r#"{"refresh_token": "1//canary"}"#;
    const ADC: &str = r#"{"type": "authorized_user", "refresh_token": "1//canary", "client_id": "7-c", "client_secret": "s"}"#;

    struct Home(tempfile::TempDir, Environment);

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let environment = Environment::empty()
                .with_home(folder.path())
                .with_os(crate::Os::Unix);
            Self(folder, environment)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        fn search(&self) -> Result<Found, Error> {
            search(None, &self.1, &options())
        }

        fn place(&self) -> Origin {
            self.search().unwrap().credentials.origin()
        }
    }

    fn options() -> Options {
        Options::new(HttpClient::new(Endpoints::google()).unwrap())
    }

    #[test]
    fn each_place_wins_over_those_behind_it() {
        let mut home = Home::new();
        let error = home.search().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCredentials);
        for place in ORDER {
            assert!(error.to_string().contains(place.as_str()), "{error}");
        }

        let adc = home.file(".config/gcloud/application_default_credentials.json", ADC);
        assert_eq!(home.place(), Origin::GcloudAdc);
        home.1 = home
            .1
            .clone()
            .with_var("GOOGLE_APPLICATION_CREDENTIALS", adc.to_string_lossy());
        assert_eq!(home.place(), Origin::EnvApplicationCredentials);
        home.file(".config/earthengine/credentials", LOGIN);
        assert_eq!(home.place(), Origin::EarthEngineFile);
        for token in [LOGIN, ADC, "1//bare"] {
            home.1 = home.1.clone().with_var("EARTHENGINE_TOKEN", token);
            assert_eq!(home.place(), Origin::EnvEarthEngineToken);
        }
        let found = search(Some(&adc), &home.1, &options()).unwrap();
        assert_eq!(found.credentials.origin(), Origin::Flag);
        assert_eq!(found.credentials.oauth_client_project(), Some("7"));
        let outcomes: Vec<_> = found.searched.iter().map(|step| &step.outcome).collect();
        assert_eq!(outcomes[0], &Outcome::Found);
        assert!(outcomes[1..].iter().all(|o| **o == Outcome::NotNeeded));
    }

    #[test]
    fn a_file_with_a_project_alone_is_passed_over_and_its_project_known() {
        let home = Home::new();
        home.file(
            ".config/earthengine/credentials",
            r#"{"project": "my-project"}"#,
        );
        assert_eq!(home.search().unwrap_err().kind(), ErrorKind::NoCredentials);
        assert_eq!(
            home.1.earthengine_file_project().unwrap().as_deref(),
            Some("my-project")
        );
    }

    #[test]
    fn what_is_there_and_broken_is_an_error_and_not_passed_over() {
        for text in [
            "",
            "{",
            "{}",
            r#"{"refresh_token": 7}"#,
            r#"{"installed": {}}"#,
        ] {
            let home = Home::new();
            home.file(".config/gcloud/application_default_credentials.json", ADC);
            home.file(".config/earthengine/credentials", text);
            let error = home.search().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidFile, "{text}");
            assert!(error.to_string().contains("earthengine"), "{error}");
        }
        let mut home = Home::new();
        home.1 = home
            .1
            .clone()
            .with_var("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json");
        let error = home.search().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(error.to_string().contains("/nowhere.json"), "{error}");
        home.1 = home
            .1
            .clone()
            .with_var("GOOGLE_APPLICATION_CREDENTIALS", " ");
        assert_eq!(home.search().unwrap_err().kind(), ErrorKind::NoCredentials);
        home.1 = home.1.clone().with_var("EARTHENGINE_TOKEN", "two words");
        assert_eq!(home.search().unwrap_err().kind(), ErrorKind::InvalidFile);
    }

    #[test]
    fn a_kind_that_cannot_be_used_yet_is_named() {
        let home = Home::new();
        home.file(
            ".config/gcloud/application_default_credentials.json",
            r#"{"type": "external_account"}"#,
        );
        let error = home.search().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("external_account"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_a_warning_and_a_pipe_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new();
        let path = home.file("adc.json", ADC);
        let warnings = |mode: u32| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Credentials::from_file(&path, &options())
                .unwrap()
                .warnings()
                .to_vec()
        };
        assert_eq!(warnings(0o600), []);
        assert_eq!(warnings(0o644)[0].code, "readable_by_others");
        let error = Credentials::from_file("/dev/null", &options()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let home = Home::new();
        home.file(".config/earthengine/credentials", LOGIN);
        assert!(!format!("{:?}", home.search().unwrap()).contains("canary"));
        let garbled = home.file(
            "x.json",
            r#"{"refresh_token": "1//canary", "type": "authorized_user""#,
        );
        let error = Credentials::from_file(&garbled, &options()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
