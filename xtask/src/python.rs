//! Virtual environments of Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, absolute, at, is_installed, run};

/// What [`environment`] and [`create`] need.
pub(crate) const NEEDED: &str =
    "Python 3.11 or newer with its venv module (on Debian, the package python3-venv)";

/// Returns the interpreter of a virtual environment with these requirements, which is created or
/// updated if necessary.
pub(crate) fn environment(dir: &Path, requirements: &Path) -> Outcome<PathBuf> {
    if is_current(dir, requirements) {
        return program(dir, "python");
    }
    let python = create(dir)?;
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
        .arg(requirements))?;
    mark_installed(dir, requirements)?;
    Ok(python)
}

/// Creates an empty virtual environment, replacing an existing one, and returns its interpreter.
pub(crate) fn create(dir: &Path) -> Outcome<PathBuf> {
    let system = ["python3", "python"]
        .into_iter()
        .find(|name| is_installed(name))
        .ok_or("Python is not installed")?;
    run(Command::new(system)
        .args(["-m", "venv", "--clear"])
        .arg(dir))?;
    program(dir, "python")
}

/// Returns the absolute path of a program in a virtual environment.
pub(crate) fn program(dir: &Path, name: &str) -> Outcome<PathBuf> {
    let subdirectory = if cfg!(windows) { "Scripts" } else { "bin" };
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    absolute(&dir.join(subdirectory).join(name))
}

/// Returns whether a directory was set up from this version of the requirements.
pub(crate) fn is_current(dir: &Path, requirements: &Path) -> bool {
    match (fs::read(dir.join("installed")), fs::read(requirements)) {
        (Ok(installed), Ok(requirements)) => installed == requirements,
        _ => false,
    }
}

/// Records that a directory was set up from this version of the requirements.
pub(crate) fn mark_installed(dir: &Path, requirements: &Path) -> Outcome {
    fs::copy(requirements, dir.join("installed"))
        .map(drop)
        .map_err(at(dir))
}
