//! The command line.

mod api;
pub(crate) mod asset;
mod broker;
mod completion;
mod foreign;
mod global;
pub(crate) mod help;
mod init;
mod parse;
mod project;
pub(crate) mod task;
pub(crate) mod upload;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use earthengine::credentials::check_path_flag;

pub(crate) use api::Api;
pub(crate) use broker::{Exec, Serve};
pub(crate) use completion::{complete, script};
pub(crate) use global::Global;
pub(crate) use init::Init;
pub(crate) use parse::{Rejection, command, parse, requested_color};
pub(crate) use project::{ListProjects, Project, ProjectCommand, ProjectConfigCommand, SetProject};

use crate::command::auth::login::Login;
use crate::command::auth::logout::Logout;
use crate::error::CliError;
use crate::table::ListOptions;

/// Command-line client for Google Earth Engine: log in, select a project, diagnose problems, call
/// the API
#[derive(Debug, Parser)]
#[command(
    name = "eectl",
    version,
    arg_required_else_help = true,
    disable_help_flag = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options whose value is a file or a directory.
const PATH_FLAGS: [&str; 12] = [
    "--credentials",
    "--dir",
    "--input",
    "--manifest",
    "--output",
    "--config",
    "--connect",
    "--ledger",
    "--service-account-file",
    "--service_account_file",
    "--unix",
    "--write-credentials",
];

/// Returns the arguments of `eectl`, without those of a command that it runs.
pub(crate) fn own_arguments(args: &[OsString]) -> &[OsString] {
    let end = args.iter().position(|arg| arg == "--");
    args.get(..end.unwrap_or(args.len())).unwrap_or(args)
}

/// Rejects an option whose value should be a path and is something else, such as the key itself,
/// without showing the value.
///
/// This runs before the command line is parsed, because a PEM block looks like an option.
pub(crate) fn check_paths(args: &[OsString]) -> Result<(), CliError> {
    let mut args = own_arguments(args).iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(Path::new(value))),
            None => (&*text, None),
        };
        if !PATH_FLAGS.contains(&flag) {
            continue;
        }
        if let Some(value) = value.or_else(|| Some(Path::new(args.next()?))) {
            check_path_flag(flag, value)?;
        }
    }
    Ok(())
}

/// Returns the name of the command in a command line, which may be invalid: `project check`.
pub(crate) fn command_name(args: &[OsString]) -> String {
    let Ok(args) = &foreign::translate(args) else {
        return String::new();
    };
    let mut command = &command();
    let mut names = Vec::new();
    let mut args = own_arguments(args).iter().skip(1);
    while let Some(arg) = args.next() {
        if let Some(found) = command.find_subcommand(arg) {
            names.push(found.get_name());
            command = found;
        } else if let Some(option) = arg.to_str().and_then(|arg| arg.strip_prefix("--"))
            && takes_value(option)
        {
            args.next();
        }
    }
    names.join(" ")
}

