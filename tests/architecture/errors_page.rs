//! The page of error codes lists every kind, and so does the constant for other tests.

use crate::read;

#[test]
fn every_error_kind_is_on_the_page_and_in_all() {
    let page = read("docs/src/error-codes.md");
    let source = read("crates/ee-rest/src/error/kind.rs");
    let (_, declared) = source.split_once("pub enum ErrorKind {").unwrap();
    let (declared, _) = declared.split_once("\n}").unwrap();
    let kinds: Vec<_> = declared
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        .collect();
    assert!(kinds.len() > 20, "the kinds were not found");
    for kind in &kinds {
        assert!(page.contains(&format!("| `{kind}` |")), "{kind} is missing");
    }
    let listed: Vec<_> = earthengine::ErrorKind::ALL
        .iter()
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert_eq!(kinds, listed);
}
