//! The layers: which crate may use which. A wrong arrow fails here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod book;
mod dependencies;
mod errors_page;
mod fuzz_targets;
mod named_tests;
mod reference_packages;
mod rust_version;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate and the crates of this workspace that it may use outside of its tests.
const ARROWS: [(&str, &[&str]); 7] = [
    ("ee-token", &[]),
    ("ee-credentials", &["ee-token"]),
    ("ee-rest", &["ee-token"]),
    ("ee-init", &["ee-credentials", "ee-rest", "ee-token"]),
    (
        "earthengine",
        &["ee-credentials", "ee-init", "ee-rest", "ee-token"],
    ),
    ("ee-cli", &["earthengine", "ee-emulator"]),
    ("ee-emulator", &[]),
];

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
fn crates_use_only_what_stands_below_them() {
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
        .chain(["xtask", "ee-tests", "ee-memory-tests"])
        .collect();
    for name in used.keys() {
        assert!(
            known.contains(&name.as_str()),
            "{name} has no place in the layers yet"
        );
    }
}

#[test]
fn there_is_one_tls_stack_and_one_crypto_provider() {
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