/// Returns whether the next argument is the value of this global option.
fn takes_value(option: &str) -> bool {
    let command = command();
    let mut options = command.get_arguments();
    options.any(|known| {
        let aliases = known.get_all_aliases().unwrap_or_default();
        let is_it = known.get_long() == Some(option) || aliases.contains(&option);
        is_it && known.get_action().takes_values()
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find credentials and verify the project
    Init(Init),
    /// Log in and out, show credentials and tokens
    Auth(Auth),
    /// Log in: an alias of `auth login` for users of the Python client
    #[command(hide = true)]
    Authenticate(Login),
    /// List, select and check Cloud projects
    Project(Project),
    /// List, show, create, copy, move, change and delete assets
    Asset(asset::Asset),
    /// List, show, cancel and wait for tasks: exports and imports
    Task(task::Task),
    /// Import files in Cloud Storage as assets
    Upload(Box<upload::Upload>),
    /// Check every step from the credentials to a computed value
    Doctor,
    /// Send a request and print the response body
    Api(Api),
    /// Run an emulator of Google's hosts on this machine
    Emulator(Emulator),
    /// Run a command whose Google clients get tokens from this login, and no other credentials
    Exec(Exec),
    /// Serve this login's tokens to the Google clients of this machine
    Serve(Serve),
    /// Print a shell completion script
    Completions(Completions),
    /// Print the manual page, or write a page for each command
    Man(Man),
    /// Set the project: an alias of `project set` for users of the Python client
    #[command(name = "set_project", hide = true)]
    SetProject(SetProject),
    /// Remove the project: an alias of `project unset` for users of the Python client
    #[command(name = "unset_project", hide = true)]
    UnsetProject,
    /// List assets: an alias of `asset list`
    #[command(hide = true)]
    Ls(asset::List),
    /// Copy an asset: an alias of `asset copy`
    #[command(hide = true)]
    Cp(asset::Copy),
    /// Move an asset: an alias of `asset move`
    #[command(hide = true)]
    Mv(asset::Move),
    /// Delete assets: an alias of `asset delete`
    #[command(hide = true)]
    Rm(asset::Delete),
    /// Create assets: an alias of `asset create` for users of the Python client
    #[command(hide = true)]
    Create(asset::Create),
    /// Show sizes: an alias of `asset du` for users of the Python client
    #[command(hide = true)]
    Du(asset::Du),
    /// Control access: an alias of `asset acl` for users of the Python client
    #[command(hide = true)]
    Acl(asset::Acl),
}

impl Command {
    /// Returns whether the command sends requests or uses a login, so that a configured emulator
    /// affects it.
    pub(crate) fn uses_hosts(&self) -> bool {
        !matches!(
            self,
            Self::Emulator(_) | Self::Completions(_) | Self::Man(_)
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct Auth {
    #[command(subcommand)]
    pub(crate) command: AuthCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Log in as a user and save the login where the Python client finds it
    #[command(alias = "authenticate")]
    Login(Login),
    /// Remove the saved login, and revoke it with --revoke
    Logout(Logout),
    /// List the accounts and show which one is active
    #[command(visible_alias = "ls")]
    List(ListAccounts),
    /// Make another account the active one, for your programs and for those in Python
    Switch(Switch),
    /// Print the scopes of the current token, one per line
    Scopes,
    /// Show the credentials in use, their account and the scopes of their token
    Status,
    /// Print an access token
    Token,
}

#[derive(Debug, Args)]
pub(crate) struct ListAccounts {
    #[command(flatten)]
    pub(crate) list: ListOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The account; `eectl auth list` shows them
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Emulator {
    /// Listen on this port; 0 selects a free one
    #[arg(long, value_name = "N", default_value_t = 8090)]
    pub(crate) port: u16,

    /// Read projects, users, OAuth clients and the machine from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Write credentials that the emulator accepts into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) write_credentials: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell to complete commands in
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use earthengine::token::internal::is_unsafe_for_display;
    use proptest::prelude::*;
    use proptest::{collection, sample};

    use super::*;

    #[test]
    fn command_line_definition_is_consistent() {
        command().debug_assert();
        help::with_pages(command(), 80).debug_assert();
    }

    /// Collects the long names of the path options of a command and its subcommands.
    fn options(command: &clap::Command, all: &mut Vec<String>) {
        for argument in command.get_arguments() {
            let names = argument.get_value_names().unwrap_or_default();
            if names
                .iter()
                .any(|name| matches!(name.as_str(), "FILE" | "DIR" | "PATH"))
            {
                let aliases = argument.get_all_aliases().unwrap_or_default();
                let names = argument.get_long().into_iter().chain(aliases);
                all.extend(names.map(|long| format!("--{long}")));
            }
        }
        command
            .get_subcommands()
            .for_each(|command| options(command, all));
    }

    #[test]
    fn every_option_with_a_path_is_checked() {
        let mut all = Vec::new();
        options(&command(), &mut all);
        all.sort();
        // Commands may share an option.
        all.dedup();
        let mut known = PATH_FLAGS;
        known.sort_unstable();
        assert_eq!(all, known);
        for flag in PATH_FLAGS {
            for line in [format!("{flag}=ya29.x"), format!("init {flag} -----BEGIN")] {
                let args: Vec<_> = line.split(' ').map(OsString::from).collect();
                assert_eq!(check_paths(&args).unwrap_err().exit_status(), 4, "{line}");
            }
            check_paths(&[flag.into(), "key.json".into()]).unwrap();
            check_paths(&[flag.into()]).unwrap();
        }
    }

    #[test]
    fn global_options_work_before_and_after_the_command() {
        for line in [
            "eectl --project p --scopes a,b --json init",
            "eectl init --project p --scopes a --scopes b --json",
        ] {
            let args: Vec<_> = line.split(' ').map(OsString::from).collect();
            let arguments = parse(&args).ok().unwrap();
            assert_eq!(arguments.global.project.as_deref(), Some("p"));
            assert_eq!(arguments.global.scopes, ["a", "b"]);
            assert!(arguments.global.json);
        }
    }

    #[rustfmt::skip]
    const KNOWN: [&str; 27] = [
        "init", "auth", "login", "project", "set", "check", "api", "doctor", "man", "emulator",
        "completions", "--project", "--credentials", "--scopes", "--query", "--port", "--mode",
        "--timeout", "--wait", "-f", "-F", "-H", "-X", "-", "--", "-vv", "--json",
    ];

    /// Arguments of arbitrary bytes, most of them close to valid ones.
    fn arguments() -> impl Strategy<Value = Vec<OsString>> {
        let odd = collection::vec(any::<u8>(), 0..12);
        let odd = odd.prop_map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(invalid) => from_bytes(invalid.into_bytes()),
        });
        let text = any::<String>().prop_map(OsString::from);
        let known = sample::select(&KNOWN[..]).prop_map(OsString::from);
        let unsafe_text = sample::select(&["\u{1b}[2J", "--\u{202e}x", "a=\u{200b}\r"][..]);
        let unsafe_text = unsafe_text.prop_map(OsString::from);
        collection::vec(
            prop_oneof![4 => known, 1 => odd, 1 => text, 1 => unsafe_text],
            0..6,
        )
    }

    #[cfg(unix)]
    fn from_bytes(bytes: Vec<u8>) -> OsString {
        std::os::unix::ffi::OsStringExt::from_vec(bytes)
    }

    #[cfg(not(unix))]
    fn from_bytes(bytes: Vec<u8>) -> OsString {
        String::from_utf8_lossy(&bytes).into_owned().into()
    }

    proptest! {
        #[test]
        fn invalid_command_line_is_a_printable_usage_error(arguments in arguments()) {
            let line = [OsString::from("eectl")].into_iter().chain(arguments);
            if let Err(rejection) = parse(&line.collect::<Vec<_>>()) {
                let error = match rejection {
                    Rejection::Clap(error) => CliError::usage(&error),
                    Rejection::Usage(error) => error,
                };
                prop_assert_eq!(error.exit_status(), 2);
                let is_unsafe = |c: char| is_unsafe_for_display(c) && !matches!(c, '\n' | '\t');
                for text in error.rendered() {
                    prop_assert!(!text.contains(is_unsafe), "{:?}", text);
                }
            }
        }
    }
}
