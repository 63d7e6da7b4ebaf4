//! Named accounts: logins in files of their own. The shared file has a copy of the active one, so
//! that a switch replaces one file, and no process can take one account for another.
//!
//! The shared file's lock is held during every change, and each account's lock is acquired after it.

use std::fs;
use std::path::PathBuf;

use ee_token::internal::display_path;
use ee_token::{HttpClient, Remedy};

use super::json_fields::Fields;
use super::login::Login;
use super::{LoginFile, LoginFileContents, RemovedFile, Revocation};
use crate::input::file::is_absent;
use crate::input::location::Location;
use crate::kinds::account_name::{
    AccountName, accounts_dir, accounts_in, login_command, unknown_account,
};
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::{Environment, Error, ErrorKind, Warning};

/// The name under which a switch keeps a login that has none.
const UNNAMED: &str = "default";

/// The named accounts beside Earth Engine's login file. The login file contains the active one, which
/// the Python client uses, too; the others are in the directory `credentials.accounts`.
///
/// ```
/// use ee_credentials::{Accounts, Login, LoginFile};
/// use ee_token::Scopes;
///
/// let dir = tempfile::tempdir()?;
/// let accounts = Accounts::of(LoginFile::at(dir.path().join("credentials")));
/// let (work, home) = ("work".parse()?, "home".parse()?);
/// accounts.save_login(&work, &Login::new("1//work", Scopes::earth_engine()))?;
/// accounts.save_login(&home, &Login::new("1//home", Scopes::earth_engine()))?;
/// assert_eq!(accounts.active()?, Some(home));
/// accounts.switch(&work)?;
/// assert_eq!(accounts.active()?, Some(work));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// All methods except [`Accounts::revoke`] block, for up to ten seconds if another process is
/// writing.
#[derive(Debug, Clone)]
pub struct Accounts {
    shared: LoginFile,
}

/// An account, as [`Accounts::list`] returns it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Account {
    /// The name. `None` for a login in the shared file that no account has, for example one of the
    /// Python client.
    pub name: Option<AccountName>,
    /// The file: that of the account, or the shared one if there is no name.
    pub path: PathBuf,
    /// Whether the login is the one in the shared file.
    pub is_active: bool,
    /// The contents: those of the shared file if the account is active.
    pub contents: Result<LoginFileContents, Error>,
}

/// The result of a switch to another account.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SwitchedAccount {
    /// The account that was active before. A login without a name has been given one.
    pub previous: Option<AccountName>,
    /// Whether the login that was active before had no name.
    pub was_unnamed: bool,
    /// Warnings for the user.
    pub warnings: Vec<Warning>,
}

/// What was in the shared file before it is replaced.
#[derive(Default)]
struct PutAway {
    previous: Option<AccountName>,
    was_unnamed: bool,
    /// Settings without a login.
    settings: Option<Fields>,
    warnings: Vec<Warning>,
}

impl Accounts {
    /// Returns the accounts of an environment.
    ///
    /// # Errors
    /// As [`LoginFile::open`].
    pub fn open(environment: &Environment) -> Result<Self, Error> {
        LoginFile::open(environment).map(Self::of)
    }

    /// Returns the accounts beside a shared file.
    pub fn of(shared: LoginFile) -> Self {
        Self { shared }
    }

    /// Returns the shared file.
    pub fn shared_file(&self) -> &LoginFile {
        &self.shared
    }

    /// Returns the file of an account, or the shared file without a name. It may not exist.
    pub fn file(&self, name: Option<&AccountName>) -> LoginFile {
        match name {
            Some(name) => LoginFile::at(self.dir().join(name.as_str())),
            None => self.shared.clone(),
        }
    }

    fn dir(&self) -> PathBuf {
        accounts_dir(self.shared.path())
    }

    fn names(&self) -> Result<Vec<AccountName>, Error> {
        let dir = self.dir();
        accounts_in(&dir).map_err(|error| {
            Error::new(
                ErrorKind::CredentialsFile,
                format!(
                    "cannot list the accounts in {}: {error}",
                    display_path(&dir)
                ),
            )
            .with_remedy(Remedy::new("Check the permissions of the directory."))
            .with_source(error)
        })
    }

