//! `cargo xtask miri`: the unit tests that Miri supports.
//!
//! Miri is about a thousand times slower than native code, so slow tests are excluded, as are those
//! that sign (ring is assembly), open a socket or start a program.

use crate::process::{Outcome, cargo_with_toolchain, output, run, target_dir};

const TOOLCHAIN: &str = "nightly";
/// The number of generated inputs per property. A few take as long as thousands outside of Miri.
const CASES: &str = "4";

/// The tests of one crate.
struct Part {
    package: &'static str,
    /// Substrings of the test names to run.
    tests: &'static [&'static str],
    /// The tests to exclude.
    without: &'static [&'static str],
}

const PARTS: [Part; 5] = [
    Part {
        package: "ee-token",
        tests: &[
            "cache::tests::",
            "endpoints::",
            "error::network::",
            "oauth::grant::",
            "retry::",
            "scopes::",
            "secret::",
            "token::tests",
            "url_field::",
        ],
        without: &[],
    },
    Part {
        package: "ee-credentials",
        tests: &[
            "allowed_hosts::",
            "command_line::",
            "credentials::tests",
            "environment::",
            "gcloud_config::",
            "json::",
            "json_fields::",
            "kinds::tests",
            "login::authorization::",
            "login::detect::",
            "login::loopback::http::",
            "login::mode::",
            "login::modes::notebook::",
            "misplaced::",
        ],
        // The first uses ring; the others open files in a way that Miri does not support.
        without: &[
            "response_needs_the_state_and_either_a_code_or_an_error",
            "gclouds_project_is_the_variables_or_the_configurations",
            "the_active_configuration_is_the_one_that_counts",
            "the_project_of_the_earth_engine_file_counts_without_a_login",
        ],
    },
    Part {
        package: "ee-rest",
        tests: &[
            "api::",
            "body_fields::",
            "error::",
            "error_body::",
            "idempotency::",
            "multipart::",
            "path::",
            "project_id::",
            "tower::",
            "workload_tag::",
        ],
        // Too slow: they process long texts byte by byte.
        without: &[
            "texts_of_an_error_are_bounded",
            "corrupted_response_does_not_panic",
            "operation_text_in_errors_is_sanitized_and_bounded",
            "error_body_in_many_chunks_is_read_up_to_64_kib",
            "server_message_is_always_kept",
        ],
    },
    Part {
        package: "ee-init",
        tests: &["builder::", "project::", "suggest::", "verify::"],
        without: &[],
    },
    Part {
        package: "ee-emulator",
        tests: &["clock::", "hosts::", "recorded::", "request::"],
        without: &[],
    },
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the tests of this crate (repeatable)
    #[arg(long, value_name = "CRATE", value_parser = PARTS.map(|part| part.package))]
    only: Vec<String>,
}

pub(crate) fn run_all(arguments: &Arguments) -> Outcome {
    output(cargo_with_toolchain(TOOLCHAIN).args(["miri", "--version"])).map_err(|error| {
        format!("{error}\ninstall Miri with: rustup toolchain install {TOOLCHAIN} --component miri,rust-src")
    })?;
    let dir = target_dir("miri")?;
    for part in &PARTS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|name| name == part.package) {
            continue;
        }
        let mut command = cargo_with_toolchain(TOOLCHAIN);
        command
            .args(["miri", "test", "--locked", "--package", part.package])
            .args(["--lib", "--all-features", "--"])
            .args(part.tests)
            .args(part.without.iter().flat_map(|name| ["--skip", name]))
            .env("CARGO_TARGET_DIR", &dir)
            // Tests read the clock and files.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .env("PROPTEST_CASES", CASES);
        run(&mut command)?;
    }
    Ok(())
}
