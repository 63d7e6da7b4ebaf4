//! Every login mode, against the emulator.

mod colab;
#[cfg(unix)]
mod gcloud;
mod notebook;
mod prompts;

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use chrono::Utc;
use ee_emulator::{Emulator, Fault, RecordedRequest};
use ee_token::{Endpoints, ErrorKind as Token, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::super::PromptFuture;
use super::*;
use crate::kinds::oauth_clients::{CLIENT_ID, CLIENT_SECRET};
use crate::login::session::granted_of;
use crate::options::options;
use crate::{ErrorKind, Platform};

const TOKENS: &str = "oauth2.googleapis.com";

/// A simulated machine and its user.
struct Machine {
    emulator: Emulator,
    home: TempDir,
    environment: Environment,
    user: User,
}

/// The user's terminal and browser.
#[derive(Default)]
struct User {
    printed: Mutex<Vec<String>>,
    pages: Mutex<Vec<Url>>,
    /// Whether the user pastes the code that the page shows.
    pastes: bool,
    /// Whether the user has a browser.
    browses: bool,
    /// Lines that the user pastes before the address of the last page of a browser on another
    /// machine. Other prompts are for codes.
    pastes_addresses: Mutex<Option<Vec<&'static str>>>,
    /// Lines that the user pastes before the code.
    wrong_codes: Mutex<Vec<&'static str>>,
    /// Whether prompts are answered by a script.
    is_script: bool,
}

impl Terminal for User {
    fn print(&self, text: &str) {
        self.printed.lock().unwrap().push(text.to_owned());
    }

    fn show_url(&self, url: &Url, advice: &str) {
        self.print(advice);
        self.pages.lock().unwrap().push(url.clone());
    }

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async {
            let page = self.pages.lock().unwrap().last().cloned();
            let line = self.pastes_addresses.lock().unwrap().as_mut().map(Vec::pop);
            match line {
                None => {}
                Some(Some(line)) => return Ok(Some(line.into())),
                Some(None) => return Ok(Some(address_of_last_page(page.unwrap()).await)),
            }
            if let Some(code) = self.wrong_codes.lock().unwrap().pop() {
                return Ok(Some(code.into()));
            }
            Ok(match page {
                Some(page) if self.pastes => Some(code_shown_at(page).await),
                _ => None,
            })
        })
    }

    fn is_interactive(&self) -> bool {
        !self.is_script
    }
}

impl User {
    fn printed(&self) -> String {
        self.printed.lock().unwrap().join("\n")
    }
}

impl Browser for User {
    fn is_available(&self) -> bool {
        self.browses
    }

    fn open(&self, url: &Url) -> bool {
        if self.browses {
            tokio::spawn(browse(url.clone()));
        }
        self.browses
    }
}

/// Follows redirects like a browser and returns the last page.
async fn browse(mut url: Url) -> String {
    let http = HttpClient::new(Endpoints::google());
    loop {
        let request = ee_token::Request::new(http::Method::GET, url.clone());
        let response = http.send(request).await.unwrap();
        let location = response.headers().get("location").cloned();
        match location {
            Some(location) => url = url.join(location.to_str().unwrap()).unwrap(),
            None => return response.text().await.unwrap(),
        }
    }
}

/// Follows redirects to the page that a browser on another machine cannot load.
async fn address_of_last_page(mut url: Url) -> SecretString {
    let http = HttpClient::new(Endpoints::google());
    while url.host_str() != Some("localhost") {
        let request = ee_token::Request::new(http::Method::GET, url.clone());
        let response = http.send(request).await.unwrap();
        let location = response.headers()["location"].to_str().unwrap();
        url = url.join(location).unwrap();
    }
    format!(" {url}\n").into()
}

async fn code_shown_at(page: Url) -> SecretString {
    let text = browse(page).await;
    let code = text.split("<code id=\"code\">").nth(1).unwrap();
    format!(" {}\n", code.split('<').next().unwrap()).into()
}

impl Machine {
    async fn new() -> Self {
        let emulator = Emulator::start().await.unwrap();
        emulator.auto_consent("jane@example.com");
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::empty()
            .with_os(Platform::Linux)
            .with_home(home.path())
            .with_var("NO_GCE_CHECK", "true");
        Self {
            emulator,
            home,
            environment,
            user: User {
                browses: true,
                pastes: true,
                ..User::default()
            },
        }
    }

