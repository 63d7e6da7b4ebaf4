//! `cargo xtask dist`: `eectl` as people get it, with its manual and its completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, cargo, output, root, run, say, starts, target};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The profile that it is built with
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
}

/// The shells, and what each calls a file of completions for `eectl`.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "eectl.bash"),
    ("elvish", "eectl.elv"),
    ("fish", "eectl.fish"),
    ("powershell", "eectl.ps1"),
    ("zsh", "_eectl"),
];
const BESIDE: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn pack(arguments: &Arguments) -> Outcome {
    let eectl = build(&arguments.profile)?;
    let dist = std::path::absolute(target().join("dist")).map_err(|e| e.to_string())?;
    let name = format!("eectl-{}-{}", env!("CARGO_PKG_VERSION"), host()?);
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    copy(&eectl, &folder)?;
    for file in BESIDE {
        copy(&root().join(file), &folder)?;
    }
    run(Command::new(&eectl)
        .args(["--quiet", "man", "--dir"])
        .arg(folder.join("man/man1")))?;
    for (shell, file) in COMPLETIONS {
        let script = output(Command::new(&eectl).args(["completions", shell]))?;
        let path = folder.join("completions").join(file);
        make_folder_of(&path)?;
        fs::write(&path, script).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let archive = format!("{name}.tar.gz");
    run(Command::new("tar")
        .current_dir(&dist)
        .args(["-czf", &archive, &name]))?;
    let sum = checksum(&dist, &archive)?;
    let path = dist.join(format!("{archive}.sha256"));
    fs::write(&path, sum).map_err(|e| format!("{}: {e}", path.display()))?;
    say(&format!("made {}", dist.join(archive).display()));
    Ok(())
}

fn build(profile: &str) -> Outcome<PathBuf> {
    run(cargo(&["build", "--locked", "--package", "ee-cli", "--profile"]).arg(profile))?;
    let folder = match profile {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let program = format!("eectl{}", std::env::consts::EXE_SUFFIX);
    std::path::absolute(target().join(folder).join(program)).map_err(|e| e.to_string())
}

/// What this machine is called: `x86_64-unknown-linux-gnu`.
fn host() -> Outcome<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    String::from_utf8_lossy(&version)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "rustc does not say what this machine is called".into())
}

fn copy(file: &Path, folder: &Path) -> Outcome {
    let to = folder.join(file.file_name().unwrap_or_default());
    make_folder_of(&to)?;
    fs::copy(file, to)
        .map(drop)
        .map_err(|e| format!("{}: {e}", file.display()))
}

fn make_folder_of(path: &Path) -> Outcome {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// The line that `sha256sum --check` takes.
fn checksum(folder: &Path, file: &str) -> Outcome<Vec<u8>> {
    let mut command = if starts("sha256sum") {
        Command::new("sha256sum")
    } else {
        let mut command = Command::new("shasum");
        command.args(["-a", "256"]);
        command
    };
    output(command.current_dir(folder).arg(file))
}
