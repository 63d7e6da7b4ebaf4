//! `eectl auth`: credentials and tokens.

mod list;
pub(crate) mod login;
pub(crate) mod logout;
mod scopes;
mod status;
mod switch;

use earthengine::AccessToken;
use serde_json::json;

use crate::cli::{Auth, AuthCommand, Global};
use crate::error::CliError;
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

async fn token(global: &Global) -> Result<(), CliError> {
    let token = async {
        let found = super::builder(global).find_credentials().await?;
        Ok::<_, earthengine::Error>(found.credentials.token().await?)
    };
    let token = token.await.map_err(CliError::init)?;
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
