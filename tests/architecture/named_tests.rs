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
    for folder in ["crates", "tests"] {
        collect(&root.join(folder), &mut known);
    }
    for page in PAGES {
        let text = fs::read_to_string(root.join("docs/src").join(page)).unwrap();
        let named: Vec<_> = text.lines().filter_map(shown_by).flatten().collect();
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
fn the_page_about_faults_names_every_test_of_theirs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    collect(&root.join("faults"), &mut tests);
    assert!(tests.len() > 10);
    let page = root.parent().unwrap().join("docs/src").join(FAULTS);
    let text = fs::read_to_string(page).unwrap();
    let named: Vec<_> = text.lines().filter_map(shown_by).flatten().collect();
    // Processes that other tests start are no tests of their own.
    tests.retain(|test| !test.ends_with("_for_the_test_below"));
    for test in tests {
        assert!(named.contains(&test), "{FAULTS} does not name {test}");
    }
}

/// The names in the last column of a row that has three, or five.
fn shown_by(line: &str) -> Option<Vec<String>> {
    let cells: Vec<_> = line.trim_matches('|').split('|').collect();
    let ([_, _, last] | [_, _, _, _, last]) = cells.as_slice() else {
        return None;
    };
    let quoted: Vec<_> = last.split('`').skip(1).step_by(2).collect();
    (!quoted.is_empty() && quoted.iter().all(|name| name.contains('_')))
        .then(|| quoted.into_iter().map(str::to_owned).collect())
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
