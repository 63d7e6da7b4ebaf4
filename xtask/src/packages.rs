//! Checks of the published packages: contents, minimal dependency versions, minimum Rust version and
//! public API.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{
    Outcome, at, cargo, cargo_with_toolchain, is_installed, output, print_status, remove_dir, root,
    run, target_dir,
};

/// The published crates, each after its dependencies and dev-dependencies.
pub(crate) const IN_PUBLISHING_ORDER: [&str; 8] = [
    "ee-emulator",
    "ee-token",
    "ee-credentials",
    "ee-rest",
    "ee-init",
    "earthengine",
    "ee-broker",
    "ee-cli",
];
/// The crate without a library.
const PROGRAM: &str = "ee-cli";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The files that each package must contain.
const FILES: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn check() -> Outcome {
    let dir = target_dir("packages")?;
    let published = dir.join("published");
    empty(&published)?;
    // A lock file cannot be generated, because the crates are not in the registry yet.
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
    run(package.env("CARGO_TARGET_DIR", &dir))?;
    for name in IN_PUBLISHING_ORDER {
        unpack(&dir, &published, name)?;
    }
    let manifest = published.join("Cargo.toml");
    fs::write(&manifest, workspace()).map_err(at(&manifest))?;
    oldest_dependencies(&dir, &published)
}

fn empty(dir: &Path) -> Outcome {
    remove_dir(dir)?;
    fs::create_dir_all(dir).map_err(at(dir))
}

fn unpack(dir: &Path, published: &Path, name: &str) -> Outcome {
    let archive = dir.join("package").join(format!("{name}-{VERSION}.crate"));
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
        Some(missing) => Err(format!("the package {name} does not contain {missing}")),
        None => Ok(()),
    }
}

