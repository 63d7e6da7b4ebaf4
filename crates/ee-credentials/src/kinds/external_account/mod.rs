//! Workload and workforce identity federation: a file of the type `external_account`. The token of
//! another identity provider, the *subject token*, is exchanged for one of Google's (RFC 8693,
//! AIP-4117).

pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod source;
pub(crate) mod subject_token;

mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod id_token;

use std::future::Future;
use std::sync::Arc;

use ::url::Url;
use ee_token::internal::UrlField;
use ee_token::{Endpoint, HttpClient, SecretString};

use crate::input::allowed_hosts;
use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::input::universe::check_universe;
use crate::kinds::credential::Credential;
use crate::kinds::external_account::config::ExternalAccountConfig;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::exchange::{Impersonation, TokenExchange};
use crate::kinds::external_account::source::Source;
use crate::kinds::identity::Identity;
use crate::{CredentialKind, CredentialOptions, Error};

pub(crate) fn load(
    object: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    check_universe(object)?;
    let account = ExternalAccountConfig::from_object(object)?;
    account.check(&object.location)?;
    let source = Source::from_object(object, &account.subject_token_type, options)?;
    assemble(account, source, &object.location, options)
}

/// Creates a federated credential whose subject tokens come from the caller.
pub(crate) fn from_closure<F, Fut>(
    account: ExternalAccountConfig,
    supply: F,
    options: &CredentialOptions,
) -> Result<Credential, Error>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<SecretString, ee_token::Error>> + Send + 'static,
{
    account.check(&Location::InMemory)?;
    let source = Source::Closure(Box::new(move || Box::pin(supply())));
    assemble(account, source, &Location::InMemory, options)
}

/// Validates the URLs, and creates the credential.
fn assemble(
    account: ExternalAccountConfig,
    source: Source,
    location: &Location,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    options.reject_subject(CredentialKind::ExternalAccount)?;
    let token_url = match &account.token_url {
        Some(url) => {
            allowed_hosts::check(url, ("token_url", UrlField::TokenUrl), location, options)?
        }
        None => default_token_url(&options.http, location)?,
    };
    let quota_project = account.quota_project.clone();
    let project = account.project_number().map(str::to_owned);
    let impersonation = Impersonation::new(&account, location, options)?;
    let email = impersonation.as_ref().map(|i| i.email.clone());
    let scopes = options.scopes.clone().unwrap_or_default();
    let identity = match &email {
        Some(email) => Identity::account(email.as_str()),
        None => Identity::member_of(Some(account.audience.as_str())),
    };
    let context = Context {
        http: options.http.clone(),
        environment: options.environment.clone(),
        location: location.clone(),
        audience: account.audience.clone(),
        subject_token_type: account.subject_token_type.clone(),
        email: email.clone(),
    };
    let exchange = Arc::new(TokenExchange::new(
        context,
        source,
        token_url,
        account,
        impersonation,
        scopes.clone(),
    ));
    let mut credential = Credential::new(CredentialKind::ExternalAccount, exchange.clone())
        .identity(identity)
        .principal(email)
        .quota_project(quota_project)
        .project(project)
        .scopes(Some(scopes));
    credential.id_tokens = exchange.id_tokens();
    Ok(credential)
}

fn default_token_url(http: &HttpClient, location: &Location) -> Result<Url, Error> {
    http.endpoints()
        .url(Endpoint::Sts)
        .join("v1/token")
        .map_err(|_| location.invalid("Google's token exchange has no URL"))
}

#[cfg(test)]
mod tests;
