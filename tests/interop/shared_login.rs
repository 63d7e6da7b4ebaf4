//! One login for two clients: each of this workspace and Google's Python client uses the login of
//! the other unchanged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use earthengine::credentials::login::{
    Browser, LoginFlow, LoginMode, LoginOutcome, PromptFuture, SavedLogin, Terminal, Url,
};
use earthengine::credentials::{Accounts, LoginFile};
use earthengine::token::{Endpoints, HttpClient};
use earthengine::{EarthEngine, Environment, Scopes};
use ee_emulator::{Emulator, Project};
use ee_test_support::installed::reference_client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const PROJECT: &str = "ee-demo-project";

/// A user with a home directory that both clients share.
struct Machine {
    emulator: Emulator,
    home: TempDir,
    python: PathBuf,
}

/// A user whose browser follows every redirect.
struct TestUser {
    page: Mutex<Option<Url>>,
}

impl Terminal for TestUser {
    fn print(&self, _: &str) {}

    fn show_url(&self, url: &Url, _: &str) {
        *self.page.lock().unwrap() = Some(url.clone());
    }

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        let page = self.page.lock().unwrap().clone().unwrap();
        Box::pin(async move {
            let page = spawn_blocking(move || browse(page.as_str())).await.unwrap();
            Ok(Some(code(&page).into()))
        })
    }
}

impl Browser for TestUser {
    fn is_available(&self) -> bool {
        true
    }

    fn open(&self, url: &Url) -> bool {
        let url = url.clone();
        // In notebook mode, the user reads the code from the page and then opens it.
        if url.query().unwrap_or_default().contains("redirect_uri=") {
            std::thread::spawn(move || browse(url.as_str()));
        }
        true
    }
}

/// Follows the redirects of a page to the last one.
fn browse(url: &str) -> String {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("{url}"));
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!("GET {slash}{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let location = response.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_location = name.eq_ignore_ascii_case("location");
        is_location.then(|| value.trim().to_owned())
    });
    match location {
        Some(location) => browse(&location),
        None => response,
    }
}

fn code(page: &str) -> String {
    let rest = page.split("<code id=\"code\">").nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no code on {page}"));
    rest.split('<').next().unwrap().to_owned()
}

impl Machine {
    /// Returns `None` if the reference clients are skipped.
    async fn new() -> Option<Self> {
        let python = reference_client("EE_TESTS_PYTHON")?;
        let project = Project::new(PROJECT);
        let emulator = Emulator::builder().project(project).start().await.unwrap();
        emulator.auto_consent("ada@example.com");
        Some(Self {
            emulator,
            home: tempfile::tempdir().unwrap(),
            python,
        })
    }

    fn environment(&self) -> Environment {
        Environment::empty()
            .with_home(self.home.path())
            .with_var(
                "EARTHENGINE_EMULATOR_HOST",
                self.emulator.address().to_string(),
            )
            .with_var("NO_GCE_CHECK", "true")
    }

    fn store(&self) -> LoginFile {
        LoginFile::open(&self.environment()).unwrap()
    }