/// Returns the manifest of a workspace in which the unpacked crates depend on each other's paths.
fn workspace() -> String {
    let mut text =
        String::from("[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.crates-io]\n");
    for name in IN_PUBLISHING_ORDER {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {{ path = \"{name}-{VERSION}\" }}");
    }
    text
}

/// Checks libraries and programs with the minimal versions of their direct dependencies. The Cargo
/// option is unstable, and `RUSTC_BOOTSTRAP` enables it on stable.
fn oldest_dependencies(dir: &Path, published: &Path) -> Outcome {
    print_status("checking the packages with minimal dependency versions");
    let cargo_in_published = |arguments: &[&str]| -> Command {
        let mut command = cargo(arguments);
        command.current_dir(published).env("CARGO_TARGET_DIR", dir);
        command
    };
    let update = ["update", "-Z", "direct-minimal-versions", "--quiet"];
    run(cargo_in_published(&update).env("RUSTC_BOOTSTRAP", "1"))?;
    run(&mut cargo_in_published(&[
        "check",
        "--workspace",
        "--all-features",
        "--locked",
    ]))
}

/// Checks the workspace with the minimum supported Rust version, if it is installed.
pub(crate) fn check_with_oldest_rust(rust: &str) -> Outcome {
    let has_toolchain =
        |toolchain: &String| output(cargo_with_toolchain(toolchain).arg("--version")).is_ok();
    let Some(toolchain) = toolchains(rust).into_iter().find(has_toolchain) else {
        print_status(&format!(
            "Rust {rust} is not installed, so the minimum version was not checked with a build; Clippy's MSRV lint and a test cover a part; install it with: rustup toolchain install {rust}"
        ));
        return Ok(());
    };
    let dir = target_dir("oldest-rust")?;
    run(cargo_with_toolchain(&toolchain)
        .args(["check", "--workspace", "--all-features", "--locked"])
        .env("CARGO_TARGET_DIR", dir))
}

/// Returns the possible rustup names of a version's toolchain.
fn toolchains(rust: &str) -> Vec<String> {
    let mut names = vec![rust.to_owned()];
    if rust.split('.').count() == 2 {
        names.push(format!("{rust}.0"));
    }
    names
}

/// Compares the public API of the libraries with the latest release, if there is one.
pub(crate) fn public_api() -> Outcome {
    let git = |arguments: &[&str]| {
        let written = output(Command::new("git").args(arguments).current_dir(root()))?;
        Outcome::Ok(String::from_utf8_lossy(&written).into_owned())
    };
    let is_shallow = match git(&["rev-parse", "--is-shallow-repository"]) {
        Ok(shallow) => shallow.trim() == "true",
        Err(error) => {
            print_status(&format!(
                "not a git checkout: the public API was not compared with a release ({error})"
            ));
            return Ok(());
        }
    };
    let tags = git(&["tag", "--list", "v*", "--sort=-version:refname"])?;
    let Some(release) = baseline(&tags, || is_installed("cargo-semver-checks"))? else {
        print_status(if is_shallow {
            "shallow clone without tags: the public API was not compared with a release; fetch the tags with: git fetch --unshallow --tags"
        } else {
            "no release yet: the public API was not compared"
        });
        return Ok(());
    };
    let mut compare = cargo(&["semver-checks", "--baseline-rev", release]);
    for name in IN_PUBLISHING_ORDER.iter().filter(|name| **name != PROGRAM) {
        compare.args(["--package", name]);
    }
    run(&mut compare)
}

/// Returns the latest release in a list with the newest first, or `None` before the first release.
///
/// # Errors
///
/// Returns an error if there is a release but the tool is not installed.
fn baseline(tags: &str, has_tool: impl Fn() -> bool) -> Outcome<Option<&str>> {
    let newest = tags.lines().map(str::trim).find(|tag| !tag.is_empty());
    match newest {
        Some(tag) if !has_tool() => Err(format!(
            "cargo-semver-checks is not installed, so the public API cannot be compared with {tag}; install it with: cargo install cargo-semver-checks --locked"
        )),
        newest => Ok(newest),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn position(name: &str) -> Option<usize> {
        IN_PUBLISHING_ORDER.iter().position(|known| *known == name)
    }

    #[test]
    fn latest_release_is_baseline_and_requires_tool() {
        assert_eq!(baseline("", || false), Ok(None));
        assert_eq!(baseline("\n", || true), Ok(None));
        assert_eq!(baseline("v0.2.0\nv0.1.0\n", || true), Ok(Some("v0.2.0")));
        let error = baseline("v0.2.0\n", || false).unwrap_err();
        assert!(
            error.contains("v0.2.0") && error.contains("cargo install"),
            "{error}"
        );
    }

    #[test]
    fn version_has_two_toolchain_names() {
        assert_eq!(toolchains("1.88"), ["1.88", "1.88.0"]);
        assert_eq!(toolchains("1.88.1"), ["1.88.1"]);
    }

    #[test]
    fn crates_are_published_after_their_dependencies() {
        let arguments = [
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ];
        let metadata = output(&mut cargo(&arguments)).unwrap();
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
        let mut published = BTreeSet::new();
        for package in metadata["packages"].as_array().unwrap() {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            if !manifest.starts_with(root().join("crates")) {
                continue;
            }
            let name = package["name"].as_str().unwrap();
            published.insert(name);
            for needed in package["dependencies"].as_array().unwrap() {
                let other = needed["name"].as_str().unwrap();
                // Dependencies with a version are resolved in the registry, also dev-dependencies.
                if needed["path"].is_string() && needed["req"] != "*" {
                    assert!(
                        position(other) < position(name),
                        "{other} comes after {name}"
                    );
                }
            }
        }
        assert_eq!(published, BTreeSet::from(IN_PUBLISHING_ORDER));
    }

    #[test]
    fn releasing_page_has_the_same_order() {
        let page = fs::read_to_string(root().join("docs/src/releasing.md")).unwrap();
        let (_, rest) = page.split_once("Publish the crates in this order").unwrap();
        let sentence = rest.split(".\n").next().unwrap();
        let named: Vec<_> = sentence.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, IN_PUBLISHING_ORDER);
    }
}
