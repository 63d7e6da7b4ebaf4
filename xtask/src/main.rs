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
mod python;
mod soak;
mod supply;
mod test;
mod wheel;

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
    /// Connect and compute against the embedded emulator or Google, showing each step
    Demo(demo::Arguments),
    /// Run all tests, and install what they need
    Test(test::Arguments),
    /// Compare our token requests with those of the reference clients
    Conformance,
    /// Check formatting, lints, documentation, feature combinations, dependencies and packages
    Ci,
    /// Run 200 tasks with short-lived tokens and failing hosts, and check invariants
    Soak(soak::Arguments),
    /// Benchmark our crates against their peers in one run
    Bench(bench::Arguments),
    /// Fuzz the parsers of untrusted input with libFuzzer
    Fuzz(fuzz::Arguments),
    /// Run the supported unit tests under Miri
    Miri(miri::Arguments),
    /// Document the crates, check the book's links, and build the book if mdbook is installed
    Docs,
    /// Package eectl with its man pages and completions, and write a checksum
    Dist(dist::Arguments),
    /// Package eectl as a Python wheel, for pip and uvx
    Wheel(wheel::Arguments),
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
        Task::Wheel(arguments) => wheel::build(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            process::print_status(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}
