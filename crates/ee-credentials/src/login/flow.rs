//! A person's login from beginning to end: what is there already, the way that fits, the grant,
//! the file.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ee_token::{ErrorKind as Token, HttpClient, Remedy, Scopes};
use tokio::time::timeout;

use crate::kinds::oauth_clients::{CLIENT_ID, CLIENT_SECRET, EARTH_ENGINE_LOGIN};
use crate::login::authorization::{Client, Granted, covers, missing};
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

/// How long a person is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A login with Earth Engine's own OAuth client (or gcloud), into the file that the Python
/// client shares: what `ee.Authenticate()` is there.
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
/// A login that is dropped on the way leaves nothing behind: it is in the file as a whole, or
/// not at all.
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

/// How a login ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginOutcome {
    /// There are credentials that work, with the scopes asked for: nothing was done.
    AlreadyLoggedIn(Credentials),
    /// Somebody logged in.
    LoggedIn(SavedLogin),
    /// The first of two steps: the person has to open a page, and [`LoginFlow::finish_notebook`]
    /// takes the code that it shows.
    AwaitingCode(NotebookLogin),
    /// This mode needs no login: Application Default Credentials are always looked for.
    NotNeeded,
}

/// A login that was stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SavedLogin {
    /// The file.
    pub path: std::path::PathBuf,
    /// The way it was made.
    pub mode: LoginMode,
    /// The scopes that were granted, and stored.
    pub granted: Scopes,
    /// Those that were asked for and not granted: the person unticked them.
    pub missing: Scopes,
    /// When the login ends by itself, if it does.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the person should know.
    pub warnings: Vec<Warning>,
}

impl LoginFlow {
    /// A login into the file of this environment.
    pub fn new(environment: Environment, http: HttpClient) -> Self {
        Self {
            environment,
            http,
            mode: None,
            scopes: None,
            force: false,
            quiet: false,
            timeout: PATIENCE,
        }
    }

    /// The way to log in; without it, [`LoginMode::detect`] the environment.
    #[must_use]
    pub fn mode(mut self, mode: LoginMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The scopes to ask for; [`Scopes::earth_engine`] without any.
    #[must_use]
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = (!scopes.is_empty()).then_some(scopes);
        self
    }

    /// Logs in even if there are credentials that work.
    #[must_use]
    pub fn force(mut self, yes: bool) -> Self {
        self.force = yes;
        self
    }

    /// Asks nothing and opens no browser: `localhost` shows the page's address and waits,
    /// `notebook` is done in two steps. gcloud opens none either, and asks for its code itself.
    #[must_use]
    pub fn quiet(mut self, yes: bool) -> Self {
        self.quiet = yes;
        self
    }

