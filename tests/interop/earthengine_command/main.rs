//! `eectl` beside Google's `earthengine` command: the same command lines, each program with an
//! emulator of its own, must print the same and leave the same assets and tasks.
//!
//! `cargo xtask test` installs the Python client.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ee_emulator::{Emulator, Project};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const PROJECT: &str = "ee-demo-project";
const ROOT: &str = "projects/ee-demo-project/assets";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";

/// What is compared of two outputs.
#[derive(Clone, Copy, PartialEq)]
enum Compare {
    /// The lines, without regard to spaces.
    Lines,
    Json,
    /// Only whether the command succeeded.
    Success,
    /// Nothing: `eectl` reports failures that the other command ignores.
    Nothing,
}

use Compare::{Json, Lines, Nothing, Success};

/// The command lines. `A` stands for the root of the project's assets.
const LINES: &[(Compare, &str)] = &[
    (Lines, "ls"),
    (Success, "create folder -p A/a/b/c"),
    (Success, "create folder A/a/b/c A/d"),
    (Success, "create folder A/missing/b"),
    (Success, "create collection A/a/images"),
    (Success, "cp A/image A/a/images/1"),
    (Success, "cp A/image A/a/images/1"),
    (Success, "cp -f A/image A/a/images/1"),
    (Success, "cp A/image A/a/copy"),
    (Success, "mv A/a/copy A/moved"),
    (Success, "mv A/none A/moved"),
    (Lines, "ls A"),
    (Lines, "ls -r"),
    (Lines, "ls -r A/a"),
    (Lines, "ls -m 1 A/a"),
    (Lines, "ls A/a A/sized"),
    (
        Success,
        "asset set A/moved -p n=1 -p text=dry -p (string)tile=007 -p f=1.5 -p (date)d=2024-02-29T12:00:00",
    ),
    (
        Success,
        "asset set A/moved --time_start 2024-01-01 --time_end 2024-01-02T03:04:05",
    ),
    (Success, "asset set A/moved -ts 2024-02-01 -te 2024-02-02"),
    (Success, "asset setbands A/banded red green"),
    (Success, "asset setbands A/banded red"),
    (
        Success,
        "asset set A/moved -p text=null -p gone=null -p (string)null=null",
    ),
    (Success, "asset set A/d --time_start 2024-01-01"),
    (Success, "asset set A/d --time_start="),
    (Success, "asset set A/d"),
    (Success, "asset set A/d -p a=1 -p a=2"),
    (Json, "asset info A/image"),
    (Success, "asset info A/none"),
    (Success, "acl set public A/moved"),
    (Json, "acl get A/moved"),
    (
        Success,
        "acl ch -u jane@example.com:W -u robot@p.iam.gserviceaccount.com:R A/moved",
    ),
    (
        Success,
        "acl ch -g staff@example.com:R -u jane@example.com:R -d AllUsers A/moved",
    ),
    (Json, "acl get A/moved"),
    (
        Success,
        "acl ch -dg staff@example.com -d robot@p.iam.gserviceaccount.com A/moved",
    ),
    (Json, "acl get A/moved"),
    (Success, "acl set acl.json A/image"),
    (Success, "acl set private A/moved"),
    (Success, "acl ch -u allUsers:W A/moved"),
    (Lines, "du A/sized"),
    (Lines, "du -s A/sized"),
    (Success, "rm -r --dry_run A/a"),
    (Success, "rm -r A/a"),
    (Nothing, "rm A/none"),
    (Nothing, "rm A/sized"),
    (Success, "upload image --manifest image.json"),
    (Success, "upload table --manifest table.json --force"),
    (Success, "upload image --manifest image.json"),
    (Success, "task cancel all"),
    (Nothing, "task wait all"),
    (Success, "upload image --manifest image.json --wait"),
    (Success, "upload image --manifest image.json"),
    (Success, "upload image --manifest image.json -f -w 60"),
    (Success, "upload external_image --manifest external.json"),
    (Success, "upload external_image --manifest external.json"),
    (
        Success,
        "alpha upload external_image --manifest external.json -f",
    ),
    (
        Success,
        "upload image --asset_id A/tiles gs://b/1.tif --bands R,G --pyramiding_policy mode,max --nodata_value=-1,0 --crs EPSG:4326",
    ),
    (
        Success,
        "upload table --asset_id A/rows gs://b/1.csv --x_column x --y_column y --geodesic --max_error 2 --csv_delimiter ;",
    ),
    (Success, "task info none"),
    (Lines, "task list -s FAILED"),
];

/// An emulator, and a home directory with the files of the command lines.
struct World {
    emulator: Emulator,
    home: TempDir,
    key: PathBuf,
}

