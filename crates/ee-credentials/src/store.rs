//! Earth Engine's own credentials file, read and written as its Python client does it, with
//! more care: a new file takes the old one's place as a whole, nobody else may read it, two
//! writers wait for each other, and what a login does not know stays.

mod fields;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod replace;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use ee_token::{ExposeSecret as _, HttpClient, Remedy, Scopes, SecretString};
use fd_lock::RwLock;

use crate::earthengine_file::{self as keys, CLIENT_ID, EarthEngineFile};
use crate::place::{Place, read_if_there};
use crate::{Environment, Error, ErrorKind, Warning};
use fields::Fields;
use replace::{Stage, replace, sweep};

/// The keys that belong to a login, and go with it.
const OF_A_LOGIN: [&str; 8] = [
    "refresh_token",
    "client_id",
    "client_secret",
    "scopes",
    "redirect_uri",
    "rapt_token",
    keys::LOGIN_MODE,
    keys::LOGIN_AT,
];

/// Long enough for any number of logins that end at the same moment.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Earth Engine's credentials file, which the Python client shares:
/// `~/.config/earthengine/credentials`.
///
/// ```
/// use ee_credentials::{NewLogin, Store};
/// use ee_token::Scopes;
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::at(folder.path().join("credentials"));
/// store.set_project("my-project")?;
/// store.save_login(&NewLogin::new("1//refresh-token", Scopes::earth_engine()))?;
/// let stored = store.read()?.unwrap();
/// assert!(stored.file.has_login());
/// assert_eq!(stored.file.project(), Some("my-project"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its functions block for as long as the disk takes, and up to ten seconds if another
/// process is writing.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
}

/// What is in the file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// What the file says.
    pub file: EarthEngineFile,
    /// What should be changed about the file itself: that others may read it.
    pub warnings: Vec<Warning>,
}

/// A login to be stored.
#[derive(Debug, Clone)]
pub struct NewLogin {
    refresh_token: SecretString,
    scopes: Scopes,
    client: Option<(String, SecretString)>,
    redirect_uri: Option<String>,
    mode: Option<(String, DateTime<Utc>)>,
}

/// What became of a file that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Whether there was one.
    pub existed: bool,
    /// If the path was a link: the file that it led to, which is still there.
    pub left: Option<PathBuf>,
}

/// What became of the grant behind a login that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// Google has ended it.
    Revoked,
    /// It had ended before.
    AlreadyEnded,
    /// There was no login to end.
    NoLogin,
}

impl NewLogin {
    /// A login with Earth Engine's own OAuth client. `scopes` are those that were granted:
    /// the Python client asks for all that the file names, and fails if one was not granted.
    pub fn new(refresh_token: impl Into<SecretString>, scopes: Scopes) -> Self {
        Self {
            refresh_token: refresh_token.into(),
            scopes,
            client: None,
            redirect_uri: None,
            mode: None,
        }
    }

    /// The OAuth client that the refresh token was issued to, if it is not Earth Engine's own.
    #[must_use]
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        let id = id.into();
        self.client = (id != CLIENT_ID).then(|| (id, secret.into()));
        self
    }

    /// Where the consent page sent the browser.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// By which flow it was made, and when. The Python client passes over the two keys that
    /// keep this; [`EarthEngineFile::login_expires_at`] makes use of them.
    #[must_use]
    pub fn made_by(mut self, mode: impl Into<String>, at: DateTime<Utc>) -> Self {
        self.mode = Some((mode.into(), at));
        self
    }

    fn write_to(&self, fields: &mut Fields) {
        for stale in OF_A_LOGIN {
            fields.remove(stale);
        }
        fields.set("refresh_token", self.refresh_token.expose_secret());
        fields.set("scopes", self.scopes.iter().collect::<Vec<_>>());
        if let Some((id, secret)) = &self.client {
            fields.set("client_id", id);
            fields.set("client_secret", secret.expose_secret());
        }
        if let Some(uri) = &self.redirect_uri {
            fields.set("redirect_uri", uri);
        }
        if let Some((mode, at)) = &self.mode {
            fields.set(keys::LOGIN_MODE, mode);
            fields.set(
                keys::LOGIN_AT,
                at.to_rfc3339_opts(SecondsFormat::Secs, true),
            );
        }
    }
}

