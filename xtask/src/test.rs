//! `cargo xtask test`: every test, with everything that the tests need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::process::{Outcome, cargo, root, run, say, starts, target};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leaves a part out (repeatable)
    #[arg(long, value_name = "NAME")]
    skip: Vec<Part>,
}

/// The parts that need more than a Rust toolchain.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The official clients for Python and Node against the emulator
    ReferenceClients,
    /// Headless Chromium in the login flows
    Browser,
    /// A program with both of rustls' cryptography providers in it
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
            node_modules(Part::ReferenceClients, "tests/reference_clients")?,
        );
    }
    if !arguments.skip.contains(&Part::Browser) {
        tests.env("EE_TESTS_CHROMIUM", chromium()?);
        tests.env(
            "EE_TESTS_BROWSER_MODULES",
            node_modules(Part::Browser, "tests/browser")?,
        );
    }
    run(&mut tests)?;
    if !arguments.skip.contains(&Part::TwoProviders) {
        two_providers()?;
    }
    for name in skipped {
        say(&format!("left out, as asked: {name}"));
    }
    Ok(())
}

/// The test that cannot be in our own workspace: its lock file shall know no second provider.
fn two_providers() -> Outcome {
    let compilers = ["cc", "clang", "gcc"];
    if !cfg!(windows) && !compilers.into_iter().any(|name| on_path(name).is_some()) {
        return Err(missing(Part::TwoProviders, "a C compiler"));
    }
    run(&mut crate::bench::of_peers(&[
        "test",
        "--package",
        "two-providers",
    ])?)
}

/// `cargo xtask conformance`: the reference client judges our token requests, scenario by scenario.
pub(crate) fn run_conformance() -> Outcome {
    let mut judge = cargo(&["test", "-p", "ee-tests", "--test", "conformance"]);
    judge.args(["--", "--nocapture"]);
    judge.env("EE_TESTS_PYTHON", python()?);
    run(&mut judge)
}

/// The interpreter of a virtual environment that holds the reference clients for Python.
pub(crate) fn python() -> Outcome<PathBuf> {
    let wanted = root().join("tests/reference_clients/requirements.txt");
    let folder = target().join("reference-clients/python");
    let binary = if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    };
    let python = std::path::absolute(folder.join(binary)).map_err(|e| e.to_string())?;
    if is_current(&folder, &wanted) {
        return Ok(python);
    }
    let system = ["python3", "python"]
        .into_iter()
        .find(|name| starts(name))
        .ok_or_else(|| {
            missing(
                Part::ReferenceClients,
                "Python 3.11 or newer, with its venv module",
            )
        })?;
    run(Command::new(system)
        .args(["-m", "venv", "--clear"])
        .arg(&folder))
    .map_err(|error| {
        format!(
            "{error}\n{}",
            missing(
                Part::ReferenceClients,
                "Python's venv module (package python3-venv)"
            )
        )
    })?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--requirement",
        ])
        .arg(&wanted))?;
    mark(&folder, &wanted)?;
    Ok(python)
}

/// Chromium: this machine's, or else Debian's, installed where that is allowed.
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

/// A program's path, if it is installed.
fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A `node_modules` directory that holds what this directory's `package-lock.json` lists.
fn node_modules(part: Part, list: &str) -> Outcome<PathBuf> {
    let wanted = root().join(list).join("package-lock.json");
    let folder = target().join(part.name()).join("node");
    let modules = std::path::absolute(folder.join("node_modules")).map_err(|e| e.to_string())?;
    if is_current(&folder, &wanted) {
        return Ok(modules);
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    if !starts("node") || !starts(npm) {
        return Err(missing(part, "Node.js 18 or newer, with npm"));
    }
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for name in ["package.json", "package-lock.json"] {
        let from = wanted.with_file_name(name);
        fs::copy(&from, folder.join(name)).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    // Installs exactly what the lock file lists, and nothing whose hash is another.
    run(Command::new(npm)
        .args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ])
        .current_dir(&folder))?;
    mark(&folder, &wanted)?;
    Ok(modules)
}

fn missing(part: Part, what: &str) -> String {
    let name = part.name();
    format!(
        "{name} needs {what}: install it, or leave that part out with `cargo xtask test --skip {name}`"
    )
}

/// Whether a folder was set up from exactly this list.
fn is_current(folder: &Path, wanted: &Path) -> bool {
    match (fs::read(folder.join("installed")), fs::read(wanted)) {
        (Ok(installed), Ok(wanted)) => installed == wanted,
        _ => false,
    }
}

fn mark(folder: &Path, wanted: &Path) -> Outcome {
    fs::copy(wanted, folder.join("installed"))
        .map(drop)
        .map_err(|e| format!("{}: {e}", folder.display()))
}
