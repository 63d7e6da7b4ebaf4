//! Files of the type `impersonated_service_account`.

use std::collections::BTreeSet;

use ee_token::internal::UrlField;
use ee_token::internal::is_google_sdk_project;
use ee_token::{Scopes, TokenCache};
use serde::Deserialize;
use url::Url;

use crate::iam;
use crate::iam::account::{InvalidRoute, Route, iam_scopes};
use crate::input::allowed_hosts;
use crate::input::json::{JsonObject, ProjectId};
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::input::universe::check_universe;
use crate::kinds;
use crate::kinds::credential::Credential;
use crate::kinds::identity::Identity;
use crate::kinds::impersonated::{DEFAULT_LIFETIME, ImpersonatedServiceAccount};
use crate::{CredentialKind, CredentialOptions, Error};

const URL: &str = "service_account_impersonation_url";
const SOURCE: &str = "source_credentials";
/// The nesting limit of sources. Chains of accounts belong in `delegates`.
const MAX_DEPTH: usize = 4;

#[derive(Deserialize)]
struct ImpersonatedServiceAccountFile {
    service_account_impersonation_url: String,
    delegates: Option<Vec<String>>,
    scopes: Option<Scopes>,
    quota_project_id: Option<ProjectId>,
}

/// Reads the file, and the credential in its `source_credentials`.
pub(crate) fn load(
    object: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    check_universe(object)?;
    options.reject_subject(CredentialKind::ImpersonatedServiceAccount)?;
    let is_source = matches!(object.location, Location::Part { .. });
    if !is_source {
        check_chain(object)?;
    }
    let file: ImpersonatedServiceAccountFile = object.read()?;
    let (url, route) = route(object, &file, options)?;
    // The file's scopes are for its user. As a source it needs the scope of IAM alone.
    let scopes = file
        .scopes
        .filter(|scopes| !is_source && !scopes.is_empty())
        .or_else(|| options.scopes.clone())
        .unwrap_or_default();
    let part = object.object(SOURCE)?;
    let source = kinds::load_object(&part, &source_options(&part, options)?)?;
    if let Some(project) = &source.quota_project
        && is_google_sdk_project(project)
    {
        return Err(part.location.invalid_field(
            "quota_project_id",
            format_args!("is {project}, which belongs to a Google SDK and can never be billed"),
        ));
    }
    let tokens = TokenCache::from(source.source);
    let account = ImpersonatedServiceAccount {
        http: options.http.clone(),
        url,
        route,
        scopes,
        lifetime: options.token_lifetime(DEFAULT_LIFETIME),
        source: tokens.clone(),
        // As in google-auth, neither the options nor a variable replaces that of the source.
        source_quota_project: source.quota_project,
        source_principal: source.principal,
    };
    let identity = Identity::impersonated(&account.route.target, source.kind, &source.identity);
    Ok(account
        .into_credential()
        .login(source.login.map(|login| login.with_tokens_from(&tokens)))
        .identity(identity)
        .quota_project(file.quota_project_id.map(ProjectId::into_string)))
}

/// Returns the options of the source: a request that must name scopes names the scope of IAM. A
/// user login has the scopes that were granted.
fn source_options(
    source: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<CredentialOptions, Error> {
    let kind: String = source.field("type")?;
    let scopes = match kind.as_str() {
        "authorized_user" | "external_account_authorized_user" => None,
        "service_account" | "external_account" | "impersonated_service_account" => {
            Some(iam_scopes())
        }
        other => {
            return Err(source.location.invalid_field(
                "type",
                format_args!(
                    "is {:?}, and must be service_account, authorized_user, external_account, external_account_authorized_user or impersonated_service_account",
                    clipped(other)
                ),
            ));
        }
    };
    Ok(CredentialOptions {
        scopes,
        subject: None,
        self_signed_jwt: false,
        quota_project: None,
        ..options.clone()
    })
}

/// Validates the URL that issues the tokens, and the accounts that it and `delegates` name.
fn route(
    object: &JsonObject<'_>,
    file: &ImpersonatedServiceAccountFile,
    options: &CredentialOptions,
) -> Result<(Url, Route), Error> {
    let location = &object.location;
    let url = allowed_hosts::check(
        &file.service_account_impersonation_url,
        (URL, UrlField::Impersonation),
        location,
        options,
    )?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(location.invalid_field(URL, "has a query or a fragment"));
    }
    let Some(target) = iam::target(&url) else {
        return Err(location.invalid_field(
            URL,
            "does not end with a service account's email address and \":generateAccessToken\"",
        ));
    };
    match Route::new(&target, file.delegates.iter().flatten()) {
        Ok(route) => Ok((url, route)),
        Err(InvalidRoute::NotAnAccount(name)) if name == target => {
            Err(location.invalid_field(URL, "does not contain a service account's email address"))
        }
        Err(InvalidRoute::NotAnAccount(name)) => Err(location.invalid_field(
            "delegates",
            format_args!(
                "contains {:?}, which is not a service account's email address",
                clipped(&name)
            ),
        )),
        Err(InvalidRoute::Repeated(email)) => Err(location.invalid_field(
            "delegates",
            format_args!("contains {email} twice, so the impersonation goes in a circle"),
        )),
    }
}

/// Rejects sources that are nested too deeply, and an account that occurs twice.
fn check_chain(object: &JsonObject<'_>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let mut at = object.clone();
    for _ in 0..MAX_DEPTH {
        let url = at.field::<Option<String>>(URL)?;
        let url = url.and_then(|text| Url::parse(&text).ok());
        if let Some(target) = url.as_ref().and_then(iam::target)
            && !seen.insert(target.clone())
        {
            return Err(at.location.invalid_field(
                URL,
                format_args!("names {target} again, so the impersonation goes in a circle"),
            ));
        }
        if !at.has(SOURCE) {
            return Ok(());
        }
        at = at.object(SOURCE)?;
        if at.kind()?.as_deref() != Some(CredentialKind::ImpersonatedServiceAccount.as_str()) {
            return Ok(());
        }
    }
    Err(object.location.invalid_field(
        SOURCE,
        format_args!("nests more than {MAX_DEPTH} impersonations; use `delegates` instead"),
    ))
}
