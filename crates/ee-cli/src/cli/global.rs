//! The options of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::style::ColorChoice;

/// The options of every command, allowed before and after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Use this Cloud project, given as an ID or a number
    #[arg(long, global = true, value_name = "PROJECT")]
    pub(crate) project: Option<String>,

    /// Use this credential file, of any type that Application Default Credentials support
    // `--service_account_file` is the name in the Python client's command.
    #[arg(long, global = true, value_name = "FILE", aliases = ["service_account_file", "service-account-file"])]
    pub(crate) credentials: Option<PathBuf>,

    /// Use this account, which `eectl auth login --account NAME` creates
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) account: Option<String>,

    /// Impersonate this service account
    // The alias is the name in gcloud.
    #[arg(
        long,
        global = true,
        value_name = "EMAIL",
        alias = "impersonate-service-account"
    )]
    pub(crate) impersonate: Option<String>,

    /// Request these scopes, separated by commas, as URLs or short names
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,

    /// Allow credential files to send requests to this host: HOST, HOST:PORT or http://HOST
    /// (repeatable)
    #[arg(long, global = true, value_name = "HOST", hide_short_help = true)]
    pub(crate) allow_host: Vec<String>,

    /// Request a new access token and do not cache it on disk
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) no_token_cache: bool,

    /// Print the result as JSON on standard output, and an error as JSON on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Filter the JSON of the result with a jq expression; implies --json
    #[arg(long, global = true, value_name = "EXPR")]
    pub(crate) jq: Option<String>,

    /// Use color: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) color: ColorChoice,

    /// Print only the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log each step to standard error; repeat for more detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print help: a summary with -h, everything with --help
    #[arg(short, long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
}
