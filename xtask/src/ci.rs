//! `cargo xtask ci`: everything that is checked without running a test.

use crate::process::{Outcome, cargo, run};

/// The crates' optional features, each of which must compile by itself.
const FEATURES: [(&str, &str); 1] = [("earthengine", "blocking")];

pub(crate) fn check() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ]))?;
    for (package, feature) in FEATURES {
        run(&mut cargo(&[
            "check",
            "--package",
            package,
            "--no-default-features",
        ]))?;
        run(&mut cargo(&[
            "check",
            "--package",
            package,
            "--no-default-features",
            "--features",
            feature,
        ]))?;
    }
    run(
        cargo(&["doc", "--workspace", "--all-features", "--no-deps"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}