    fn flow(&self, mode: &str) -> LoginFlow {
        LoginFlow::new(self.environment.clone(), options(&self.emulator).http)
            .mode(mode.parse().unwrap())
    }

    async fn run(&self, flow: &LoginFlow) -> Result<LoginOutcome, Error> {
        flow.run(&self.user, &self.user).await
    }

    async fn saved(&self, flow: &LoginFlow) -> SavedLogin {
        match self.run(flow).await.unwrap() {
            LoginOutcome::LoggedIn(saved) => saved,
            other => panic!("{other:?}"),
        }
    }

    async fn error(&self, flow: &LoginFlow) -> Error {
        let error = self.run(flow).await.unwrap_err();
        assert!(!error.remedy().text.is_empty(), "{error}");
        error
    }

    async fn fails(&self, mode: &str, kind: ErrorKind) -> Error {
        let error = self.error(&self.flow(mode)).await;
        assert_eq!(error.kind(), kind, "{error}");
        error
    }

    /// Starts a login in two steps.
    async fn pending(&self, flow: &LoginFlow) -> NotebookLogin {
        match self.run(flow).await.unwrap() {
            LoginOutcome::AwaitingCode(pending) => pending,
            other => panic!("{other:?}"),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment = self.environment.clone().with_var(name, value);
    }

    fn path(&self) -> PathBuf {
        self.home.path().join(".config/earthengine/credentials")
    }

    fn file(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path()).unwrap()).unwrap()
    }

    /// Checks that a program finds the login and obtains a token with it.
    async fn check_login_works(&self) {
        let options = CredentialOptions::new(self.flow("notebook").session.http);
        let search = Search::new(self.environment.clone(), options);
        let credentials = search.find().await.unwrap().credentials;
        let kind = credentials.kind();
        assert_eq!(kind, crate::CredentialKind::EarthEngineFile);
        credentials.token().await.unwrap();
    }

    fn token_requests(&self) -> Vec<RecordedRequest> {
        self.emulator.requests_to(TOKENS)
    }
}

#[tokio::test]
async fn localhost_login_matches_the_python_client() {
    let machine = Machine::new().await;
    let saved = machine.saved(&machine.flow("localhost:0")).await;
    assert_eq!(saved.path, machine.path());
    assert!(
        saved.missing.is_empty() && saved.warnings.is_empty(),
        "{saved:?}"
    );
    assert_eq!(saved.expires_at, None);
    let page = machine.user.pages.lock().unwrap()[0].clone();
    let requested: std::collections::BTreeMap<_, _> = page.query_pairs().into_owned().collect();
    let names: Vec<&str> = requested.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "client_id",
            "code_challenge",
            "code_challenge_method",
            "redirect_uri",
            "response_type",
            "scope",
            "state"
        ]
    );
    assert!(requested["redirect_uri"].starts_with("http://localhost:"));
    let exchange = machine.token_requests()[0].form();
    assert_eq!(exchange["redirect_uri"], requested["redirect_uri"]);
    assert_eq!(exchange["client_id"], CLIENT_ID);
    let file = machine.file();
    assert_eq!(file["redirect_uri"], requested["redirect_uri"]);
    assert_eq!(file["scopes"].as_array().unwrap().len(), 2);
    assert!(file.get("client_id").is_none() && file.get("client_secret").is_none());
    machine.check_login_works().await;
}

#[tokio::test]
async fn working_login_is_reused_unless_forced_or_too_narrow() {
    let machine = Machine::new().await;
    let flow = machine
        .flow("localhost:0")
        .scopes(Scopes::new(["earthengine"]));
    machine.saved(&flow).await;
    let first = machine.file()["refresh_token"].clone();
    match machine.run(&flow).await.unwrap() {
        LoginOutcome::AlreadyLoggedIn(credentials) => {
            assert_eq!(credentials.path(), Some(&*machine.path()))
        }
        other => panic!("{other:?}"),
    }
    machine.saved(&machine.flow("localhost:0")).await;
    let wider = machine.file()["refresh_token"].clone();
    assert_ne!(wider, first, "the default scopes include more");
    assert!(matches!(
        machine.run(&flow).await.unwrap(),
        LoginOutcome::AlreadyLoggedIn(_)
    ));
    machine.saved(&flow.clone().force(true)).await;
    assert_ne!(machine.file()["refresh_token"], wider);
    machine
        .emulator
        .revoke(machine.file()["refresh_token"].as_str().unwrap());
    machine.saved(&flow).await;
    machine.check_login_works().await;
}