impl Store {
    /// The file of this environment: `EE_CONFIG_FILE`, else `~/.config/earthengine/credentials`.
    /// It need not exist.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if there is no home folder.
    pub fn open(environment: &Environment) -> Result<Self, Error> {
        environment.earthengine_file().map(Self::at).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                "there is no home folder, and so no place for Earth Engine's credentials file",
            )
            .with_remedy(Remedy::new(
                "Set HOME, or let EE_CONFIG_FILE name the file.",
            ))
        })
    }

    /// The file at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the file is, whether it exists or not.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if it cannot be read, or is something else.
    pub fn read(&self) -> Result<Option<Stored>, Error> {
        let place = self.place();
        let Some(text) = read_if_there(&place)? else {
            return Ok(None);
        };
        Ok(Some(Stored {
            file: EarthEngineFile::read(&text.text, &place)?,
            warnings: text.warnings,
        }))
    }

    /// Sets the project, and leaves everything else as it is. Makes the file if there is none.
    /// Whether this can be a project is for the caller to check.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if the file is there and is something else;
    /// [`ErrorKind::Store`] if it cannot be written.
    pub fn set_project(&self, project: &str) -> Result<(), Error> {
        self.locked(|| {
            let mut fields = self.fields()?.unwrap_or_default();
            fields.set("project", project);
            self.write(&fields)
        })
    }

    /// Removes the project, and says whether there was one. A file that holds nothing else
    /// goes with it.
    ///
    /// # Errors
    /// As [`Store::set_project`].
    pub fn unset_project(&self) -> Result<bool, Error> {
        self.if_there(|| {
            let Some(mut fields) = self.fields()? else {
                return Ok(false);
            };
            let existed = fields.has("project");
            if !fields.remove("project") {
                return Ok(false);
            }
            if fields.is_empty() {
                self.delete()?;
            } else {
                self.write(&fields)?;
            }
            Ok(existed)
        })
        .map(|existed| existed.unwrap_or(false))
    }

    /// Stores a login in the place of the one that is there. The project and keys that a login
    /// does not know stay. Something else in this place, a service account's key for example,
    /// is moved aside, and a warning says where to.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the file cannot be written, or another process does not let go
    /// of it.
    pub fn save_login(&self, login: &NewLogin) -> Result<Vec<Warning>, Error> {
        self.save_login_in_stages(login, &|_| {})
    }

    fn save_login_in_stages(
        &self,
        login: &NewLogin,
        at: &dyn Fn(Stage),
    ) -> Result<Vec<Warning>, Error> {
        self.locked(|| {
            let kept = self.fields().map(Option::unwrap_or_default);
            let (mut fields, broken) = match kept {
                Ok(fields) => (fields, None),
                Err(error) => (Fields::default(), Some(error)),
            };
            login.write_to(&mut fields);
            let warnings = match broken {
                Some(error) => self.move_aside(&error)?.into_iter().collect(),
                None => Vec::new(),
            };
            self.write_in_stages(&fields, at)?;
            Ok(warnings)
        })
    }

    /// Ends the login at Google, and then removes the file.
    ///
    /// # Errors
    /// [`ErrorKind::Token`] if Google cannot be reached or does not agree: the file stays,
    /// so that one can try again. Otherwise as [`Store::remove`].
    pub async fn revoke(&self, http: &HttpClient) -> Result<(Revocation, Removed), Error> {
        let token = self
            .read()?
            .and_then(|stored| stored.file.into_refresh_token());
        let revocation = match &token {
            Some(token) if ee_token::revoke(http, token).await? => Revocation::Revoked,
            Some(_) => Revocation::AlreadyEnded,
            None => Revocation::NoLogin,
        };
        Ok((revocation, self.remove()?))
    }

    /// Removes the file, with the project in it. The login itself goes on: whoever has a copy
    /// can use it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if it cannot be removed.
    pub fn remove(&self) -> Result<Removed, Error> {
        let removed = self.if_there(|| {
            let left = fs::read_link(&self.path)
                .ok()
                .and_then(|_| fs::canonicalize(&self.path).ok());
            self.delete()?;
            Ok(Removed {
                existed: true,
                left,
            })
        })?;
        Ok(removed.unwrap_or(Removed {
            existed: false,
            left: None,
        }))
    }

    fn place(&self) -> Place {
        Place::file(&self.path)
    }

    /// The keys of the file; `None` if it is missing or empty.
    fn fields(&self) -> Result<Option<Fields>, Error> {
        let place = self.place();
        let Some(text) = read_if_there(&place)? else {
            return Ok(None);
        };
        if text.text.trim().is_empty() {
            return Ok(None);
        }
        // Says what is wrong with the file, and refuses what belongs elsewhere.
        EarthEngineFile::read(&text.text, &place)?;
        Fields::parse(&text.text)
            .map(Some)
            .ok_or_else(|| place.invalid("it is no JSON object"))
    }

    fn write(&self, fields: &Fields) -> Result<(), Error> {
        self.write_in_stages(fields, &|_| {})
    }

    fn write_in_stages(&self, fields: &Fields, at: &dyn Fn(Stage)) -> Result<(), Error> {
        replace(&self.path, fields.to_json().as_bytes(), at)
            .map_err(|error| self.cannot("be written", error))
    }

    fn delete(&self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.cannot("be removed", error))
            }
            _ => Ok(()),
        }
    }

    /// Gives what is no login another name, beside the file.
    fn move_aside(&self, why: &Error) -> Result<Option<Warning>, Error> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".before-{}", Utc::now().format("%Y%m%d-%H%M%S")));
        let aside = self.path.with_file_name(name);
        // With two names until the new file is there, it is never without one.
        fs::hard_link(&self.path, &aside)
            .or_else(|_| fs::rename(&self.path, &aside))
            .map_err(|error| self.cannot("be moved aside", error))?;
        Ok(Some(Warning::new(
            "file_moved_aside",
            format!("{why}; it is {} now", aside.display()),
            Remedy::new("Remove it, or use it where it belongs."),
        )))
    }

    /// [`Store::locked`] if there is something at the path, even a link that leads nowhere.
    fn if_there<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => self.locked(work).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Does something that no other process does at the same time. The lock goes with the
    /// process, however that ends.
    fn locked<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        if let Some(folder) = self.path.parent() {
            make_private_folder(folder).map_err(|error| self.cannot("be written", error))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(self.lock_path())
            .map_err(|error| self.cannot("be locked", error))?;
        let mut lock = RwLock::new(file);
        let started = Instant::now();
        loop {
            let error = match lock.try_write() {
                Ok(_held) => {
                    sweep(&self.path);
                    return work();
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if started.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                io::ErrorKind::WouldBlock => return Err(self.is_busy()),
                _ => {
                    // Some network file systems have no locks. What is written is whole all the same.
                    tracing::warn!(%error, "the credentials file cannot be locked");
                    return work();
                }
            }
        }
    }

    fn lock_path(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.lock"))
    }

    fn is_busy(&self) -> Error {
        Error::new(
            ErrorKind::Store,
            format!(
                "{}: another program has been writing it for {} seconds",
                self.path.display(),
                PATIENCE.as_secs()
            ),
        )
        .with_remedy(Remedy::new("End the other login, and try again."))
    }

    fn cannot(&self, be: &str, error: io::Error) -> Error {
        Error::new(
            ErrorKind::Store,
            format!("{} cannot {be}: {error}", self.path.display()),
        )
        .with_remedy(Remedy::new(
            "Check who owns the folder and whether there is room, or let EE_CONFIG_FILE name another file.",
        ))
        .with_source(error)
    }
}

/// Makes a folder, and those above it, that only their owner may look into.
fn make_private_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