    /// Returns the accounts, sorted by name, and before them a login in the shared file that has no
    /// name.
    ///
    /// # Errors
    /// [`ErrorKind::CredentialsFile`] if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Account>, Error> {
        let shared = self.shared.read().transpose();
        let mut list = Vec::new();
        for name in self.names()? {
            let file = self.file(Some(&name));
            // It may have been removed by another process.
            let Some(contents) = file.read().transpose() else {
                continue;
            };
            let is_active = match (&shared, &contents) {
                (Some(Ok(shared)), Ok(own)) => shared.file.is_same_login(&own.file),
                _ => false,
            };
            list.push(Account {
                name: Some(name),
                path: file.path().to_owned(),
                is_active,
                contents: match (&shared, is_active) {
                    (Some(shared), true) => shared.clone(),
                    _ => contents,
                },
            });
        }
        let has_name = list.iter().any(|account| account.is_active);
        let unnamed = shared.filter(|shared| match shared {
            Ok(shared) => !has_name && shared.file.has_credentials(),
            Err(_) => true,
        });
        if let Some(contents) = unnamed {
            let account = Account {
                name: None,
                path: self.shared.path().to_owned(),
                is_active: true,
                contents,
            };
            list.insert(0, account);
        }
        Ok(list)
    }

    /// Returns the active account, or `None` if the shared file has no login or an unnamed one.
    ///
    /// # Errors
    /// As [`Accounts::list`].
    pub fn active(&self) -> Result<Option<AccountName>, Error> {
        let list = self.list()?;
        let active = list.into_iter().find(|account| account.is_active);
        Ok(active.and_then(|account| account.name))
    }

    /// Makes an account the active one, by replacing the shared file. The login that was there is
    /// kept as an account; if it has no name yet, it becomes the account `default`. Each account
    /// keeps its own project.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`] if there is no such account, [`ErrorKind::InvalidFile`] if its
    /// file is invalid, and [`ErrorKind::CredentialsFile`] if a file cannot be written or locked.
    pub fn switch(&self, name: &AccountName) -> Result<SwitchedAccount, Error> {
        // Nothing is created for an account that does not exist.
        self.login_of(name)?;
        self.shared.locked(|| {
            let (fields, file) = self.login_of(name)?;
            let shared = self.shared.read().ok().flatten();
            if shared.is_some_and(|shared| shared.file.is_same_login(&file)) {
                return Ok(SwitchedAccount {
                    previous: Some(name.clone()),
                    was_unnamed: false,
                    warnings: Vec::new(),
                });
            }
            let mut before = self.put_away()?;
            if let Some(own) = self.file(Some(name)).read()? {
                before.warnings.extend(own.warnings);
            }
            self.put_in_place(fields, before)
        })
    }

    /// Saves the login of an account, which becomes the active one. The login that was active is
    /// kept, as [`Accounts::switch`] does.
    ///
    /// # Errors
    /// As [`LoginFile::save_login`].
    pub fn save_login(&self, name: &AccountName, login: &Login) -> Result<SwitchedAccount, Error> {
        self.save_login_while(&|| true, name, login)
    }

    pub(crate) fn save_login_while(
        &self,
        is_wanted: &dyn Fn() -> bool,
        name: &AccountName,
        login: &Login,
    ) -> Result<SwitchedAccount, Error> {
        self.shared.locked_while(is_wanted, || {
            // If the account is active, its project is copied to its own file.
            let mut before = self.put_away()?;
            if before.previous.as_ref() == Some(name) {
                before.previous = None;
            }
            let file = self.file(Some(name));
            before.warnings.extend(file.save_login(login)?);
            let (fields, _) = self.login_of(name)?;
            self.put_in_place(fields, before)
        })
    }

    /// Saves a login without a name in the shared file. An active account is kept with its project.
    pub(crate) fn save_unnamed_while(
        &self,
        is_wanted: &dyn Fn() -> bool,
        login: &Login,
    ) -> Result<Vec<Warning>, Error> {
        if !self.names()?.is_empty() {
            self.shared.locked_while(is_wanted, || {
                let Some(fields) = self.shared.fields().ok().flatten() else {
                    return Ok(());
                };
                match self.owner(&EarthEngineFile::from_json(&fields.to_json())?)? {
                    Some(name) => self.keep(&name, &fields),
                    None => Ok(()),
                }
            })?;
        }
        self.shared.save_login_while(is_wanted, login)
    }

    /// Sets the project of an account and keeps everything else.
    ///
    /// # Errors
    /// As [`Accounts::switch`].
    pub fn set_project(&self, name: &AccountName, project: &str) -> Result<(), Error> {
        self.change(name, |fields| {
            fields.set("project", project);
            true
        })
        .map(|_| ())
    }

    /// Removes the project of an account and returns whether there was one.
    ///
    /// # Errors
    /// As [`Accounts::switch`].
    pub fn unset_project(&self, name: &AccountName) -> Result<bool, Error> {
        self.change(name, |fields| {
            let existed = fields.has("project");
            fields.remove("project");
            existed
        })
    }

    /// Changes the file of an account, and the shared file if the account is active. Returns whether
    /// one of them changed.
    fn change(
        &self,
        name: &AccountName,
        change: impl Fn(&mut Fields) -> bool,
    ) -> Result<bool, Error> {
        self.login_of(name)?;
        self.shared.locked(|| {
            let (_, own) = self.login_of(name)?;
            let mut changed = false;
            if let Ok(Some(mut fields)) = self.shared.fields()
                && own.is_same_login(&EarthEngineFile::from_json(&fields.to_json())?)
                && change(&mut fields)
            {
                self.shared.write(&fields)?;
                changed = true;
            }
            let file = self.file(Some(name));
            let own_changed = file.locked(|| {
                let mut fields = file.fields()?.unwrap_or_default();
                let changed = change(&mut fields);
                if changed {
                    file.write(&fields)?;
                }
                Ok(changed)
            })?;
            Ok(changed || own_changed)
        })
    }

    /// Removes an account, or the login in the shared file without a name. The copy of an active
    /// account is removed, too. The login is not revoked.
    ///
    /// # Errors
    /// [`ErrorKind::NoCredentials`] if there is no such account, and
    /// [`ErrorKind::CredentialsFile`] if a file cannot be removed.
    pub fn remove(&self, name: Option<&AccountName>) -> Result<RemovedFile, Error> {
        let file = self.existing(name)?;
        let mut login = None;
        let mut removed = file.remove_if(|| {
            login = file.read().ok().flatten();
            Ok(())
        })?;
        removed.also_removed = self.remove_copies(login)?;
        Ok(removed)
    }

    /// Revokes the login of an account, or that in the shared file without a name, then removes it.
    ///
    /// # Errors
    /// As [`LoginFile::revoke`] and [`Accounts::remove`].
    pub async fn revoke(
        &self,
        name: Option<&AccountName>,
        http: &HttpClient,
    ) -> Result<(Revocation, RemovedFile), Error> {
        let file = self.existing(name)?;
        let login = file.read()?;
        let (revocation, mut removed) = file.revoke(http).await?;
        removed.also_removed = self.remove_copies(login)?;
        Ok((revocation, removed))
    }

    /// Returns the file of an account, which must exist.
    fn existing(&self, name: Option<&AccountName>) -> Result<LoginFile, Error> {
        let file = self.file(name);
        match fs::symlink_metadata(file.path()) {
            Err(error) if name.is_some() && is_absent(&error) => Err(unknown_account(file.path())),
            _ => Ok(file),
        }
    }

    /// Removes the files that contain a removed login, too, and returns their paths.
    fn remove_copies(&self, removed: Option<LoginFileContents>) -> Result<Vec<PathBuf>, Error> {
        let Some(removed) = removed else {
            return Ok(Vec::new());
        };
        let names = self.names()?;
        let mut files = vec![self.shared.clone()];
        files.extend(names.iter().map(|name| self.file(Some(name))));
        let is_copy = |file: &LoginFile| {
            let contents = file.read().ok().flatten();
            contents.is_some_and(|contents| contents.file.is_same_login(&removed.file))
        };
        let mut paths = Vec::new();
        for file in files.into_iter().filter(is_copy) {
            let gone = file.locked(|| {
                let is_same = is_copy(&file);
                if is_same {
                    file.delete()?;
                }
                Ok(is_same)
            })?;
            paths.extend(gone.then(|| file.path().to_owned()));
        }
        Ok(paths)
    }

    /// Reads the file of an account, which must contain a login.
    fn login_of(&self, name: &AccountName) -> Result<(Fields, EarthEngineFile), Error> {
        let path = self.existing(Some(name))?;
        let location = Location::file(path.path());
        let no_login = || {
            location
                .invalid("it contains no login")
                .with_remedy(Remedy::new("Log in again.").command(login_command(&location)))
        };
        let fields = path.fields()?.ok_or_else(no_login)?;
        let file = EarthEngineFile::read(&fields.to_json(), &location)?;
        match file.has_credentials() {
            true => Ok((fields, file)),
            false => Err(no_login()),
        }
    }

    /// Keeps the login in the shared file as an account.
    fn put_away(&self) -> Result<PutAway, Error> {
        let mut away = PutAway::default();
        let fields = match self.shared.fields() {
            Ok(None) => return Ok(away),
            Ok(Some(fields)) => fields,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                away.warnings.push(self.shared.back_up(&error)?);
                return Ok(away);
            }
        };
        let login = EarthEngineFile::from_json(&fields.to_json())?;
        if !login.has_credentials() {
            away.settings = Some(fields);
            return Ok(away);
        }
        let owner = self.owner(&login)?;
        away.was_unnamed = owner.is_none();
        let name = match owner {
            Some(name) => name,
            None => self.unused_name()?,
        };
        self.keep(&name, &fields)?;
        away.previous = Some(name);
        Ok(away)
    }

    /// Returns the account that has this login, if any.
    fn owner(&self, login: &EarthEngineFile) -> Result<Option<AccountName>, Error> {
        Ok(self.names()?.into_iter().find(|name| {
            let own = self.file(Some(name)).read().ok().flatten();
            own.is_some_and(|own| own.file.is_same_login(login))
        }))
    }

    /// Writes these fields to the file of an account, unless it contains them already.
    fn keep(&self, name: &AccountName, fields: &Fields) -> Result<(), Error> {
        let file = self.file(Some(name));
        file.locked(|| match file.fields() {
            Ok(Some(own)) if *own.to_json() == *fields.to_json() => Ok(()),
            _ => file.write(fields),
        })
    }

    /// Returns the first of `default`, `default-2`, … that no file has.
    fn unused_name(&self) -> Result<AccountName, Error> {
        let mut number = 1;
        loop {
            let name: AccountName = match number {
                1 => UNNAMED.parse()?,
                number => format!("{UNNAMED}-{number}").parse()?,
            };
            if fs::symlink_metadata(self.file(Some(&name)).path()).is_err() {
                return Ok(name);
            }
            number += 1;
        }
    }

    /// Replaces the shared file. Settings that were in it without a login are kept.
    fn put_in_place(&self, mut fields: Fields, before: PutAway) -> Result<SwitchedAccount, Error> {
        let mut warnings = before.warnings;
        if let Some(settings) = before.settings
            && !fields.add_missing(settings)
        {
            let reason = self
                .shared
                .location()
                .invalid("it contained other settings than the account");
            warnings.push(self.shared.back_up(&reason)?);
        }
        self.shared.write(&fields)?;
        Ok(SwitchedAccount {
            previous: before.previous,
            was_unnamed: before.was_unnamed,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests;