impl World {
    async fn new() -> Self {
        let builder = Emulator::builder().project(Project::new(PROJECT));
        let emulator = builder.start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let robot = emulator.create_service_account(ROBOT, PROJECT);
        let file = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let key = file("key.json", &robot.json_key());
        file(
            "image.json",
            r#"{"name": "projects/ee-demo-project/assets/up", "tilesets": [{"sources": [{"uris": ["gs://b/a.tif"]}]}]}"#,
        );
        file(
            "table.json",
            r#"{"name": "projects/ee-demo-project/assets/wells", "sources": [{"uris": ["gs://b/a.csv"]}]}"#,
        );
        file(
            "acl.json",
            r#"{"readers": ["user:jane@example.com"], "writers": ["group:staff@example.com"], "all_users_can_read": true}"#,
        );
        file(
            "external.json",
            r#"{"name": "projects/ee-demo-project/assets/cog", "tilesets": [{"id": "t", "sources": [{"uris": ["gs://b/a.tif"]}]}]}"#,
        );
        let bands = json!({"type": "IMAGE", "bands": [{"id": "b1"}, {"id": "b2"}]});
        let bands = bands.as_object().unwrap().clone();
        emulator.put_asset_fields(&format!("{ROOT}/banded"), bands);
        emulator.put_asset(&format!("{ROOT}/image"), "IMAGE");
        emulator.put_asset(&format!("{ROOT}/sized"), "FOLDER");
        for (name, size) in [("one", "1536"), ("two", "7")] {
            let fields = json!({"type": "IMAGE", "sizeBytes": size});
            let fields = fields.as_object().unwrap().clone();
            emulator.put_asset_fields(&format!("{ROOT}/sized/{name}"), fields);
        }
        Self {
            emulator,
            home,
            key,
        }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("USERPROFILE", self.home.path())
            .env("NO_GCE_CHECK", "true")
            .env(
                "EARTHENGINE_EMULATOR_HOST",
                self.emulator.address().to_string(),
            )
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ["PATH", "SystemRoot"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn eectl(&self) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_eectl"));
        command
            // Only Linux reveals who owns a listening socket.
            .env("EARTHENGINE_EMULATOR_TRUST", "1")
            .arg("--credentials")
            .arg(&self.key);
        command
    }

    /// Returns the assets with their access, and the states of the tasks.
    async fn state(&self) -> Value {
        let mut assets = Map::new();
        for name in self.emulator.assets() {
            let read = |words: &'static [&'static str]| {
                let mut command = self.eectl();
                command.args(words).arg(&name).arg("--json");
                async move { parsed(&finish(command, "").await) }
            };
            let mut asset = read(&["asset", "info"]).await;
            asset.as_object_mut().unwrap().remove("updateTime");
            let access = read(&["asset", "acl", "get"]).await;
            assets.insert(name, json!([with_floats(asset), access]));
        }
        let tasks = self.emulator.operations();
        let tasks: Vec<_> = tasks.iter().map(|task| (&task.kind, &task.state)).collect();
        json!({"assets": assets, "tasks": tasks})
    }
}

/// Runs a command with this standard input.
async fn finish(mut command: Command, input: &str) -> Output {
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().unwrap();
        // A command that reads no input may have exited already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    spawn_blocking(run).await.unwrap()
}

fn parsed(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {error}"))
}

/// The Python client sends all numbers as floats.
fn with_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(with_floats).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, with_floats(value)))
            .collect(),
        other => other,
    }
}

fn arguments(line: &str) -> Vec<String> {
    let words = line.split_whitespace();
    let word = |word: &str| match word {
        "A" => ROOT.to_owned(),
        word => word.replacen(
            "A/",
            &format!("{ROOT}/"),
            usize::from(word.starts_with("A/")),
        ),
    };
    words.map(word).collect()
}

fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// Returns the Python interpreter with the client, or `None` if it is skipped.
fn python() -> Option<PathBuf> {
    let skipped = std::env::var("EE_TESTS_SKIP").unwrap_or_default();
    if skipped.split(',').any(|part| part == "reference-clients") {
        println!("left out: EE_TESTS_SKIP names reference-clients");
        return None;
    }
    let Some(path) = std::env::var_os("EE_TESTS_PYTHON") else {
        panic!(
            "EE_TESTS_PYTHON is not set: run `cargo xtask test`, which installs the reference \
             clients, or `cargo xtask test --skip reference-clients`"
        );
    };
    Some(path.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_commands_print_and_leave_the_same() {
    let Some(python) = python() else {
        return;
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    let theirs = World::new().await;
    let mut command = theirs.command(python);
    command
        .env("PYTHONPATH", tests.join("reference_clients/python_preload"))
        // No __pycache__ in the source tree.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(tests.join("earthengine_command/run.py"));
    let key = theirs.key.display().to_string();
    let all = LINES.iter().map(|(_, line)| {
        let mut all = vec!["--service_account_file".to_owned(), key.clone()];
        all.extend(["--project".to_owned(), PROJECT.to_owned()]);
        all.extend(arguments(line));
        all
    });
    let input = json!(all.collect::<Vec<_>>()).to_string();
    let results = parsed(&finish(command, &input).await);
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), LINES.len());

    let ours = World::new().await;
    for ((compare, line), result) in LINES.iter().zip(results) {
        let mut command = ours.eectl();
        // Only the other command shows sizes in bytes by default.
        command.args(arguments(&line.replace("du ", "du -b ")));
        let output = finish(command, "").await;
        let (printed, expected) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            result["stdout"].as_str().unwrap(),
        );
        let context = format!(
            "{line}:\n{expected}\n{printed}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if *compare != Nothing {
            assert_eq!(output.status.success(), result["status"] == 0, "{context}");
        }
        match compare {
            Lines => assert_eq!(lines(&printed), lines(expected), "{context}"),
            Json => {
                let mut ours: Value = serde_json::from_str(&printed).unwrap();
                let mut theirs: Value = serde_json::from_str(expected).unwrap();
                for object in [&mut ours, &mut theirs] {
                    object.as_object_mut().unwrap().remove("updateTime");
                }
                assert_eq!(ours, theirs, "{context}");
            }
            Success | Nothing => {}
        }
    }
    let (ours, theirs) = (ours.state().await, theirs.state().await);
    assert_eq!(ours, theirs);
    assert!(ours["assets"].as_object().unwrap().len() > 5, "{ours}");
}
