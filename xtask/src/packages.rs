//! The crates as people get them: packaged, unpacked elsewhere, and built with the oldest
//! dependencies that their manifests allow.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, cargo, root, run, say, target};

/// The crates that are published, each behind those that it or its tests depend on.
const IN_PUBLISHING_ORDER: [&str; 7] = [
    "ee-emulator",
    "ee-token",
    "ee-credentials",
    "ee-rest",
    "ee-init",
    "earthengine",
    "ee-cli",
];
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What must be in each package beside its code.
const FILES: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn check() -> Outcome {
    let folder = std::path::absolute(target().join("packages")).map_err(|e| e.to_string())?;
    let published = folder.join("published");
    empty(&published)?;
    // A lock file would have to find the crates in the registry, which they have never been in.
    let mut package = cargo(&[
        "package",
        "--no-verify",
        "--exclude-lockfile",
        "--allow-dirty",
    ]);
    package.arg("--quiet");
    for name in IN_PUBLISHING_ORDER {
        package.args(["--package", name]);
    }
    run(package.env("CARGO_TARGET_DIR", &folder))?;
    for name in IN_PUBLISHING_ORDER {
        unpack(&folder, &published, name)?;
    }
    let manifest = published.join("Cargo.toml");
    fs::write(&manifest, workspace()).map_err(|e| format!("{}: {e}", manifest.display()))?;
    oldest_dependencies(&folder, &published)
}

fn empty(folder: &Path) -> Outcome {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

fn unpack(folder: &Path, published: &Path, name: &str) -> Outcome {
    let archive = folder
        .join("package")
        .join(format!("{name}-{VERSION}.crate"));
    run(Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(published))?;
    let unpacked = published.join(format!("{name}-{VERSION}"));
    match FILES
        .into_iter()
        .find(|file| !unpacked.join(file).is_file())
    {
        Some(missing) => Err(format!("the package of {name} has no {missing}")),
        None => Ok(()),
    }
}

/// A workspace of the unpacked crates, which find each other here instead of in the registry.
fn workspace() -> String {
    let mut text =
        String::from("[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.crates-io]\n");
    for name in IN_PUBLISHING_ORDER {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {{ path = \"{name}-{VERSION}\" }}");
    }
    text
}

/// Builds them with the lowest versions of their direct dependencies. Cargo has that option for
/// its nightly channel alone; the variable lets a stable one have it.
fn oldest_dependencies(folder: &Path, published: &Path) -> Outcome {
    say("the packages, with the oldest dependencies that they allow");
    let there = |arguments: &[&str]| -> Command {
        let mut command = cargo(arguments);
        command
            .current_dir(published)
            .env("CARGO_TARGET_DIR", folder)
            .env("RUSTC_BOOTSTRAP", "1");
        command
    };
    run(&mut there(&[
        "update",
        "-Z",
        "direct-minimal-versions",
        "--quiet",
    ]))?;
    run(&mut there(&[
        "check",
        "--workspace",
        "--all-features",
        "--locked",
    ]))
}

/// The Rust that the manifests promise, if it is installed.
pub(crate) fn check_with_oldest_rust(rust: &str) -> Outcome {
    let toolchain = format!("+{rust}");
    let installed = Command::new("cargo")
        .args([&toolchain, "--version"])
        .output();
    if !installed.is_ok_and(|output| output.status.success()) {
        say(&format!(
            "Rust {rust} is not installed: what it lacks is known from clippy alone (rustup toolchain install {rust})"
        ));
        return Ok(());
    }
    let folder = std::path::absolute(target().join("oldest-rust")).map_err(|e| e.to_string())?;
    run(Command::new("cargo")
        .args([
            &toolchain,
            "check",
            "--workspace",
            "--all-features",
            "--locked",
        ])
        .current_dir(root())
        // Set by the cargo that runs this.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("CARGO_TARGET_DIR", folder))
}
