//! The login flow: reuse working credentials, select a mode, obtain a grant, save it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ee_token::{ErrorKind as Token, HttpClient, Remedy, Scopes};
use tokio::time::timeout;

use crate::kinds::oauth_clients::{CLIENT_ID, CLIENT_SECRET, EARTH_ENGINE_LOGIN};
use crate::login::authorization::{Client, TokenGrant, covers, missing};
use crate::login::modes::colab;
use crate::login::modes::gcloud;
use crate::login::modes::localhost;
use crate::login::modes::notebook;
use crate::login::modes::notebook::NotebookLogin;
use crate::login::{Browser, LoginMode, Terminal};
use crate::{
    CredentialOptions, Credentials, Environment, Error, ErrorKind, Login, LoginFile, Search,
    Warning,
};

/// How long to wait for the user.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// A login with Earth Engine's own OAuth client or with gcloud, saved in the file shared with the
/// Python client. This is the counterpart of `ee.Authenticate()`.
///
/// ```no_run
/// use ee_credentials::Environment;
/// use ee_credentials::login::{LoginFlow, PromptFuture, LoginMode, LoginOutcome, SystemBrowser, Terminal, Url};
/// use ee_token::HttpClient;
///
/// struct Window;
///
/// impl Terminal for Window {
///     fn print(&self, _text: &str) { /* show it */ }
///     fn show_url(&self, _url: &Url, _advice: &str) { /* show a link */ }
///     fn prompt<'a>(&'a self, _prompt: &'a str) -> PromptFuture<'a> { Box::pin(async { Ok(None) }) }
/// }
///
/// # async fn f() -> Result<(), ee_credentials::Error> {
/// let environment = Environment::current();
/// let http = HttpClient::new(environment.endpoints()?);
/// let browser = SystemBrowser::new(&environment);
/// let flow = LoginFlow::new(environment, http).mode(LoginMode::Localhost { port: None });
/// match flow.run(&Window, &browser).await? {
///     LoginOutcome::LoggedIn(saved) => println!("{}", saved.path.display()),
///     LoginOutcome::AlreadyLoggedIn(credentials) => println!("{}", credentials.origin()),
///     _ => {}
/// }
/// # Ok(()) }
/// ```
///
/// If the future is dropped, the login is saved completely or not at all.
#[derive(Debug, Clone)]
pub struct LoginFlow {
    pub(super) environment: Environment,
    pub(super) http: HttpClient,
    mode: Option<LoginMode>,
    scopes: Option<Scopes>,
    force: bool,
    pub(super) quiet: bool,
    timeout: Duration,
}

/// The outcome of a login.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginOutcome {
    /// Working credentials with the requested scopes exist; nothing was done.
    AlreadyLoggedIn(Credentials),
    /// The user logged in.
    LoggedIn(SavedLogin),
    /// The first of two steps is done: the user opens a page and passes the code that it shows to
    /// [`LoginFlow::finish_notebook`].
    AwaitingCode(NotebookLogin),
    /// This mode needs no login, because Application Default Credentials are always searched.
    NotNeeded,
}

/// A saved login.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SavedLogin {
    /// The file.
    pub path: std::path::PathBuf,
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

