//! Earth Engine's own credentials file, shared with the Python client. It is replaced atomically,
//! readable only by its owner and locked by its writers, and unknown keys are kept.

pub(crate) mod accounts;
mod backup;
pub(crate) mod json_fields;
pub(crate) mod login;

#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ee_token::internal::{PrintablePath, display_path};
use ee_token::{HttpClient, Remedy, SecretString};
use fd_lock::RwLock;
use zeroize::Zeroizing;

use crate::input::file::{check_kind, check_path, decode, is_absent, read_if_there};
use crate::input::location::Location;
use crate::input::restored::restored;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::storage::login_file::backup::back_up;
use crate::storage::login_file::json_fields::Fields;
use crate::storage::login_file::login::{LOGIN_KEYS, Login};
use crate::storage::private_file::{
    self, FileError, Replacement, is_random_name, open_own, random_name, step, sync_parent_dir,
};
use crate::{Environment, Error, ErrorKind, Warning};

/// How long to wait for other writers, and how often to try.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

const TEMPORARY_SUFFIX: &str = ".tmp";
/// Much more than the length of a verifier.
const MAX_VERIFIER: u64 = 4 << 10;

/// Earth Engine's credentials file, `~/.config/earthengine/credentials`, which is shared with the
/// Python client.
///
/// ```
/// use ee_credentials::{Login, LoginFile};
/// use ee_token::Scopes;
///
/// let dir = tempfile::tempdir()?;
/// let file = LoginFile::at(dir.path().join("credentials"));
/// file.set_project("my-project")?;
/// file.save_login(&Login::new("1//refresh-token", Scopes::earth_engine()))?;
/// let contents = file.read()?.unwrap();
/// assert!(contents.file.has_login());
/// assert_eq!(contents.file.project(), Some("my-project"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// All methods except [`LoginFile::revoke`] block, for up to ten seconds if another process is
/// writing.
#[derive(Debug, Clone)]
pub struct LoginFile {
    path: PrintablePath,
}

/// The contents of a [`LoginFile`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoginFileContents {
    /// The parsed file.
    pub file: EarthEngineFile,
    /// Warnings about the file itself, such as insecure permissions.
    pub warnings: Vec<Warning>,
}

/// The result of removing a [`LoginFile`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedFile {
    /// Whether the file existed.
    pub existed: bool,
    /// The target of the path, if it was a symbolic link. The target still exists.
    pub symlink_target: Option<PathBuf>,
    /// Other files with the same login that were removed: [`Accounts`](crate::Accounts) keeps a copy
    /// of the active account.
    pub also_removed: Vec<PathBuf>,
}

impl fmt::Debug for RemovedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.also_removed.iter().map(|p| display_path(p)).collect();
        f.debug_struct("RemovedFile")
            .field("existed", &self.existed)
            .field(
                "symlink_target",
                &self.symlink_target.as_deref().map(display_path),
            )
            .field("also_removed", &paths)
            .finish()
    }
}

/// The result of revoking a login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// Google revoked the login.
    Revoked,
    /// The login had been revoked or had expired before.
    AlreadyEnded,
    /// The file contained no login.
    NoLogin,
}

