//! The account that a command is for.

use earthengine::credentials::AccountName;
use earthengine::{Environment, Remedy};

use crate::cli::Global;
use crate::error::CliError;

/// Returns the account that the command line or the environment names.
pub(crate) fn selected_account(
    global: &Global,
    environment: &Environment,
) -> Result<Option<AccountName>, CliError> {
    let name = match &global.account {
        Some(name) => name.parse().map(Some),
        None => environment.account(),
    };
    name.map_err(CliError::from)
}

/// Validates the name of `--account`. clap does not notice a conflict of options before and after
/// the command.
pub(crate) fn check_account(global: &Global) -> Result<(), CliError> {
    if global.account.is_some() && global.credentials.is_some() {
        return Err(CliError::usage_with_remedy(
            "--account and --credentials are given, and only one of them can be used",
            Remedy::new("Omit one of them.").command("eectl auth list"),
        ));
    }
    selected_account(global, &Environment::empty()).map(|_| ())
}

/// Rejects the options that select credentials, for a command that is about all accounts.
pub(super) fn reject_selection(global: &Global, command: &str) -> Result<(), CliError> {
    let option = match (&global.account, &global.credentials) {
        (Some(_), _) => "--account",
        (None, Some(_)) => "--credentials",
        (None, None) => return Ok(()),
    };
    Err(CliError::usage_with_remedy(
        &format!("{option} cannot be used with {command}"),
        Remedy::new("Omit the option.").command("eectl auth list"),
    ))
}