    /// How long the person is waited for; five minutes unless set.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`ErrorKind::LoginUnavailable`] if this way does not work here,
    /// [`ErrorKind::LoginDenied`] and [`ErrorKind::LoginTimeout`] if the person does not want
    /// to or does not come, [`ErrorKind::LoginFailed`] if what came makes no sense,
    /// [`ErrorKind::CredentialsFile`] if the file cannot be written, [`ErrorKind::Token`] if Google
    /// cannot be reached; [`ErrorKind::InvalidFile`] if a folder is where the file belongs.
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
        // Colab's own login is the only one there, and nothing that we could do again.
        if (!self.force || mode == LoginMode::Colab)
            && let Some(credentials) = self.valid_credentials().await?
        {
            return Ok(LoginOutcome::AlreadyLoggedIn(credentials));
        }
        // Said before anybody is asked anything.
        LoginFile::open(&self.environment)?.check_place()?;
        let saved = match mode {
            LoginMode::Localhost { port } => localhost::run(self, port, terminal, browser).await?,
            LoginMode::Notebook => return notebook::run(self, terminal, browser).await,
            LoginMode::Gcloud | LoginMode::GcloudLegacy => {
                gcloud::run(self, mode, terminal, browser).await?
            }
            LoginMode::Colab => return Err(colab::not_yet(self)),
            LoginMode::AppDefault => return Ok(LoginOutcome::NotNeeded),
        };
        Ok(LoginOutcome::LoggedIn(saved))
    }

    /// The second step of a login by notebook: `verifier` is what the first step gave as
    /// [`NotebookLogin::code_verifier`], `code` what the page showed.
    ///
    /// # Errors
    /// As [`LoginFlow::run`].
    pub async fn finish_notebook(
        &self,
        verifier: &ee_token::SecretString,
        code: &ee_token::SecretString,
    ) -> Result<SavedLogin, Error> {
        notebook::finish(self, verifier, code).await
    }

    /// The scopes that are asked for.
    pub(super) fn asked(&self) -> Scopes {
        self.scopes.clone().unwrap_or_default()
    }

    pub(super) fn asks_for_other_scopes(&self) -> bool {
        let usual = Scopes::earth_engine();
        self.scopes
            .as_ref()
            .is_some_and(|s| s.len() != usual.len() || s.iter().any(|s| !usual.contains(s)))
    }

    /// Waits for the person, and not for ever.
    pub(super) async fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        timeout(self.timeout, work).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::LoginTimeout,
                format!(
                    "nobody finished the login within {} seconds",
                    self.timeout.as_secs_f64()
                ),
            )
            .with_remedy(
                Remedy::new("Log in again; --timeout gives more time.").command(EARTH_ENGINE_LOGIN),
            ))
        })
    }

    /// The credentials that a program would use now, if they bring a token with these scopes.
    ///
    /// # Errors
    /// [`ErrorKind::Token`] if that cannot be known, since Google cannot be reached.
    async fn valid_credentials(&self) -> Result<Option<Credentials>, Error> {
        let asked = self.asked();
        let options = CredentialOptions::new(self.http.clone()).scopes(asked.clone());
        let environment = &self.environment;
        // A laptop without credentials would wait seconds for a metadata server.
        let probe = environment.probes_network() && environment.is_google_machine();
        let search = Search::new(environment.clone().with_metadata_probe(probe), options);
        // What is broken is replaced, or stands in the way of a later search and is told then.
        let Ok(found) = search.find().await else {
            return Ok(None);
        };
        match found.credentials.token().await {
            Ok(token) => {
                let enough = token
                    .scopes()
                    .is_none_or(|granted| missing(&asked, granted).is_empty());
                Ok(enough.then_some(found.credentials))
            }
            // A new login may help where the reason of a rejection is not known, too.
            Err(error) if error.kind() == Token::UnconfirmedRejection => Ok(None),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Stores what was granted of what was asked for.
    pub(super) async fn save(
        &self,
        mode: LoginMode,
        granted: Granted,
        asked: &Scopes,
        client: &Client,
        redirect_uri: Option<String>,
    ) -> Result<SavedLogin, Error> {
        let Some(refresh_token) = granted.refresh_token else {
            return Err(Error::new(
                ErrorKind::LoginFailed,
                "no refresh token was granted, so the login would end within an hour",
            )
            .with_remedy(
                Remedy::new(
                    "Remove the application's access on your account's page, and log in again.",
                )
                .url("https://myaccount.google.com/connections"),
            ));
        };
        let stored = in_common(asked, &granted.scopes);
        let made_at = Utc::now();
        let mut login = Login::new(refresh_token, stored.clone())
            .client(client.id.clone(), client.secret.clone())
            .login_mode_at(mode.name(), made_at);
        if let Some(uri) = redirect_uri {
            login = login.redirect_uri(uri);
        }
        let store = LoginFile::open(&self.environment)?;
        let path = store.path().to_owned();
        // Gone as soon as nobody waits for the login any more.
        let here = Arc::new(());
        let waiting = Arc::downgrade(&here);
        let stored_file = tokio::task::spawn_blocking(move || {
            let is_wanted = || waiting.strong_count() > 0;
            let warnings = store.save_login_while(&is_wanted, &login)?;
            Ok::<_, Error>((warnings, store.read()?))
        })
        .await
        .map_err(|_| {
            Error::new(
                ErrorKind::CredentialsFile,
                "the runtime ended before the login was stored",
            )
        })?;
        drop(here);
        let (mut warnings, file) = stored_file?;
        let file = file.map(|stored| stored.file);
        let missing = missing(asked, &granted.scopes);
        warnings.extend(unticked(&missing));
        warnings.extend(file.as_ref().and_then(|file| file.warning()));
        warnings.extend(self.loses_to_a_variable());
        Ok(SavedLogin {
            path,
            mode,
            granted: stored,
            missing,
            expires_at: file.and_then(|file| file.login_expires_at()),
            warnings,
        })
    }

    /// The search takes a variable before the file.
    fn loses_to_a_variable(&self) -> Option<Warning> {
        const NAME: &str = "EARTHENGINE_TOKEN";
        self.environment
            .raw(NAME)
            .filter(|value| !value.is_empty())?;
        Some(Warning::new(
            "env_var_takes_precedence",
            format!("{NAME} is set, and comes before this login"),
            Remedy::new(format!("Unset {NAME} to use the login.")).command(format!("unset {NAME}")),
        ))
    }
}

impl Client {
    /// Earth Engine's own.
    pub(super) fn earth_engine() -> Self {
        Self {
            id: CLIENT_ID.to_owned(),
            secret: CLIENT_SECRET.into(),
        }
    }
}

/// What of the wish was granted; whatever was, if that is nothing.
fn in_common(asked: &Scopes, granted: &Scopes) -> Scopes {
    let both = Scopes::new(asked.iter().filter(|scope| covers(granted, scope)));
    if both.is_empty() {
        granted.clone()
    } else {
        both
    }
}

fn unticked(missing: &Scopes) -> Option<Warning> {
    (!missing.is_empty()).then(|| {
        Warning::new(
            "scopes_not_granted",
            format!("not granted, and not in the login: {missing}"),
            Remedy::new("What needs them will be refused. To grant them, log in again and leave their boxes ticked.")
                .command(format!("{EARTH_ENGINE_LOGIN} --force")),
        )
    })
}

/// Whether a text is empty but for blanks, without showing it.
pub(super) fn is_blank(secret: &ee_token::SecretString) -> bool {
    secret.expose_secret().trim().is_empty()
}

#[cfg(test)]
mod tests;
