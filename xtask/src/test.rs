//! `cargo xtask test`: all tests, with the programs that they need.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;

use crate::process::{
    Outcome, absolute, at, cargo, is_installed, print_status, root, run, target, target_dir,
};
use crate::python::{self, is_current, mark_installed};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Skip a part (repeatable)
    #[arg(long, value_name = "NAME")]
    skip: Vec<Part>,
}

/// The parts that require more than a Rust toolchain.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The official Python and Node.js clients against the emulator
    ReferenceClients,
    /// Login flows in headless Chromium
    Browser,
    /// A program with both of rustls' cryptography providers
    TwoProviders,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::ReferenceClients => "reference-clients",
            Self::Browser => "browser",
            Self::TwoProviders => "two-providers",
        }
    }
}

pub(crate) fn run_all(arguments: &Arguments) -> Outcome {
    let mut tests = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
    let skipped: Vec<_> = arguments.skip.iter().map(|part| part.name()).collect();
    tests.env("EE_TESTS_SKIP", skipped.join(","));
    if !arguments.skip.contains(&Part::ReferenceClients) {
        tests.env("EE_TESTS_PYTHON", python()?);
        tests.env(
            "EE_TESTS_NODE_MODULES",
            node_modules(Part::ReferenceClients, "tests/interop/reference_clients")?,
        );
    }
    if !arguments.skip.contains(&Part::Browser) {
        tests.env("EE_TESTS_CHROMIUM", chromium()?);
        tests.env(
            "EE_TESTS_BROWSER_MODULES",
            node_modules(Part::Browser, "tests/interop/browser")?,
        );
    }
    run(&mut tests)?;
    if !arguments.skip.contains(&Part::TwoProviders) {
        two_providers()?;
    }
    for name in skipped {
        print_status(&format!("skipped: {name}"));
    }
    Ok(())
}

/// Runs the test that is in another workspace so that our lock file has only one provider.
fn two_providers() -> Outcome {
    let compilers = ["cc", "clang", "gcc"];
    if !cfg!(windows) && !compilers.into_iter().any(|name| on_path(name).is_some()) {
        return Err(missing(Part::TwoProviders, "a C compiler"));
    }
    let manifest = root().join("tests/benchmarks/Cargo.toml");
    let dir = target_dir("peers")?;
    let mut test = cargo(&["test", "--package", "two-providers", "--manifest-path"]);
    run(test.arg(manifest).env("CARGO_TARGET_DIR", dir))
}

/// `cargo xtask conformance`: compares our token requests with those of the reference clients.
pub(crate) fn run_conformance() -> Outcome {
    let mut conformance = cargo(&["test", "-p", "ee-tests", "--test", "conformance"]);
    conformance.args(["--", "--nocapture"]);
    conformance.env("EE_TESTS_PYTHON", python()?);
    run(&mut conformance)
}

/// Returns the interpreter of a virtual environment with the Python reference clients, if it was
/// installed before.
pub(crate) fn installed_python() -> Option<PathBuf> {
    let (requirements, dir) = (python_requirements(), python_dir());
    let python = python::program(&dir, "python").ok()?;
    is_current(&dir, &requirements).then_some(python)
}

fn python_dir() -> PathBuf {
    target().join("reference-clients/python")
}

fn python_requirements() -> PathBuf {
    root().join("tests/interop/reference_clients/requirements.txt")
}

/// Returns the interpreter of a virtual environment with the Python reference clients.
pub(crate) fn python() -> Outcome<PathBuf> {
    python::environment(&python_dir(), &python_requirements()).map_err(|error| {
        let needed = missing(Part::ReferenceClients, python::NEEDED);
        format!("{error}\n{needed}")
    })
}

/// Returns the path of Chromium, installing Debian's package if necessary and possible.
fn chromium() -> Outcome<PathBuf> {
    const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    if let Some(path) = NAMES.into_iter().find_map(on_path) {
        return Ok(path);
    }
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])
        .and_then(|()| {
            apt(&[
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "chromium",
            ])
        })
        .map_err(|error| format!("{error}\n{}", missing(Part::Browser, "Chromium")))?;
    on_path("chromium").ok_or_else(|| missing(Part::Browser, "Chromium"))
}

/// Returns the path of an installed program.
fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Returns a `node_modules` directory with the dependencies of a `package-lock.json`.
fn node_modules(part: Part, list: &str) -> Outcome<PathBuf> {
    let requirements = root().join(list).join("package-lock.json");
    let dir = target().join(part.name()).join("node");
    let modules = absolute(&dir.join("node_modules"))?;
    if is_current(&dir, &requirements) {
        return Ok(modules);
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    if !is_installed("node") || !is_installed(npm) {
        return Err(missing(part, "Node.js 18 or newer, with npm"));
    }
    fs::create_dir_all(&dir).map_err(at(&dir))?;
    for name in ["package.json", "package-lock.json"] {
        let from = requirements.with_file_name(name);
        fs::copy(&from, dir.join(name)).map_err(at(&from))?;
    }
    // Installs exactly what the lock file lists, and verifies the hashes.
    run(Command::new(npm)
        .args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ])
        .current_dir(&dir))?;
    mark_installed(&dir, &requirements)?;
    Ok(modules)
}

fn missing(part: Part, what: &str) -> String {
    let name = part.name();
    format!(
        "{name} requires {what}; install it, or skip this part with: cargo xtask test --skip {name}"
    )
}
