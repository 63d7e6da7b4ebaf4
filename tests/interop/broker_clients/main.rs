//! Clients of other projects, unmodified, with the credentials of `eectl exec`.
//!
//! Each runs in an empty home directory, with no secret in a file or a variable, and computes with
//! the login of the user who started it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod rust_crates;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ee_emulator::{Emulator, Project, User};
use ee_test_support::canaries::Canaries;
use ee_test_support::installed::{reference_client, system_program};
use ee_test_support::subprocess::{self, rerun};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const PROJECT: &str = "ee-demo-project";
const COLLECTION: &str = "projects/ee-demo-project/assets/scenes";

/// A user who has logged in with Earth Engine's client.
struct Owner {
    emulator: Emulator,
    home: TempDir,
    user: User,
}

impl Owner {
    async fn new() -> Self {
        let emulator = Emulator::builder().project(Project::new(PROJECT));
        let emulator = emulator.start().await.unwrap();
        let user = emulator.create_user("ada@example.com");
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".config/earthengine");
        fs::create_dir_all(&dir).unwrap();
        let login = dir.join("credentials");
        fs::write(&login, user.earthengine_file_json(None)).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&login, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self {
            emulator,
            home,
            user,
        }
    }

    /// Returns the arguments that start a broker for a command.
    fn exec(&self) -> [&'static str; 6] {
        let eectl = env!("CARGO_BIN_EXE_eectl");
        [eectl, "exec", "--clean-home", "--project", PROJECT, "--"]
    }

    /// Returns a command that runs a client with a broker.
    fn client(&self, client: impl AsRef<OsStr>) -> Command {
        let [eectl, arguments @ ..] = self.exec();
        let mut command = Command::new(eectl);
        command.args(arguments).arg(client);
        self.set_environment(&mut command);
        command
    }

    /// Returns a command that runs the Python client, whose requests go to the emulator.
    fn python(&self, python: PathBuf) -> Command {
        let mut command = self.client(python);
        command
            .env("PYTHONPATH", interop("reference_clients/python_preload"))
            // No __pycache__ in the source tree.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(interop("broker_clients/python_client.py"));
        command
    }

    /// Returns a command that runs a client for Node.js, whose requests go to the emulator.
    fn node(&self, modules: PathBuf) -> Command {
        let mut command = self.client("node");
        command
            .env("NODE_PATH", modules)
            .arg("--require")
            .arg(interop("reference_clients/node_preload.js"))
            .arg(interop("broker_clients/node_client.js"));
        command
    }

    /// Adds a collection of two images, which GDAL can read.
    fn add_images(&self) {
        self.emulator.put_asset(COLLECTION, "IMAGE_COLLECTION");
        let Value::Object(image) = json!({
            "startTime": "2026-03-01T00:00:00Z",
            "properties": {"CLOUD_COVER": 3},
            "bands": [{
                "id": "B4",
                "dataType": {"precision": "INT", "range": {"max": 65_535}},
                "grid": {
                    "crsCode": "EPSG:4326",
                    "dimensions": {"width": 64, "height": 32},
                    "affineTransform": {
                        "scaleX": 0.1, "translateX": 10, "scaleY": -0.1, "translateY": 50,
                    },
                },
            }],
        }) else {
            panic!("an object");
        };
        for name in ["a", "b"] {
            self.emulator
                .put_asset_fields(&format!("{COLLECTION}/{name}"), image.clone());
        }
    }

    /// Returns the URL of the API for GDAL's drivers.
    fn eeda_url(&self) -> String {
        let api = self.emulator.url("earthengine-highvolume.googleapis.com");
        format!("{api}/v1alpha/")
    }

    /// Runs this test again with a broker.
    async fn rerun(&self, test: &str) {
        let mut command = rerun(&self.exec(), test, &self.emulator.address().to_string());
        self.set_environment(&mut command);
        spawn_blocking(move || subprocess::assert_passes(&mut command))
            .await
            .unwrap();
    }

    /// The variables of the owner: no proxy, no credential, and the emulator.
    fn set_environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let kept = ["PATH", "SystemRoot"].map(OsString::from);
            if !kept.contains(&name) {
                command.env_remove(name);
            }
        }
        let homes: &[&str] = match cfg!(windows) {
            true => &["USERPROFILE", "APPDATA"],
            false => &["HOME"],
        };
        for name in homes {
            command.env(name, self.home.path());
        }
        let address = self.emulator.address().to_string();
        command
            .env("EARTHENGINE_EMULATOR_HOST", address)
            .current_dir(std::env::temp_dir());
    }

    /// Runs a client and returns what it printed.
    async fn output(&self, mut command: Command) -> String {
        let run = move || command.output().unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = spawn_blocking(run).await.unwrap();
        let out = String::from_utf8_lossy(&stdout).into_owned();
        let err = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{status}\n{out}\n{err}");
        out
    }

    /// Runs a client and returns the JSON that it printed, alone or on the last line.
    async fn report(&self, command: Command) -> Value {
        let out = self.output(command).await;
        let last = out.lines().last().unwrap_or_default();
        let found = serde_json::from_str(&out).or_else(|_| serde_json::from_str(last));
        found.unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Checks that one token was requested, with Earth Engine's scope alone, and that all requests
    /// to Earth Engine were sent with it and billed to the project.
    fn assert_one_token(&self, requests: usize) {
        let tokens = self.emulator.requests_to("oauth2.googleapis.com");
        let tokens: Vec<_> = tokens.iter().filter(|r| r.path == "/token").collect();
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        let form = tokens[0].form();
        assert_eq!(form["grant_type"], "refresh_token");
        assert_eq!(form["scope"], "https://www.googleapis.com/auth/earthengine");

        let mut called = self.emulator.requests_to("earthengine.googleapis.com");
        called.extend(
            self.emulator
                .requests_to("earthengine-highvolume.googleapis.com"),
        );
        called.retain(|request| request.path != "/$discovery/rest");
        assert!(called.len() >= requests, "{called:#?}");
        for request in &called {
            assert_eq!(request.status, Some(200), "{request:?}");
            assert_eq!(request.bearer(), called[0].bearer(), "{request:?}");
            assert_eq!(
                request.header("x-goog-user-project"),
                Some(PROJECT),
                "{request:?}"
            );
        }
    }
}