impl LoginFlow {
    /// Creates a login for the file of this environment.
    pub fn new(environment: Environment, http: HttpClient) -> Self {
        Self {
            environment,
            http,
            mode: None,
            scopes: None,
            force: false,
            quiet: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Sets the login mode. Defaults to the result of [`LoginMode::detect`].
    #[must_use]
    pub fn mode(mut self, mode: LoginMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sets the requested scopes. Defaults to [`Scopes::earth_engine`], also if empty.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = (!scopes.is_empty()).then_some(scopes);
        self
    }

    /// Sets whether to log in even if working credentials exist. Defaults to `false`.
    #[must_use]
    pub fn force(mut self, yes: bool) -> Self {
        self.force = yes;
        self
    }

    /// Sets whether to avoid prompts and browsers. Defaults to `false`. If set, `localhost` shows
    /// the URL and waits, and `notebook` takes two steps. gcloud opens no browser either, but
    /// prompts for its code itself.
    #[must_use]
    pub fn quiet(mut self, yes: bool) -> Self {
        self.quiet = yes;
        self
    }

    /// Sets how long to wait for the user. Defaults to five minutes.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Logs the user in and saves the login.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::LoginUnavailable`] if the mode cannot be used in this environment
    /// - [`ErrorKind::LoginDenied`] if the user denies access
    /// - [`ErrorKind::LoginTimeout`] if the user does not finish in time
    /// - [`ErrorKind::LoginFailed`] if the response or the code is invalid
    /// - [`ErrorKind::CredentialsFile`] if the file cannot be written
    /// - [`ErrorKind::InvalidFile`] if a directory is in place of the file
    /// - [`ErrorKind::Token`] if Google cannot be reached
    pub async fn run(
        &self,
        terminal: &dyn Terminal,
        browser: &dyn Browser,
    ) -> Result<LoginOutcome, Error> {
        let mode = match self.mode {
            Some(mode) => mode,
            None => LoginMode::detect(&self.environment, browser),
        };
        if mode == LoginMode::AppDefault {
            return Ok(LoginOutcome::NotNeeded);
        }
        // Colab's login cannot be repeated from here.
        if (!self.force || mode == LoginMode::Colab)
            && let Some(credentials) = self.valid_credentials().await?
        {
            return Ok(LoginOutcome::AlreadyLoggedIn(credentials));
        }
        // A file that cannot be written is reported before the user is prompted.
        LoginFile::open(&self.environment)?.check_place()?;
        let saved = match mode {
            LoginMode::Localhost { port } => localhost::run(self, port, terminal, browser).await?,
            LoginMode::Notebook => return notebook::run(self, terminal, browser).await,
            LoginMode::Gcloud | LoginMode::GcloudLegacy => {
                gcloud::run(self, mode, terminal, browser).await?
            }
            LoginMode::Colab => return Err(colab::not_logged_in(self)),
            LoginMode::AppDefault => return Ok(LoginOutcome::NotNeeded),
        };
        Ok(LoginOutcome::LoggedIn(saved))
    }

    /// Finishes a notebook login. `verifier` is the [`NotebookLogin::code_verifier`] of the first
    /// step, `code` the code shown by the page.
    ///
    /// # Errors
    ///
    /// The same as for [`LoginFlow::run`].
    pub async fn finish_notebook(
        &self,
        verifier: &ee_token::SecretString,
        code: &ee_token::SecretString,
    ) -> Result<SavedLogin, Error> {
        notebook::finish(self, verifier, code).await
    }

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

    /// Returns the credentials that a program would use now, if their token has the requested
    /// scopes. Fails with [`ErrorKind::Token`] if Google cannot be reached.
    async fn valid_credentials(&self) -> Result<Option<Credentials>, Error> {
        let requested = self.requested_scopes();
        let options = CredentialOptions::new(self.http.clone()).scopes(requested.clone());
        let environment = &self.environment;
        // Without this, a laptop without credentials would wait seconds for a metadata server.
        let probe = environment.probes_network() && environment.is_google_machine();
        let search = Search::new(environment.clone().with_metadata_probe(probe), options);
        // Invalid credentials are replaced, or reported by a later search.
        let Ok(found) = search.find().await else {
            return Ok(None);
        };
        match found.credentials.token().await {
            Ok(token) => {
                let enough = token
                    .scopes()
                    .is_none_or(|granted| missing(&requested, granted).is_empty());
                Ok(enough.then_some(found.credentials))
            }
            // A new login may help even if the reason for the rejection is unknown.
            Err(error) if error.kind() == Token::UnconfirmedRejection => Ok(None),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(_) => Ok(None),
        }
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
        let made_at = Utc::now();
        let mut login = Login::new(refresh_token, stored.clone())
            .client(client.id.clone(), client.secret.clone())
            .login_mode_at(mode.name(), made_at);
        if let Some(uri) = redirect_uri {
            login = login.redirect_uri(uri);
        }
        let store = LoginFile::open(&self.environment)?;
        let path = store.path().to_owned();
        // Dropped together with this future, which cancels the write.
        let caller = Arc::new(());
        let weak = Arc::downgrade(&caller);
        let stored_file = tokio::task::spawn_blocking(move || {
            let is_wanted = || weak.strong_count() > 0;
            let warnings = store.save_login_while(&is_wanted, &login)?;
            Ok::<_, Error>((warnings, store.read()?))
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
        let (mut warnings, file) = stored_file?;
        let file = file.map(|stored| stored.file);
        let missing = missing(requested, &granted.scopes);
        warnings.extend(missing_warning(&missing));
        warnings.extend(file.as_ref().and_then(|file| file.warning()));
        warnings.extend(self.variable_warning());
        Ok(SavedLogin {
            path,
            mode,
            granted: stored,
            missing,
            expires_at: file.and_then(|file| file.login_expires_at()),
            warnings,
        })
    }

    /// Warns about a variable that takes precedence over the saved login.
    fn variable_warning(&self) -> Option<Warning> {
        const NAME: &str = "EARTHENGINE_TOKEN";
        self.environment
            .raw(NAME)
            .filter(|value| !value.is_empty())?;
        Some(Warning::new(
            "env_var_takes_precedence",
            format!("{NAME} is set and takes precedence over this login"),
            Remedy::new(format!("Unset {NAME} to use the login.")).command(format!("unset {NAME}")),
        ))
    }
}

impl Client {
    /// Returns Earth Engine's own client.
    pub(super) fn earth_engine() -> Self {
        Self {
            id: CLIENT_ID.to_owned(),
            secret: CLIENT_SECRET.into(),
        }
    }
}

/// Returns the requested scopes that were granted, or all granted scopes if there are none.
fn granted_of(requested: &Scopes, granted: &Scopes) -> Scopes {
    let both = Scopes::new(requested.iter().filter(|scope| covers(granted, scope)));
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
pub(super) fn is_blank(secret: &ee_token::SecretString) -> bool {
    secret.expose_secret().trim().is_empty()
}

#[cfg(test)]
mod tests;
