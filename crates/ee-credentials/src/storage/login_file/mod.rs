//! Earth Engine's own credentials file, read and written as its Python client does it, with
//! more care: a new file takes the old one's place as a whole, nobody else may read it, two
//! writers wait for each other, and what a login does not know stays.

pub(crate) mod json_fields;

#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use ee_token::{HttpClient, PrintablePath, Remedy, Scopes, SecretString, display_path};
use fd_lock::RwLock;
use zeroize::Zeroizing;

use crate::input::file::{check_kind, check_path, decode, is_absent, read_if_there};
use crate::input::location::Location;
use crate::kinds::earth_engine_file::{self as keys, EarthEngineFile};
use crate::kinds::oauth_clients::CLIENT_ID;
use crate::storage::login_file::json_fields::Fields;
use crate::storage::private_file::{
    self, Refusal, Replacement, is_random_name, open_own, random_name, step, sync_folder_of,
};
use crate::{Environment, Error, ErrorKind, Warning};

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

const ENDING: &str = ".tmp";
/// Far more than three codes.
const MAX_VERIFIER: u64 = 4 << 10;

/// Earth Engine's credentials file, which the Python client shares:
/// `~/.config/earthengine/credentials`.
///
/// ```
/// use ee_credentials::{Login, LoginFile};
/// use ee_token::Scopes;
///
/// let folder = tempfile::tempdir()?;
/// let store = LoginFile::at(folder.path().join("credentials"));
/// store.set_project("my-project")?;
/// store.save_login(&Login::new("1//refresh-token", Scopes::earth_engine()))?;
/// let stored = store.read()?.unwrap();
/// assert!(stored.file.has_login());
/// assert_eq!(stored.file.project(), Some("my-project"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its functions block for as long as the disk takes, and up to ten seconds if another
/// process is writing.
#[derive(Debug, Clone)]
pub struct LoginFile {
    path: PrintablePath,
}

/// What is in the file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoginFileContents {
    /// What the file says.
    pub file: EarthEngineFile,
    /// What should be changed about the file itself: that others may read it.
    pub warnings: Vec<Warning>,
}

/// A login to be stored.
#[derive(Debug, Clone)]
pub struct Login {
    refresh_token: SecretString,
    scopes: Scopes,
    client: Option<(String, SecretString)>,
    redirect_uri: Option<String>,
    mode: Option<(String, DateTime<Utc>)>,
}

/// What became of a file that was to be removed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedFile {
    /// Whether there was one.
    pub existed: bool,
    /// If the path was a link: the file that it led to, which is still there.
    pub left: Option<PathBuf>,
}

impl fmt::Debug for RemovedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemovedFile")
            .field("existed", &self.existed)
            .field("left", &self.left.as_deref().map(display_path))
            .finish()
    }
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

