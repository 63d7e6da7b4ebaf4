//! The contract of `eectl`: its output and exit statuses. Each test runs the real binary with an
//! empty home directory and an empty environment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod accounts;
mod api_calls;
mod asset_trees;
mod assets;
mod bad_input;
#[cfg(target_os = "linux")]
mod broker;
#[cfg(target_os = "linux")]
mod broker_load;
#[cfg(target_os = "linux")]
mod broker_serve;
#[cfg(target_os = "linux")]
mod broker_ssh;
mod command_line;
mod commands;
mod doctor;
mod emulator;
mod emulator_config;
mod every_command;
mod every_method;
mod faults;
mod forms;
mod leaks;
mod leaks_of_credentials;
mod login;
mod manual;
mod path_settings;
#[cfg(target_os = "linux")]
mod processes;
mod projects;
mod refusals;
mod search;
mod status;
mod tasks;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod terminal_progress;
mod warm;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ee_emulator::{Emulator, EmulatorBuilder, Project, ServiceAccount};
use serde_json::Value;
use tempfile::TempDir;

const EECTL: &str = env!("CARGO_BIN_EXE_eectl");
const PROJECT: &str = "ee-demo-project";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";

/// A simulated machine: an emulator, a home directory, an environment.
struct Machine {
    emulator: Emulator,
    home: TempDir,
    variables: BTreeMap<String, String>,
}

/// The exit status and output of a command.
struct CommandOutput {
    status: i32,
    stdout: String,
    /// Without the notice that an emulator is used.
    stderr: String,
    note: Option<String>,
}

/// Splits standard error into the notice that an emulator is used and the rest.
fn split_note(stderr: &str) -> (Option<String>, String) {
    match stderr.split_once('\n') {
        Some((note, rest)) if note.contains("using the emulator at ") => {
            (Some(note.to_owned()), rest.to_owned())
        }
        _ => (None, stderr.to_owned()),
    }
}

impl Machine {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder().project(Project::new(PROJECT).number(123_456_789_012));
        let emulator = settings(builder).start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut variables = BTreeMap::from([
            (
                "EARTHENGINE_EMULATOR_HOST".into(),
                emulator.address().to_string(),
            ),
            ("HOME".into(), home.path().display().to_string()),
            ("NO_GCE_CHECK".into(), "true".into()),
        ]);
        if cfg!(not(target_os = "linux")) {
            // Only Linux reveals who owns a listening socket.
            variables.insert("EARTHENGINE_EMULATOR_TRUST".into(), "1".into());
        }
        Self {
            emulator,
            home,
            variables,
        }
    }

    /// Creates a machine where `GOOGLE_APPLICATION_CREDENTIALS` names a service account key.
    async fn with_key(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let mut machine = Self::with(settings).await;
        let key = machine.robot().json_key();
        let key = machine.file("key.json", key);
        machine.set("GOOGLE_APPLICATION_CREDENTIALS", &key);
        machine
    }

    fn robot(&self) -> ServiceAccount {
        self.emulator.create_service_account(ROBOT, PROJECT)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    /// Returns a path in the home directory.
    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    /// Writes a file in the home directory and returns its path.
    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    /// Returns a program with the machine's variables, in its home directory, without input.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.run_with_input(arguments, "").await
    }

    async fn run_with_input(&self, arguments: &[&str], input: &str) -> CommandOutput {
        let mut command = self.command(EECTL);
        command.args(arguments).stdin(Stdio::piped());
        let input = input.to_owned();
        let run = move || {
            let mut child = command.spawn().unwrap();
            // A command that reads no input may have exited already.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        };
        let Output {
            status,
            stdout,
            stderr,
        } = tokio::task::spawn_blocking(run).await.unwrap();
        let (note, stderr) = split_note(&String::from_utf8(stderr).unwrap());
        CommandOutput {
            status: status.code().expect("not killed by a signal"),
            // `eectl api` prints images, too.
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr,
            note,
        }
    }

    /// Runs a command that must succeed and returns the JSON that it printed.
    async fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).await.json()
    }

    /// Runs `eectl … --json`, which must fail; returns the exit status and the error.
    async fn failure(&self, arguments: &[&str]) -> (i32, Value) {
        let result = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(result.stdout, "", "{}", result.stderr);
        let failure: Value = serde_json::from_str(&result.stderr)
            .unwrap_or_else(|e| panic!("{e}: {:?}", result.stderr));
        assert_eq!(failure.as_object().unwrap().len(), 1);
        let error = failure["error"].clone();
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_ne!(error["remedy"], "", "{error}");
        (result.status, error)
    }

    fn paths(&self) -> Vec<String> {
        let requests = self.emulator.requests();
        requests
            .iter()
            .map(|r| format!("{} {}{}", r.method, r.host, r.path))
            .collect()
    }
}

impl CommandOutput {
    /// Fails unless standard output contains this text.
    #[track_caller]
    fn assert_stdout(&self, part: &str) {
        let Self { stdout, stderr, .. } = self;
        assert!(stdout.contains(part), "no {part:?}: {stdout}\n{stderr}");
    }

    /// Fails unless standard error contains this text.
    #[track_caller]
    fn assert_stderr(&self, part: &str) {
        let Self { stdout, stderr, .. } = self;
        assert!(stderr.contains(part), "no {part:?}: {stderr}\n{stdout}");
    }

    fn json(&self) -> Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn code(error: &Value) -> &str {
    error["code"].as_str().unwrap()
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

fn remedy(error: &Value) -> &str {
    error["remedy"].as_str().unwrap()
}
