//! `eectl auth`: credentials and tokens.

mod list;
pub(crate) mod login;
pub(crate) mod logout;
mod scopes;
mod status;
mod switch;

use earthengine::credentials::AccountName;
use earthengine::{AccessToken, Environment, Remedy};
use serde_json::json;

use crate::cli::{Auth, AuthCommand, Global};
use crate::error::{CliError, Phase};
use crate::output::{print_json_with_secrets, print_raw};

pub(crate) async fn run(global: &Global, auth: &Auth) -> Result<(), CliError> {
    match &auth.command {
        AuthCommand::Login(login) => login::run(global, login).await,
        AuthCommand::Logout(logout) => logout::run(global, logout).await,
        AuthCommand::List(arguments) => list::run(global, arguments),
        AuthCommand::Switch(switch) => switch::run(global, switch),
        AuthCommand::Scopes => scopes::run(global).await,
        AuthCommand::Status => status::run(global).await,
        AuthCommand::Token => token(global).await,
    }
}

/// Returns the account that the command line or the environment names.
pub(crate) fn account(
    global: &Global,
    environment: &Environment,
) -> Result<Option<AccountName>, CliError> {
    let name = match &global.account {
        Some(name) => name.parse().map(Some),
        None => environment.account(),
    };
    name.map_err(|error| CliError::login(&error))
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
    account(global, &Environment::empty()).map(|_| ())
}

/// Rejects the options that select credentials, for a command that is about all accounts.
fn reject_selection(global: &Global, command: &str) -> Result<(), CliError> {
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

async fn token(global: &Global) -> Result<(), CliError> {
    let token = async {
        let found = super::builder(global).find_credentials().await?;
        Ok::<_, earthengine::Error>(found.credentials.token().await?)
    };
    let token = token
        .await
        .map_err(|error| CliError::new(&error, Phase::Init))?;
    if global.json {
        let json = json!({"access_token": token.secret(), "expires_at": expires_at(&token)});
        return print_json_with_secrets(&json);
    }
    print_raw(format!("{}\n", token.secret()))
}

/// Formats the expiry of a token, if it is known.
fn expires_at(token: &AccessToken) -> Option<String> {
    let expiry = token.expires_at()?;
    Some(expiry.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
