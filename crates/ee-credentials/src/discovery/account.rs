//! The search for the login and the project of a named account.

use std::path::PathBuf;

use ee_token::Remedy;

use crate::input::file::{FileContents, Optional, read_optional};
use crate::input::location::Location;
use crate::kinds::account_name::{AccountName, accounts_dir, login_command, unknown_account};
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::{Environment, Error, ErrorKind, Warning};

/// The variable that names the account to use.
pub(crate) const ACCOUNT: &str = "EARTHENGINE_ACCOUNT";

impl Environment {
    /// Returns the account in `EARTHENGINE_ACCOUNT`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidEnvironment`] if the value is not an account name.
    pub fn account(&self) -> Result<Option<AccountName>, Error> {
        let Some(text) = self.try_var(ACCOUNT)? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|error: Error| {
            let message = format!("the variable {ACCOUNT}: {error}");
            Error::new(ErrorKind::InvalidEnvironment, message).with_cause(error)
        })
    }

    /// Returns the file of an account, in the directory `credentials.accounts` beside Earth
    /// Engine's login file. It may not exist.
    ///
    /// ```
    /// use ee_credentials::{Environment, Platform};
    ///
    /// let environment = Environment::empty().with_os(Platform::Linux).with_home("/home/jane");
    /// assert_eq!(
    ///     environment.account_file(&"work".parse()?)?,
    ///     Some("/home/jane/.config/earthengine/credentials.accounts/work".into()),
    /// );
    /// # Ok::<(), ee_credentials::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Environment::earth_engine_credentials_file`].
    pub fn account_file(&self, name: &AccountName) -> Result<Option<PathBuf>, Error> {
        let login_file = self.earth_engine_credentials_file()?;
        Ok(login_file.map(|file| accounts_dir(&file).join(name.as_str())))
    }
}

/// Returns the environment with another account, or without one if the name is empty.
pub fn with_account(environment: Environment, name: &str) -> Environment {
    environment.with_var(ACCOUNT, name)
}

/// Returns the file of an account. It may not exist.
pub(crate) fn file_of(environment: &Environment, name: &AccountName) -> Result<PathBuf, Error> {
    environment.account_file(name)?.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidEnvironment,
            format!(
                "the file of the account {name} is unknown, because there is no home directory"
            ),
        )
        .with_remedy(Remedy::new(
            "Set HOME, or set EE_CONFIG_FILE to the path of Earth Engine's login file.",
        ))
    })
}

/// Reads the file of an account, which must exist.
fn read_file(location: &Location) -> Result<FileContents, Error> {
    match read_optional(location)? {
        Optional::File(file) => Ok(file),
        Optional::Missing => Err(match location.path() {
            Some(path) => unknown_account(path),
            None => location.invalid("the file does not exist"),
        }),
        Optional::Inaccessible(Warning {
            message, remedy, ..
        }) => Err(Error::new(ErrorKind::InvalidFile, message).with_remedy(remedy)),
    }
}

/// Reads the file of an account, which must contain a login, and returns its warnings.
pub(crate) fn read_login(location: &Location) -> Result<(FileContents, Vec<Warning>), Error> {
    let file = read_file(location)?;
    let contents = EarthEngineFile::read(&file.text, location)?;
    if !contents.has_credentials() {
        return Err(location
            .invalid("it contains no login")
            .with_remedy(Remedy::new("Log in again.").command(login_command(location))));
    }
    let warnings = contents.warnings(location);
    Ok((file, warnings))
}

/// Returns the project of an account: the one that was set while it was the active account, or the
/// one in its own file.
pub(crate) fn account_project(
    environment: &Environment,
    name: &AccountName,
) -> Result<Option<String>, Error> {
    let location = Location::file(file_of(environment, name)?);
    let own = EarthEngineFile::read(&read_file(&location)?.text, &location)?;
    let active = match environment.earth_engine_location()? {
        Some(active) => match read_optional(&active) {
            // An invalid file contains the login of no account.
            Ok(Optional::File(file)) => EarthEngineFile::read(&file.text, &active).ok(),
            _ => None,
        },
        None => None,
    };
    let newest = active.filter(|active| active.is_same_login(&own));
    Ok(newest.unwrap_or(own).project().map(str::to_owned))
}

