//! `cargo xtask fuzz`: fuzzes the parsers of untrusted input with libFuzzer.
//!
//! The targets are in a separate workspace in the layout of cargo-fuzz, `tests/fuzz`. They are
//! built with the flags of cargo-fuzz, so that no installation and no nightly toolchain is
//! required. Findings are stored in the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::value_parser;
use ee_emulator::RsaKey;

use crate::process::{Outcome, at, cargo, host, root, run, target_dir};

/// Coverage instrumentation for libFuzzer (<https://llvm.org/docs/LibFuzzer.html>), and the `cfg`
/// that exposes the crates' parsers.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-stack-depth";
/// The time limit for one input, in seconds.
const TIMEOUT: &str = "-timeout=10";
/// The memory limit of a process, in MiB.
const MEMORY: &str = "-rss_limit_mb=1024";
const MAX_INPUT_LENGTH: &str = "-max_len=4096";
/// The crates that expose parsers.
pub(crate) const CRATES: [&str; 4] = ["ee-token", "ee-credentials", "ee-rest", "ee-init"];
const TABLE_HEADER: &str = "| target | seconds | executions | executions/s | edges | inputs | result |\n\
    |---|---:|---:|---:|---:|---:|---|";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run each target for this long
    // To libFuzzer, 0 means no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
    /// Run this many targets at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    jobs: u16,
    /// Run only this target (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// List the targets with descriptions
    #[arg(long)]
    list: bool,
    /// Run one target with only this input, to reproduce a crash
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    input: Option<PathBuf>,
}

/// One of the programs in `tests/fuzz/fuzz_targets`.
struct Target {
    name: String,
    source: PathBuf,
}

pub(crate) fn run_all(arguments: &Arguments) -> Outcome {
    let targets = chosen(&arguments.only)?;
    if arguments.list {
        return list(&targets);
    }
    let programs = build(&targets)?;
    match (&arguments.input, targets.as_slice()) {
        (None, targets) => fuzz(targets, &programs, arguments),
        (Some(input), [target]) => run(program(&programs, target)?.arg(input)),
        (Some(_), _) => Err("--input requires exactly one target; select it with --only".into()),
    }
}

/// Returns the targets with these names, or all targets.
fn chosen(names: &[String]) -> Outcome<Vec<Target>> {
    let dir = workspace().join("fuzz_targets");
    let unreadable = at(&dir);
    let mut all = Vec::new();
    for entry in fs::read_dir(&dir).map_err(unreadable)? {
        let source = entry.map_err(unreadable)?.path();
        if let Some(name) = source.file_stem().and_then(|name| name.to_str()) {
            all.push(Target {
                name: name.to_owned(),
                source: source.clone(),
            });
        }
    }
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.iter().any(|target| target.name == **name))
    {
        return Err(format!(
            "unknown target {unknown}; list the targets with: cargo xtask fuzz --list"
        ));
    }
    all.retain(|target| names.is_empty() || names.contains(&target.name));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

#[allow(clippy::print_stdout)]
fn list(targets: &[Target]) -> Outcome {
    for target in targets {
        let text = fs::read_to_string(&target.source).map_err(at(&target.source))?;
        let about: Vec<_> = text.lines().map_while(|l| l.strip_prefix("//! ")).collect();
        println!("{:18} {}", target.name, about.join(" "));
    }
    Ok(())
}

fn workspace() -> PathBuf {
    root().join("tests/fuzz")
}

/// Returns the directory for builds and findings.
pub(crate) fn dir() -> Outcome<PathBuf> {
    target_dir("fuzz")
}

/// Builds the targets and returns the directory of the programs.
fn build(targets: &[Target]) -> Outcome<PathBuf> {
    let host = host()?;
    let dir = dir()?;
    let mut command = cargo(&["build", "--release", "--locked", "--manifest-path"]);
    command
        .arg(workspace().join("Cargo.toml"))
        // With an explicit target, RUSTFLAGS do not apply to build scripts.
        .args(["--target", &host])
        .env("CARGO_TARGET_DIR", &dir)
        .env("RUSTFLAGS", FLAGS);
    for target in targets {
        command.args(["--bin", &target.name]);
    }
    run(&mut command)?;
    write_key(&key_of(&dir))?;
    Ok(dir.join(host).join("release"))
}

fn key_of(dir: &Path) -> PathBuf {
    dir.join("rsa.pem")
}

/// Generates a key for inputs, because no key is in the repository.
fn write_key(path: &Path) -> Outcome {
    if path.exists() {
        return Ok(());
    }
    fs::write(path, RsaKey::shared().pkcs8_pem()).map_err(at(path))
}

