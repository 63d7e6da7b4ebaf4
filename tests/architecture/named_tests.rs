//! Pages that name tests, as the threat model does, name tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The pages whose tables have a last column "shown by".
const PAGES: [&str; 4] = [
    "threat-model.md",
    "fuzzing.md",
    "credentials/bad-input.md",
    FAULTS,
];
/// The page that leaves out none of the tests in its folder.
const FAULTS: &str = "faults.md";

#[test]
fn every_test_that_a_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut known = BTreeSet::new();
    for folder in ["crates", "tests", "xtask"] {
        collect(&root.join(folder), &mut known);
    }
    for page in PAGES {
        let text = fs::read_to_string(root.join("docs/src").join(page)).unwrap();
        let named = named(page, &text);
        assert!(named.len() > 5, "{page} has lost its table");
        for test in named {
            assert!(
                known.contains(&test),
                "{page} names the test {test}, which does not exist"
            );
        }
    }
}

#[test]
#[should_panic(expected = "names no test in the row | b | nothing |")]
fn a_row_without_a_test_fails() {
    named(
        "a page",
        "| what | shown by |\n|---|---|\n| a | `it_is` |\n| b | nothing |\n",
    );
}

#[test]
fn the_page_about_faults_names_every_test_of_theirs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    collect(&root.join("faults"), &mut tests);
    assert!(tests.len() > 10);
    let page = root.parent().unwrap().join("docs/src").join(FAULTS);
    let text = fs::read_to_string(page).unwrap();
    let named = named(FAULTS, &text);
    // Processes that other tests start are no tests of their own.
    tests.retain(|test| !test.ends_with("_for_the_test_below"));
    for test in tests {
        assert!(named.contains(&test), "{FAULTS} does not name {test}");
    }
}

/// Below each table, these pages repeat its first column with the tests of each row.
#[test]
fn every_row_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for page in ["threat-model.md", "credentials/bad-input.md", FAULTS] {
        let text = fs::read_to_string(root.join("docs/src").join(page)).unwrap();
        let (mut rows, mut tested, mut is_shown) = (Vec::new(), Vec::new(), false);
        for line in text.lines() {
            is_shown &= !line.is_empty();
            is_shown |= line.ends_with("| shown by |");
            let Some((cell, _)) = line.strip_prefix("| ").and_then(|l| l.split_once(" | ")) else {
                continue;
            };
            if is_shown { &mut tested } else { &mut rows }.push(cell);
        }
        assert_eq!(rows, tested, "{page}");
    }
}

/// The tests that the last cells name, in tables whose last column is "shown by". Each row names one.
fn named(page: &str, text: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut is_shown = false;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) else {
            is_shown = false;
            continue;
        };
        let last = cells.rsplit('|').next().unwrap_or_default().trim();
        if last == "shown by" {
            is_shown = true;
        } else if is_shown && !last.starts_with("---") {
            let names = last.split(", ").map(|name| {
                let name = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'));
                name.filter(|name| name.contains('_') && !name.contains('`'))
            });
            let names: Option<Vec<_>> = names.collect();
            let names = names.unwrap_or_else(|| panic!("{page} names no test in the row {line}"));
            named.extend(names.into_iter().map(str::to_owned));
        }
    }
    named
}

/// The names of all functions that stand right under a test's attribute.
fn collect(folder: &Path, known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, known);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ") {
                    if is_test && let Some((name, _)) = rest.split_once('(') {
                        known.insert(name.to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}
