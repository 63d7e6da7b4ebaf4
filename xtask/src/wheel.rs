//! `cargo xtask wheel`: packages `eectl` as a Python wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ee_emulator::Emulator;

use crate::process::{Outcome, at, output, print_status, remove_dir, root, run, target_dir};
use crate::python;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROJECT: &str = "ee-demo-project";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build with this profile
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    /// Install the wheel into a new virtual environment, and run eectl against the emulator
    #[arg(long)]
    check: bool,
}

pub(crate) fn build(arguments: &Arguments) -> Outcome {
    let dir = target_dir("wheel")?;
    let requirements = root().join("packaging/requirements.txt");
    let python = python::environment(&dir.join("maturin"), &requirements)
        .map_err(|error| format!("{error}\nthe wheel requires {}", python::NEEDED))?;
    // An own directory, so that no wheel of an earlier version is found.
    let out = dir.join("out");
    remove_dir(&out)?;
    run(Command::new(&python)
        .args(["-m", "maturin", "build", "--profile", &arguments.profile])
        .arg("--manifest-path")
        .arg(root().join("crates/ee-cli/Cargo.toml"))
        .arg("--out")
        .arg(&out)
        // maturin looks for tools in the virtual environment.
        .env("VIRTUAL_ENV", dir.join("maturin")))?;
    let wheel = only_file(&out)?;
    if arguments.check {
        check(&wheel, &dir)?;
    }
    let dist = dir.with_file_name("dist");
    fs::create_dir_all(&dist).map_err(at(&dist))?;
    let to = dist.join(wheel.file_name().unwrap_or_default());
    fs::copy(&wheel, &to).map_err(at(&to))?;
    print_status(&format!("wrote {}", to.display()));
    Ok(())
}

fn only_file(dir: &Path) -> Outcome<PathBuf> {
    let io_error = at(dir);
    let files: Result<Vec<_>, _> = fs::read_dir(dir).map_err(io_error)?.collect();
    match files.map_err(io_error)?.as_slice() {
        [file] => Ok(file.path()),
        files => Err(format!("{} has {} files", dir.display(), files.len())),
    }
}

/// Installs a wheel without network, and runs the installed `eectl`.
fn check(wheel: &Path, dir: &Path) -> Outcome {
    let environment = dir.join("environment");
    let python = python::create(&environment)?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-index"])
        .arg("--disable-pip-version-check")
        .arg(wheel))?;
    let eectl = python::program(&environment, "eectl")?;
    let version = output(Command::new(&eectl).arg("--version"))?;
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    if version != format!("eectl {VERSION}") {
        return Err(format!("the wheel of version {VERSION} has {version}"));
    }

    let emulator = Emulator::builder()
        .start_blocking()
        .map_err(|e| format!("the emulator could not be started: {e}"))?;
    let email = format!("wheel@{PROJECT}.iam.gserviceaccount.com");
    let key = emulator.create_service_account(&email, PROJECT).json_key();
    let home = environment.join("home");
    fs::create_dir_all(&home).map_err(at(&home))?;
    let path = home.join("key.json");
    crate::demo::write(&path, &key)?;
    run(Command::new(&eectl)
        .arg("doctor")
        .env_clear()
        .env("HOME", &home)
        .env("USERPROFILE", &home)
        .env("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string())
        .env("EARTHENGINE_EMULATOR_TRUST", "1")
        .env("GOOGLE_APPLICATION_CREDENTIALS", &path)
        .env("NO_GCE_CHECK", "true"))
}