/// Creates a directory for a target.
fn dir_of(target: &Target, what: &str) -> Outcome<PathBuf> {
    let path = dir()?.join(what).join(&target.name);
    fs::create_dir_all(&path).map_err(at(&path))?;
    Ok(path)
}

/// Creates the command of a target, with a key for its inputs and a directory for its files.
fn program(programs: &Path, target: &Target) -> Outcome<Command> {
    let mut command = Command::new(programs.join(&target.name));
    command
        .env("EE_FUZZ_RSA_KEY", key_of(&dir()?))
        .env("EE_FUZZ_DIR", dir_of(target, "files")?);
    Ok(command)
}

/// Runs the targets in parallel, and prints a table row when each finishes.
#[allow(clippy::print_stdout)]
fn fuzz(targets: &[Target], programs: &Path, arguments: &Arguments) -> Outcome {
    let seconds = arguments.seconds;
    let left = Mutex::new(targets.iter());
    let failed = Mutex::new(Vec::new());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    println!("{TABLE_HEADER}");
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let failure = match Run::of(target, programs, seconds) {
                        Ok(ran) => {
                            println!("{}", ran.row(&target.name, seconds));
                            ran.failure
                        }
                        Err(why) => Some(why),
                    };
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.extend(failure);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n"))
    }
}

/// The result of a target's run.
struct Run {
    log: String,
    failure: Option<String>,
}

impl Run {
    fn of(target: &Target, programs: &Path, seconds: u64) -> Outcome<Self> {
        let corpus = dir_of(target, "corpus")?;
        let crashes = dir_of(target, "crashes")?;
        let logs = dir_of(target, "logs")?;
        let log_file = logs.join("last.log");
        let unwritten = at(&log_file);
        let log = File::create(&log_file).map_err(unwritten)?;
        let mut command = program(programs, target)?;
        command
            // libFuzzer writes new inputs to the first directory and only reads the second.
            .args([&corpus, &workspace().join("seeds").join(&target.name)])
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-max_total_time={seconds}"))
            .args([TIMEOUT, MEMORY, MAX_INPUT_LENGTH])
            .args(["-print_final_stats=1", "-verbosity=1"])
            .stdout(log.try_clone().map_err(unwritten)?)
            .stderr(log);
        let words = workspace().join(format!("dictionaries/{}.txt", target.name));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        let status = command
            .status()
            .map_err(|error| format!("{} could not be started: {error}", target.name))?;
        let log = fs::read(&log_file).map_err(unwritten)?;
        let log = String::from_utf8_lossy(&log).into_owned();
        let failure = (!status.success()).then(|| failure_message(target, &log, &log_file));
        Ok(Self { log, failure })
    }

    /// Returns the row of the table.
    fn row(&self, name: &str, seconds: u64) -> String {
        let stat = |key: &str| {
            let line = self
                .log
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix(key));
            line.map_or("?", str::trim)
        };
        // `#1234 DONE   cov: 567 ft: 890 corp: 12/345b …`: the last such line counts.
        let progress = self.log.lines().rev().find(|line| line.contains(" cov: "));
        let after = |key: &str| {
            let rest = progress.and_then(|line| line.split_once(key));
            let word = rest.and_then(|(_, rest)| rest.split([' ', '/']).next());
            word.unwrap_or("?")
        };
        let result = if self.failure.is_some() {
            "CRASH"
        } else {
            "nothing found"
        };
        format!(
            "| `{name}` | {seconds} | {} | {} | {} | {} | {result} |",
            stat("stat::number_of_executed_units:"),
            stat("stat::average_exec_per_sec:"),
            after(" cov: "),
            after(" corp: "),
        )
    }
}

/// Describes a failure and how to reproduce it.
fn failure_message(target: &Target, log: &str, log_file: &Path) -> String {
    let input = log
        .lines()
        .find_map(|line| line.split_once("Test unit written to "))
        .map(|(_, path)| path.trim());
    match input {
        Some(path) => format!(
            "{name}: crashed; reproduce it with: cargo xtask fuzz --only {name} --input {path}",
            name = target.name
        ),
        None => format!(
            "{}: failed without an input; see the log {}",
            target.name,
            log_file.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fuzz: super::Arguments,
    }

    #[test]
    fn seconds_and_jobs_must_be_positive() {
        let read = |words: &[&str]| Line::try_parse_from([&["fuzz"], words].concat());
        let default = read(&[]).map(|line| (line.fuzz.seconds, line.fuzz.jobs));
        assert_eq!(default.ok(), Some((60, 1)));
        let both = read(&["--seconds", "600", "--jobs", "2"]);
        let both = both.map(|line| (line.fuzz.seconds, line.fuzz.jobs));
        assert_eq!(both.ok(), Some((600, 2)));
        assert!(read(&["--seconds", "0"]).is_err() && read(&["--jobs", "0"]).is_err());
    }
}
