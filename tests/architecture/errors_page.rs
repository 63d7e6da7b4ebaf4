//! The page about errors knows every code.

use std::fs;
use std::path::Path;

#[test]
fn every_code_of_an_error_stands_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/src/errors.md")).unwrap();
    let source = fs::read_to_string(root.join("crates/ee-init/src/error.rs")).unwrap();
    let codes: Vec<_> = source
        .lines()
        .filter_map(|line| line.trim().split_once("=> \"")?.1.split('"').next())
        .collect();
    assert!(codes.len() > 15, "the codes are somewhere else now");
    for code in codes {
        assert!(page.contains(&format!("`{code}`")), "{code} is not there");
    }
}