#[tokio::test]
async fn scopes_not_granted_are_reported_and_not_saved() {
    let machine = Machine::new().await;
    machine
        .emulator
        .auto_consent_only("jane@example.com", &["earthengine"]);
    for mode in ["localhost:0", "notebook"] {
        let saved = machine.saved(&machine.flow(mode).force(true)).await;
        assert_eq!(saved.missing, Scopes::new(["cloud-platform"]));
        assert_eq!(saved.granted, Scopes::new(["earthengine"]));
        let warning = saved
            .warnings
            .iter()
            .find(|w| w.code == "scopes_not_granted")
            .unwrap();
        assert!(warning.message.contains("cloud-platform"), "{warning}");
        let stored = &machine.file()["scopes"];
        assert_eq!(
            *stored,
            json!(["https://www.googleapis.com/auth/earthengine"])
        );
        machine.check_login_works().await;
    }
}

#[test]
fn scope_granted_under_its_longer_name_is_saved() {
    let requested = Scopes::new(["earthengine", "email", "drive"]);
    let granted = Scopes::new(["userinfo.email", "openid", "earthengine"]);
    let stored = granted_of(&requested, &granted);
    // The Python client compares the saved scopes with those of a response.
    assert_eq!(stored, Scopes::new(["earthengine", "userinfo.email"]));
}

#[test]
fn canceled_login_is_not_saved_later() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let machine = runtime.block_on(async {
        let machine = Machine::new().await;
        let lock = machine.path().with_file_name(".credentials.lock");
        let file = crate::storage::private_file::lock_file(&lock).unwrap();
        let mut lock = fd_lock::RwLock::new(file);
        let held = lock.try_write().unwrap();
        let flow = machine.flow("localhost:0").force(true);
        let exchanged = async {
            while machine.token_requests().is_empty() {
                tokio::task::yield_now().await;
            }
            // Time for the login to wait for the lock.
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        tokio::select! {
            result = machine.run(&flow) => panic!("the login did not wait: {result:?}"),
            () = exchanged => {}
        }
        drop(held);
        machine
    });
    let Machine { home, emulator, .. } = machine;
    drop(emulator);
    // Waits for all blocking threads.
    drop(runtime);
    assert!(!home.path().join(".config/earthengine/credentials").exists());
}

#[tokio::test]
async fn denied_and_timed_out_logins_save_nothing() {
    let mut machine = Machine::new().await;
    machine.emulator.deny_consent();
    machine.fails("localhost:0", ErrorKind::LoginDenied).await;
    machine.user.browses = false;
    machine.user.pastes = false;
    let with_timeout = machine
        .flow("localhost:0")
        .timeout(Duration::from_millis(50));
    assert_eq!(
        machine.error(&with_timeout).await.kind(),
        ErrorKind::LoginTimeout
    );
    assert!(!machine.home.path().join(".config").exists());
}