    fn file(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.store().path()).unwrap()).unwrap()
    }

    async fn log_in_with_ours(&self, mode: LoginMode, scopes: &[&str]) -> SavedLogin {
        let endpoints = Endpoints::emulator(self.emulator.address()).unwrap();
        let flow = LoginFlow::new(self.environment(), HttpClient::new(endpoints))
            .mode(mode)
            .scopes(Scopes::new(scopes))
            .force(true);
        let user = TestUser {
            page: Mutex::new(None),
        };
        match flow.run(&user, &user).await.unwrap() {
            LoginOutcome::LoggedIn(saved) => saved,
            other => panic!("{other:?}"),
        }
    }

    async fn log_in_with_python(&self, mode: &'static str) {
        let mut child = self.python("shared_login.py").arg(mode).spawn().unwrap();
        let prefix = format!("http://{}/", self.emulator.address());
        let done = spawn_blocking(move || {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let page =
                lines.find_map(|line| line.unwrap().strip_prefix("page ").map(str::to_owned));
            let page = page.unwrap().replace("https://", &prefix);
            let last = browse(&page);
            let mut stdin = child.stdin.take().unwrap();
            if mode == "notebook" {
                stdin
                    .write_all(format!("{}\n", code(&last)).as_bytes())
                    .unwrap();
            }
            drop(stdin);
            end(child)
        });
        done.await.unwrap();
    }

    /// Checks that Python's `ee.Initialize()` uses the login and computes.
    async fn python_works(&self) {
        let child = self
            .python("reference_clients/python_client.py")
            .args(["user", PROJECT])
            .spawn()
            .unwrap();
        let out = spawn_blocking(move || end(child)).await.unwrap();
        let result: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(result["result"], 3, "{result}");
    }

    /// Checks that this workspace's client does, with the project in the file or else the demo
    /// project.
    async fn ours_works(&self) -> EarthEngine {
        let mut builder = EarthEngine::builder().environment(self.environment());
        if self
            .file()
            .get("project")
            .is_none_or(|p| p == "517222506229")
        {
            builder = builder.project(PROJECT);
        }
        let ee = builder.connect().await.unwrap();
        assert_eq!(ee.credentials().kind().as_str(), "earthengine_file");
        let sum = json!({"result": "0", "values": {"0": {"functionInvocationValue": {
            "functionName": "Number.add",
            "arguments": {"left": {"constantValue": 1}, "right": {"constantValue": 2}},
        }}}});
        let three: i64 = ee.compute(&sum).await.unwrap();
        assert_eq!(three, 3);
        ee
    }

    fn python(&self, script: &str) -> Command {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let mut command = Command::new(&self.python);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("USERPROFILE", self.home.path())
            .env("APPDATA", self.home.path())
            .env(
                "EARTHENGINE_EMULATOR_HOST",
                self.emulator.address().to_string(),
            )
            .env("PYTHONPATH", dir.join("reference_clients/python_preload"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_GCE_CHECK", "true")
            .current_dir(self.home.path())
            .arg(dir.join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        for name in ["PATH", "SystemRoot"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}

/// Waits for a process that must succeed, and returns the rest of its output.
fn end(mut child: Child) -> String {
    let mut out = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut out).unwrap();
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {out}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn login_by_either_client_works_in_both() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    let saved = machine
        .log_in_with_ours(LoginMode::Localhost { port: Some(0) }, &[])
        .await;
    assert!(saved.missing.is_empty());
    machine.python_works().await;
    machine.ours_works().await;

    machine.log_in_with_python("localhost").await;
    let scopes = machine.file()["scopes"].as_array().unwrap().len();
    assert_eq!(scopes, 4, "Python's own");
    machine.python_works().await;
    machine.ours_works().await;

    // This workspace's login keeps fields that Python's would lose.
    machine.store().set_project(PROJECT).unwrap();
    machine
        .log_in_with_ours(LoginMode::Localhost { port: Some(0) }, &["earthengine"])
        .await;
    assert_eq!(machine.file()["project"], PROJECT);
    machine.python_works().await;
    assert_eq!(machine.ours_works().await.project().id, PROJECT);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_uses_the_active_account() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    let accounts = Accounts::open(&machine.environment()).unwrap();
    let (work, home) = ("work".parse().unwrap(), "home".parse().unwrap());
    let endpoints = Endpoints::emulator(machine.emulator.address()).unwrap();
    for name in ["work", "home"] {
        let flow = LoginFlow::new(machine.environment(), HttpClient::new(endpoints.clone()))
            .mode(LoginMode::Localhost { port: Some(0) })
            .scopes(Scopes::new(["earthengine", "openid", "email"]))
            .account(name);
        let user = TestUser {
            page: Mutex::new(None),
        };
        let outcome = flow.run(&user, &user).await.unwrap();
        assert!(matches!(outcome, LoginOutcome::LoggedIn(_)));
    }
    let token = |file: LoginFile| -> Value {
        let text = fs::read_to_string(file.path()).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["refresh_token"].clone()
    };
    for name in [&work, &home, &work] {
        accounts.switch(name).unwrap();
        assert_eq!(
            machine.file()["refresh_token"],
            token(accounts.file(Some(name)))
        );
        machine.python_works().await;
        machine.ours_works().await;
    }
    // Python replaces the whole file, and its login is kept by the next switch.
    machine.log_in_with_python("localhost").await;
    let python = machine.file()["refresh_token"].clone();
    assert_eq!(accounts.active().unwrap(), None);
    let switched = accounts.switch(&home).unwrap();
    assert!(switched.was_unnamed);
    assert_eq!(token(accounts.file(switched.previous.as_ref())), python);
    machine.python_works().await;
    accounts.switch(&switched.previous.unwrap()).unwrap();
    machine.python_works().await;
    machine.ours_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notebook_login_works_in_both_clients() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    machine.log_in_with_ours(LoginMode::Notebook, &[]).await;
    machine.python_works().await;
    machine.log_in_with_python("notebook").await;
    machine.ours_works().await;
    machine.log_in_with_ours(LoginMode::Notebook, &[]).await;
    machine.ours_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deselected_scopes_do_not_break_the_python_client() {
    let Some(machine) = Machine::new().await else {
        return;
    };
    machine
        .emulator
        .auto_consent_only("ada@example.com", &["earthengine"]);
    let scopes = ["earthengine", "cloud-platform", "drive"];
    let saved = machine
        .log_in_with_ours(LoginMode::Localhost { port: Some(0) }, &scopes)
        .await;
    assert_eq!(saved.missing.len(), 2);
    machine.python_works().await;
    machine.ours_works().await;
}
