//! Completions of shells, which ask `eectl` for the words that fit.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, Command, ValueHint};
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate, Shell};

use super::parse::command;
use crate::error::CliError;
use crate::project_names;

/// The variable with which the script of a shell asks for completions.
const VARIABLE: &str = "EECTL_COMPLETE";
const NAME: &str = "eectl";

/// Short names of scopes. A scope may also be a URL.
const SCOPES: [(&str, &str); 5] = [
    ("earthengine", "read, compute, export and change assets"),
    ("earthengine.readonly", "read and compute"),
    (
        "cloud-platform",
        "everything in Google Cloud that the account may do",
    ),
    ("devstorage.full_control", "export to Cloud Storage"),
    ("drive", "export to Google Drive"),
];
const METHODS: [&str; 5] = ["GET", "POST", "PATCH", "PUT", "DELETE"];
const MODES: [(&str, &str); 6] = [
    ("localhost", "a browser on this machine"),
    ("notebook", "a browser anywhere, with a code to copy"),
    ("gcloud", "gcloud's login"),
    (
        "gcloud-legacy",
        "gcloud's login, for old versions of gcloud",
    ),
    ("colab", "Google Colab's login"),
    ("appdefault", "Application Default Credentials"),
];

/// Answers a request of a shell's script and returns whether there was one.
///
/// # Errors
///
/// Returns an error if the request is malformed.
pub(crate) fn complete(args: &[OsString]) -> Result<bool, clap::Error> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let directory = std::env::current_dir().ok();
    CompleteEnv::with_factory(|| with_hints(command()))
        .var(VARIABLE)
        .bin(NAME)
        .try_complete(args, directory.as_deref())
}

/// Returns the script that completes commands in a shell.
pub(crate) fn script(shell: Shell) -> Result<Vec<u8>, CliError> {
    let mut script = Vec::new();
    let program = program();
    if let Some(completer) = Shells::builtins().completer(&shell.to_string()) {
        completer
            .write_registration(VARIABLE, NAME, NAME, &program, &mut script)
            .map_err(|e| CliError::io("cannot write the script", &e))?;
    }
    Ok(script)
}

/// Returns how the script starts this program: by its path, if it was started by one.
fn program() -> String {
    let started_as = std::env::args_os().next().unwrap_or_default();
    let has_directory = Path::new(&started_as).components().count() > 1;
    let path = has_directory
        .then(std::env::current_exe)
        .and_then(Result::ok);
    path.and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or_else(|| NAME.to_owned())
}

/// Adds what can be completed to the options and arguments of all commands.
fn with_hints(command: Command) -> Command {
    command.mut_args(with_hint).mut_subcommands(with_hints)
}

fn with_hint(arg: Arg) -> Arg {
    if !arg.get_action().takes_values() {
        return arg;
    }
    let id = arg.get_id().as_str().to_owned();
    let name = arg.get_value_names().and_then(|names| names.first());
    let name = name
        .map(|name| name.as_str().to_owned())
        .unwrap_or_default();
    match (id.as_str(), name.as_str()) {
        ("scopes", _) => arg.add(ArgValueCandidates::new(|| described(&SCOPES))),
        ("mode", _) => arg.add(ArgValueCandidates::new(|| described(&MODES))),
        ("method", _) => arg.add(ArgValueCandidates::new(methods)),
        ("words", _) => arg.add(ArgValueCandidates::new(methods_and_paths)),
        (_, "PROJECT") => arg.add(ArgValueCompleter::new(projects)),
        (_, "FILE" | "PATH") => arg.value_hint(ValueHint::FilePath),
        (_, "DIR") => arg.value_hint(ValueHint::DirPath),
        (_, "EMAIL") => arg.value_hint(ValueHint::EmailAddress),
        (_, "HOST") => arg.value_hint(ValueHint::Hostname),
        // Other values are free text, for which a shell would complete files.
        _ if arg.get_value_parser().possible_values().is_none() => arg.value_hint(ValueHint::Other),
        _ => arg,
    }
}

fn described(values: &[(&'static str, &'static str)]) -> Vec<CompletionCandidate> {
    let values = values.iter();
    values
        .map(|(value, help)| CompletionCandidate::new(*value).help(Some((*help).into())))
        .collect()
}

fn methods() -> Vec<CompletionCandidate> {
    METHODS.map(CompletionCandidate::new).into()
}

fn methods_and_paths() -> Vec<CompletionCandidate> {
    let paths = [
        "config",
        "value:compute",
        "algorithms",
        "operations",
        "projects/",
    ];
    methods()
        .into_iter()
        .chain(paths.map(CompletionCandidate::new))
        .collect()
}

/// Completes a project from the last list of projects.
fn projects(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let known = project_names::load().into_iter();
    known
        .filter(|(id, _)| id.starts_with(&*typed))
        .map(|(id, name)| CompletionCandidate::new(id).help(Some(name.into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use earthengine::credentials::login::LoginMode;

    use super::*;

    #[test]
    fn every_completed_mode_and_scope_is_accepted() {
        for (mode, _) in MODES {
            assert!(mode.parse::<LoginMode>().is_ok(), "{mode}");
        }
        for (scope, _) in SCOPES {
            let scopes = earthengine::Scopes::new([scope]);
            assert!(
                scopes.iter().all(|scope| scope.starts_with("https://")),
                "{scope}"
            );
        }
    }
}
