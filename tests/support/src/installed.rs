//! The clients that `cargo xtask test` installs.

use std::path::PathBuf;

use crate::subprocess::print;

/// Returns the path in this variable, which `cargo xtask test` sets to an interpreter or a directory
/// of packages. Returns `None` if the reference clients are skipped.
pub fn reference_client(variable: &str) -> Option<PathBuf> {
    let skipped = std::env::var("EE_TESTS_SKIP").unwrap_or_default();
    if skipped.split(',').any(|part| part == "reference-clients") {
        print("left out: EE_TESTS_SKIP names reference-clients");
        return None;
    }
    let path = std::env::var_os(variable);
    assert!(
        path.is_some(),
        "{variable} is not set: run `cargo xtask test`, which installs the reference clients, or \
         `cargo xtask test --skip reference-clients`"
    );
    path.map(PathBuf::from)
}