#[tokio::test]
async fn directory_in_place_of_the_file_is_reported_first() {
    let machine = Machine::new().await;
    fs::create_dir_all(machine.path()).unwrap();
    for mode in ["localhost:0", "notebook"] {
        assert_eq!(
            machine.error(&machine.flow(mode).force(true)).await.kind(),
            ErrorKind::InvalidFile
        );
    }
    assert!(machine.user.pages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn quiet_login_shows_the_url_and_opens_no_browser() {
    let machine = Machine::new().await;
    let flow = machine.flow("localhost:0").quiet(true);
    let run = machine.run(&flow);
    let user = async {
        loop {
            let page = machine.user.pages.lock().unwrap().first().cloned();
            match page {
                Some(page) => return browse(page).await,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let (outcome, last_page) = tokio::join!(run, user);
    assert!(matches!(outcome.unwrap(), LoginOutcome::LoggedIn(_)));
    assert!(last_page.contains("You are logged in"), "{last_page}");
    let printed = machine.user.printed();
    assert!(printed.contains("ssh -L"), "{printed}");
}

#[tokio::test]
async fn rejected_code_is_an_error() {
    let machine = Machine::new().await;
    let failing = Fault::status(400)
        .body(r#"{"error": "invalid_grant", "error_description": "Bad Request"}"#);
    machine.emulator.fault(TOKENS, failing);
    machine.fails("localhost:0", ErrorKind::LoginFailed).await;
    assert!(!machine.path().exists());
}

#[tokio::test]
async fn appdefault_does_nothing() {
    let machine = Machine::new().await;
    let outcome = machine.run(&machine.flow("appdefault")).await.unwrap();
    assert!(matches!(outcome, LoginOutcome::NotNeeded));
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn variable_that_takes_precedence_is_a_warning() {
    let mut machine = Machine::new().await;
    machine.set("EARTHENGINE_TOKEN", "{broken");
    let saved = machine.saved(&machine.flow("localhost:0")).await;
    assert_eq!(saved.warnings[0].code, "env_var_takes_precedence");
}

#[tokio::test]
async fn server_failure_is_reported_before_prompting() {
    let machine = Machine::new().await;
    machine.saved(&machine.flow("localhost:0")).await;
    let pages = machine.user.pages.lock().unwrap().len();
    let flow = machine.flow("localhost:0");
    machine.emulator.fault(TOKENS, Fault::status(503).times(20));
    assert_eq!(
        machine.error(&flow).await.kind(),
        ErrorKind::Token(Token::Server)
    );
    assert_eq!(machine.user.pages.lock().unwrap().len(), pages);
}

#[tokio::test]
async fn concurrent_logins_succeed_and_one_is_saved() {
    let machine = Machine::new().await;
    let flow = machine.flow("localhost").force(true);
    let (one, other) = tokio::join!(machine.saved(&flow), machine.saved(&flow));
    assert_eq!(one.path, other.path);
    machine.check_login_works().await;
    let names = fs::read_dir(machine.path().parent().unwrap()).unwrap();
    assert_eq!(names.count(), 2, "the file and its lock");
}

#[tokio::test]
async fn login_to_an_account_makes_it_active_and_keeps_others() {
    let machine = Machine::new().await;
    let flow = |name: &str| machine.flow("localhost:0").account(name);
    let unnamed = machine.saved(&machine.flow("localhost:0")).await;
    assert_eq!((unnamed.account, unnamed.previous_account), (None, None));
    let saved = machine.saved(&flow("work")).await;
    assert_eq!(saved.account.as_ref().unwrap().as_str(), "work");
    assert_eq!(saved.previous_account.unwrap().as_str(), "default");
    assert!(saved.path.ends_with("credentials.accounts/work"));
    assert_eq!(saved.warnings, []);
    // Its own login is reused, and the active one is not mistaken for another account's.
    let again = machine.run(&flow("work")).await.unwrap();
    assert!(matches!(again, LoginOutcome::AlreadyLoggedIn(_)));
    let saved = machine.saved(&flow("home")).await;
    assert_eq!(saved.previous_account.unwrap().as_str(), "work");
    machine.check_login_works().await;

    assert_eq!(
        machine.error(&flow("../work")).await.kind(),
        ErrorKind::InvalidOptions
    );
}

#[tokio::test]
async fn login_with_the_email_scope_names_its_account() {
    let machine = Machine::new().await;
    let scopes = Scopes::new(["earthengine", "openid", "email"]);
    let saved = machine
        .saved(&machine.flow("localhost:0").scopes(scopes))
        .await;
    assert_eq!(saved.email.as_deref(), Some("jane@example.com"));
    let scopes = machine.file()["scopes"].clone();
    assert_eq!(scopes[1], "openid", "{scopes}");
    let minimal = machine
        .saved(&machine.flow("localhost:0").force(true))
        .await;
    assert_eq!(minimal.email, None);
}
