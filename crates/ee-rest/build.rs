//! Records the compiler version, which every request reports in `x-goog-api-client`.
#![allow(clippy::print_stdout)] // cargo reads directives from standard output

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = rustc_version().unwrap_or_else(|| env!("CARGO_PKG_RUST_VERSION").to_owned());
    println!("cargo::rustc-env=EE_REST_RUSTC_VERSION={version}");
}

/// Returns the version `1.88.0` from `rustc 1.88.0 (6b00bc388 2025-06-23)`.
fn rustc_version() -> Option<String> {
    let output = Command::new(std::env::var_os("RUSTC")?)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(1)?;
    version
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b))
        .then(|| version.to_owned())
}
