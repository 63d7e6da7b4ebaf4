//! Google's own clients for Python and Node.js, unmodified, against the emulator, which must
//! support all their requests.
//!
//! `cargo xtask test` installs the clients. Preloaded modules (`python_preload`, `node_preload.js`)
//! redirect their requests to the emulator and refuse every other connection.

// Helper functions of tests may panic, too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod faults;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ee_emulator::{Emulator, Project, RecordedRequest};
use ee_test_support::installed::reference_client as installed;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const PROJECT: &str = "ee-demo-project";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";

/// Enough for a cold start on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn python_client_computes_with_a_service_account_key() {
    let Some(python) = installed("EE_TESTS_PYTHON") else {
        return;
    };
    let (emulator, home) = (emulator().await, tempfile::tempdir().unwrap());
    let key_file = service_account_key(&emulator, &home);

    let mut command = python_client(python, &emulator, &home);
    command.arg("service-account").arg(key_file).arg(PROJECT);
    let report = report(command, home).await;

    assert_eq!(report["client"], "earthengine-api");
    assert_computed(&report);
    let token_request = &requests_to_google(&emulator)[0];
    assert_eq!(token_request.form()["grant_type"], JWT_BEARER);
    assert_python_requests(&emulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_client_sends_requests_of_every_kind() {
    let Some(python) = installed("EE_TESTS_PYTHON") else {
        return;
    };
    let (emulator, home) = (emulator().await, tempfile::tempdir().unwrap());
    let well = json!({"type": "Feature", "geometry": null, "properties": {"depth": 9}});
    let name = format!("projects/{PROJECT}/assets/wells");
    emulator.put_table(&name, [well.clone(), well.clone()]);
    let key_file = service_account_key(&emulator, &home);

    let mut command = python_client(python, &emulator, &home);
    command.arg("calls").arg(key_file).arg(PROJECT);
    let report = report(command, home).await;

    assert_eq!(report["features"]["features"], json!([well]), "{report}");
    for request in requests_to_google(&emulator) {
        assert_eq!(request.status, Some(200), "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_client_computes_with_a_user_login() {
    let Some(python) = installed("EE_TESTS_PYTHON") else {
        return;
    };
    let (emulator, home) = (emulator().await, tempfile::tempdir().unwrap());
    let user = emulator.create_user("ada@example.com");
    let dir = home.path().join(".config/earthengine");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("credentials"), user.earthengine_file_json(None)).unwrap();

    let mut command = python_client(python, &emulator, &home);
    command.arg("user").arg(PROJECT);
    let report = report(command, home).await;

    assert_eq!(report["client"], "earthengine-api");
    assert_computed(&report);
    let form = requests_to_google(&emulator)[0].form();
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], user.earthengine_refresh_token());
    assert_python_requests(&emulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_client_computes_with_a_service_account_key() {
    let Some(modules) = installed("EE_TESTS_NODE_MODULES") else {
        return;
    };
    let (emulator, home) = (emulator().await, tempfile::tempdir().unwrap());
    let key_file = service_account_key(&emulator, &home);

    let mut command = client("node", &emulator, &home);
    command
        .env("NODE_PATH", modules)
        .arg("--require")
        .arg(beside_this_file("node_preload.js"))
        .arg(beside_this_file("node_client.js"))
        .arg(key_file)
        .arg(PROJECT);
    let report = report(command, home).await;

    assert_eq!(report["client"], "@google/earthengine");
    assert_computed(&report);
    let token_request = &requests_to_google(&emulator)[0];
    assert_eq!(token_request.form()["grant_type"], JWT_BEARER);
    assert_requests(
        &emulator,
        // The old name of the token endpoint is also the audience that this client signs.
        &["POST www.googleapis.com/oauth2/v4/token"],
    );
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

async fn emulator() -> Emulator {
    let builder = Emulator::builder().project(Project::new(PROJECT));
    builder.start().await.unwrap()
}

/// Writes the key file of a new service account.
fn service_account_key(emulator: &Emulator, home: &TempDir) -> PathBuf {
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let path = home.path().join("key.json");
    fs::write(&path, account.json_key()).unwrap();
    path
}

/// Returns a command that inherits only the search path, and no proxy or credentials.
fn client(program: impl AsRef<OsStr>, emulator: &Emulator, home: &TempDir) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home.path())
        .env("USERPROFILE", home.path())
        .env("APPDATA", home.path())
        .env("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
        .current_dir(home.path());
    // Without SystemRoot, Windows has no sockets and no random numbers.
    for name in ["PATH", "SystemRoot"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn python_client(python: PathBuf, emulator: &Emulator, home: &TempDir) -> Command {
    let mut command = client(python, emulator, home);
    command
        .env("PYTHONPATH", beside_this_file("python_preload"))
        // No __pycache__ in the source tree.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(beside_this_file("python_client.py"));
    command
}

fn beside_this_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("interop/reference_clients")
        .join(name)
}

/// Runs a client and returns the last line that it printed. Deletes its home directory.
async fn report(command: Command, home: TempDir) -> Value {
    spawn_blocking(move || run(command, home.path()))
        .await
        .unwrap()
}

fn run(mut command: Command, home: &Path) -> Value {
    // Files instead of pipes, so that a client with much output cannot block.
    let (out, err) = (home.join("stdout"), home.join("stderr"));
    command
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let program = command.get_program().to_owned();
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("could not start {}: {error}", program.display()));
    let status = wait(child);

    let (out, err) = (read(&out), read(&err));
    assert!(
        status.is_some_and(|status| status.success()),
        "{}: {status:?}\n{out}\n{err}",
        program.display()
    );
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

/// Returns the exit status, or `None` if the process had to be killed.
fn wait(mut child: Child) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if started.elapsed() > TIME_LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        sleep(Duration::from_millis(20));
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// The three values that each client computes.
fn assert_computed(report: &Value) {
    assert_eq!(report["result"], 3, "{report}");
    assert_eq!(report["text"], "ab", "{report}");
    assert_eq!(report["length"], 2, "{report}");
}

fn assert_python_requests(emulator: &Emulator) {
    assert_requests(
        emulator,
        &[
            "POST oauth2.googleapis.com/token",
            // Once for JSON responses and once for bytes.
            "GET earthengine.googleapis.com/$discovery/rest",
            "GET earthengine.googleapis.com/$discovery/rest",
        ],
    );
    for request in requests_to_google(emulator) {
        if request.path == "/$discovery/rest" {
            assert_eq!(request.header("x-goog-user-project"), None);
        }
    }
}

/// Each client initializes, lists the algorithms and computes the three values.
fn assert_requests(emulator: &Emulator, first: &[&str]) {
    let requests = requests_to_google(emulator);
    let shown: Vec<String> = requests
        .iter()
        .map(|request| format!("{} {}{}", request.method, request.host, request.path))
        .collect();
    let api = format!("earthengine.googleapis.com/v1/projects/{PROJECT}");
    let mut expected: Vec<String> = first.iter().map(|&line| line.to_owned()).collect();
    expected.push(format!("GET {api}/algorithms"));
    expected.extend(vec![format!("POST {api}/value:compute"); 3]);
    assert_eq!(shown, expected);

    for request in &requests {
        assert_eq!(request.status, Some(200), "{request:?}");
    }
    let calls = &requests[first.len()..];
    for request in calls {
        assert_eq!(request.header("x-goog-user-project"), Some(PROJECT));
        assert!(request.bearer().is_some(), "{request:?}");
        assert_eq!(
            request.bearer(),
            calls[0].bearer(),
            "all requests use one token"
        );
    }
    assert_eq!(
        calls[1].json()["expression"]["values"]["0"]["functionInvocationValue"],
        json!({
            "functionName": "Number.add",
            "arguments": {"left": {"constantValue": 1}, "right": {"constantValue": 2}},
        })
    );
}

/// Returns the requests for tokens and to Earth Engine. The Python client also requests the list of
/// deprecated data sets, at an arbitrary time. It tolerates that the emulator has none.
fn requests_to_google(emulator: &Emulator) -> Vec<RecordedRequest> {
    let mut requests = emulator.requests();
    requests.retain(|request| request.host != "storage.googleapis.com");
    requests
}
