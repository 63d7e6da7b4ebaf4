//! Pages that name tests, such as the threat model, name existing tests.

use std::collections::BTreeSet;

use crate::{files, read};

/// The pages with tables whose last column is "shown by".
const PAGES: [&str; 4] = [
    "threat-model.md",
    "fuzzing.md",
    "credentials/bad-input.md",
    FAULTS,
];
/// The page that names every test in its directory.
const FAULTS: &str = "faults.md";

#[test]
fn every_test_named_on_a_page_exists() {
    let known: BTreeSet<_> = ["crates", "tests", "xtask"]
        .into_iter()
        .flat_map(tests_in)
        .collect();
    for page in PAGES {
        let named = named(page, &read(format!("docs/src/{page}")));
        assert!(named.len() > 5, "{page} has no table");
        for test in named {
            assert!(
                known.contains(&test),
                "{page} names {test}, which does not exist"
            );
        }
    }
}

#[test]
#[should_panic(expected = "names no test in the row | b | nothing |")]
fn row_without_a_test_fails() {
    named(
        "a page",
        "| what | shown by |\n|---|---|\n| a | `it_is` |\n| b | nothing |\n",
    );
}

#[test]
fn faults_page_names_every_fault_test() {
    let mut tests = tests_in("tests/resilience/faults");
    assert!(tests.len() > 10);
    let named = named(FAULTS, &read(format!("docs/src/{FAULTS}")));
    // Subprocesses of other tests are not tests of their own.
    tests.retain(|test| !test.starts_with("subprocess_"));
    for test in tests {
        assert!(named.contains(&test), "{FAULTS} does not name {test}");
    }
}

/// Below each table, these pages repeat its first column with the tests of each row.
#[test]
fn every_row_has_its_tests() {
    for page in ["threat-model.md", "credentials/bad-input.md", FAULTS] {
        let text = read(format!("docs/src/{page}"));
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

/// Returns the tests in the last cells of tables whose last column is "shown by". Each row names
/// one.
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

/// Returns the names of all functions with a test attribute.
fn tests_in(dir: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for path in files(dir, "rs") {
        let mut is_test = false;
        for line in read(path).lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ") {
                if is_test && let Some((name, _)) = rest.split_once('(') {
                    tests.insert(name.to_owned());
                }
                is_test = false;
            }
        }
    }
    tests
}
