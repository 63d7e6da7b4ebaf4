//! What the login modes share: the user's choices, the wait for the user, and saving the login.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ee_token::{HttpClient, Remedy, Scopes, SecretString, token_info};
use tokio::time::timeout;

use crate::input::location::Location;
use crate::kinds::oauth_clients::EARTH_ENGINE_LOGIN;
use crate::login::LoginMode;
use crate::login::authorization::{Client, TokenGrant, granted_name, missing};
use crate::{AccountName, Accounts, Environment, Error, ErrorKind, Login, Warning};

/// A login in progress.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(super) environment: Environment,
    /// The named account to log in to.
    pub(super) account: Option<AccountName>,
    pub(super) http: HttpClient,
    pub(super) scopes: Option<Scopes>,
    pub(super) quiet: bool,
    pub(super) timeout: Duration,
}

/// A saved login.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SavedLogin {
    /// The file: that of the account, or the one shared with the Python client.
    pub path: std::path::PathBuf,
    /// The account, which is active now, or `None` for a login without a name.
    pub account: Option<AccountName>,
    /// The account that was active before, if it is another one.
    pub previous_account: Option<AccountName>,
    /// The user's email address, if the login has the scope `email`.
    pub email: Option<String>,
    /// The login mode.
    pub mode: LoginMode,
    /// The scopes that were granted and saved.
    pub granted: Scopes,
    /// The requested scopes that the user did not grant.
    pub missing: Scopes,
    /// When the login expires, if it does.
    pub expires_at: Option<DateTime<Utc>>,
    /// Warnings for the user.
    pub warnings: Vec<Warning>,
}

impl Session {
    pub(super) fn requested_scopes(&self) -> Scopes {
        self.scopes.clone().unwrap_or_default()
    }

    pub(super) fn requests_other_scopes(&self) -> bool {
        let usual = Scopes::earth_engine();
        self.scopes
            .as_ref()
            .is_some_and(|s| s.len() != usual.len() || s.iter().any(|s| !usual.contains(s)))
    }

    /// Waits for the user, up to the timeout.
    pub(super) async fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        timeout(self.timeout, work).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::LoginTimeout,
                format!(
                    "the login was not finished within {} seconds",
                    self.timeout.as_secs_f64()
                ),
            )
            .with_remedy(
                Remedy::new("Log in again, with a longer --timeout if needed.")
                    .command(EARTH_ENGINE_LOGIN),
            ))
        })
    }

    /// Saves a grant with the requested scopes that it contains.
    pub(super) async fn save(
        &self,
        mode: LoginMode,
        granted: TokenGrant,
        requested: &Scopes,
        client: &Client,
        redirect_uri: Option<String>,
    ) -> Result<SavedLogin, Error> {
        let Some(refresh_token) = granted.refresh_token else {
            return Err(Error::new(
                ErrorKind::LoginFailed,
                "Google returned no refresh token, so the login would expire within an hour",
            )
            .with_remedy(
                Remedy::new(
                    "Remove the application's access on the page of your Google Account, then log in again.",
                )
                .url("https://myaccount.google.com/connections"),
            ));
        };
        let stored = granted_of(requested, &granted.scopes);
        let email = match granted.email {
            Some(email) => Some(email),
            None if granted_name(&stored, "email").is_some() => {
                let info = token_info(&self.http, &granted.access_token).await;
                info.ok().and_then(|info| info.email)
            }
            None => None,
        };
        let made_at = Utc::now();
        let mut login = Login::new(refresh_token, stored.clone())
            .client(client.id.clone(), client.secret.clone())
            .login_mode_at(mode.name(), made_at);
        if let Some(uri) = redirect_uri {
            login = login.redirect_uri(uri);
        }
        let accounts = Accounts::open(&self.environment)?;
        let account = self.account.clone();
        let path = accounts.file(account.as_ref()).path().to_owned();
        // Dropped together with this future, which cancels the write.
        let caller = Arc::new(());
        let weak = Arc::downgrade(&caller);
        let stored_file = tokio::task::spawn_blocking(move || {
            let is_wanted = || weak.strong_count() > 0;
            let (previous, warnings) = match &account {
                Some(name) => {
                    let saved = accounts.save_login_while(&is_wanted, name, &login)?;
                    (saved.previous, saved.warnings)
                }
                None => (None, accounts.save_unnamed_while(&is_wanted, &login)?),
            };
            let file = accounts.file(account.as_ref()).read()?;
            Ok::<_, Error>((previous, warnings, file))
        })
        .await
        .map_err(|_| {
            Error::new(
                ErrorKind::CredentialsFile,
                "the runtime shut down before the login was saved",
            )
            .with_remedy(Remedy::new("Log in again."))
        })?;
        drop(caller);
        let (previous_account, mut warnings, file) = stored_file?;
        let file = file.map(|stored| stored.file);
        let location = Location::file(&path);
        let missing = missing(requested, &granted.scopes);
        warnings.extend(missing_warning(&missing));
        warnings.extend(
            file.as_ref()
                .and_then(|file| file.expiry_warning(&location)),
        );
        warnings.extend(self.variable_warnings());
        Ok(SavedLogin {
            path,
            account: self.account.clone(),
            previous_account,
            email,
            mode,
            granted: stored,
            missing,
            expires_at: file.and_then(|file| file.login_expires_at()),
            warnings,
        })
    }

    /// Warns about variables that take precedence over the saved login.
    fn variable_warnings(&self) -> Vec<Warning> {
        const TOKEN: &str = "EARTHENGINE_TOKEN";
        const ACCOUNT: &str = "EARTHENGINE_ACCOUNT";
        let token = self.environment.raw(TOKEN);
        let account = self.environment.var(ACCOUNT);
        let own = self.account.as_ref().map(AccountName::as_str);
        [
            token
                .is_some_and(|value| !value.is_empty())
                .then_some(TOKEN),
            account.filter(|name| Some(*name) != own).map(|_| ACCOUNT),
        ]
        .into_iter()
        .flatten()
        .map(|name| {
            Warning::new(
                "env_var_takes_precedence",
                format!("{name} is set and takes precedence over this login"),
                Remedy::new(format!("Unset {name} to use the login."))
                    .command(format!("unset {name}")),
            )
        })
        .collect()
    }
}

/// Returns the requested scopes that were granted, or all granted scopes if there are none.
pub(super) fn granted_of(requested: &Scopes, granted: &Scopes) -> Scopes {
    // Under the names of the response, with which the Python client compares them.
    let name = |scope| granted_name(granted, scope);
    let both = Scopes::new(requested.iter().filter_map(name));
    if both.is_empty() {
        granted.clone()
    } else {
        both
    }
}

fn missing_warning(missing: &Scopes) -> Option<Warning> {
    (!missing.is_empty()).then(|| {
        Warning::new(
            "scopes_not_granted",
            format!("scopes not granted on the consent page: {missing}"),
            Remedy::new("Requests that need them will be denied. To grant them, log in again and leave their boxes checked.")
                .command(format!("{EARTH_ENGINE_LOGIN} --force")),
        )
    })
}

/// Returns whether a secret is empty or consists of white space.
pub(super) fn is_blank(secret: &SecretString) -> bool {
    secret.expose_secret().trim().is_empty()
}
