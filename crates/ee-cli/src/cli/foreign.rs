//! Commands and options of `gh`, `gcloud` and Google's `earthengine` that users type here: they run
//! ours, or the error names ours.

use std::ffi::OsString;

use earthengine::Remedy;
use earthengine::init::internal::nearest;

use super::takes_value;
use crate::error::CliError;

/// Commands, and ours that do the same.
const SAME: [(&str, &str); 17] = [
    ("alpha project_config get", "project config get"),
    ("alpha project_config set", "project config set"),
    ("alpha upload external_image", "upload external-image"),
    ("login", "auth login"),
    ("logout", "auth logout"),
    ("whoami", "auth status"),
    ("auth application-default login", "auth login"),
    ("auth application-default print-access-token", "auth token"),
    ("auth print-access-token", "auth token"),
    ("auth whoami", "auth status"),
    ("completion", "completions"),
    ("config get project", "project show"),
    ("config get-value project", "project show"),
    ("config set project", "project set"),
    ("config unset project", "project unset"),
    ("projects describe", "project check"),
    ("projects list", "project list"),
];

/// Commands that differ from ours, with advice and our command.
const DIFFERENT: [(&[&str], &str, &str); 13] = [
    (
        &["auth activate-service-account"],
        "Pass the key file with --credentials, or set GOOGLE_APPLICATION_CREDENTIALS to its path.",
        "eectl doctor --credentials key.json",
    ),
    (
        &["auth application-default revoke", "auth revoke"],
        "Log out and revoke the login.",
        "eectl auth logout --revoke",
    ),
    (
        &["auth application-default set-quota-project"],
        "Set the project that is billed.",
        "eectl project set PROJECT",
    ),
    (
        &["auth refresh"],
        "Log in again.",
        "eectl auth login --force",
    ),
    (
        &["config list", "project current", "project get"],
        "Show the project that programs use.",
        "eectl project show",
    ),
    (&["config"], "Set the project.", "eectl project set PROJECT"),
    (
        &["model"],
        "Models are prepared with Google's command, which runs TensorFlow.",
        "earthengine model prepare",
    ),
    (
        &["project switch", "project use"],
        "Set the project, or pick it in a list with `eectl project select`.",
        "eectl project set PROJECT",
    ),
    (&["projects"], "List your projects.", "eectl project list"),
    (
        &["services"],
        "The API is enabled with gcloud, or on the page that `eectl doctor` shows.",
        "gcloud services enable earthengine.googleapis.com --project=PROJECT",
    ),
    (
        &["upload_manifest"],
        "Pass the file with --manifest.",
        "eectl upload image --manifest FILE",
    ),
    (
        &["upload_table_manifest"],
        "Pass the file with --manifest.",
        "eectl upload table --manifest FILE",
    ),
    (&["version"], "Print the version.", "eectl --version"),
];

/// The options of the `earthengine` command with two letters after one dash, which would be two options
/// here.
const TWO_LETTERS: [(&str, &str); 3] = [
    ("-dg", "--delete-group"),
    ("-te", "--time-end"),
    ("-ts", "--time-start"),
];

/// Options of other commands, with advice.
const OPTIONS: [(&str, &str); 6] = [
    (
        "--ee_config",
        "Set the variable EE_CONFIG_FILE to the path of the file.",
    ),
    (
        "--format",
        "Use --json, and --jq to filter it; only lists have --format.",
    ),
    ("--key-file", "Use --credentials FILE."),
    ("--billing-project", "Use --project PROJECT."),
    ("--quota-project", "Use --project PROJECT."),
    (
        "--service-account",
        "Use --impersonate EMAIL, or --credentials FILE with its key.",
    ),
];

/// Replaces the command of another program with ours.
///
/// # Errors
///
/// Returns an error that names our command if it does something else.
pub(super) fn translate(args: &[OsString]) -> Result<Vec<OsString>, CliError> {
    let args = &with_long_options(args)[..];
    let words = command_words(args);
    for (theirs, ours) in SAME {
        if let Some(count) = matching(&words, theirs) {
            let positions: Vec<_> = words.iter().take(count).map(|(at, _)| *at).collect();
            let mut translated = Vec::new();
            for (at, arg) in args.iter().enumerate() {
                if positions.first() == Some(&at) {
                    translated.extend(ours.split(' ').map(OsString::from));
                } else if !positions.contains(&at) {
                    translated.push(arg.clone());
                }
            }
            return Ok(translated);
        }
    }
    for (names, advice, ours) in DIFFERENT {
        let mut names = names.iter();
        if let Some(theirs) = names.find(|theirs| matching(&words, theirs).is_some()) {
            return Err(CliError::usage_with_remedy(
                &format!("`eectl {theirs}` is not a command"),
                Remedy::new(advice).command(ours),
            ));
        }
    }
    Ok(args.to_vec())
}

