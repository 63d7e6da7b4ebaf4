//! Every login mode, against the emulator.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use chrono::Utc;
use ee_emulator::{Emulator, RecordedRequest};
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

    fn path(&self) -> PathBuf {
        self.home.path().join(".config/earthengine/credentials")
    }

    fn file(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path()).unwrap()).unwrap()
    }

    /// Checks that a program finds the login and obtains a token with it.
    async fn check_login_works(&self) {
        let options = CredentialOptions::new(self.flow("notebook").session.http);
        let found = Search::new(self.environment.clone(), options)
            .find()
            .await
            .unwrap();
        assert_eq!(
            found.credentials.kind(),
            crate::CredentialKind::EarthEngineFile
        );
        found.credentials.token().await.unwrap();
    }

    fn token_requests(&self) -> Vec<RecordedRequest> {
        self.emulator.requests_to("oauth2.googleapis.com")
    }

    /// Adds a program to `PATH`.
    #[cfg(unix)]
    fn install(&mut self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = self.home.path().join("bin");
        fs::create_dir_all(&dir).unwrap();
        let text = self.home.path().join("script");
        fs::write(&text, format!("#!/bin/sh\n{script}")).unwrap();
        // A file that is open for writing cannot be executed, and child processes of other tests
        // may inherit the open file. A copy made by another process avoids this.
        let copied = std::process::Command::new("cp")
            .arg(&text)
            .arg(dir.join(name))
            .status();
        assert!(copied.unwrap().success());
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([&*dir, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
        self.environment = self.environment.clone().with_var_os("PATH", path);
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

#[tokio::test]
async fn scopes_changed_on_the_notebook_page_are_saved() {
    let machine = Machine::new().await;
    let flow = machine.flow("notebook").quiet(true);
    let LoginOutcome::AwaitingCode(pending) = machine.run(&flow).await.unwrap() else {
        panic!("no code was requested");
    };
    let code = code_shown_at(pending.url).await;
    let page = json!({
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scopes": ["https://www.googleapis.com/auth/earthengine", "https://www.googleapis.com/auth/drive"],
    });
    let changed = ee_emulator::Fault::status(200).json(&page);
    machine
        .emulator
        .fault("code.earthengine.google.com", changed);
    let granted = json!({
        "access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer", "refresh_token": "1//x",
        "scope": "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/drive",
    });
    let granting = ee_emulator::Fault::status(200).json(&granted);
    machine.emulator.fault("oauth2.googleapis.com", granting);
    let saved = flow
        .finish_notebook(&pending.code_verifier, &code)
        .await
        .unwrap();
    assert_eq!(saved.granted, Scopes::new(["earthengine", "drive"]));
    assert!(saved.missing.is_empty(), "{saved:?}");
    assert!(
        saved
            .warnings
            .iter()
            .all(|w| w.code != "scopes_not_granted")
    );
    assert_eq!(machine.file()["scopes"], page["scopes"]);
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
    let error = machine.error(&machine.flow("localhost:0")).await;
    assert_eq!(error.kind(), ErrorKind::LoginDenied);
    machine.user.browses = false;
    machine.user.pastes = false;
    let with_timeout = machine
        .flow("localhost:0")
        .timeout(Duration::from_millis(50));
    let error = machine.error(&with_timeout).await;
    assert_eq!(error.kind(), ErrorKind::LoginTimeout);
    assert!(!machine.home.path().join(".config").exists());
}

#[tokio::test]
async fn directory_in_place_of_the_file_is_reported_first() {
    let machine = Machine::new().await;
    fs::create_dir_all(machine.path()).unwrap();
    for mode in ["localhost:0", "notebook"] {
        let error = machine.error(&machine.flow(mode).force(true)).await;
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
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
    let printed = machine.user.printed.lock().unwrap().concat();
    assert!(printed.contains("ssh -L"), "{printed}");
}

#[tokio::test]
async fn rejected_code_is_an_error() {
    let machine = Machine::new().await;
    let failing = ee_emulator::Fault::status(400)
        .body(r#"{"error": "invalid_grant", "error_description": "Bad Request"}"#);
    machine.emulator.fault("oauth2.googleapis.com", failing);
    let error = machine.error(&machine.flow("localhost:0")).await;
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(!machine.path().exists());
}

#[tokio::test]
async fn notebook_login_warns_about_its_expiry() {
    let machine = Machine::new().await;
    let saved = machine.saved(&machine.flow("notebook")).await;
    let left = saved.expires_at.unwrap() - Utc::now();
    assert_eq!(left.num_hours(), 7 * 24 - 1);
    assert_eq!(saved.warnings[0].code, "login_expires");
    assert!(
        machine
            .user
            .printed
            .lock()
            .unwrap()
            .concat()
            .contains("7 days")
    );
    assert_eq!(
        machine.token_requests()[0].form()["redirect_uri"],
        "urn:ietf:wg:oauth:2.0:oob"
    );
    machine.check_login_works().await;

    let options = CredentialOptions::new(machine.flow("notebook").session.http);
    let find = || Search::new(machine.environment.clone(), options.clone());
    let credentials = find().find().await.unwrap().credentials;
    assert_eq!(credentials.warnings()[0].code, "login_expires");
    let mut file = machine.file();
    file["rust_login_at"] = json!("2026-01-01T00:00:00Z");
    fs::write(machine.path(), file.to_string()).unwrap();
    machine
        .emulator
        .revoke(file["refresh_token"].as_str().unwrap());
    let error = find()
        .find()
        .await
        .unwrap()
        .credentials
        .token()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    let remedy = error.remedy().to_string();
    assert!(
        remedy.contains("7 days") && remedy.contains("2026-01-08"),
        "{remedy}"
    );
}

#[tokio::test]
async fn notebook_login_works_in_two_steps() {
    let machine = Machine::new().await;
    let flow = machine.flow("notebook").quiet(true);
    let LoginOutcome::AwaitingCode(pending) = machine.run(&flow).await.unwrap() else {
        panic!("no code was requested");
    };
    assert!(!format!("{pending:?}").contains(pending.code_verifier.expose_secret()));
    assert!(!machine.path().exists());
    let code = code_shown_at(pending.url).await;
    let wrong: SecretString = "a:b:c".into();
    let error = flow.finish_notebook(&wrong, &code).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(error.to_string().contains("Unknown request_id"), "{error}");
    let error = flow
        .finish_notebook(&pending.code_verifier, &"4/0wrong".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    let error = flow
        .finish_notebook(&pending.code_verifier, &" ".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    flow.finish_notebook(&pending.code_verifier, &code)
        .await
        .unwrap();
    machine.check_login_works().await;
}

#[tokio::test]
async fn missing_code_is_an_error_that_suggests_two_steps() {
    let mut machine = Machine::new().await;
    machine.user.pastes = false;
    let error = machine.error(&machine.flow("notebook")).await;
    assert_eq!(error.kind(), ErrorKind::LoginUnavailable);
    assert!(error.remedy().command.as_ref().unwrap().contains("--quiet"));
}

#[cfg(unix)]
#[tokio::test]
async fn gcloud_login_is_run_and_copied() {
    let mut machine = Machine::new().await;
    let joe = machine.emulator.create_user_with_scopes(
        "joe@example.com",
        &["openid", "userinfo.email", "earthengine"],
        &["earthengine"],
    );
    let adc = machine.home.path().join("adc.json");
    fs::write(&adc, joe.authorized_user_json()).unwrap();
    machine.install(
        "gcloud",
        &format!("echo \"$@\" > \"$HOME/words\"; mkdir -p \"$HOME/.config/gcloud\"; cp {} \"$HOME/.config/gcloud/application_default_credentials.json\"", adc.display()),
    );
    let flow = machine.flow("gcloud").force(true);
    let saved = machine.saved(&flow).await;
    assert_eq!(saved.missing, Scopes::new(["cloud-platform"]));
    let words = fs::read_to_string(machine.home.path().join("words")).unwrap();
    assert_eq!(
        words.trim(),
        "auth application-default login --scopes=https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"
    );
    machine.saved(&flow.quiet(true)).await;
    let quiet = fs::read_to_string(machine.home.path().join("words")).unwrap();
    assert_eq!(
        quiet.trim(),
        format!("{} --no-launch-browser", words.trim())
    );
    let file = machine.file();
    assert_eq!(file["refresh_token"], joe.refresh_token());
    assert!(
        file["client_id"]
            .as_str()
            .unwrap()
            .starts_with("764086051850-")
    );
    assert_eq!(
        file["scopes"],
        json!(["https://www.googleapis.com/auth/earthengine"])
    );
    machine.check_login_works().await;
}

#[cfg(unix)]
#[tokio::test]
async fn gcloud_legacy_uses_earth_engines_client_temporarily() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    let token = machine.emulator.grant(
        "joe@example.com",
        CLIENT_ID,
        &["earthengine", "cloud-platform"],
    );
    let adc = json!({"type": "authorized_user", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": token});
    fs::write(machine.home.path().join("adc.json"), adc.to_string()).unwrap();
    machine.install(
        "gcloud",
        "for word in \"$@\"; do case \"$word\" in --client-id-file=*) file=\"${word#*=}\";; --no-browser) quiet=yes;; esac; done\n\
         grep -q 517222506229 \"$file\" && [ \"$quiet\" = yes ] || exit 9\n\
         echo \"$file\" > \"$HOME/client\"; mkdir -p \"$HOME/.config/gcloud\"\n\
         cp \"$HOME/adc.json\" \"$HOME/.config/gcloud/application_default_credentials.json\"",
    );
    machine
        .saved(&machine.flow("gcloud-legacy").force(true))
        .await;
    let client = fs::read_to_string(machine.home.path().join("client")).unwrap();
    assert!(!std::path::Path::new(client.trim()).exists());
    let file = machine.file();
    assert_eq!(file["refresh_token"], token);
    assert!(file.get("client_id").is_none());
    machine.check_login_works().await;
}

#[cfg(unix)]
#[tokio::test]
async fn gcloud_failures_are_distinguished() {
    let mut machine = Machine::new().await;
    let error = machine.error(&machine.flow("gcloud")).await;
    assert_eq!(error.kind(), ErrorKind::LoginUnavailable);
    assert!(error.remedy().url.as_ref().unwrap().contains("install"));
    machine.install("gcloud", "exit 3");
    let error = machine.error(&machine.flow("gcloud")).await;
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(error.to_string().contains('3'), "{error}");
    machine.install("gcloud", "exit 0");
    let error = machine.error(&machine.flow("gcloud")).await;
    assert!(error.to_string().contains("did not write"), "{error}");
    machine.install("gcloud", "exec sleep 600");
    let with_timeout = machine.flow("gcloud").timeout(Duration::from_millis(50));
    assert_eq!(
        machine.error(&with_timeout).await.kind(),
        ErrorKind::LoginTimeout
    );
}

#[tokio::test]
async fn address_of_the_last_page_is_pasted_without_a_browser() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    let wrong = vec![
        "http://localhost:1/?code=4/x&state=other",
        "4/0code",
        "",
        " ",
    ];
    machine.user.pastes_addresses = Mutex::new(Some(wrong));
    let flow = machine.flow("localhost:0").timeout(Duration::from_secs(20));
    let LoginOutcome::LoggedIn(saved) = machine.run(&flow).await.unwrap() else {
        panic!("no login");
    };
    assert!(saved.expires_at.is_none(), "{saved:?}");
    let printed = machine.user.printed.lock().unwrap().join("\n");
    let wrong = "This is not the address of this login's last page.";
    assert_eq!(printed.matches(wrong).count(), 2, "{printed}");
    // Without input, the browser may still respond.
    machine.user.pastes = false;
    machine.user.pastes_addresses = Mutex::default();
    let flow = machine.flow("localhost:0").force(true);
    let error = machine
        .error(&flow.timeout(Duration::from_millis(300)))
        .await;
    assert_eq!(error.kind(), ErrorKind::LoginTimeout);
}

#[tokio::test]
async fn colab_login_is_used_or_explained() {
    let mut machine = Machine::new().await;
    let error = machine.error(&machine.flow("colab")).await;
    assert!(error.to_string().contains("not running in"), "{error}");
    let root = machine.home.path().display().to_string();
    machine.environment = machine
        .environment
        .clone()
        .with_var("COLAB_RELEASE_TAG", "release")
        .with_var("DATALAB_ROOT", &root);
    assert_eq!(LoginMode::detect(&machine.environment), LoginMode::Colab);
    let error = machine.error(&machine.flow("colab")).await;
    assert_eq!(error.kind(), ErrorKind::LoginUnavailable);
    assert!(
        error
            .remedy()
            .command
            .as_ref()
            .unwrap()
            .contains("authenticate_user")
    );
    let drive = machine.flow("colab").scopes(Scopes::new(["drive"]));
    assert_eq!(
        machine.error(&drive).await.kind(),
        ErrorKind::InvalidOptions
    );

    let adc = format!("{root}/content/.adc/adc.json");
    fs::create_dir_all(format!("{root}/content/.adc")).unwrap();
    let jane = machine.emulator.create_user("jane@example.com");
    fs::write(&adc, jane.authorized_user_json()).unwrap();
    let error = machine.error(&machine.flow("colab")).await;
    let command = error.remedy().command.clone().unwrap();
    assert_eq!(
        command,
        format!("export GOOGLE_APPLICATION_CREDENTIALS={adc}")
    );
    machine.environment = machine
        .environment
        .clone()
        .with_var("GOOGLE_APPLICATION_CREDENTIALS", adc);
    let outcome = machine
        .run(&machine.flow("colab").force(true))
        .await
        .unwrap();
    assert!(matches!(outcome, LoginOutcome::AlreadyLoggedIn(_)));
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
    machine.environment = machine
        .environment
        .clone()
        .with_var("EARTHENGINE_TOKEN", "{broken");
    let saved = machine.saved(&machine.flow("localhost:0")).await;
    assert_eq!(saved.warnings[0].code, "env_var_takes_precedence");
}

#[tokio::test]
async fn server_failure_is_reported_before_prompting() {
    let machine = Machine::new().await;
    machine.saved(&machine.flow("localhost:0")).await;
    let pages = machine.user.pages.lock().unwrap().len();
    let flow = machine.flow("localhost:0");
    machine.emulator.fault(
        "oauth2.googleapis.com",
        ee_emulator::Fault::status(503).times(20),
    );
    let error = machine.error(&flow).await;
    assert_eq!(error.kind(), ErrorKind::Token(Token::Server));
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
async fn wrong_code_is_requested_again() {
    let machine = Machine::new().await;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0other", "4/0wrong"];
    machine.saved(&machine.flow("notebook")).await;
    let printed = machine.user.printed();
    assert_eq!(printed.matches("paste it again").count(), 2, "{printed}");
    assert!(!printed.contains("4/0"), "{printed}");
    machine.check_login_works().await;
}

#[tokio::test]
async fn third_wrong_code_ends_the_login() {
    let machine = Machine::new().await;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0d", "4/0c", "4/0b", "4/0a"];
    let error = machine.error(&machine.flow("notebook")).await;
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert_eq!(machine.user.wrong_codes.lock().unwrap().len(), 1);
    assert!(!machine.path().exists());
}

#[tokio::test]
async fn wrong_code_of_a_script_ends_the_login() {
    let mut machine = Machine::new().await;
    machine.user.is_script = true;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0wrong"];
    let error = machine.error(&machine.flow("notebook")).await;
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(!machine.user.printed().contains("again"));
}

#[tokio::test]
async fn end_of_input_after_a_wrong_code_reports_the_code() {
    let mut machine = Machine::new().await;
    machine.user.pastes = false;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0wrong"];
    let error = machine.error(&machine.flow("notebook")).await;
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
}

#[tokio::test]
async fn rejected_address_is_requested_again() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    *machine.user.pastes_addresses.lock().unwrap() = Some(Vec::new());
    let failing = ee_emulator::Fault::status(400)
        .body(r#"{"error": "invalid_grant", "error_description": "Malformed auth code."}"#);
    machine.emulator.fault("oauth2.googleapis.com", failing);
    machine.saved(&machine.flow("localhost:0")).await;
    let printed = machine.user.printed();
    assert!(printed.contains("was rejected"), "{printed}");
    assert!(printed.contains("paste it again"), "{printed}");
    machine.check_login_works().await;
}

#[tokio::test]
async fn rejection_that_no_other_code_helps_is_not_repeated() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    *machine.user.pastes_addresses.lock().unwrap() = Some(Vec::new());
    let failing = ee_emulator::Fault::status(401).body(
        r#"{"error": "invalid_client", "error_description": "The OAuth client was deleted."}"#,
    );
    machine.emulator.fault("oauth2.googleapis.com", failing);
    let error = machine.error(&machine.flow("localhost:0")).await;
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(!machine.user.printed().contains("again"));
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

    let error = machine.error(&flow("../work")).await;
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
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
