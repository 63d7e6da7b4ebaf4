//! The programs that tests run: clients that `cargo xtask test` installs, and those of the system.

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

/// Returns the path of a program of the system. Prints why the test is skipped and returns `None` if
/// it is not installed.
pub fn system_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are often not on the PATH of users.
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        print(&format!("skipped: {name} is not installed"));
    }
    found
}