/// Returns the account in the variable, if logins may be used.
pub(super) fn from_variable(
    environment: &Environment,
    is_allowed: bool,
) -> Result<Option<AccountName>, Error> {
    match environment.account()? {
        Some(name) if !is_allowed => Err(Error::new(
            ErrorKind::InvalidEnvironment,
            format!("{ACCOUNT} is {name}, but the search for credentials is restricted to sources other than logins"),
        )
        .with_remedy(
            Remedy::new(format!(
                "Unset {ACCOUNT}, or add earthengine_file to the sources (EARTHENGINE_CREDENTIALS_SOURCE, or the program's own list)."
            ))
            .command(format!("unset {ACCOUNT}")),
        )),
        name => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        CredentialOptions, CredentialSource, Credentials, FoundCredentials, Search, SearchOutcome,
    };

    fn machine() -> (tempfile::TempDir, Environment) {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty().with_home(home.path());
        let shared = environment
            .earth_engine_credentials_file()
            .unwrap()
            .unwrap();
        fs::create_dir_all(accounts_dir(&shared)).unwrap();
        let text = r#"{"refresh_token": "1//home", "project": "newer-project"}"#;
        fs::write(&shared, text).unwrap();
        for (name, token) in [("home", "1//home"), ("work", "1//work")] {
            let name = name.parse().unwrap();
            let path = environment.account_file(&name).unwrap().unwrap();
            let text = format!(r#"{{"refresh_token": "{token}", "project": "{name}-project"}}"#);
            fs::write(path, text).unwrap();
        }
        (home, environment)
    }

    fn search(environment: &Environment) -> Search {
        Search::new(environment.clone(), CredentialOptions::default())
    }

    async fn find_account(
        environment: &Environment,
        name: &str,
    ) -> Result<FoundCredentials, Error> {
        search(environment).with_account(name).find().await
    }

    #[tokio::test]
    async fn account_precedes_every_source_but_the_callers() {
        let (_home, environment) = machine();
        let with_others = environment
            .with_var("EARTHENGINE_TOKEN", "1//other")
            .with_var("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json");
        let found = find_account(&with_others, "work").await.unwrap();
        assert_eq!(found.credentials.source(), CredentialSource::Account);
        assert!(found.credentials.path().unwrap().ends_with("work"));
        let steps: Vec<_> = found
            .searched
            .iter()
            .map(|step| (step.source.as_str(), step.outcome.as_str()))
            .collect();
        assert_eq!(steps[0], ("flag", "not_found"));
        assert_eq!(steps[1], ("account", "found"));
        assert!(steps[2..].iter().all(|(_, outcome)| *outcome == "skipped"));

        let named = with_others.clone().with_var(ACCOUNT, " home ");
        let found = search(&named).find().await.unwrap();
        assert!(found.credentials.path().unwrap().ends_with("home"));
        let found = find_account(&named, "work").await.unwrap();
        assert!(found.credentials.path().unwrap().ends_with("work"));
        let given = Credentials::from_api_key("key");
        let found = search(&named).with_credentials(given.clone()).find().await;
        assert_eq!(
            found.unwrap().credentials.source(),
            CredentialSource::InMemory
        );
        let both = search(&with_others)
            .with_account("work")
            .with_credentials(given);
        let error = both.find().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    }

    #[tokio::test]
    async fn restricted_search_uses_an_account_if_logins_are_allowed() {
        let (_home, environment) = machine();
        let named = environment.with_var(ACCOUNT, "work");
        let only = |source: &str| {
            named
                .clone()
                .with_var("EARTHENGINE_CREDENTIALS_SOURCE", source)
        };
        assert!(search(&only("earthengine_file")).find().await.is_ok());
        let error = search(&only("gcloud_adc")).find().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
        assert!(error.to_string().contains(ACCOUNT), "{error}");
        // The program's own choice.
        assert!(find_account(&only("gcloud_adc"), "work").await.is_ok());
    }

    #[tokio::test]
    async fn missing_or_invalid_account_ends_the_search() {
        let (_home, environment) = machine();
        let error = find_account(&environment, "wrok").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCredentials);
        assert_eq!(
            error.to_string(),
            "there is no account wrok; the accounts are home, work"
        );
        assert!(error.remedy().text.contains("Did you mean work?"));
        let steps = error.search_steps();
        assert!(
            matches!(steps[1].outcome, SearchOutcome::Invalid(_)),
            "{steps:?}"
        );
        for name in ["1//0canary-token", "../credentials"] {
            let named = environment.clone().with_var(ACCOUNT, name);
            let error = search(&named).find().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
            assert!(error.to_string().contains(ACCOUNT), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
        let path = environment
            .account_file(&"work".parse().unwrap())
            .unwrap()
            .unwrap();
        for text in ["{", "{}", r#"{"project": "p"}"#] {
            fs::write(&path, text).unwrap();
            let error = find_account(&environment, "work").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidFile, "{text}");
        }
        let nowhere = Environment::empty().with_var(ACCOUNT, "work");
        let error = search(&nowhere).find().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
    }

    #[test]
    fn project_of_the_active_account_is_that_of_the_shared_file() {
        let (_home, environment) = machine();
        let project = |name: &str| {
            let named = environment.clone().with_var(ACCOUNT, name);
            named.earthengine_file_project().unwrap()
        };
        assert_eq!(project("home").as_deref(), Some("newer-project"));
        assert_eq!(project("work").as_deref(), Some("work-project"));
        assert_eq!(project("").as_deref(), Some("newer-project"));
        let unknown = environment.clone().with_var(ACCOUNT, "wrok");
        assert!(unknown.earthengine_file_project().is_err());
    }

    #[tokio::test]
    async fn configuration_for_workers_names_the_account() {
        let (_home, environment) = machine();
        let here = find_account(&environment, "work").await.unwrap();
        let json = serde_json::to_string(&here.credentials.to_config().unwrap()).unwrap();
        assert!(json.contains(r#""found":{"account":"work"}"#), "{json}");
        let config = serde_json::from_str(&json).unwrap();
        let http = ee_token::HttpClient::default();
        let there = Credentials::from_config(&config, &environment, &http).await;
        assert_eq!(there.unwrap().path(), here.credentials.path());
    }
}
