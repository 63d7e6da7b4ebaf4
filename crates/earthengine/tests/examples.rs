//! Runs every example against the emulator and compares its output. `web_app` is tested in a browser.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ee_emulator::{Emulator, Fault, Project};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinSet;

const PROJECT: &str = "my-project";
const EARTH_ENGINE: &str = "earthengine.googleapis.com";

/// Name, arguments and output. `…` stands for any text.
#[rustfmt::skip]
const EXAMPLES: &[(&str, &[&str], &str)] = &[
    ("quickstart", &[], "mean NDVI: 0.618\n"),
    ("expression_from_python", &[], "[1,4,9,16,25,36,49,64,81,100]\n"),
    ("list_assets", &[], "\
FOLDER           projects/my-project/assets/maps
TABLE            projects/my-project/assets/rivers
"),
    ("list_assets", &["projects/my-project/assets/maps"], "\
IMAGE            projects/my-project/assets/maps/elevation
"),
    ("download_geotiff", &[], "elevation.tif: 160306 bytes\n"),
    ("map_tiles", &[], "…/projects/my-project/maps/…/tiles/{z}/{x}/{y}\ntile.png: … bytes\n"),
    ("export_and_wait", &["my-bucket"], "RUNNING\nSUCCEEDED\n"),
    ("service_account", &["key.json"],
     "robot@my-project.iam.gserviceaccount.com uses my-project (noncommercial)\n"),
    ("blocking", &[], "1 + 2 = 3\nCGIAR/SRTM90_V4 is an IMAGE\n"),
    ("many_users", &["jane.json", "bob.json", "zoe.json"], "\
bob.json: connected to bobs-project
jane.json: connected to my-project
zoe.json: …
  hint: …
"),
    ("token_for_another_api", &[], "exports\nimages\n"),
    ("errors", &[], "\
not found: projects/my-project/assets/no-such-asset
error: …other-project…
server message: …
hint: …
code: …
"),
    ("test_with_emulator", &[], "mean NDVI 0.618 after a retry\n"),
];

#[tokio::test]
async fn examples_print_what_they_promise() {
    // All at once, because one waits for an export.
    let mut running = JoinSet::new();
    for (name, arguments, expected) in EXAMPLES {
        running.spawn(async move {
            let printed = run(name, arguments).await;
            let is_expected = matches(&printed, expected);
            (!is_expected).then(|| format!("{name} printed:\n{printed}"))
        });
    }
    let failures: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_example_is_run() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut found: BTreeSet<_> = files
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(found.remove("web_app"));
    let run = EXAMPLES.iter().map(|(name, ..)| (*name).to_owned());
    assert_eq!(found, run.collect());
}

/// Runs an example in an own directory, with an own emulator, and returns its output.
async fn run(name: &str, arguments: &[&str]) -> String {
    let emulator = emulator(name).await;
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let jane = emulator.create_user("jane@example.com");
    let login = jane.earthengine_file_json(Some(PROJECT));
    write(".config/earthengine/credentials", login.clone());
    for argument in arguments {
        match *argument {
            "jane.json" => write(argument, login.clone()),
            "bob.json" => {
                let bob = emulator.create_user("bob@example.com");
                write(argument, bob.earthengine_file_json(Some("bobs-project")));
            }
            "zoe.json" => {
                let zoe = emulator.create_user("zoe@example.com");
                emulator.revoke(zoe.earthengine_refresh_token());
                write(argument, zoe.earthengine_file_json(Some(PROJECT)));
            }
            "key.json" => {
                let email = format!("robot@{PROJECT}.iam.gserviceaccount.com");
                let robot = emulator.create_service_account(&email, PROJECT);
                write(argument, robot.json_key());
            }
            _ => {}
        }
    }
    let output = Command::new(built(name))
        .args(arguments)
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("USERPROFILE", home.path())
        .env("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
        .env("NO_GCE_CHECK", "true")
        .output()
        .await
        .unwrap();
    // Nothing on standard error is expected.
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// Starts an emulator with everything that the example needs.
async fn emulator(name: &str) -> Emulator {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .project(Project::new("bobs-project"))
        .project(Project::new("other-project").denied(true))
        .start()
        .await
        .unwrap();
    for (asset, kind) in [
        ("projects/my-project/assets/maps", "FOLDER"),
        ("projects/my-project/assets/maps/elevation", "IMAGE"),
        ("projects/my-project/assets/rivers", "TABLE"),
    ] {
        emulator.put_asset(asset, kind);
    }
    // What the emulator has no data for.
    match name {
        "quickstart" => {
            let means = Fault::status(200).json(&json!({"result": {"NDVI": 6180.4}}));
            let path = format!("/v1/projects/{PROJECT}/value:compute");
            emulator.fault(EARTH_ENGINE, means.on_path(path));
        }
        "token_for_another_api" => {
            let buckets = json!({"items": [{"name": "exports"}, {"name": "images"}]});
            let buckets = Fault::status(200).json(&buckets).on_path("/storage/v1/b");
            emulator.fault("storage.googleapis.com", buckets);
        }
        _ => {}
    }
    emulator
}

/// Returns the path of an example, which Cargo builds for the tests of the whole workspace.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    let path = target.join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{} not found; test the whole workspace with all features",
        path.display()
    );
    path
}

/// Returns whether `…` in the expected text can stand for the rest of the printed text.
fn matches(printed: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, inner)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in inner {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
