//! A command line of every command.

use std::collections::BTreeSet;

use super::*;

const ASSET: &str = "projects/ee-demo-project/assets/a";
const OTHER_ASSET: &str = "projects/ee-demo-project/assets/b";

/// Every command with its arguments. A command that is missing here fails a test.
pub(crate) const COMMANDS: [(&str, &[&str]); 56] = [
    ("init", &[]),
    ("asset list", &[]),
    ("asset info", &[ASSET]),
    ("asset create folder", &[ASSET]),
    ("asset create collection", &[ASSET]),
    ("asset copy", &[ASSET, OTHER_ASSET]),
    ("asset move", &[ASSET, OTHER_ASSET]),
    ("asset delete", &[ASSET]),
    ("asset set", &[ASSET, "--property", "a=1"]),
    ("asset setbands", &[ASSET, "red"]),
    ("asset acl get", &[ASSET]),
    ("asset acl set", &["private", ASSET]),
    ("asset acl ch", &["--user", "a@example.com:R", ASSET]),
    ("asset du", &[]),
    ("ls", &[]),
    ("cp", &[ASSET, OTHER_ASSET]),
    ("mv", &[ASSET, OTHER_ASSET]),
    ("rm", &[ASSET]),
    ("create folder", &[ASSET]),
    ("create collection", &[ASSET]),
    ("du", &[]),
    ("acl get", &[ASSET]),
    ("acl set", &["private", ASSET]),
    ("acl ch", &["--user", "a@example.com:R", ASSET]),
    ("task list", &[]),
    ("task info", &["ABCDEFGHIJKLMNOPQRSTUVWX"]),
    ("task cancel", &["ABCDEFGHIJKLMNOPQRSTUVWX"]),
    ("task wait", &["ABCDEFGHIJKLMNOPQRSTUVWX", "--timeout", "1"]),
    ("upload image", &["--manifest", "/dev/null"]),
    ("upload table", &["--manifest", "/dev/null"]),
    ("upload external-image", &["--manifest", "/dev/null"]),
    ("auth login", &["--mode=notebook", "--quiet", "--force"]),
    ("auth list", &[]),
    ("auth scopes", &[]),
    ("auth status", &[]),
    ("auth switch", &["work"]),
    ("auth token", &["--no-token-cache"]),
    ("authenticate", &["--mode=notebook", "--quiet", "--force"]),
    ("project list", &[]),
    ("project config get", &[]),
    ("project config set", &["--max-concurrent-exports", "5"]),
    ("project check", &[]),
    ("project select", &[]),
    ("project set", &[PROJECT]),
    ("project show", &[]),
    ("project unset", &[]),
    ("doctor", &[]),
    ("api", &["--include", "config"]),
    (
        "emulator",
        &["--port", "0", "--write-credentials", "/dev/null/x"],
    ),
    ("exec", &["--clean-home", "--", "true"]),
    ("serve", &["--status", "--listen", "127.0.0.1:1"]),
    ("completions", &["bash"]),
    ("man", &[]),
    ("set_project", &[PROJECT]),
    ("unset_project", &[]),
    // Last, because it revokes the login.
    ("auth logout", &["--revoke"]),
];

/// Returns a command line with more options, which precede the command that `exec` runs.
pub(crate) fn with_options<'a>(
    command: &'a str,
    arguments: &[&'a str],
    more: &[&'a str],
) -> Vec<&'a str> {
    let end = arguments.iter().position(|word| *word == "--");
    let (own, rest) = arguments.split_at(end.unwrap_or(arguments.len()));
    let words = command.split(' ').chain(own.iter().copied());
    let words = words.chain(more.iter().copied());
    words.chain(rest.iter().copied()).collect()
}

/// Returns all commands that have a page of help, including hidden ones.
fn all_commands() -> BTreeSet<String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help");
    let pages = fs::read_dir(dir).unwrap();
    let pages = pages.map(|page| fs::read_to_string(page.unwrap().path()).unwrap());
    let mut all: BTreeSet<String> = pages
        .filter_map(|page| {
            let first = page.lines().next()?;
            let name = first.strip_prefix("$ eectl ")?.strip_suffix(" -h")?;
            Some(name.to_owned())
        })
        .collect();
    // A command with subcommands does nothing itself.
    let groups: Vec<_> = all
        .iter()
        .filter_map(|c| c.rsplit_once(' '))
        .map(|(group, _)| group.to_owned())
        .collect();
    all.retain(|command| !groups.contains(command));
    all
}

#[test]
fn leak_tests_cover_every_command() {
    let known: BTreeSet<_> = COMMANDS
        .iter()
        .map(|(command, _)| (*command).to_owned())
        .collect();
    let all = all_commands();
    assert!(
        all.contains("auth token") && all.contains("set_project"),
        "{all:?}"
    );
    assert_eq!(all, known);
}
