//! `cargo xtask ci`: everything that is checked without running a test.

use std::collections::BTreeMap;

use crate::process::{Outcome, cargo, output, run};
use crate::{docs, packages, supply};

pub(crate) fn check() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    for manifest in ["tests/fuzz/Cargo.toml", "tests/peers/Cargo.toml"] {
        run(cargo(&["fmt", "--all", "--check", "--manifest-path"]).arg(manifest))?;
    }
    supply::check()?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ]))?;
    for (package, features) in features()? {
        let alone = ["check", "--package", &package, "--no-default-features"];
        run(&mut cargo(&alone))?;
        for feature in &features {
            run(cargo(&alone).args(["--features", feature]))?;
        }
    }
    docs::check()?;
    packages::check_with_oldest_rust(env!("CARGO_PKG_RUST_VERSION"))?;
    packages::check()
}

/// The crates that have optional features, each of which must compile by itself.
fn features() -> Outcome<Vec<(String, Vec<String>)>> {
    let metadata = output(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|e| e.to_string())?;
    Ok(metadata
        .packages
        .into_iter()
        .filter(|package| !package.features.is_empty())
        .map(|package| (package.name, package.features.into_keys().collect()))
        .collect())
}

/// The part of `cargo metadata` that matters here.
#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
}
