//! The development tasks of this workspace.

mod bench;
mod ci;
mod demo;
mod dist;
mod docs;
mod fuzz;
mod miri;
mod packages;
mod process;
mod soak;
mod supply;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of Earth Engine for Rust.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs the main job against the embedded emulator, or against Google, and shows every step
    Demo(demo::Arguments),
    /// Runs every test, doing its own set-up
    Test(test::Arguments),
    /// Compares our token requests with the reference clients', scenario by scenario
    Conformance,
    /// Checks formatting, lints, documentation, every feature by itself, dependencies and packages
    Ci,
    /// Lets 200 tasks work with short tokens while hosts fail, and checks what must hold
    Soak(soak::Arguments),
    /// Measures ours and our peers side by side, in one run
    Bench(bench::Arguments),
    /// Lets libFuzzer loose on the parsers of outside bytes
    Fuzz(fuzz::Arguments),
    /// Runs under Miri the unit tests that it can run
    Miri(miri::Arguments),
    /// Documents the crates, checks the book's links, and builds the book if mdbook is installed
    Docs,
    /// Packs eectl with its manual and completions, and a checksum beside the archive
    Dist(dist::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run_all(&arguments),
        Task::Conformance => test::run_conformance(),
        Task::Ci => ci::check(),
        Task::Soak(arguments) => soak::run_soak(&arguments),
        Task::Bench(arguments) => bench::run_all(&arguments),
        Task::Fuzz(arguments) => fuzz::run_all(&arguments),
        Task::Miri(arguments) => miri::run_all(&arguments),
        Task::Docs => docs::build(),
        Task::Dist(arguments) => dist::pack(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            process::say(&format!("failed: {message}"));
            ExitCode::FAILURE
        }
    }
}