impl LoginFile {
    /// Returns the file of an environment: the one named by `EE_CONFIG_FILE`, by default
    /// `~/.config/earthengine/credentials`. It may not exist.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidEnvironment`] if there is no home directory, and the errors of
    /// [`Environment::earth_engine_credentials_file`].
    pub fn open(environment: &Environment) -> Result<Self, Error> {
        environment
            .earth_engine_credentials_file()?
            .map(Self::at)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidEnvironment,
                    "the path of Earth Engine's credentials file is unknown, because there is no home directory",
                )
                .with_remedy(Remedy::new(
                    "Set HOME, or set EE_CONFIG_FILE to the path of the file.",
                ))
            })
    }

    /// Returns the file at a path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: PrintablePath::from(path),
        }
    }

    /// Returns the path. The file may not exist.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file. Returns `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidFile`] if it cannot be read or contains something else.
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

    /// Sets the project and keeps everything else. Creates the file if necessary. The project is
    /// not validated.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidFile`] if the file contains something else, and
    /// [`ErrorKind::CredentialsFile`] if it cannot be written.
    pub fn set_project(&self, project: &str) -> Result<(), Error> {
        self.locked(|| {
            let mut fields = self.fields()?.unwrap_or_default();
            fields.set("project", project);
            self.write(&fields)
        })
    }

    /// Removes the project and returns whether there was one. A file that contains nothing else is
    /// deleted.
    ///
    /// # Errors
    ///
    /// The same as for [`LoginFile::set_project`].
    pub fn unset_project(&self) -> Result<bool, Error> {
        self.locked_if_exists(|| {
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

    /// Saves a login and replaces an existing one. The project and unknown keys are kept. If the
    /// file contains something else, such as a service account key, it is renamed, and a warning
    /// contains its new path.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidFile`] if a directory, device or pipe is in place of the file,
    /// and [`ErrorKind::CredentialsFile`] if the file cannot be written or locked.
    pub fn save_login(&self, login: &Login) -> Result<Vec<Warning>, Error> {
        self.save_login_while(&|| true, login)
    }

    /// [`LoginFile::save_login`], unless the caller has stopped waiting when the lock is acquired.
    pub(crate) fn save_login_while(
        &self,
        is_wanted: &dyn Fn() -> bool,
        login: &Login,
    ) -> Result<Vec<Warning>, Error> {
        self.locked_while(is_wanted, || {
            let (mut fields, invalid) = match self.fields() {
                Ok(fields) => (fields.unwrap_or_default(), None),
                // A transient error does not mean that the contents are invalid.
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => self.salvage(error),
            };
            login.write_to(&mut fields);
            let backup = invalid.map(|error| self.back_up(&error)).transpose()?;
            self.write(&fields)?;
            self.remove_verifier();
            Ok(backup.into_iter().collect())
        })
    }

    /// Saves the code verifier of a notebook login for its second step, in a separate file beside
    /// this one. It is deleted when a login is saved or removed.
    ///
    /// ```
    /// use ee_credentials::LoginFile;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let file = LoginFile::at(dir.path().join("credentials"));
    /// file.save_code_verifier(&"REQUEST_ID:TOKEN_VERIFIER:CLIENT_VERIFIER".into())?;
    /// let verifier = file.load_code_verifier()?.unwrap();
    /// assert!(verifier.expose_secret().starts_with("REQUEST_ID:"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::CredentialsFile`] if it cannot be written.
    pub fn save_code_verifier(&self, verifier: &SecretString) -> Result<(), Error> {
        self.locked(|| {
            self.replace(&self.verifier_path(), verifier.expose_secret().as_bytes())
                .map_err(|error| self.io_error("write", error))
        })
    }

    /// Returns the saved code verifier, or `None` if no login is pending.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidFile`] if it cannot be read.
    pub fn load_code_verifier(&self) -> Result<Option<SecretString>, Error> {
        let location = Location::file(self.verifier_path());
        let path = self.verifier_path();
        let unreadable = |error: io::Error| {
            let remedy = FileError::in_io_error(&error).map(|error| error.remedy.clone());
            let remedy = remedy.unwrap_or_else(|| {
                Remedy::new("Start the login again.").command("eectl auth login --mode=notebook")
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

    /// Removes the verifier. Errors are ignored, because it is useless without a code.
    fn remove_verifier(&self) {
        if fs::remove_file(self.verifier_path()).is_ok() {
            step("verifier removed");
        }
    }

    /// Revokes the login at Google, then removes the file.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Token`] if Google cannot be reached or rejects the request; the file is
    /// kept. Returns [`ErrorKind::CredentialsFile`] if a new login was saved in the meantime, which
    /// is kept, or if the file cannot be removed.
    pub async fn revoke(&self, http: &HttpClient) -> Result<(Revocation, RemovedFile), Error> {
        let token = self.refresh_token()?;
        let revocation = match &token {
            Some(token) if ee_token::revoke(http, token).await? => Revocation::Revoked,
            Some(_) => Revocation::AlreadyEnded,
            None => Revocation::NoLogin,
        };
        let removed = self.remove_if(|| {
            let is_unchanged = match (self.refresh_token()?, &token) {
                (Some(now), Some(revoked)) => now.expose_secret() == revoked.expose_secret(),
                (now, _) => now.is_none(),
            };
            if is_unchanged {
                Ok(())
            } else {
                Err(self.new_login_error())
            }
        })?;
        Ok((revocation, removed))
    }

    fn refresh_token(&self) -> Result<Option<SecretString>, Error> {
        let stored = self.read()?;
        Ok(stored.and_then(|stored| stored.file.into_refresh_token()))
    }

    /// Removes the file, including the project in it. The login is not revoked, so that copies of
    /// the file remain valid.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::CredentialsFile`] if it cannot be removed.
    pub fn remove(&self) -> Result<RemovedFile, Error> {
        self.remove_if(|| Ok(()))
    }

    /// Removes the file if a check, made under the lock, succeeds.
    fn remove_if(&self, check: impl FnOnce() -> Result<(), Error>) -> Result<RemovedFile, Error> {
        let removed = self.locked_if_exists(|| {
            check()?;
            let symlink_target = fs::read_link(self.path.as_path())
                .ok()
                .and_then(|_| fs::canonicalize(self.path.as_path()).ok());
            self.delete()?;
            Ok(symlink_target)
        })?;
        self.remove_verifier();
        Ok(RemovedFile {
            existed: removed.is_some(),
            symlink_target: removed.flatten(),
            also_removed: Vec::new(),
        })
    }

    fn location(&self) -> Location {
        Location::file(self.path.as_path())
    }

    /// Returns the keys of the file, or `None` if it is missing or empty.
    fn fields(&self) -> Result<Option<Fields>, Error> {
        let location = self.location();
        let Some(text) = read_if_there(&location)? else {
            return Ok(None);
        };
        if text.text.trim().is_empty() {
            return Ok(None);
        }
        // Rejects invalid files and other kinds of credentials.
        EarthEngineFile::read(&text.text, &location)?;
        Fields::parse(&restored(&text.text))
            .map(Some)
            .ok_or_else(|| location.invalid("it is no JSON object"))
    }

    fn write(&self, fields: &Fields) -> Result<(), Error> {
        self.replace(&self.path, fields.to_json().as_bytes())
            .map_err(|error| self.io_error("write", error))
    }

    /// Replaces a file atomically.
    fn replace(&self, target: &Path, contents: &[u8]) -> io::Result<()> {
        let name = format!("{}{}{TEMPORARY_SUFFIX}", self.prefix(), random_name()?);
        Replacement::write(self.path.with_file_name(name), contents)?
            .sync()?
            .persist(target)?;
        sync_parent_dir(target);
        Ok(())
    }

    /// Removes temporary files of killed processes. The lock must be held, because another process
    /// could be writing one.
    fn sweep(&self) {
        // A path without a parent is a file in the current directory.
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let prefix = self.prefix();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let random = name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix))
                .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
            // A file that cannot be removed is harmless.
            if random.is_some_and(is_random_name) && fs::remove_file(entry.path()).is_ok() {
                step("temporary swept");
            }
        }
    }

    fn delete(&self) -> Result<(), Error> {
        match fs::remove_file(self.path.as_path()) {
            Ok(()) => step("file removed"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.io_error("remove", error)),
        }
        Ok(())
    }

    /// Returns the keys to keep of an invalid file when a new login is saved, and the file's error
    /// if more than the old login would be lost.
    fn salvage(&self, error: Error) -> (Fields, Option<Error>) {
        let text = read_if_there(&self.location()).ok().flatten();
        let Some(mut fields) = text.and_then(|text| Fields::parse(&restored(&text.text))) else {
            return (Fields::default(), Some(error));
        };
        let is_valid = |fields: &Fields| EarthEngineFile::from_json(&fields.to_json()).is_ok();
        for key in LOGIN_KEYS {
            fields.remove(key);
        }
        if is_valid(&fields) {
            return (fields, None);
        }
        fields.remove("project");
        if !is_valid(&fields) {
            fields = Fields::default();
        }
        (fields, Some(error))
    }

    /// Renames a file that contains something other than a login.
    fn back_up(&self, reason: &Error) -> Result<Warning, Error> {
        let backup = back_up(&self.path, |path, backup| fs::hard_link(path, backup))
            .map_err(|error| self.io_error("back up", error))?;
        Ok(Warning::new(
            "file_backed_up",
            format!("{reason}; it was renamed to {}", display_path(&backup)),
            Remedy::new("Remove the renamed file, or use it where it belongs."),
        ))
    }

    /// Returns an error for a directory, device or pipe, which is never replaced.
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        check_path(&self.location())?;
        match fs::metadata(self.path.as_path()) {
            Ok(metadata) => check_kind(&metadata, &self.location()),
            Err(_) => Ok(()),
        }
    }

    /// [`LoginFile::locked`] if the path exists, even as a dangling link.
    fn locked_if_exists<T>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        check_path(&self.location())?;
        match fs::symlink_metadata(self.path.as_path()) {
            Ok(_) => self.locked(work).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.io_error("access", error)),
        }
    }

    fn locked<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.locked_while(&|| true, work)
    }

    /// Runs a closure under the lock between processes, unless the caller stops waiting. The
    /// operating system releases the lock if the process dies.
    fn locked_while<T>(
        &self,
        is_wanted: &dyn Fn() -> bool,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_place()?;
        let file = private_file::lock_file(&self.lock_path())
            .map_err(|error| self.io_error("write", error))?;
        let mut lock = RwLock::new(file);
        let started = Instant::now();
        loop {
            if !is_wanted() {
                return Err(Error::new(
                    ErrorKind::CredentialsFile,
                    "the login was canceled before it was saved",
                )
                .with_remedy(Remedy::new("Log in again.")));
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
                io::ErrorKind::WouldBlock if started.elapsed() < LOCK_TIMEOUT => {
                    std::thread::sleep(LOCK_INTERVAL);
                }
                io::ErrorKind::WouldBlock => return Err(self.lock_timeout_error()),
                _ => {
                    // Some network file systems have no locks. Writes are still atomic.
                    tracing::warn!(%error, "cannot lock the credentials file");
                    return work();
                }
            }
        }
    }

    /// Returns the common prefix of the internal files beside this one.
    fn prefix(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        format!(".{}.", name.to_string_lossy())
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_file_name(self.prefix() + "lock")
    }

    fn verifier_path(&self) -> PathBuf {
        self.path.with_file_name(self.prefix() + "begun")
    }

    fn new_login_error(&self) -> Error {
        Error::new(
            ErrorKind::CredentialsFile,
            format!(
                "a new login was saved in {} while the previous one was being revoked; the new login was kept",
                self.path
            ),
        )
        .with_remedy(
            Remedy::new("To revoke it too, log out again.").command("eectl auth logout --revoke"),
        )
    }

    fn lock_timeout_error(&self) -> Error {
        Error::new(
            ErrorKind::CredentialsFile,
            format!(
                "another program has locked {} for {} seconds",
                self.path,
                LOCK_TIMEOUT.as_secs()
            ),
        )
        .with_remedy(Remedy::new("Finish the other login, then try again."))
    }

    fn io_error(&self, action: &str, error: io::Error) -> Error {
        let remedy = FileError::in_io_error(&error).map(|error| error.remedy.clone());
        Error::new(
            ErrorKind::CredentialsFile,
            format!("cannot {action} {}: {error}", self.path),
        )
        .with_remedy(remedy.unwrap_or_else(|| Remedy::new(
            "Check the owner and the free space of the directory, or set EE_CONFIG_FILE to another path.",
        )))
        .with_source(error)
    }
}

#[cfg(test)]
mod tests;
