//! `cargo xtask soak`: many tasks with short-lived tokens and random faults.

use crate::process::{Outcome, cargo, run};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run for this many minutes
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// Repeat the random choices of a run with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(crate) fn run_soak(arguments: &Arguments) -> Outcome {
    let mut soak = cargo(&[
        "run",
        "--quiet",
        "-p",
        "ee-tests",
        "--example",
        "soak",
        "--",
    ]);
    soak.args(["--minutes", &arguments.minutes.to_string()]);
    if let Some(seed) = arguments.seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    // One glibc heap for all threads, because resident memory is not comparable with several.
    soak.env("MALLOC_ARENA_MAX", "1");
    run(&mut soak)
}
