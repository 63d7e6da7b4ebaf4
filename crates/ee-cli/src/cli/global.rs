//! The options of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// The options of every command, allowed before and after its name.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Use this Cloud project, given as an ID or a number
    #[arg(long, global = true, value_name = "PROJECT")]
    pub(crate) project: Option<String>,

    /// Use this credential file, of any type that Application Default Credentials support
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Use this account, which `eectl auth login --account NAME` creates
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) account: Option<String>,

    /// Impersonate this service account
    #[arg(long, global = true, value_name = "EMAIL")]
    pub(crate) impersonate: Option<String>,

    /// Request these scopes, separated by commas, as URLs or short names
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,

    /// Allow credential files to send requests to this host: HOST, HOST:PORT or http://HOST (repeatable)
    #[arg(long, global = true, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,

    /// Request a new access token and do not cache it on disk
    #[arg(long, global = true)]
    pub(crate) no_token_cache: bool,

    /// Print the result as JSON on standard output, and an error as JSON on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log each step to standard error; repeat for more detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}
