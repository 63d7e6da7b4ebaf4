//! `cargo xtask ci`: all checks except the tests.

use std::collections::BTreeMap;
use std::process::Command;

use crate::process::{Outcome, cargo, output, run};
use crate::{docs, fuzz, packages, supply};

pub(crate) fn check() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    for manifest in ["tests/fuzz/Cargo.toml", "tests/benchmarks/Cargo.toml"] {
        run(cargo(&["fmt", "--all", "--check", "--manifest-path"]).arg(manifest))?;
    }
    supply::check()?;
    run(&mut clippy(
        &["--workspace", "--all-targets", "--all-features"].map(str::to_owned),
    ))?;
    for combination in combinations(&metadata()?) {
        run(&mut clippy(&combination))?;
    }
    fuzzing_clippy()?;
    docs::check()?;
    packages::check_with_oldest_rust(env!("CARGO_PKG_RUST_VERSION"))?;
    packages::check()?;
    packages::public_api()
}

/// Creates a Clippy command that fails on warnings.
fn clippy(arguments: &[String]) -> Command {
    let mut command = cargo(&["clippy"]);
    command.args(arguments).args(["--", "--deny", "warnings"]);
    command
}

/// Returns Clippy arguments for each published crate alone: without features, with each feature, and
/// with all features. Building crates separately prevents feature unification across the workspace.
fn combinations(metadata: &Metadata) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let is_published = |package: &&Package| packages::IN_PUBLISHING_ORDER.contains(&&*package.name);
    for Package { name, features } in metadata.packages.iter().filter(is_published) {
        let mut add = |choice: &[&str]| {
            let arguments = [&["--package", name, "--no-default-features"], choice].concat();
            all.push(arguments.into_iter().map(str::to_owned).collect());
        };
        add(&[]);
        for feature in features.keys() {
            add(&["--features", feature]);
        }
        if features.len() > 1 {
            add(&["--all-features"]);
        }
    }
    all
}

fn metadata() -> Outcome<Metadata> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let metadata = output(&mut cargo(&arguments))?;
    serde_json::from_slice(&metadata).map_err(|e| e.to_string())
}

/// Runs Clippy on the fuzz targets, and on the code that the crates expose only to them.
fn fuzzing_clippy() -> Outcome {
    let targets = [
        "--locked",
        "--all-targets",
        "--manifest-path",
        "tests/fuzz/Cargo.toml",
    ];
    let crates = fuzz::CRATES.iter().flat_map(|name| ["--package", name]);
    let crates = crates
        .chain(["--all-targets", "--all-features"])
        .map(str::to_owned)
        .collect();
    for arguments in [targets.map(str::to_owned).to_vec(), crates] {
        let mut command = clippy(&arguments);
        command
            .env("RUSTFLAGS", "--cfg fuzzing")
            // A separate directory, because other flags would invalidate the build.
            .env("CARGO_TARGET_DIR", fuzz::dir()?.join("clippy"));
        run(&mut command)?;
    }
    Ok(())
}

/// The relevant part of `cargo metadata`.
#[derive(serde::Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_checked_separately() {
        let metadata = serde_json::from_str(
            r#"{"packages": [
                {"name": "ee-token", "features": {}},
                {"name": "ee-rest", "features": {"x": [], "y": []}},
                {"name": "xtask", "features": {}}
            ]}"#,
        );
        let all = combinations(&metadata.unwrap());
        let lines: Vec<_> = all.iter().map(|arguments| arguments.join(" ")).collect();
        assert_eq!(
            lines,
            [
                "--package ee-token --no-default-features",
                "--package ee-rest --no-default-features",
                "--package ee-rest --no-default-features --features x",
                "--package ee-rest --no-default-features --features y",
                "--package ee-rest --no-default-features --all-features",
            ]
        );
    }
}
