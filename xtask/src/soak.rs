//! `cargo xtask soak`: many tasks, short tokens and random faults, for as long as one likes.

use crate::process::{Outcome, cargo, run};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long it goes on
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// Makes the same choices as a run that said so
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
    // With glibc, one heap for all threads: with more, resident memory tells which of them had the
    // largest need when.
    soak.env("MALLOC_ARENA_MAX", "1");
    run(&mut soak)
}