/// Replaces options with two letters after one dash, of the commands that have them.
fn with_long_options(args: &[OsString]) -> Vec<OsString> {
    let mut args = args.to_vec();
    let has_them = match command_words(&args).first() {
        Some((_, word)) => ["acl", "asset", "upload"].contains(word),
        None => false,
    };
    for arg in args.iter_mut().take_while(|arg| has_them && *arg != "--") {
        if let Some((_, long)) = TWO_LETTERS.iter().find(|(theirs, _)| *arg == *theirs) {
            *arg = long.into();
        }
    }
    args
}

/// Returns our command for a misspelled command of one word.
pub(super) fn similar(word: &str) -> Option<&'static str> {
    let words = SAME.iter().map(|(theirs, _)| *theirs);
    let near = nearest(word, words.filter(|theirs| !theirs.contains(' ')));
    let (_, ours) = SAME
        .iter()
        .find(|(theirs, _)| near.first() == Some(theirs))?;
    Some(ours)
}

/// Explains an option of another program.
pub(super) fn unknown_option(argument: &str) -> Option<CliError> {
    let name = argument.split(['=', ' ']).next()?;
    let (_, advice) = OPTIONS.iter().find(|(theirs, _)| *theirs == name)?;
    Some(CliError::usage_with_remedy(
        &format!("unexpected argument {name}"),
        Remedy::new(*advice),
    ))
}

/// Returns the first words of the command line and their positions, without global options.
fn command_words(args: &[OsString]) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut args = args.iter().enumerate().skip(1);
    while let Some((at, arg)) = args.next() {
        let Some(arg) = arg.to_str() else { break };
        if arg == "--" || words.len() == 3 {
            break;
        }
        match arg.strip_prefix("--") {
            Some(option) if takes_value(option) => drop(args.next()),
            _ if arg.starts_with('-') => {}
            _ => words.push((at, arg)),
        }
    }
    words
}

/// Returns the number of words if the command line starts with them.
fn matching(words: &[(usize, &str)], command: &str) -> Option<usize> {
    let command: Vec<_> = command.split(' ').collect();
    let starts = words.iter().map(|(_, word)| word).take(command.len());
    starts.eq(command.iter()).then_some(command.len())
}

#[cfg(test)]
mod tests {
    use super::super::{command, command_name};
    use super::*;

    fn translated(line: &str) -> Result<String, CliError> {
        let args: Vec<_> = line.split(' ').map(OsString::from).collect();
        let args = translate(&args)?;
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        Ok(args.join(" "))
    }

    #[test]
    fn foreign_commands_run_ours_with_their_options() {
        for (theirs, ours) in [
            ("eectl login --force", "eectl auth login --force"),
            (
                "eectl --project p whoami --json",
                "eectl --project p auth status --json",
            ),
            (
                "eectl --quiet config --json set project p",
                "eectl --quiet project set --json p",
            ),
            ("eectl auth application-default login", "eectl auth login"),
            (
                "eectl --service_account_file f projects list",
                "eectl --service_account_file f project list",
            ),
            ("eectl api whoami", "eectl api whoami"),
            (
                "eectl alpha project_config set --max_concurrent_exports 5",
                "eectl project config set --max_concurrent_exports 5",
            ),
            (
                "eectl asset set a -ts 2024-01-01 -te 2024-01-02",
                "eectl asset set a --time-start 2024-01-01 --time-end 2024-01-02",
            ),
            (
                "eectl acl ch -dg a@example.com -- -dg",
                "eectl acl ch --delete-group a@example.com -- -dg",
            ),
            ("eectl task list -ts", "eectl task list -ts"),
            ("eectl --project login init", "eectl --project login init"),
            ("eectl project set login", "eectl project set login"),
            ("eectl -- login", "eectl -- login"),
            ("eectl", "eectl"),
        ] {
            assert_eq!(translated(theirs).unwrap(), ours);
        }
    }

    #[test]
    fn other_foreign_commands_point_to_ours() {
        for (names, _, ours) in DIFFERENT {
            for theirs in names {
                let error = translated(&format!("eectl {theirs} x")).unwrap_err();
                let [text, _] = error.rendered();
                assert!(text.contains(ours), "{text}");
            }
        }
    }

    #[test]
    fn advice_names_existing_commands_and_hides_none() {
        let exists = |line: &str| {
            let args: Vec<_> = format!("eectl {line}")
                .split(' ')
                .map(OsString::from)
                .collect();
            let words = line.split(' ').take_while(|word| {
                word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
            });
            command_name(&args) == words.collect::<Vec<_>>().join(" ")
        };
        let ours = SAME.iter().map(|(_, ours)| *ours);
        let named = DIFFERENT
            .iter()
            .filter_map(|(_, _, line)| line.strip_prefix("eectl "));
        for line in ours.chain(named) {
            assert!(exists(line), "{line}");
        }
        let theirs = SAME.iter().map(|(theirs, _)| *theirs);
        let differing = DIFFERENT.iter().flat_map(|(names, ..)| *names);
        for line in theirs.chain(differing.copied()) {
            let mut known = &command();
            let is_ours = line.split(' ').all(|word| {
                let found = known
                    .get_subcommands()
                    .find(|inner| inner.get_name() == word);
                found.map(|found| known = found).is_some()
            });
            assert!(!is_ours, "{line} is a command of eectl");
        }
    }
}
