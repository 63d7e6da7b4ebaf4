//! The names of accounts: logins in files of their own beside Earth Engine's login file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ee_token::Remedy;

use crate::input::file::is_absent;
use crate::input::location::Location;
use crate::input::nearest::nearest;
use crate::kinds::oauth_clients::EARTH_ENGINE_LOGIN;
use crate::{Error, ErrorKind};

/// What follows the name of the login file in the name of the accounts' directory.
const DIR_SUFFIX: &str = ".accounts";
/// What follows the name of a file in the name of its backup.
const BACKUP: &str = ".before-";
const LONGEST_NAME: usize = 64;
/// Names of devices on Windows, with any extension.
const DEVICES: [&str; 4] = ["aux", "con", "nul", "prn"];

/// The name of an account: lowercase letters, digits and `. _ - @ +`, at most 64 of them, with a
/// letter or a digit at both ends. It names a file, and an email address is a valid name.
///
/// ```
/// use ee_credentials::AccountName;
///
/// let name: AccountName = "jane@example.com".parse()?;
/// assert_eq!(name.as_str(), "jane@example.com");
/// assert!("../work".parse::<AccountName>().is_err());
/// # Ok::<(), ee_credentials::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Box<str>);

impl AccountName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the account whose login is in this file.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let dir = path.parent()?.file_name()?.to_str()?;
        let name = path.file_name()?.to_str()?;
        dir.ends_with(DIR_SUFFIX)
            .then(|| name.parse().ok())
            .flatten()
    }
}

impl FromStr for AccountName {
    type Err = Error;

    /// Validates a name. The error does not show it, because it may be a secret.
    fn from_str(text: &str) -> Result<Self, Error> {
        if is_valid(text) {
            return Ok(Self(text.into()));
        }
        let lowercase = text.to_ascii_lowercase();
        let remedy = match is_valid(&lowercase) {
            true => format!("Write it in lowercase: {lowercase}."),
            false => "Use a short name such as work, or an email address.".to_owned(),
        };
        Err(Error::new(
            ErrorKind::InvalidOptions,
            format!(
                "invalid account name: it must consist of at most {LONGEST_NAME} lowercase letters, digits and the characters . _ - @ +, with a letter or a digit at both ends"
            ),
        )
        .with_remedy(Remedy::new(remedy)))
    }
}

fn is_valid(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter()
        .all(|end| end.is_some_and(|end| is_letter(*end)))
        && bytes.len() <= LONGEST_NAME
        && bytes.iter().all(|b| is_letter(*b) || b"._-@+".contains(b))
        && !name.contains(BACKUP)
        && !is_device(name.split('.').next().unwrap_or_default())
}

fn is_device(stem: &str) -> bool {
    let is_port = |prefix| {
        let number = stem.strip_prefix(prefix);
        number.is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']))
    };
    DEVICES.contains(&stem) || is_port("com") || is_port("lpt")
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the directory of the accounts beside a login file.
pub(crate) fn accounts_dir(login_file: &Path) -> PathBuf {
    let mut name = login_file.file_name().unwrap_or_default().to_owned();
    name.push(DIR_SUFFIX);
    login_file.with_file_name(name)
}

/// Returns the names of the accounts in a directory, sorted. It may not exist.
pub(crate) fn accounts_in(dir: &Path) -> io::Result<Vec<AccountName>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_file = !entry.file_type()?.is_dir();
        let name = entry.file_name();
        names.extend(
            name.to_str()
                .filter(|_| is_file)
                .and_then(|n| n.parse().ok()),
        );
    }
    names.sort();
    Ok(names)
}

/// Returns the error for an account whose file does not exist, with the accounts that do.
pub(crate) fn unknown_account(path: &Path) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let known = accounts_in(path.parent().unwrap_or(Path::new(""))).unwrap_or_default();
    let known: Vec<&str> = known.iter().map(AccountName::as_str).collect();
    let near = nearest(&name, known.iter().copied());
    let message = match &*known {
        [] => format!("there is no account {name}, and no other account has a name"),
        [only] => format!("there is no account {name}; the only account is {only}"),
        known => format!(
            "there is no account {name}; the accounts are {}",
            known.join(", ")
        ),
    };
    let remedy = match &*near {
        [] => Remedy::new("To add the account, log in.")
            .command(format!("{EARTH_ENGINE_LOGIN} --account {name}")),
        near => {
            Remedy::new(format!("Did you mean {}?", near.join(" or "))).command("eectl auth list")
        }
    };
    Error::new(ErrorKind::NoCredentials, message).with_remedy(remedy)
}

/// Returns the command that renews the login in this location.
pub(crate) fn login_command(location: &Location) -> String {
    match location.path().and_then(AccountName::of_file) {
        Some(name) => format!("{EARTH_ENGINE_LOGIN} --account {name}"),
        None => EARTH_ENGINE_LOGIN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn account_names_are_safe_file_names() {
        for name in [
            "a",
            "work",
            "jane@example.com",
            "x_1-y+z",
            "0",
            "comet",
            "console.x",
        ] {
            assert_eq!(name.parse::<AccountName>().unwrap().as_str(), name);
        }
        let long = "x".repeat(65);
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "-a",
            ".a",
            "a.",
            "a b",
            "Work",
            "ä",
            "a\0",
            "con",
            "nul.txt",
            "com1",
            "lpt9.x",
            "a.before-20260101-000000",
            "a\n",
            "1//refresh",
            &long,
        ] {
            let error = name.parse::<AccountName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{name}");
            assert!(
                !name.contains('/') || !error.to_string().contains(name),
                "{name}"
            );
        }
        let error = "Work".parse::<AccountName>().unwrap_err();
        assert!(error.remedy().text.contains("lowercase: work"));
    }

    #[test]
    fn unknown_account_lists_the_known_ones() {
        let dir = tempfile::tempdir().unwrap();
        let error = unknown_account(&dir.path().join("absent/wrk"));
        assert!(error.to_string().contains("no other account"), "{error}");
        for name in [
            "work",
            "home",
            ".work.lock",
            "Odd",
            "work.before-20260101-000000",
        ] {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        std::fs::create_dir(dir.path().join("subdirectory")).unwrap();
        let error = unknown_account(&dir.path().join("wrk"));
        assert_eq!(error.kind(), ErrorKind::NoCredentials);
        assert_eq!(
            error.to_string(),
            "there is no account wrk; the accounts are home, work"
        );
        let remedy = |error: &Error| error.remedy().to_string();
        assert!(remedy(&error).starts_with("Did you mean work?"));
        let error = unknown_account(&dir.path().join("office"));
        assert!(remedy(&error).contains("eectl auth login --account office"));
    }

    proptest! {
        #[test]
        fn valid_name_stays_in_its_directory(text in "[a-zA-Z0-9._@+/\\\\-]{0,70}") {
            if let Ok(name) = text.parse::<AccountName>() {
                let path = accounts_dir(Path::new("/x/credentials")).join(name.as_str());
                prop_assert_eq!(path.parent(), Some(Path::new("/x/credentials.accounts")));
                prop_assert_eq!(AccountName::of_file(&path), Some(name));
            }
        }
    }
}
