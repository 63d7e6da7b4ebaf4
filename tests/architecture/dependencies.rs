//! The dependencies of the published crates, which are reviewed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The parts of the list: a title, and the crate whose dependencies follow, without those of
/// earlier parts.
const PARTS: [(&str, &str); 2] = [
    ("With the library, all features", "earthengine"),
    ("Beside them, with `eectl` and the emulator", "ee-cli"),
];

#[test]
fn every_dependency_is_listed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("architecture/dependencies.txt");
    let now = list(&metadata());
    if std::env::var_os("EE_TESTS_WRITE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let listed = fs::read_to_string(&path).unwrap();
    let lines = |text: &str| {
        text.lines()
            .map(str::to_owned)
            .collect::<BTreeSet<String>>()
    };
    let (listed_lines, now_lines) = (lines(&listed), lines(&now));
    let mut difference = String::new();
    for line in listed_lines.difference(&now_lines) {
        let _ = writeln!(difference, "- {line}");
    }
    for line in now_lines.difference(&listed_lines) {
        let _ = writeln!(difference, "+ {line}");
    }
    assert!(
        difference.is_empty() && listed == now,
        "the dependencies are others than dependencies.txt says. Look at what is new, above all at \
         what runs while it is built, then write the list again with EE_TESTS_WRITE=1:\n{difference}"
    );
}

/// Returns the metadata for Linux, because that of all platforms needs packages that may be
/// missing.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .args([
            "--all-features",
            "--filter-platform=x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{found}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns one crate a line, with its code that runs during builds.
fn list(metadata: &Value) -> String {
    let by_id = |all: &Value| -> BTreeMap<String, Value> {
        let all = all.as_array().unwrap().iter();
        all.map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone()))
            .collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let mut list = "# The crates that come in on Linux, one a line, and what of them runs while \
                    a program is built.\n"
        .to_owned();
    let mut known = BTreeSet::new();
    for (headline, root) in PARTS {
        let root = packages.values().find(|p| p["name"] == root).unwrap();
        let mut next = vec![root["id"].as_str().unwrap()];
        let mut lines = BTreeSet::new();
        while let Some(id) = next.pop() {
            if !known.insert(id) {
                continue;
            }
            lines.extend(line(&packages[id]));
            let used = nodes[id]["deps"].as_array().unwrap().iter();
            let used = used.filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array().unwrap();
                kinds.iter().any(|kind| kind["kind"] != "dev")
            });
            next.extend(used.map(|dependency| dependency["pkg"].as_str().unwrap()));
        }
        let _ = writeln!(list, "\n# {headline}\n");
        for line in lines {
            let _ = writeln!(list, "{line}");
        }
    }
    list
}

/// Returns the name of a crate with its build script or macros. Crates of the workspace are listed
/// only if they have one.
fn line(package: &Value) -> Option<String> {
    let targets = package["targets"].as_array().unwrap().iter();
    let kinds = targets.flat_map(|target| target["kind"].as_array().unwrap());
    let runs = kinds.filter_map(|kind| match kind.as_str() {
        Some("custom-build") => Some("build script"),
        Some("proc-macro") => Some("macros"),
        _ => None,
    });
    let runs: BTreeSet<_> = runs.collect();
    if package["source"].is_null() && runs.is_empty() {
        return None;
    }
    let name = package["name"].as_str().unwrap();
    let runs: Vec<_> = runs.into_iter().collect();
    Some(format!("{name} {}", runs.join(", ")).trim_end().to_owned())
}