fn interop(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop")).join(path)
}

#[tokio::test]
async fn earthengine_api_initializes_and_computes() {
    let Some(python) = reference_client("EE_TESTS_PYTHON") else {
        return;
    };
    let owner = Owner::new().await;
    let mut command = owner.python(python);
    command.arg("earthengine");
    let report = owner.report(command).await;
    assert_eq!(report["client"], "earthengine-api");
    assert_eq!(report["result"], 3, "{report}");
    // The list of algorithms and the computation.
    owner.assert_one_token(2);
}

#[tokio::test]
async fn google_auth_default_credentials_compute() {
    let Some(python) = reference_client("EE_TESTS_PYTHON") else {
        return;
    };
    let owner = Owner::new().await;
    let mut command = owner.python(python);
    command.arg("google-auth");
    let report = owner.report(command).await;
    assert_eq!(
        report,
        json!({
            "client": "google-auth",
            "kind": "google.auth.compute_engine.credentials",
            "project": PROJECT,
            "quota_project": PROJECT,
            "universe": "googleapis.com",
            "result": 3,
        })
    );
    owner.assert_one_token(1);
}

#[tokio::test]
async fn google_auth_library_for_node_computes() {
    let Some(modules) = reference_client("EE_TESTS_NODE_MODULES") else {
        return;
    };
    let owner = Owner::new().await;
    let mut command = owner.node(modules);
    command.arg("google-auth-library");
    let report = owner.report(command).await;
    assert_eq!(
        report,
        json!({
            "client": "google-auth-library",
            "kind": "Compute",
            "project": PROJECT,
            "result": 3,
        })
    );
    owner.assert_one_token(1);
}

#[tokio::test]
async fn earthengine_api_for_node_computes() {
    let Some(modules) = reference_client("EE_TESTS_NODE_MODULES") else {
        return;
    };
    let owner = Owner::new().await;
    let mut command = owner.node(modules);
    command.arg("earthengine");
    let report = owner.report(command).await;
    assert_eq!(
        report,
        json!({"client": "@google/earthengine", "project": PROJECT, "result": 3})
    );
    // The list of algorithms and the computation.
    owner.assert_one_token(2);
}

#[tokio::test]
async fn gdal_lists_a_collection_and_reads_an_image() {
    let Some(python) = reference_client("EE_TESTS_PYTHON") else {
        return;
    };
    let owner = Owner::new().await;
    owner.add_images();
    let mut command = owner.python(python);
    command
        .args(["gdal", COLLECTION])
        .env("EEDA_URL", owner.eeda_url());
    let report = owner.report(command).await;
    let images = ["a", "b"].map(|name| format!("{COLLECTION}/{name}"));
    assert_eq!(report["images"], json!(images), "{report}");
    assert_eq!(report["shape"], json!([1, 32, 64]), "{report}");
    assert_eq!(report["corners"], json!([50, 200]), "{report}");
    // The list, the image and its pixels.
    owner.assert_one_token(3);
}

