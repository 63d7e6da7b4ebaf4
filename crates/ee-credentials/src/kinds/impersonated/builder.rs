//! Impersonating a service account with other credentials.

use std::sync::Arc;
use std::time::Duration;

use ee_token::{Remedy, Scopes, TokenCache};

use crate::iam::account::{InvalidRoute, Route, url_of};
use crate::input::quote::clipped;
use crate::kinds::impersonated::config::ImpersonationConfig;
use crate::kinds::impersonated::{DEFAULT_LIFETIME, ImpersonatedServiceAccount};
use crate::{CredentialKind, CredentialOptions, Credentials, Error, ErrorKind};
use ee_token::internal::is_google_sdk_project;

/// The longest lifetime that an organization's policy can allow.
const MAX_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// A builder of credentials that impersonate a service account, from [`Credentials::impersonate`].
///
/// ```no_run
/// use std::time::Duration;
/// use ee_credentials::{Credentials, CredentialOptions};
/// use ee_token::Scopes;
///
/// # fn f(mine: Credentials) -> Result<(), ee_credentials::Error> {
/// let reader = mine
///     .impersonate("reader@my-project.iam.gserviceaccount.com")
///     .scopes(Scopes::new(["earthengine.readonly"]))
///     .lifetime(Duration::from_secs(900))
///     .build(&CredentialOptions::default())?;
/// assert_eq!(reader.principal(), Some("reader@my-project.iam.gserviceaccount.com"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "no credentials are created until `build` is called"]
pub struct ImpersonationBuilder {
    source: Credentials,
    step: ImpersonationConfig,
}

impl Credentials {
    /// Impersonates the service account with this email address. The principal of these
    /// credentials needs the role Service Account Token Creator on it. The arguments are validated
    /// by [`ImpersonationBuilder::build`]; the first token sends the first request.
    pub fn impersonate(&self, email: impl Into<String>) -> ImpersonationBuilder {
        ImpersonationBuilder::new(
            self.clone(),
            ImpersonationConfig {
                target: email.into().trim().to_owned(),
                delegates: Vec::new(),
                scopes: None,
                lifetime_seconds: None,
                quota_project: None,
            },
        )
    }
}

impl ImpersonationBuilder {
    pub(crate) fn new(source: Credentials, step: ImpersonationConfig) -> Self {
        Self { source, step }
    }

    /// Sets the accounts between the credentials and the target. The credentials need the role on
    /// the first, the first on the second, and the last on the target.
    pub fn delegates<S: Into<String>>(mut self, emails: impl IntoIterator<Item = S>) -> Self {
        self.step.delegates = emails.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the scopes to request. Defaults to those of the options.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.step.scopes = Some(scopes.iter().map(str::to_owned).collect());
        self
    }

    /// Sets the lifetime of a token. Defaults to one hour. More, up to 12 hours, requires the
    /// organization policy `iam.allowServiceAccountCredentialLifetimeExtension`.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.step.lifetime_seconds = Some(lifetime.as_secs());
        self
    }

    /// Creates the account's credentials. A source that came from a file is read again, in the
    /// calling thread.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] for an invalid email address, a circle of accounts, a lifetime
    /// outside of 1 s to 12 h, and a source that is an API key or not valid for Google Cloud.
    pub fn build(self, options: &CredentialOptions) -> Result<Credentials, Error> {
        let Self { source, step } = self;
        options.reject_subject(CredentialKind::ImpersonatedServiceAccount)?;
        check_source(&source, &step.target)?;
        let scopes = step.scopes.as_ref().map(Scopes::new);
        let account = ImpersonatedServiceAccount {
            http: options.http.clone(),
            route: route(&source, &step)?,
            url: url_of(&options.http, &step.target)?,
            scopes: scopes
                .filter(|scopes| !scopes.is_empty())
                .or_else(|| options.scopes.clone())
                .unwrap_or_default(),
            lifetime: options.token_lifetime(lifetime(&step)?),
            source: tokens_for_iam(&source)?,
            source_quota_project: source.quota_project().map(Box::from),
            source_principal: source.principal().map(Arc::from),
        };
        let credential = account.into_credential().project(source.project());
        let quota_project = step.quota_project.clone().or(options.quota_project.clone());
        let options = CredentialOptions {
            quota_project,
            ..options.clone()
        };
        Ok(Credentials::new(credential, &options).with_impersonated_from(source, step))
    }
}

fn invalid(why: String, remedy: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOptions, why).with_remedy(Remedy::new(remedy))
}

/// Validates the accounts.
fn route(source: &Credentials, step: &ImpersonationConfig) -> Result<Route, Error> {
    let circle = |email: &str| {
        invalid(
            format!("{email} occurs twice, so the impersonation goes in a circle"),
            "Name each account once.",
        )
    };
    if source
        .impersonated_accounts()
        .any(|email| email == step.target)
    {
        return Err(circle(&step.target));
    }
    Route::new(&step.target, &step.delegates).map_err(|error| match error {
        InvalidRoute::NotAnAccount(name) => invalid(
            format!(
                "{:?} is not a service account's email address",
                clipped(&name)
            ),
            "Use the account's email address: NAME@PROJECT.iam.gserviceaccount.com.",
        ),
        InvalidRoute::Repeated(email) => circle(&email),
    })
}

/// Rejects a source that cannot impersonate a service account.
fn check_source(source: &Credentials, target: &str) -> Result<(), Error> {
    match source.kind() {
        CredentialKind::ApiKey => Err(invalid(
            format!(
                "an API key has no account, and cannot impersonate {}",
                clipped(target)
            ),
            "Use a login or a service account key.",
        )),
        CredentialKind::GdchServiceAccount => Err(invalid(
            format!(
                "a service identity of Google Distributed Cloud cannot impersonate {}",
                clipped(target)
            ),
            "Use a credential of Google's public cloud.",
        )),
        _ => match source.quota_project().filter(|p| is_google_sdk_project(p)) {
            Some(project) => Err(invalid(
                format!(
                    "the quota project {project} belongs to a Google SDK and can never be billed"
                ),
                "Choose a project of your own as the quota project.",
            )),
            None => Ok(()),
        },
    }
}

/// Validates the lifetime of the tokens.
fn lifetime(step: &ImpersonationConfig) -> Result<Duration, Error> {
    let lifetime = step
        .lifetime_seconds
        .map_or(DEFAULT_LIFETIME, Duration::from_secs);
    if lifetime.as_secs() >= 1 && lifetime <= MAX_LIFETIME {
        return Ok(lifetime);
    }
    Err(invalid(
        format!(
            "a token lifetime of {} s is not possible: the range is 1 s to 12 h",
            lifetime.as_secs()
        ),
        "Choose up to one hour, or more where the organization's policy allows it.",
    ))
}

/// Returns the tokens of the source. Those of a source that can request scopes are valid for IAM
/// alone.
fn tokens_for_iam(source: &Credentials) -> Result<TokenCache, Error> {
    if let Some(narrow) = source.source_for_iam()? {
        return Ok(TokenCache::from(narrow));
    }
    source.token_cache().cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOptions,
            "these credentials have no tokens",
        )
    })
}

#[cfg(test)]
mod tests;
