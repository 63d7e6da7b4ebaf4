//! Situations that users meet: files, variables and server responses, and what `eectl` does in them.
//!
//! The emulator plays the servers. Each TOML file beside this one has the situations of one kind;
//! [`Situation`] describes its fields. No situation may print a secret: a placeholder's value, or a
//! text with `canary` in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod machine;
mod placeholders;
mod situation;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::machine::Machine;
use crate::situation::{Kind, Situation};

/// Declares a test per file.
macro_rules! kinds {
    ($($name:ident)*) => {
        const KINDS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test]
            async fn $name() {
                play_all(stringify!($name)).await;
            }
        )*
    };
}

kinds! {
    aws
    credential_sources
    external_account_variants
    files_of_other_tools
    inaccessible_locations
    mangled_secrets
    metadata_server
    misspelled_paths
    network_settings
    project_sources
    refusals
    scopes
    stated_reasons
    subject_token_urls
    unused_credentials
}

fn dir() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/end_to_end/situations"
    ))
}

/// Plays every situation of a file and reports all failures.
async fn play_all(kind: &str) {
    let path = dir().join(kind).with_extension("toml");
    let text = fs::read_to_string(&path).unwrap();
    let kind: Kind = basic_toml::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    assert!(!kind.situation.is_empty(), "{path:?} has no situation");
    let mut failures = Vec::new();
    for situation in kind.situations() {
        failures.extend(play(situation).await);
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Plays a situation. Returns what is not as wanted, with the output.
async fn play(mut situation: Situation) -> Option<String> {
    let machine = Machine::new(&mut situation).await;
    let played = machine.run(&situation).await;
    let problems = situation.problems(&played, &machine.secrets);
    (!problems.is_empty()).then(|| {
        format!(
            "== {}\n   {}\n{played}",
            situation.what,
            problems.join("\n   ")
        )
    })
}

#[test]
fn every_file_is_played() {
    let files = fs::read_dir(dir()).unwrap().map(|entry| entry.unwrap());
    let files = files.map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|ext| ext == "toml"));
    let files: BTreeSet<_> = files
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let played = KINDS.iter().map(|kind| (*kind).to_owned());
    assert_eq!(files, played.collect());
}
