//! `cargo xtask fuzz`: the parsers of outside bytes under libFuzzer.
//!
//! The targets are a workspace of their own in the layout of cargo-fuzz, `tests/fuzz`, and are
//! built here with the flags that cargo-fuzz passes, so that nothing needs to be installed and
//! the stable toolchain is enough. What is found is kept in the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::value_parser;
use ee_emulator::RsaKey;

use crate::process::{Outcome, cargo, output, root, run, target};

/// Coverage for libFuzzer (<https://llvm.org/docs/LibFuzzer.html>), and the `cfg` by which the
/// crates show their parsers.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-stack-depth";
/// Seconds for one input. None needs a thousandth of it.
const TIMEOUT: &str = "-timeout=10";
/// In MiB, of one target's process.
const MEMORY: &str = "-rss_limit_mb=1024";
const LONGEST_INPUT: &str = "-max_len=4096";
/// The crates that show their parsers.
pub(crate) const CRATES: [&str; 4] = ["ee-token", "ee-credentials", "ee-rest", "ee-init"];
const HEADS: &str = "| target | seconds | executions | executions/s | edges | inputs | result |\n\
    |---|---:|---:|---:|---:|---:|---|";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For how long each target runs
    // libFuzzer takes 0 for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many targets run at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    jobs: u16,
    /// Only this target (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Shows the targets, and what each of them is
    #[arg(long)]
    list: bool,
    /// Runs the one target with the input in this file alone, as after a crash
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
        (Some(_), _) => Err("an input is for one target: name it with --only".into()),
    }
}

/// The targets with these names, or all of them.
fn chosen(names: &[String]) -> Outcome<Vec<Target>> {
    let folder = workspace().join("fuzz_targets");
    let unreadable = |error| format!("{}: {error}", folder.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).map_err(unreadable)? {
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
            "there is no target {unknown}: `cargo xtask fuzz --list` shows them"
        ));
    }
    all.retain(|target| names.is_empty() || names.contains(&target.name));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

#[allow(clippy::print_stdout)]
fn list(targets: &[Target]) -> Outcome {
    for target in targets {
        let text = fs::read_to_string(&target.source)
            .map_err(|error| format!("{}: {error}", target.source.display()))?;
        let about: Vec<_> = text.lines().map_while(|l| l.strip_prefix("//! ")).collect();
        println!("{:18} {}", target.name, about.join(" "));
    }
    Ok(())
}

fn workspace() -> PathBuf {
    root().join("tests/fuzz")
}

/// Where what is built and found is kept.
pub(crate) fn folder() -> Outcome<PathBuf> {
    std::path::absolute(target().join("fuzz")).map_err(|error| error.to_string())
}

/// Builds the targets, and says where the programs are.
fn build(targets: &[Target]) -> Outcome<PathBuf> {
    let host = host()?;
    let folder = folder()?;
    let mut command = cargo(&["build", "--release", "--locked", "--manifest-path"]);
    command
        .arg(workspace().join("Cargo.toml"))
        // With a target named, the flags are for the programs and not for what builds them.
        .args(["--target", &host])
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", FLAGS);
    for target in targets {
        command.args(["--bin", &target.name]);
    }
    run(&mut command)?;
    write_key(&key_of(&folder))?;
    Ok(folder.join(host).join("release"))
}

fn key_of(folder: &Path) -> PathBuf {
    folder.join("rsa.pem")
}

/// A key to put into inputs: none is in the repository.
fn write_key(path: &Path) -> Outcome {
    if path.exists() {
        return Ok(());
    }
    fs::write(path, RsaKey::shared().pkcs8_pem()).map_err(|e| format!("{}: {e}", path.display()))
}

/// The platform that `rustc` builds for by itself.
fn host() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = output(Command::new(rustc).arg("-vV"))?;
    String::from_utf8_lossy(&told)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not say what it builds for".into())
}

/// A folder of a target's own.
fn folder_of(target: &Target, what: &str) -> Outcome<PathBuf> {
    let path = folder()?.join(what).join(&target.name);
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// The program of a target, with the key for its inputs and a folder for its files.
fn program(programs: &Path, target: &Target) -> Outcome<Command> {
    let mut command = Command::new(programs.join(&target.name));
    command
        .env("EE_FUZZ_RSA_KEY", key_of(&folder()?))
        .env("EE_FUZZ_FOLDER", folder_of(target, "files")?);
    Ok(command)
}

/// Runs each target for so long, some at a time, and prints a row of the results' table for each
/// that has ended.
#[allow(clippy::print_stdout)]
fn fuzz(targets: &[Target], programs: &Path, arguments: &Arguments) -> Outcome {
    let seconds = arguments.seconds;
    let left = Mutex::new(targets.iter());
    let failed = Mutex::new(Vec::new());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    println!("{HEADS}");
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

/// What a run of a target came to.
struct Run {
    log: String,
    failure: Option<String>,
}

impl Run {
    fn of(target: &Target, programs: &Path, seconds: u64) -> Outcome<Self> {
        let corpus = folder_of(target, "corpus")?;
        let crashes = folder_of(target, "crashes")?;
        let logs = folder_of(target, "logs")?;
        let log_file = logs.join("last.log");
        let unwritten = |error| format!("{}: {error}", log_file.display());
        let log = File::create(&log_file).map_err(unwritten)?;
        let mut command = program(programs, target)?;
        command
            // New inputs go to the first folder; the seeds stay as they are.
            .args([&corpus, &workspace().join("seeds").join(&target.name)])
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-max_total_time={seconds}"))
            .args([TIMEOUT, MEMORY, LONGEST_INPUT])
            .args(["-print_final_stats=1", "-verbosity=1"])
            .stdout(log.try_clone().map_err(unwritten)?)
            .stderr(log);
        let words = workspace().join(format!("dictionaries/{}.txt", target.name));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        let status = command
            .status()
            .map_err(|error| format!("{} cannot be started: {error}", target.name))?;
        let log = fs::read(&log_file).map_err(unwritten)?;
        let log = String::from_utf8_lossy(&log).into_owned();
        let failure = (!status.success()).then(|| why(target, &log, &log_file));
        Ok(Self { log, failure })
    }

    /// A row of the table.
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

/// What became of a target that did not end well, and how to see it again.
fn why(target: &Target, log: &str, log_file: &Path) -> String {
    let input = log
        .lines()
        .find_map(|line| line.split_once("Test unit written to "))
        .map(|(_, path)| path.trim());
    match input {
        Some(path) => format!(
            "{name}: an input that it does not bear; see it again with `cargo xtask fuzz --only {name} --input {path}`",
            name = target.name
        ),
        None => format!(
            "{}: it ended without naming an input; its log is {}",
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
    fn a_run_has_an_end_and_at_least_one_job() {
        let read = |words: &[&str]| Line::try_parse_from([&["fuzz"], words].concat());
        let usual = read(&[]).map(|line| (line.fuzz.seconds, line.fuzz.jobs));
        assert_eq!(usual.ok(), Some((60, 1)));
        let both = read(&["--seconds", "600", "--jobs", "2"]);
        let both = both.map(|line| (line.fuzz.seconds, line.fuzz.jobs));
        assert_eq!(both.ok(), Some((600, 2)));
        assert!(read(&["--seconds", "0"]).is_err() && read(&["--jobs", "0"]).is_err());
    }
}
