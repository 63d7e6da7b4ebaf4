//! `cargo xtask bench`: benchmarks of our crates and their peers in one run.
//!
//! The benchmark programs are in a separate workspace, `tests/benchmarks`. This module builds and runs
//! them, and measures whole builds.

mod builds;
mod report;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Outcome, build_eectl, cargo, print_status, root, run, target_dir};

/// All benchmarks, in the order of the table.
const NAMES: [&str; 25] = [
    "token_hot",
    "token_contended",
    "token_refresh",
    "herd",
    "metadata",
    "jwt_sign",
    "broker_token",
    "broker_herd",
    "broker_memory",
    "exec",
    "metadata_first",
    "cold_init",
    "cold_token",
    "warm_init",
    "requests",
    "allocs",
    "at_rest",
    "identities",
    "stream",
    "far",
    "fleet",
    "scale",
    "crates",
    "build",
    "size",
];
/// The benchmarks that include the Python client.
const PYTHON_BENCHMARKS: [&str; 2] = ["cold_init", "warm_init"];
/// The benchmarks that include `eectl`.
const EECTL_BENCHMARKS: [&str; 2] = ["broker_memory", "exec"];
/// The benchmarks of whole builds.
const BUILD_BENCHMARKS: [&str; 3] = ["crates", "build", "size"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run only this benchmark (repeatable)
    #[arg(long, value_name = "NAME", value_parser = NAMES)]
    only: Vec<String>,
    /// Run with small counts and without optimization, to test the benchmarks themselves
    #[arg(long)]
    smoke: bool,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// The workspace of the peers and its target directory.
struct Peers {
    manifest: PathBuf,
    target: PathBuf,
    smoke: bool,
}

impl Peers {
    fn new(smoke: bool) -> Outcome<Self> {
        let target = target_dir("peers")?;
        Ok(Self {
            manifest: root().join("tests/benchmarks/Cargo.toml"),
            target,
            smoke,
        })
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(arguments);
        command
            .arg("--manifest-path")
            .arg(&self.manifest)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    fn build(&self, what: &[&str]) -> Command {
        let mut command = self.cargo(&["build"]);
        command.args(what);
        if !self.smoke {
            command.arg("--release");
        }
        command
    }

    /// Returns the directory of the programs.
    fn programs(&self) -> PathBuf {
        self.target
            .join(if self.smoke { "debug" } else { "release" })
    }
}

pub(crate) fn run_all(arguments: &Arguments) -> Outcome {
    let peers = Peers::new(arguments.smoke)?;
    let mut rows = Vec::new();
    if NAMES
        .iter()
        .any(|name| !BUILD_BENCHMARKS.contains(name) && arguments.wants(name))
    {
        run(&mut peers.build(&["--workspace"]))?;
        rows.extend(run_benchmarks(&peers, arguments)?);
    }
    if arguments.wants("crates") {
        rows.push(builds::crates(&peers)?);
    }
    if arguments.wants("build") || arguments.wants("size") {
        let (build, size) = builds::build_and_size(&peers)?;
        rows.extend(arguments.wants("build").then_some(build));
        rows.extend(arguments.wants("size").then_some(size));
    }
    let report = json!({
        "results": rows,
        "machine": report::machine(),
        "versions": report::versions(&peers.manifest.with_file_name("Cargo.lock"))?,
        "smoke": arguments.smoke,
    });
    report::print_table(&report);
    match &arguments.json {
        None => Ok(()),
        Some(path) => std::fs::write(path, format!("{report:#}\n"))
            .map_err(|e| format!("{} could not be written: {e}", path.display())),
    }
}

/// Runs the benchmark programs, and collects a row from each line of their output.
fn run_benchmarks(peers: &Peers, arguments: &Arguments) -> Outcome<Vec<Value>> {
    let mut command = Command::new(peers.programs().join("bench"));
    command.arg("--repository").arg(root());
    for name in &arguments.only {
        command.args(["--only", name]);
    }
    if arguments.smoke {
        command.arg("--smoke");
    }
    if PYTHON_BENCHMARKS.iter().any(|name| arguments.wants(name)) {
        match crate::test::python() {
            Ok(python) => {
                command.arg("--python").arg(python);
            }
            Err(why) => print_status(&format!("skipping the Python client: {why}")),
        }
    }
    if EECTL_BENCHMARKS.iter().any(|name| arguments.wants(name)) {
        command.arg("--eectl").arg(build_eectl(arguments.smoke)?);
    }
    let failed = |why: String| format!("the benchmarks failed: {why}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let mut rows = Vec::new();
    for line in child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines)
    {
        let line = line.map_err(|e| failed(e.to_string()))?;
        let row: Value = serde_json::from_str(&line).map_err(|e| failed(format!("{e}: {line}")))?;
        print_status(&report::line(&row));
        rows.push(row);
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(rows),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
