//! The file in which the project is saved: Earth Engine's login file, or that of an account.

use std::path::Path;

use earthengine::Environment;
use earthengine::credentials::{AccountName, Accounts, Error, LoginFile};

use crate::cli::Global;
use crate::command::account::selected_account;
use crate::error::CliError;

/// The file in which the project is saved.
pub(super) struct ProjectFile {
    accounts: Accounts,
    account: Option<AccountName>,
    file: LoginFile,
}

impl ProjectFile {
    /// Returns the file of the account that the command line or the environment names, or else the
    /// shared file.
    pub(super) fn open(global: &Global) -> Result<Self, CliError> {
        let environment = Environment::current();
        let account = selected_account(global, &environment)?;
        let accounts = Accounts::open(&environment)?;
        Ok(Self {
            file: accounts.file(account.as_ref()),
            accounts,
            account,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn set_project(&self, id: &str) -> Result<(), Error> {
        match &self.account {
            Some(name) => self.accounts.set_project(name, id),
            None => self.file.set_project(id),
        }
    }

    pub(super) fn unset_project(&self) -> Result<bool, Error> {
        match &self.account {
            Some(name) => self.accounts.unset_project(name),
            None => self.file.unset_project(),
        }
    }
}
