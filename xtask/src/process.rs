//! Running other programs, and the directories of their files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

/// The result of a task, with an error message.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Prints a status message to standard error; standard output is for results.
#[allow(clippy::print_stderr)]
pub(crate) fn print_status(text: &str) {
    eprintln!("xtask: {text}");
}

/// Returns the workspace root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns the absolute path of a directory in the target directory.
pub(crate) fn target_dir(name: &str) -> Outcome<PathBuf> {
    absolute(&target().join(name))
}

pub(crate) fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(at(path))
}

/// Returns the message of an error about this path.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> String + Copy {
    move |error| format!("{}: {error}", path.display())
}

/// Removes a directory with everything in it, if it exists.
pub(crate) fn remove_dir(path: &Path) -> Outcome {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Returns the host triple, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = output(Command::new(rustc).arg("-vV"))?;
    String::from_utf8_lossy(&version)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "`rustc -vV` printed no host triple".into())
}

/// Creates a `cargo` command in the workspace root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Creates a `cargo` command of another rustup toolchain in the workspace root.
pub(crate) fn cargo_with_toolchain(toolchain: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .arg(format!("+{toolchain}"))
        .current_dir(root())
        // Set by the cargo that runs xtask.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Builds `eectl` with the default features, or quickly as the tests build it, and returns its path.
pub(crate) fn build_eectl(quickly: bool) -> Outcome<PathBuf> {
    let (arguments, profile) = if quickly {
        (["build", "--workspace", "--all-features"], "debug")
    } else {
        (["build", "--package=ee-cli", "--release"], "release")
    };
    run(cargo(&arguments).args(["--bin", "eectl"]))?;
    let name = format!("eectl{}", std::env::consts::EXE_SUFFIX);
    absolute(&target().join(profile).join(name))
}

/// Runs a command and waits for it.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let line = command_line(command);
    print_status(&line);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed with {status}")),
        Err(error) => Err(format!("`{line}` could not be started: {error}")),
    }
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Outcome<Vec<u8>> {
    let line = command_line(command);
    match command.output() {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(format!(
            "`{line}` failed with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("`{line}` could not be started: {error}")),
    }
}

/// Returns whether a program is installed.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
