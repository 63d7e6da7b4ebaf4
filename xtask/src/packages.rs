//! The crates as people get them: packaged, unpacked elsewhere, and built with the oldest
//! dependencies that their manifests allow.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, cargo, cargo_of, output, root, run, say, starts, target};

/// The crates that are published, each behind those that it or its tests depend on.
pub(crate) const IN_PUBLISHING_ORDER: [&str; 7] = [
    "ee-emulator",
    "ee-token",
    "ee-credentials",
    "ee-rest",
    "ee-init",
    "earthengine",
    "ee-cli",
];
/// The one that is no library.
const PROGRAM: &str = "ee-cli";
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

/// Builds libraries and programs with the lowest versions of their direct dependencies. Cargo has
/// that option for its nightly channel alone; the variable lets a stable one have it.
fn oldest_dependencies(folder: &Path, published: &Path) -> Outcome {
    say("the packages, with the oldest dependencies that they allow");
    let there = |arguments: &[&str]| -> Command {
        let mut command = cargo(arguments);
        command
            .current_dir(published)
            .env("CARGO_TARGET_DIR", folder);
        command
    };
    let update = ["update", "-Z", "direct-minimal-versions", "--quiet"];
    run(there(&update).env("RUSTC_BOOTSTRAP", "1"))?;
    run(&mut there(&[
        "check",
        "--workspace",
        "--all-features",
        "--locked",
    ]))
}

/// The Rust that the manifests promise, if it is installed.
pub(crate) fn check_with_oldest_rust(rust: &str) -> Outcome {
    let is_installed = |toolchain: &String| output(cargo_of(toolchain).arg("--version")).is_ok();
    let Some(toolchain) = toolchains(rust).into_iter().find(is_installed) else {
        say(&format!(
            "Rust {rust} is not installed: nothing was built with it. Clippy knows newer functions, and a test some newer syntax; the rest is not known (rustup toolchain install {rust})"
        ));
        return Ok(());
    };
    let folder = std::path::absolute(target().join("oldest-rust")).map_err(|e| e.to_string())?;
    run(cargo_of(&toolchain)
        .args(["check", "--workspace", "--all-features", "--locked"])
        .env("CARGO_TARGET_DIR", folder))
}

/// What rustup may call the toolchain of a version.
fn toolchains(rust: &str) -> Vec<String> {
    let mut names = vec![rust.to_owned()];
    if rust.split('.').count() == 2 {
        names.push(format!("{rust}.0"));
    }
    names
}

/// Compares the public interface of the libraries with that of the newest release, as soon as
/// there is one.
pub(crate) fn public_api() -> Outcome {
    let git = |arguments: &[&str]| {
        let written = output(Command::new("git").args(arguments).current_dir(root()))?;
        Outcome::Ok(String::from_utf8_lossy(&written).into_owned())
    };
    let is_shallow = match git(&["rev-parse", "--is-shallow-repository"]) {
        Ok(said) => said.trim() == "true",
        Err(error) => {
            say(&format!(
                "not a git checkout: the public interface is not compared with a release ({error})"
            ));
            return Ok(());
        }
    };
    let tags = git(&["tag", "--list", "v*", "--sort=-version:refname"])?;
    let Some(release) = baseline(&tags, || starts("cargo-semver-checks"))? else {
        say(if is_shallow {
            "a shallow clone without tags: the public interface is not compared with a release (git fetch --unshallow --tags)"
        } else {
            "there is no release yet: the public interface has nothing to be compared with"
        });
        return Ok(());
    };
    let mut compare = cargo(&["semver-checks", "--baseline-rev", release]);
    for name in IN_PUBLISHING_ORDER.iter().filter(|name| **name != PROGRAM) {
        compare.args(["--package", name]);
    }
    run(&mut compare)
}

/// The release to compare with, newest first in the list; `None` before the first. With a release
/// the tool must be there.
fn baseline(tags: &str, has_tool: impl Fn() -> bool) -> Outcome<Option<&str>> {
    let newest = tags.lines().map(str::trim).find(|tag| !tag.is_empty());
    match newest {
        Some(tag) if !has_tool() => Err(format!(
            "the public interface cannot be compared with {tag}: cargo install cargo-semver-checks --locked"
        )),
        newest => Ok(newest),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn place(name: &str) -> Option<usize> {
        IN_PUBLISHING_ORDER.iter().position(|known| *known == name)
    }

    #[test]
    fn the_newest_release_is_compared_with_and_that_needs_a_tool() {
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
    fn a_version_may_be_installed_under_either_of_its_names() {
        assert_eq!(toolchains("1.88"), ["1.88", "1.88.0"]);
        assert_eq!(toolchains("1.88.1"), ["1.88.1"]);
    }

    #[test]
    fn every_crate_is_published_behind_all_that_it_and_its_tests_need() {
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
                // What has a version too is looked for in the registry, in tests as well.
                if needed["path"].is_string() && needed["req"] != "*" {
                    assert!(place(other) < place(name), "{other} comes after {name}");
                }
            }
        }
        assert_eq!(published, BTreeSet::from(IN_PUBLISHING_ORDER));
    }

    #[test]
    fn the_page_about_releasing_has_the_same_order() {
        let page = fs::read_to_string(root().join("docs/src/releasing.md")).unwrap();
        let (_, rest) = page.split_once("The order in which").unwrap();
        let sentence = rest.split("\n\n").next().unwrap();
        let named: Vec<_> = sentence.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, IN_PUBLISHING_ORDER);
    }
}
