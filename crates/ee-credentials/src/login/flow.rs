//! The login flow: reuse working credentials, or select a mode and log in.

use std::time::Duration;

use ee_token::{ErrorKind as Token, HttpClient, Scopes};

use crate::login::authorization::missing;
use crate::login::modes::colab;
use crate::login::modes::gcloud;
use crate::login::modes::localhost;
use crate::login::modes::notebook;
use crate::login::modes::notebook::NotebookLogin;
use crate::login::session::{SavedLogin, Session};
use crate::login::{Browser, LoginMode, Terminal};
use crate::{Accounts, CredentialOptions, Credentials, Environment, Error, Search};

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
///     LoginOutcome::AlreadyLoggedIn(credentials) => println!("{}", credentials.source()),
///     _ => {}
/// }
/// # Ok(()) }
/// ```
///
/// If the future is dropped, the login is saved completely or not at all.
#[derive(Debug, Clone)]
pub struct LoginFlow {
    session: Session,
    /// The name of an account, which is validated when the login starts.
    account: Option<String>,
    mode: Option<LoginMode>,
    force: bool,
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

impl LoginFlow {
    /// Creates a login for the file of this environment.
    pub fn new(environment: Environment, http: HttpClient) -> Self {
        Self {
            session: Session {
                environment,
                account: None,
                http,
                scopes: None,
                quiet: false,
                timeout: DEFAULT_TIMEOUT,
            },
            account: None,
            mode: None,
            force: false,
        }
    }

    /// Logs in to this [account](crate::AccountName), which becomes the active one. The login that
    /// was active is kept as another account. Defaults to the account in `EARTHENGINE_ACCOUNT`, or
    /// else to the login in the shared file.
    #[must_use]
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
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
        self.session.scopes = (!scopes.is_empty()).then_some(scopes);
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
        self.session.quiet = yes;
        self
    }

    /// Sets how long to wait for the user. Defaults to five minutes.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.session.timeout = limit;
        self
    }

    /// Logs the user in and saves the login.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::LoginUnavailable`](crate::ErrorKind::LoginUnavailable) if the mode cannot be used in this environment
    /// - [`ErrorKind::LoginDenied`](crate::ErrorKind::LoginDenied) if the user denies access
    /// - [`ErrorKind::LoginTimeout`](crate::ErrorKind::LoginTimeout) if the user does not finish in time
    /// - [`ErrorKind::LoginFailed`](crate::ErrorKind::LoginFailed) if the response or the code is invalid
    /// - [`ErrorKind::CredentialsFile`](crate::ErrorKind::CredentialsFile) if the file cannot be written
    /// - [`ErrorKind::InvalidFile`](crate::ErrorKind::InvalidFile) if a directory is in place of the file
    /// - [`ErrorKind::Token`](crate::ErrorKind::Token) if Google cannot be reached
    pub async fn run(
        &self,
        terminal: &dyn Terminal,
        browser: &dyn Browser,
    ) -> Result<LoginOutcome, Error> {
        let session = &self.session()?;
        let mode = match self.mode {
            Some(mode) => mode,
            None => LoginMode::detect(&session.environment),
        };
        if mode == LoginMode::AppDefault {
            return Ok(LoginOutcome::NotNeeded);
        }
        // Colab's login cannot be repeated from here.
        if (!self.force || mode == LoginMode::Colab)
            && let Some(credentials) = valid_credentials(session).await?
        {
            return Ok(LoginOutcome::AlreadyLoggedIn(credentials));
        }
        // A file that cannot be written is reported before the user is prompted.
        let accounts = Accounts::open(&session.environment)?;
        accounts.shared_file().check_place()?;
        accounts.file(session.account.as_ref()).check_place()?;
        let saved = match mode {
            LoginMode::Localhost { port } => {
                localhost::run(session, port, terminal, browser).await?
            }
            LoginMode::Notebook => {
                let login = notebook::begin(session)?;
                if session.quiet {
                    return Ok(LoginOutcome::AwaitingCode(login));
                }
                notebook::run(session, &login, terminal, browser).await?
            }
            LoginMode::Gcloud | LoginMode::GcloudLegacy => {
                gcloud::run(session, mode, terminal, browser).await?
            }
            LoginMode::Colab => return Err(colab::not_logged_in(session)),
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
        notebook::finish(&self.session()?, verifier, code).await
    }

    /// Returns the session with the account.
    fn session(&self) -> Result<Session, Error> {
        let account = match &self.account {
            Some(name) => Some(name.parse()?),
            None => self.session.environment.account()?,
        };
        Ok(Session {
            account,
            ..self.session.clone()
        })
    }
}

/// Returns the credentials that a program would use now, if their token has the requested
/// scopes. Fails with [`ErrorKind::Token`](crate::ErrorKind::Token) if Google cannot be reached.
async fn valid_credentials(session: &Session) -> Result<Option<Credentials>, Error> {
    let requested = session.requested_scopes();
    let options = CredentialOptions::new(session.http.clone()).scopes(requested.clone());
    let environment = &session.environment;
    // Without this, a laptop without credentials would wait seconds for a metadata server.
    let probe = environment.probes_network() && environment.is_google_machine();
    let search = Search::new(environment.clone().with_metadata_probe(probe), options);
    let search = match &session.account {
        Some(name) => search.with_account(name.as_str()),
        None => search,
    };
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

#[cfg(test)]
mod tests;
