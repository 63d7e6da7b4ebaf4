//! What can be said on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::command::auth::login::Login;
use crate::command::auth::logout::Logout;

/// Get into Google Earth Engine: find credentials, get a token, verify the project, make requests.
#[derive(Debug, Parser)]
#[command(name = "eectl", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
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

    /// The scopes to ask for, short or whole, separated by commas
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,

    /// A host that a credential file may name although it is not Google's (repeatable)
    #[arg(long, global = true, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,

    /// Prints JSON: the result on standard output, a failure on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Says nothing but the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Says what is done; twice for every detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Finds credentials, gets a token and verifies the project
    Init,
    /// Works with credentials
    Auth(Auth),
    /// The same as `auth login`, as the Python client's command calls it
    #[command(hide = true)]
    Authenticate(Login),
    /// Makes a request and prints the reply's body
    Api(Api),
    /// Runs an emulator of Google's hosts on loopback until it is stopped
    Emulator(Emulator),
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
    /// Prints an access token, and nothing else
    Token,
}

#[derive(Debug, Args)]
pub(crate) struct Api {
    /// GET, POST, PATCH, PUT or DELETE (without one: POST with --input, GET otherwise), then
    /// the path: `config` is put under v1/projects/P/, `projects/…` under v1/
    #[arg(value_name = "[METHOD] PATH", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<String>,

    /// A file with the request's body, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// A query parameter (repeatable)
    #[arg(long, value_name = "K=V", value_parser = key_and_value)]
    pub(crate) query: Vec<(String, String)>,
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

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a query parameter is written key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
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
}