#[tokio::test]
async fn gdal_commands_list_and_translate() {
    for program in ["ogrinfo", "gdalinfo", "gdal_translate"] {
        if system_program(program).is_none() {
            return;
        }
    }
    let owner = Owner::new().await;
    owner.add_images();
    let dir = tempfile::tempdir().unwrap();
    let tiff = dir.path().join("a.tif");
    let (collection, image) = (
        format!("EEDA:{COLLECTION}"),
        format!("EEDAI:{COLLECTION}/a"),
    );
    let with_eeda = |program: &str| {
        let mut command = owner.client(program);
        command.env("EEDA_URL", owner.eeda_url());
        command
    };
    let mut list = with_eeda("ogrinfo");
    list.args(["-al", "-so", &collection]);
    let listed = owner.output(list).await;
    assert!(listed.contains("CLOUD_COVER"), "{listed}");
    let mut describe = with_eeda("gdalinfo");
    describe.arg(&image);
    let described = owner.output(describe).await;
    assert!(described.contains("Size is 64, 32"), "{described}");
    let mut translate = with_eeda("gdal_translate");
    translate.arg(&image).arg(&tiff);
    owner.output(translate).await;
    let mut describe = with_eeda("gdalinfo");
    describe.args(["-stats", tiff.to_str().unwrap()]);
    let described = owner.output(describe).await;
    assert!(described.contains("STATISTICS_MAXIMUM=200"), "{described}");
    // The list, and twice the image, once with its pixels.
    owner.assert_one_token(4);
}

#[tokio::test]
async fn dask_workers_compute_with_one_token_request() {
    let Some(python) = reference_client("EE_TESTS_PYTHON") else {
        return;
    };
    let owner = Owner::new().await;
    let mut command = owner.python(python);
    command.args(["dask", "3"]);
    let report = owner.report(command).await;
    assert_eq!(report["processes"], 3, "{report}");
    assert_eq!(report["results"], json!([3, 3, 3]), "{report}");
    owner.assert_one_token(6);
}

#[tokio::test]
async fn eectl_computes_with_its_own_broker() {
    let owner = Owner::new().await;
    let mut command = owner.client(env!("CARGO_BIN_EXE_eectl"));
    command.args([
        "api",
        "value:compute",
        "-f",
        "expression[result]=0",
        "-F",
        "expression[values][0][constantValue]=3",
        "--json",
    ]);
    let report = owner.report(command).await;
    assert_eq!(report["result"], 3, "{report}");
    owner.assert_one_token(1);
}

#[tokio::test]
async fn command_has_no_secret_in_files_or_variables() {
    const NAME: &str = "command_has_no_secret_in_files_or_variables";
    if subprocess::input().is_some() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        assert!(std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_none());
        let mut seen = format!("{:?}", std::env::vars_os().collect::<Vec<_>>());
        let mut dirs = vec![home];
        let named = std::env::vars_os().map(|(_, value)| PathBuf::from(value));
        dirs.extend(named.filter(|path| path.is_absolute() && path.exists()));
        let mut files = 0;
        while let Some(path) = dirs.pop() {
            if path.is_dir() && (path.starts_with(std::env::temp_dir())) {
                let entries = fs::read_dir(&path).unwrap();
                dirs.extend(entries.map(|entry| entry.unwrap().path()));
            } else if path.is_file() {
                files += 1;
                seen += &String::from_utf8_lossy(&fs::read(&path).unwrap());
            }
        }
        fs::write(std::env::var_os("EE_TESTS_SEEN").unwrap(), seen).unwrap();
        assert!(files > 0, "the header file of GDAL");
        return;
    }
    let owner = Owner::new().await;
    let mut secrets = Canaries::default();
    secrets.add("refresh token", owner.user.earthengine_refresh_token());
    let report = tempfile::tempdir().unwrap();
    let seen = report.path().join("seen");
    let mut command = rerun(&owner.exec(), NAME, "");
    owner.set_environment(&mut command);
    command.env("EE_TESTS_SEEN", &seen);
    spawn_blocking(move || subprocess::assert_passes(&mut command))
        .await
        .unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    assert_eq!(secrets.find(&seen), vec![]);
    assert!(seen.contains("GCE_METADATA_HOST"), "{seen}");
}
