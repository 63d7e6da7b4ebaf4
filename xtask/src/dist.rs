//! `cargo xtask dist`: packages `eectl` with its man pages and completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{
    Outcome, absolute, at, cargo, host, is_installed, output, print_status, remove_dir, root, run,
    target, target_dir,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build with this profile
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    /// Build for this target, such as x86_64-unknown-linux-musl, which must be installed and run here
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
}

/// The shells, and the names of their completion files.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "eectl.bash"),
    ("elvish", "eectl.elv"),
    ("fish", "eectl.fish"),
    ("powershell", "eectl.ps1"),
    ("zsh", "_eectl"),
];
/// A version of glibc: its numbers.
type Version = Vec<u32>;

const INCLUDED_FILES: [&str; 4] = [
    "crates/ee-cli/README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

pub(crate) fn pack(arguments: &Arguments) -> Outcome {
    let triple = arguments.target.clone().map_or_else(host, Ok)?;
    let eectl = build(&arguments.profile, arguments.target.as_deref())?;
    let dist = target_dir("dist")?;
    let name = archive_name(env!("CARGO_PKG_VERSION"), &triple);
    let dir = dist.join(&name);
    remove_dir(&dir)?;
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
        fs::write(&path, script).map_err(at(&path))?;
    }
    let archive = format!("{name}.tar.gz");
    run(Command::new("tar")
        .current_dir(&dist)
        .args(["-czf", &archive, &name]))?;
    let sum = checksum(&dist, &archive)?;
    let path = dist.join(format!("{archive}.sha256"));
    fs::write(&path, sum).map_err(at(&path))?;
    print_status(&format!("wrote {}", dist.join(archive).display()));
    check_glibc(minimal_glibc(&eectl)?)
}

/// Reports the version of glibc that an archive requires, and fails if the documentation promises
/// that an older one is enough.
fn check_glibc(required: Option<Version>) -> Outcome {
    const PAGE: &str = "docs/src/install.md";
    let Some(required) = required else {
        print_status("it requires no version of glibc");
        return Ok(());
    };
    print_status(&format!("it requires glibc {} or newer", text(&required)));
    let page = fs::read_to_string(root().join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))?;
    let documented = newest_version(&page, "glibc ")
        .ok_or_else(|| format!("{PAGE} does not state the required version of glibc"))?;
    if required > documented {
        return Err(format!(
            "the archive does not run with glibc {}, which {PAGE} promises; build it on an older system",
            text(&documented)
        ));
    }
    Ok(())
}

/// Returns the name of an archive without its extension, which is also the directory in it.
fn archive_name(version: &str, triple: &str) -> String {
    format!("eectl-{version}-{triple}")
}

/// Fails if Rust's standard library for a target is not installed.
fn check_target(triple: &str) -> Outcome {
    let dir = output(Command::new("rustc").args(["--print", "target-libdir", "--target", triple]))?;
    let dir = String::from_utf8_lossy(&dir);
    if Path::new(dir.trim()).exists() {
        return Ok(());
    }
    Err(format!(
        "the target {triple} is not installed; install it with:\n    rustup target add {triple}"
    ))
}

fn build(profile: &str, triple: Option<&str>) -> Outcome<PathBuf> {
    let mut build = cargo(&["build", "--locked", "--package", "ee-cli", "--profile"]);
    build.arg(profile);
    let mut built = target();
    if let Some(triple) = triple {
        check_target(triple)?;
        build.args(["--target", triple]);
        built.push(triple);
    }
    run(&mut build)?;
    let dir = match profile {
        "dev" | "test" => "debug",
        "bench" => "release",
        other => other,
    };
    let program = format!("eectl{}", std::env::consts::EXE_SUFFIX);
    absolute(&built.join(dir).join(program))
}

/// Returns the oldest version of glibc that has every symbol of a program, or `None` if the program
/// does not use glibc.
fn minimal_glibc(program: &Path) -> Outcome<Option<Version>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    if !is_installed("objdump") {
        return Err("objdump is not installed, which determines the required version of glibc; install binutils".into());
    }
    let symbols = output(Command::new("objdump").arg("-T").arg(program))?;
    Ok(newest_version(&String::from_utf8_lossy(&symbols), "GLIBC_"))
}

/// Returns the newest version that follows this prefix in a text.
fn newest_version(text: &str, prefix: &str) -> Option<Version> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let versions = text.split(prefix).skip(1).filter_map(|rest| {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let parts = rest[..end].trim_end_matches('.').split('.');
        parts.map(|part| part.parse().ok()).collect()
    });
    versions.max()
}

fn text(version: &[u32]) -> String {
    let parts: Vec<_> = version.iter().map(u32::to_string).collect();
    parts.join(".")
}

fn copy(file: &Path, dir: &Path) -> Outcome {
    let to = dir.join(file.file_name().unwrap_or_default());
    create_parent_dir(&to)?;
    fs::copy(file, to).map(drop).map_err(at(file))
}

fn create_parent_dir(path: &Path) -> Outcome {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(at(dir))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_symbol_version_is_required() {
        let symbols = "\
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.2.5) read
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.34) pthread_create
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.14) memcpy
0000000000000000      DF *UND*\t0000000000000000 (GCC_3.0)    _Unwind_Resume
";
        assert_eq!(newest_version(symbols, "GLIBC_"), Some(vec![2, 34]));
        assert_eq!(newest_version("no symbols", "GLIBC_"), None);
    }

    #[test]
    fn documented_glibc_is_compared() {
        assert_eq!(check_glibc(None), Ok(()));
        assert_eq!(check_glibc(Some(vec![2, 4])), Ok(()));
        let error = check_glibc(Some(vec![2, 1000])).unwrap_err();
        assert!(error.contains("install.md promises"), "{error}");
    }

    /// `cargo binstall` finds the archives of a release by these templates.
    #[test]
    fn binstall_metadata_names_the_archives() {
        let manifest = fs::read_to_string(root().join("crates/ee-cli/Cargo.toml")).unwrap();
        let manifest: serde_json::Value = basic_toml::from_str(&manifest).unwrap();
        let binstall = &manifest["package"]["metadata"]["binstall"];
        let fill = |template: &str| {
            binstall[template]
                .as_str()
                .unwrap()
                .replace("{ repo }", "https://example.com/it")
                .replace("{ version }", "1.2.3")
                .replace("{ target }", "x86_64-unknown-linux-gnu")
                .replace("{ bin }", "eectl")
                .replace("{ binary-ext }", "")
        };
        let name = archive_name("1.2.3", "x86_64-unknown-linux-gnu");
        let url = format!("https://example.com/it/releases/download/v1.2.3/{name}.tar.gz");
        assert_eq!(fill("pkg-url"), url);
        assert_eq!(fill("bin-dir"), format!("{name}/eectl"));
        assert_eq!(binstall["pkg-fmt"], "tgz");
    }
}
