//! A real browser: headless Chromium completes the localhost login and uses the example web
//! application, against the emulator's consent page. Screenshots are saved in the target directory.
//!
//! `cargo xtask test` installs Chromium and its driver.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed step is a failed test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ee_emulator::{Emulator, Project};
use tokio::task::spawn_blocking;

const CLIENT: &str = "424242424242-web.apps.googleusercontent.com";
const SECRET: &str = "a-secret-of-the-test";

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_web_sessions_stay_separate() {
    if !installed() {
        return;
    }
    let emulator = Emulator::builder()
        .project(
            Project::new("ada-project")
                .denied(true)
                .allow("ada@example.com"),
        )
        .project(
            Project::new("bob-project")
                .denied(true)
                .allow("bob@example.com"),
        )
        .project(Project::new("shared-project"))
        .oauth_client(CLIENT, SECRET)
        .start()
        .await
        .unwrap();
    emulator.create_user("ada@example.com");
    emulator.create_user("bob@example.com");

    let home = tempfile::tempdir().unwrap();
    let sessions = home.path().join("sessions");
    let cookies = home.path().join("cookies.json").display().to_string();
    let address = emulator.address().to_string();
    let (server, site) = web_app(&address, SECRET, "0", &sessions);
    drive("web_app.cjs", vec![site.clone(), cookies.clone()]).await;
    for name in ["ada", "bob"] {
        let project = format!("{name}-project");
        let requests = emulator.requests_to("earthengine.googleapis.com");
        let requests = requests
            .iter()
            .filter(|request| request.headers["x-goog-user-project"] == project.as_str());
        let paths: Vec<_> = requests.map(|request| request.path.clone()).collect();
        let computed = paths.iter().filter(|path| path.ends_with("value:compute"));
        assert_eq!(computed.count(), 1, "{project}");
        assert!(
            paths.iter().any(|path| path.contains("/tiles/")),
            "{project}"
        );
    }

    // Bob is still signed in after a restart; Ada signed out.
    let saved = || fs::read_dir(&sessions).unwrap().count();
    assert_eq!(saved(), 1);
    drop(server);
    let port = site.rsplit(':').next().unwrap();
    let (_server, site) = web_app(&address, SECRET, port, &sessions);
    drive("web_app_restart.cjs", vec![site, cookies]).await;
    let revocations = emulator.requests_to("oauth2.googleapis.com");
    let revocations = revocations
        .iter()
        .filter(|request| request.path == "/revoke");
    assert_eq!(revocations.count(), 1);
    assert_eq!(saved(), 0);
}

/// The emulator of the command, with the configuration beside the example.
#[tokio::test(flavor = "multi_thread")]
async fn eectl_emulator_stands_in_for_google() {
    if !installed() {
        return;
    }
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/earthengine/examples/web_app");
    let config = example.join("emulator.toml");
    let text = fs::read_to_string(&config).unwrap();
    let secret = text.lines().find_map(|line| line.strip_prefix("secret = "));
    assert!(text.contains(&format!("id = \"{CLIENT}\"")));
    let mut command = Command::new(built("eectl"));
    command.args(["emulator", "--port=0", "--quiet", "--config"]);
    let mut emulator = Running(command.arg(config).stdout(Stdio::piped()).spawn().unwrap());
    let address = first_line(&mut emulator.0);
    let home = tempfile::tempdir().unwrap();
    let secret = secret.unwrap().trim_matches('"');
    let (_server, site) = web_app(&address, secret, "0", &home.path().join("sessions"));
    drive("web_app_stand_in.cjs", vec![site]).await;
}

/// Starts the example, and returns it with its URL.
fn web_app(emulator: &str, secret: &str, port: &str, sessions: &Path) -> (Running, String) {
    let mut command = Command::new(built("examples/web_app"));
    command
        .env("EE_WEB_CLIENT_ID", CLIENT)
        .env("EE_WEB_CLIENT_SECRET", secret)
        .env("EE_WEB_SESSIONS", sessions)
        .env("PORT", port)
        .env("EARTHENGINE_EMULATOR_HOST", emulator)
        .stdout(Stdio::piped());
    let mut server = Running(command.spawn().unwrap());
    let site = first_line(&mut server.0);
    (server, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn command_line_login_completes_in_the_browser() {
    if !installed() {
        return;
    }
    let emulator = Emulator::start().await.unwrap();
    emulator.create_user("ada@example.com");
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(built("eectl"));
    command
        .args(["auth", "login", "--mode=localhost:0", "--quiet"])
        .env("HOME", home.path())
        .env("USERPROFILE", home.path())
        .env("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
        .env("NO_GCE_CHECK", "true")
        .stdout(Stdio::piped());
    for other in [
        "EE_CONFIG_FILE",
        "EARTHENGINE_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CLOUDSDK_CONFIG",
    ] {
        command.env_remove(other);
    }
    let mut login = Running(command.spawn().unwrap());
    // Held until the end, because the command prints more.
    let mut stdout = BufReader::new(login.0.stdout.take().unwrap());
    let mut page = String::new();
    stdout.read_line(&mut page).unwrap();
    let page = page.trim().to_owned();
    drive("login.cjs", vec![page, "ada@example.com".to_owned()]).await;
    let status = spawn_blocking(move || login.0.wait().unwrap())
        .await
        .unwrap();
    assert!(status.success(), "{status}");
    let file = fs::read_to_string(home.path().join(".config/earthengine/credentials")).unwrap();
    assert!(file.contains("refresh_token"));
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    line.trim().to_owned()
}

/// Runs a script with the browser.
async fn drive(script: &'static str, arguments: Vec<String>) {
    let output = spawn_blocking(move || {
        Command::new("node")
            .arg(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("interop/browser")
                    .join(script),
            )
            .args(arguments)
            .env("EE_TESTS_SCREENSHOTS", screenshots())
            .env(
                "NODE_PATH",
                std::env::var_os("EE_TESTS_BROWSER_MODULES").unwrap(),
            )
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn screenshots() -> PathBuf {
    let dir = target().join("screenshots");
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Returns the directory of this build's programs.
fn target() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().to_owned()
}

/// Returns a program of this workspace, which testing the whole workspace builds.
fn built(name: &str) -> PathBuf {
    let path = target().join(name);
    assert!(
        path.exists(),
        "{} not found; test the whole workspace with all features",
        path.display()
    );
    path
}

/// Returns whether a browser is installed, which `cargo xtask test` ensures.
fn installed() -> bool {
    let skipped = std::env::var("EE_TESTS_SKIP").unwrap_or_default();
    if skipped.split(',').any(|part| part == "browser") {
        println!("left out: EE_TESTS_SKIP names browser");
        return false;
    }
    for variable in ["EE_TESTS_CHROMIUM", "EE_TESTS_BROWSER_MODULES"] {
        assert!(
            std::env::var_os(variable).is_some(),
            "{variable} is not set: run `cargo xtask test`, which installs a browser, or \
             `cargo xtask test --skip browser`"
        );
    }
    true
}
