//! `cargo xtask dist`: packages `eectl` with its man pages and completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, cargo, is_installed, output, print_status, root, run, target};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build with this profile
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
}

/// The shells, and the names of their completion files.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "eectl.bash"),
    ("elvish", "eectl.elv"),
    ("fish", "eectl.fish"),
    ("powershell", "eectl.ps1"),
    ("zsh", "_eectl"),
];
const INCLUDED_FILES: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn pack(arguments: &Arguments) -> Outcome {
    let eectl = build(&arguments.profile)?;
    let dist = std::path::absolute(target().join("dist")).map_err(|e| e.to_string())?;
    let name = format!("eectl-{}-{}", env!("CARGO_PKG_VERSION"), host()?);
    let dir = dist.join(&name);
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    copy(&eectl, &dir)?;
    for file in INCLUDED_FILES {
        copy(&root().join(file), &dir)?;
    }
    run(Command::new(&eectl)
        .args(["--quiet", "man", "--dir"])
        .arg(dir.join("man/man1")))?;
    for (shell, file) in COMPLETIONS {
        let script = output(Command::new(&eectl).args(["completions", shell]))?;
        let path = dir.join("completions").join(file);
        create_parent_dir(&path)?;
        fs::write(&path, script).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let archive = format!("{name}.tar.gz");
    run(Command::new("tar")
        .current_dir(&dist)
        .args(["-czf", &archive, &name]))?;
    let sum = checksum(&dist, &archive)?;
    let path = dist.join(format!("{archive}.sha256"));
    fs::write(&path, sum).map_err(|e| format!("{}: {e}", path.display()))?;
    print_status(&format!("wrote {}", dist.join(archive).display()));
    Ok(())
}

fn build(profile: &str) -> Outcome<PathBuf> {
    run(cargo(&["build", "--locked", "--package", "ee-cli", "--profile"]).arg(profile))?;
    let dir = match profile {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let program = format!("eectl{}", std::env::consts::EXE_SUFFIX);
    std::path::absolute(target().join(dir).join(program)).map_err(|e| e.to_string())
}

/// Returns the host triple, such as `x86_64-unknown-linux-gnu`.
fn host() -> Outcome<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    String::from_utf8_lossy(&version)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "`rustc -vV` printed no host triple".into())
}

fn copy(file: &Path, dir: &Path) -> Outcome {
    let to = dir.join(file.file_name().unwrap_or_default());
    create_parent_dir(&to)?;
    fs::copy(file, to)
        .map(drop)
        .map_err(|e| format!("{}: {e}", file.display()))
}

fn create_parent_dir(path: &Path) -> Outcome {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}

/// Returns the checksum in the format of `sha256sum --check`.
fn checksum(dir: &Path, file: &str) -> Outcome<Vec<u8>> {
    let mut command = if is_installed("sha256sum") {
        Command::new("sha256sum")
    } else {
        let mut command = Command::new("shasum");
        command.args(["-a", "256"]);
        command
    };
    output(command.current_dir(dir).arg(file))
}
