//! What can be said on the command line.

mod api;
mod project;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use earthengine::credentials::check_path_flag;

pub(crate) use api::Api;
pub(crate) use project::{Project, ProjectCommand, ProjectId};

use crate::command::auth::login::Login;
use crate::command::auth::logout::Logout;
use crate::error::CliError;

/// Get into Google Earth Engine: find credentials, get a token, verify the project, make requests.
#[derive(Debug, Parser)]
#[command(name = "eectl", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that name a file or a directory.
const PATH_FLAGS: [&str; 4] = ["--credentials", "--input", "--write-credentials", "--dir"];

/// The error for an option that names a file and was given something else: the key itself, for
/// example, which is not shown. Read before the rest of the command line, since a PEM block looks
/// like an option.
pub(crate) fn check_paths(words: &[OsString]) -> Result<(), CliError> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(Path::new(value))),
            None => (&*text, None),
        };
        if !PATH_FLAGS.contains(&flag) {
            continue;
        }
        if let Some(value) = value.or_else(|| Some(Path::new(words.next()?))) {
            check_path_flag(flag, value).map_err(|error| CliError::login(&error))?;
        }
    }
    Ok(())
}

/// What every command understands, before and after its name.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The Cloud project to route requests through and bill them to
    #[arg(long, global = true, value_name = "P")]
    pub(crate) project: Option<String>,

    /// A credential file of any type that Application Default Credentials know
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Acts as this service account, through the credentials that are given or found
    #[arg(long, global = true, value_name = "EMAIL")]
    pub(crate) impersonate: Option<String>,

    /// The scopes to ask for, short or whole, separated by commas
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,

    /// Allow credential files to send requests to this host (repeatable)
    #[arg(long, global = true, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,

    /// Asks for a new access token, and keeps none for the next command
    #[arg(long, global = true)]
    pub(crate) no_token_cache: bool,

    /// Prints JSON: the result on standard output, a failure on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Says what is done; twice for every detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Finds credentials, gets a token and verifies the project
    Init(Init),
    /// Works with credentials
    Auth(Auth),
    /// The same as `auth login`, as the Python client's command calls it
    #[command(hide = true)]
    Authenticate(Login),
    /// Works with Cloud projects
    Project(Project),
    /// Checks every link from the credentials to a computed value, and says what to do
    Doctor,
    /// Makes a request and prints the reply's body
    Api(Api),
    /// Runs an emulator of Google's hosts on loopback until it is stopped
    Emulator(Emulator),
    /// Prints a script that completes this command in a shell
    Completions(Completions),
    /// Prints the manual page, or writes one for every command
    Man(Man),
    /// `project set`, as the Python client's command spells it
    #[command(name = "set_project", hide = true)]
    SetProject(ProjectId),
    /// `project unset`, as the Python client's command spells it
    #[command(name = "unset_project", hide = true)]
    UnsetProject,
}

impl Command {
    /// Whether an emulator changes what the command does, or where a login comes from.
    pub(crate) fn uses_hosts(&self) -> bool {
        !matches!(
            self,
            Self::Emulator(_) | Self::Completions(_) | Self::Man(_)
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Waits this long for what takes a few minutes to be known everywhere: an API that was
    /// just enabled, a role that was just granted, a project that was just registered
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Auth {
    #[command(subcommand)]
    pub(crate) command: AuthCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Logs a person in, into the file that the Python client shares
    #[command(alias = "authenticate")]
    Login(Login),
    /// Removes that file; with --revoke, the login ends at Google too
    Logout(Logout),
    /// Prints the scopes of the current token, one a line
    Scopes,
    /// Shows who is logged in, with which credentials, and what their token is good for
    Status,
    /// Prints an access token, and nothing else
    Token,
}

#[derive(Debug, Args)]
pub(crate) struct Emulator {
    /// The port to listen on; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = 8090)]
    pub(crate) port: u16,

    /// A folder to write credentials into that the emulator accepts
    #[arg(long, value_name = "DIR")]
    pub(crate) write_credentials: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// A folder to write a page for every command into, instead of printing the first one
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use earthengine::token::is_unsafe_for_display;
    use proptest::prelude::*;
    use proptest::{collection, sample};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// The long names of the options of a command and those below it that take such a value.
    fn options(command: &clap::Command, all: &mut Vec<String>) {
        for argument in command.get_arguments() {
            let names = argument.get_value_names().unwrap_or_default();
            if names
                .iter()
                .any(|name| matches!(name.as_str(), "FILE" | "DIR"))
            {
                all.extend(argument.get_long().map(|long| format!("--{long}")));
            }
        }
        command
            .get_subcommands()
            .for_each(|command| options(command, all));
    }

    #[test]
    fn every_option_with_a_path_is_checked() {
        let mut all = Vec::new();
        options(&Arguments::command(), &mut all);
        all.sort();
        let mut known = PATH_FLAGS;
        known.sort_unstable();
        assert_eq!(all, known);
        for flag in PATH_FLAGS {
            for line in [format!("{flag}=ya29.x"), format!("init {flag} -----BEGIN")] {
                let words: Vec<_> = line.split(' ').map(OsString::from).collect();
                assert_eq!(check_paths(&words).unwrap_err().exit_status(), 4, "{line}");
            }
            check_paths(&[flag.into(), "key.json".into()]).unwrap();
            check_paths(&[flag.into()]).unwrap();
        }
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        for line in [
            "eectl --project p --scopes a,b --json init",
            "eectl init --project p --scopes a --scopes b --json",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
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

    /// Words of any bytes, most of them near to what is understood.
    fn words() -> impl Strategy<Value = Vec<OsString>> {
        let odd = collection::vec(any::<u8>(), 0..12);
        let odd = odd.prop_map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(broken) => of_bytes(broken.into_bytes()),
        });
        let text = any::<String>().prop_map(OsString::from);
        let known = sample::select(&KNOWN[..]).prop_map(OsString::from);
        let steering = sample::select(&["\u{1b}[2J", "--\u{202e}x", "a=\u{200b}\r"][..]);
        let steering = steering.prop_map(OsString::from);
        collection::vec(
            prop_oneof![4 => known, 1 => odd, 1 => text, 1 => steering],
            0..6,
        )
    }

    #[cfg(unix)]
    fn of_bytes(bytes: Vec<u8>) -> OsString {
        std::os::unix::ffi::OsStringExt::from_vec(bytes)
    }

    #[cfg(not(unix))]
    fn of_bytes(bytes: Vec<u8>) -> OsString {
        String::from_utf8_lossy(&bytes).into_owned().into()
    }

    proptest! {
        #[test]
        fn whatever_is_on_the_command_line_is_read_or_an_error_that_steers_no_terminal(words in words()) {
            let line = [OsString::from("eectl")].into_iter().chain(words);
            if let Err(error) = Arguments::try_parse_from(line) {
                let failure = crate::error::CliError::usage(&error);
                prop_assert_eq!(failure.exit_status(), 2);
                let steers = |c: char| is_unsafe_for_display(c) && !matches!(c, '\n' | '\t');
                for text in failure.texts() {
                    prop_assert!(!text.contains(steers), "{:?}", text);
                }
            }
        }
    }
}