impl Login {
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
    pub fn login_mode_at(mut self, mode: impl Into<String>, at: DateTime<Utc>) -> Self {
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

impl LoginFile {
    /// The file of this environment: `EE_CONFIG_FILE`, else `~/.config/earthengine/credentials`.
    /// It need not exist.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if there is no home folder; as
    /// [`Environment::earth_engine_credentials_file`].
    pub fn open(environment: &Environment) -> Result<Self, Error> {
        environment
            .earth_engine_credentials_file()?
            .map(Self::at)
            .ok_or_else(|| {
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
        Self {
            path: PrintablePath::from(path),
        }
    }

    /// Where the file is, whether it exists or not.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if it cannot be read, or is something else.
    pub fn read(&self) -> Result<Option<LoginFileContents>, Error> {
        let location = self.location();
        let Some(text) = read_if_there(&location)? else {
            return Ok(None);
        };
        Ok(Some(LoginFileContents {
            file: EarthEngineFile::read(&text.text, &location)?,
            warnings: text.warnings,
        }))
    }

    /// Sets the project, and leaves everything else as it is. Makes the file if there is none.
    /// Whether this can be a project is for the caller to check.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if the file is there and is something else;
    /// [`ErrorKind::CredentialsFile`] if it cannot be written.
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
    /// As [`LoginFile::set_project`].
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
    /// does not know stay. Another file in this place, a service account's key for example,
    /// is moved aside, and a warning says where to.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if a folder, a device or a pipe is there;
    /// [`ErrorKind::CredentialsFile`] if the file cannot be written, or another process does not let go
    /// of it.
    pub fn save_login(&self, login: &Login) -> Result<Vec<Warning>, Error> {
        self.save_login_while(&|| true, login)
    }

    /// [`LoginFile::save_login`], if it is still wanted when its turn has come.
    pub(crate) fn save_login_while(
        &self,
        is_wanted: &dyn Fn() -> bool,
        login: &Login,
    ) -> Result<Vec<Warning>, Error> {
        self.locked_while(is_wanted, || {
            let (mut fields, broken) = match self.fields() {
                Ok(fields) => (fields.unwrap_or_default(), None),
                // It says nothing about what is in the file.
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => self.salvage(error),
            };
            login.write_to(&mut fields);
            let aside = broken.map(|error| self.move_aside(&error)).transpose()?;
            self.write(&fields)?;
            self.forget_verifier();
            Ok(aside.into_iter().collect())
        })
    }

    /// Keeps what the second step of a login by notebook needs, for a process that comes later,
    /// in a file of its own beside this one. It goes when a login is stored or removed.
    ///
    /// ```
    /// use ee_credentials::LoginFile;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = LoginFile::at(folder.path().join("credentials"));
    /// store.save_code_verifier(&"REQUEST_ID:TOKEN_VERIFIER:CLIENT_VERIFIER".into())?;
    /// let kept = store.load_code_verifier()?.unwrap();
    /// assert!(kept.expose_secret().starts_with("REQUEST_ID:"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::CredentialsFile`] if it cannot be written.
    pub fn save_code_verifier(&self, verifier: &SecretString) -> Result<(), Error> {
        self.locked(|| {
            self.put(&self.verifier_path(), verifier.expose_secret().as_bytes())
                .map_err(|error| self.cannot("be written", error))
        })
    }

    /// What [`LoginFile::save_code_verifier`] has kept; `None` if no login has begun.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFile`] if it cannot be read.
    pub fn load_code_verifier(&self) -> Result<Option<SecretString>, Error> {
        let location = Location::file(self.verifier_path());
        let path = self.verifier_path();
        let unreadable = |error: io::Error| {
            let remedy = Refusal::in_error(&error).map(|refusal| refusal.remedy.clone());
            let remedy = remedy.unwrap_or_else(|| {
                Remedy::new("Begin the login again.").command("eectl auth login --mode=notebook")
            });
            location
                .invalid(format_args!("it cannot be read: {error}"))
                .with_remedy(remedy)
                .with_source(error)
        };
        let file = match open_own(&path, OpenOptions::new().read(true)) {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_VERIFIER as usize));
        file.take(MAX_VERIFIER)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Ok(Some(decode(&bytes, &location)?.as_str().into()))
    }

    /// One that stays is good for nothing without a code.
    fn forget_verifier(&self) {
        if fs::remove_file(self.verifier_path()).is_ok() {
            step("verifier removed");
        }
    }

    /// Ends the login at Google, and then removes the file.
    ///
    /// # Errors
    /// [`ErrorKind::Token`] if Google cannot be reached or does not agree: the file stays,
    /// so that one can try again. [`ErrorKind::CredentialsFile`] if somebody logged in meanwhile: that
    /// login stays. Otherwise as [`LoginFile::remove`].
    pub async fn revoke(&self, http: &HttpClient) -> Result<(Revocation, RemovedFile), Error> {
        let token = self.refresh_token()?;
        let revocation = match &token {
            Some(token) if ee_token::revoke(http, token).await? => Revocation::Revoked,
            Some(_) => Revocation::AlreadyEnded,
            None => Revocation::NoLogin,
        };
        let removed = self.remove_if(|| {
            let is_the_same = match (self.refresh_token()?, &token) {
                (Some(now), Some(ended)) => now.expose_secret() == ended.expose_secret(),
                (now, _) => now.is_none(),
            };
            if is_the_same {
                Ok(())
            } else {
                Err(self.is_another())
            }
        })?;
        Ok((revocation, removed))
    }

    fn refresh_token(&self) -> Result<Option<SecretString>, Error> {
        let stored = self.read()?;
        Ok(stored.and_then(|stored| stored.file.into_refresh_token()))
    }

    /// Removes the file, with the project in it. The login itself goes on: whoever has a copy
    /// can use it.
    ///
    /// # Errors
    /// [`ErrorKind::CredentialsFile`] if it cannot be removed.
    pub fn remove(&self) -> Result<RemovedFile, Error> {
        self.remove_if(|| Ok(()))
    }

    /// [`LoginFile::remove`], if nothing is said against it once nobody else can write.
    fn remove_if(&self, check: impl FnOnce() -> Result<(), Error>) -> Result<RemovedFile, Error> {
        let removed = self.if_there(|| {
            check()?;
            let left = fs::read_link(self.path.as_path())
                .ok()
                .and_then(|_| fs::canonicalize(self.path.as_path()).ok());
            self.delete()?;
            Ok(RemovedFile {
                existed: true,
                left,
            })
        })?;
        self.forget_verifier();
        Ok(removed.unwrap_or(RemovedFile {
            existed: false,
            left: None,
        }))
    }

    fn location(&self) -> Location {
        Location::file(self.path.as_path())
    }

    /// The keys of the file; `None` if it is missing or empty.
    fn fields(&self) -> Result<Option<Fields>, Error> {
        let location = self.location();
        let Some(text) = read_if_there(&location)? else {
            return Ok(None);
        };
        if text.text.trim().is_empty() {
            return Ok(None);
        }
        // Says what is wrong with the file, and refuses what belongs elsewhere.
        EarthEngineFile::read(&text.text, &location)?;
        Fields::parse(&text.text)
            .map(Some)
            .ok_or_else(|| location.invalid("it is no JSON object"))
    }

    fn write(&self, fields: &Fields) -> Result<(), Error> {
        self.put(&self.path, fields.to_json().as_bytes())
            .map_err(|error| self.cannot("be written", error))
    }

    /// Puts a new file in the place of what is there.
    fn put(&self, target: &Path, contents: &[u8]) -> io::Result<()> {
        let name = format!("{}{}{ENDING}", self.beginning(), random_name()?);
        Replacement::write(self.path.with_file_name(name), contents)?
            .sync()?
            .put(target)?;
        sync_folder_of(target);
        Ok(())
    }

    /// Removes temporary files that a killed process left. Only while the lock is held: they
    /// could be somebody's who is writing.
    fn sweep(&self) {
        // A name alone stands for a file of the current folder.
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let beginning = self.beginning();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let random = name
                .to_str()
                .and_then(|name| name.strip_prefix(&beginning))
                .and_then(|rest| rest.strip_suffix(ENDING));
            // One that stays does no harm.
            if random.is_some_and(is_random_name) && fs::remove_file(entry.path()).is_ok() {
                step("temporary swept");
            }
        }
    }

    fn delete(&self) -> Result<(), Error> {
        match fs::remove_file(self.path.as_path()) {
            Ok(()) => step("file removed"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.cannot("be removed", error)),
        }
        Ok(())
    }

    /// What stays of a file that is broken when a login is stored; and what is wrong with it,
    /// if something would be lost that is not the old login's.
    fn salvage(&self, error: Error) -> (Fields, Option<Error>) {
        let text = read_if_there(&self.location()).ok().flatten();
        let Some(mut fields) = text.and_then(|text| Fields::parse(&text.text)) else {
            return (Fields::default(), Some(error));
        };
        let is_sound = |fields: &Fields| EarthEngineFile::from_json(&fields.to_json()).is_ok();
        for key in OF_A_LOGIN {
            fields.remove(key);
        }
        if is_sound(&fields) {
            return (fields, None);
        }
        fields.remove("project");
        if !is_sound(&fields) {
            fields = Fields::default();
        }
        (fields, Some(error))
    }

    /// Gives what is no login another name, beside the file.
    fn move_aside(&self, why: &Error) -> Result<Warning, Error> {
        let aside = keep_aside(&self.path, |path, aside| fs::hard_link(path, aside))
            .map_err(|error| self.cannot("be moved aside", error))?;
        Ok(Warning::new(
            "file_backed_up",
            format!("{why}; it is {} now", display_path(&aside)),
            Remedy::new("Remove it, or use it where it belongs."),
        ))
    }

    /// The error for a folder, a device or a pipe: no file of ours takes its place.
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        check_path(&self.location())?;
        match fs::metadata(self.path.as_path()) {
            Ok(metadata) => check_kind(&metadata, &self.location()),
            Err(_) => Ok(()),
        }
    }

    /// [`LoginFile::locked`] if there is something at the path, even a link that leads nowhere.
    fn if_there<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        check_path(&self.location())?;
        match fs::symlink_metadata(self.path.as_path()) {
            Ok(_) => self.locked(work).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.cannot("be looked for", error)),
        }
    }

    fn locked<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.locked_while(&|| true, work)
    }

    /// Does something that no other process does at the same time. The lock goes with the
    /// process, however that ends.
    fn locked_while<T>(
        &self,
        is_wanted: &dyn Fn() -> bool,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_place()?;
        let file = private_file::lock_file(&self.lock_path())
            .map_err(|error| self.cannot("be written", error))?;
        let mut lock = RwLock::new(file);
        let started = Instant::now();
        loop {
            if !is_wanted() {
                return Err(Error::new(
                    ErrorKind::CredentialsFile,
                    "the login was given up before it was stored",
                ));
            }
            let error = match lock.try_write() {
                Ok(_held) => {
                    self.sweep();
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

    /// What the names of our own files beside this one begin with.
    fn beginning(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        format!(".{}.", name.to_string_lossy())
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_file_name(self.beginning() + "lock")
    }

    fn verifier_path(&self) -> PathBuf {
        self.path.with_file_name(self.beginning() + "begun")
    }

    fn is_another(&self) -> Error {
        Error::new(
            ErrorKind::CredentialsFile,
            format!(
                "{}: somebody logged in while the login before was ended, and that login stays",
                self.path
            ),
        )
        .with_remedy(
            Remedy::new("To end it too, log out again.").command("eectl auth logout --revoke"),
        )
    }

    fn is_busy(&self) -> Error {
        Error::new(
            ErrorKind::CredentialsFile,
            format!(
                "{}: another program has been writing it for {} seconds",
                self.path,
                PATIENCE.as_secs()
            ),
        )
        .with_remedy(Remedy::new("End the other login, and try again."))
    }

    fn cannot(&self, be: &str, error: io::Error) -> Error {
        let remedy = Refusal::in_error(&error).map(|refusal| refusal.remedy.clone());
        Error::new(
            ErrorKind::CredentialsFile,
            format!("{} cannot {be}: {error}", self.path),
        )
        .with_remedy(remedy.unwrap_or_else(|| Remedy::new(
            "Check who owns the folder and whether there is room, or let EE_CONFIG_FILE name another file.",
        )))
        .with_source(error)
    }
}

/// Gives a file a second name that nothing has yet, so that it has one when the first is
/// another file's. Where there are no links, it has the second name alone.
fn keep_aside(path: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default();
    let stamp = Utc::now().format("%Y%m%d-%H%M%S");
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    let mut number = 1;
    loop {
        let mut aside = name.to_owned();
        aside.push(format!(".before-{stamp}"));
        if number > 1 {
            aside.push(format!("-{number}"));
        }
        let aside = path.with_file_name(aside);
        number += 1;
        match link(path, &aside) {
            Ok(()) => {
                step("linked aside");
                return Ok(aside);
            }
            Err(error) if is_taken(&error) => continue,
            Err(_) => {}
        }
        // A rename takes any name, even one that is another file's.
        match private_file::create(&aside) {
            Ok(_) => step("name taken"),
            Err(error) if is_taken(&error) => continue,
            Err(error) => return Err(error),
        }
        return match fs::rename(path, &aside) {
            Ok(()) => {
                step("moved aside");
                Ok(aside)
            }
            Err(error) => {
                let _ = fs::remove_file(&aside);
                Err(error)
            }
        };
    }
}

#[cfg(test)]
mod tests;
