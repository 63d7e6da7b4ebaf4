//! The reference clients as judges: google-auth and earthengine-api find credentials and get
//! a token from the same files and variables as we do, and the requests must be the same.
//!
//! Where we differ on purpose, the page `docs/src/conformance.md` has a row that names the
//! scenario and the field, and this test reads it: a difference that is not written down
//! fails, and so does a row that nothing needs any more.

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

/// The page that has the differences on purpose, in a table whose first column is
/// `` `scenario: field` ``.
const PAGE: &str = include_str!("../../docs/src/conformance.md");

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_projects_agree_with_the_reference_clients() {
    let Some(python) = scenario::python() else {
        return;
    };
    let written_down: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut needed = BTreeSet::new();
    let mut wrong = Vec::new();
    let scenarios = scenarios::all();
    let names: BTreeSet<_> = scenarios.iter().map(|s| s.name).collect();
    assert_eq!(names.len(), scenarios.len(), "two scenarios of one name");
    for scenario in &scenarios {
        let theirs = scenario.theirs(&python).await;
        let ours = scenario.ours().await;
        let mut verdict = "agrees";
        for difference in theirs.differences(&ours) {
            let key = format!("{}: {}", scenario.name, difference.field);
            if written_down.contains(&key) {
                verdict = "differs on purpose";
                needed.insert(key);
            } else {
                verdict = "DIFFERS";
                wrong.push(format!(
                    "{key}\n    theirs: {}\n    ours:   {}",
                    difference.theirs, difference.ours
                ));
            }
        }
        println!("{verdict:<20} {}", scenario.name);
    }
    println!("{} scenarios", scenarios.len());
    assert!(
        wrong.is_empty(),
        "differences that are not written down:\n{}",
        wrong.join("\n")
    );
    let idle: Vec<_> = written_down.difference(&needed).collect();
    assert!(
        idle.is_empty(),
        "rows that nothing needs any more: {idle:?}"
    );
}
