//! The page about errors knows every kind, and so does the list that other tests go through.

use std::fs;
use std::path::Path;

#[test]
fn every_kind_of_error_stands_on_the_page_and_in_the_list_of_all() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/src/errors.md")).unwrap();
    let source = fs::read_to_string(root.join("crates/ee-init/src/error.rs")).unwrap();
    let (_, declared) = source.split_once("pub enum ErrorKind {").unwrap();
    let (declared, _) = declared.split_once("\n}").unwrap();
    let kinds: Vec<_> = declared
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        .collect();
    assert!(kinds.len() > 20, "the kinds are somewhere else now");
    for kind in &kinds {
        assert!(
            page.contains(&format!("| `{kind}` |")),
            "{kind} is not there"
        );
    }
    let listed: Vec<_> = earthengine::ErrorKind::ALL
        .iter()
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert_eq!(kinds, listed);
}
