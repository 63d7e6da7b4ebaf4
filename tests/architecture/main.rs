//! Rules of the workspace: layers, dependencies, names, and pages that must match the code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod book;
mod cycles;
mod dependencies;
mod errors_page;
mod fuzz_targets;
mod modules;
mod named_tests;
mod packaging;
mod reference_packages;
mod rust_version;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate, and the crates of this workspace on which it may depend outside of its tests.
const ARROWS: [(&str, &[&str]); 8] = [
    ("ee-token", &[]),
    ("ee-credentials", &["ee-token"]),
    ("ee-rest", &["ee-token"]),
    ("ee-init", &["ee-credentials", "ee-rest", "ee-token"]),
    (
        "earthengine",
        &["ee-credentials", "ee-init", "ee-rest", "ee-token"],
    ),
    ("ee-broker", &["ee-credentials", "ee-token"]),
    ("ee-cli", &["earthengine", "ee-broker", "ee-emulator"]),
    ("ee-emulator", &[]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the files in a directory with this extension, relative to the root.
fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Reads a file relative to the root.
fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--no-deps"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn crates_depend_only_on_lower_layers() {
    let metadata = metadata();
    let used: BTreeMap<String, BTreeSet<String>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            let used = used.filter(|d| d["kind"].is_null() && !d["path"].is_null());
            (
                text(&package["name"]),
                used.map(|d| text(&d["name"])).collect(),
            )
        })
        .collect();
    for (name, may) in ARROWS {
        for other in &used[name] {
            assert!(may.contains(&other.as_str()), "{name} must not use {other}");
        }
    }
    let known: Vec<_> = ARROWS
        .iter()
        .map(|(name, _)| *name)
        .chain(["xtask", "ee-tests", "ee-memory-tests", "ee-test-support"])
        .collect();
    for name in used.keys() {
        assert!(known.contains(&name.as_str()), "{name} has no layer");
    }
}

#[test]
fn one_tls_stack_and_one_crypto_provider_are_used() {
    let lock = include_str!("../../Cargo.lock");
    let names: BTreeSet<_> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = "))
        .collect();
    for unwanted in [
        "aws-lc-rs",
        "aws-lc-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
    ] {
        assert!(
            !names.contains(format!("\"{unwanted}\"").as_str()),
            "{unwanted} is in the tree"
        );
    }
    assert!(names.contains("\"ring\"") && names.contains("\"rustls\""));
}
