//! Comparison with the reference clients. google-auth and earthengine-api find credentials and get
//! a token from the same files and variables as this workspace, and the requests must match.
//!
//! For each deliberate difference, the page `docs/src/conformance.md` has a row with the scenario
//! and the field. This test reads the page: an undocumented difference fails, and so does an unused
//! row.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed step is a failed test"
)]

mod external_account;
mod federation;
mod impersonation;
mod metadata;
mod request;
mod scenario;
mod scenarios;
mod sigv4;

use std::collections::BTreeSet;

/// The page with the deliberate differences, in a table whose first column is `` `scenario: field`
/// ``.
const PAGE: &str = include_str!("../../../docs/src/conformance.md");

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_projects_match_the_reference_clients() {
    let Some(python) = scenario::python() else {
        return;
    };
    let documented: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut needed = BTreeSet::new();
    let mut undocumented = Vec::new();
    let scenarios = scenarios::all();
    let names: BTreeSet<_> = scenarios.iter().map(|s| s.name).collect();
    assert_eq!(
        names.len(),
        scenarios.len(),
        "two scenarios have the same name"
    );
    for scenario in &scenarios {
        let expected = scenario.expected(&python).await;
        let actual = scenario.actual().await;
        let mut verdict = "equal";
        for difference in expected.differences(&actual) {
            let key = format!("{}: {}", scenario.name, difference.field);
            if documented.contains(&key) {
                verdict = "documented";
                needed.insert(key);
            } else {
                verdict = "DIFFERS";
                undocumented.push(format!(
                    "{key}\n    reference: {}\n    this workspace: {}",
                    difference.expected, difference.actual
                ));
            }
        }
        println!("{verdict:<20} {}", scenario.name);
    }
    println!("{} scenarios", scenarios.len());
    assert!(
        undocumented.is_empty(),
        "undocumented differences:\n{}",
        undocumented.join("\n")
    );
    let unused: Vec<_> = documented.difference(&needed).collect();
    assert!(unused.is_empty(), "unused rows: {unused:?}");
}
