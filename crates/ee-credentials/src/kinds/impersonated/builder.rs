//! Acting as a service account with credentials that are there already.

use std::sync::Arc;
use std::time::Duration;

use ee_token::{Remedy, Scopes, TokenCache};
use serde::{Deserialize, Serialize};

use crate::input::json::clipped;
use crate::kinds::credential::Loaded;
use crate::kinds::identity::Identity;
use crate::kinds::impersonated::{
    DEFAULT_LIFETIME, ImpersonatedServiceAccount, check_lifetime, is_account, resource, url_of,
};
use crate::{CredentialKind, CredentialOptions, Credentials, Error, ErrorKind};
use ee_token::internal::is_google_sdk_project;

/// A service account to act as: made by [`Credentials::impersonate`].
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
///     .build(&CredentialOptions::google())?;
/// assert_eq!(reader.principal(), Some("reader@my-project.iam.gserviceaccount.com"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is made until `build` is called"]
pub struct ImpersonationBuilder {
    source: Credentials,
    step: ImpersonationConfig,
}

/// Whom to act as, in a form that can be sent elsewhere: part of [`CredentialConfig`](crate::CredentialConfig).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ImpersonationConfig {
    /// The service account's address.
    pub target: String,
    /// The accounts on the way there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegates: Vec<String>,
    /// The scopes to ask for, if they are not the options'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// How long a token lives, in seconds; 3600 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// Who pays for the requests of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_project: Option<String>,
}

impl Credentials {
    /// Acts as the service account with this address. Whoever these credentials belong to needs
    /// the role Service Account Token Creator on it. Nothing is checked before
    /// [`ImpersonationBuilder::build`], and nothing sent before the first token.
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

    /// The accounts between the credentials and the target, in the order of the role: the
    /// credentials may act as the first, the first as the second, the last as the target.
    pub fn delegates<S: Into<String>>(mut self, emails: impl IntoIterator<Item = S>) -> Self {
        self.step.delegates = emails.into_iter().map(Into::into).collect();
        self
    }

    /// The scopes to ask for, instead of the options'.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.step.scopes = Some(scopes.iter().map(str::to_owned).collect());
        self
    }

    /// How long a token lives: an hour unless said. More, up to 12 hours, needs the
    /// organisation's leave (`iam.allowServiceAccountCredentialLifetimeExtension`).
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.step.lifetime_seconds = Some(lifetime.as_secs());
        self
    }

    /// The account's credentials. A source that came from a file is read again, in the calling
    /// thread.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] for an address that is none, accounts that go round in a
    /// circle, a lifetime that nobody can have, a source that is an API key or is good
    /// elsewhere than at Google.
    pub fn build(self, options: &CredentialOptions) -> Result<Credentials, Error> {
        let Self { source, step } = self;
        let delegates = check(&source, &step)?;
        options.refuse_subject(CredentialKind::ImpersonatedServiceAccount)?;
        let scopes = step.scopes.as_ref().map(Scopes::new);
        let scopes = scopes
            .filter(|scopes| !scopes.is_empty())
            .or_else(|| options.scopes.clone())
            .unwrap_or_default();
        let lifetime = step
            .lifetime_seconds
            .map_or(DEFAULT_LIFETIME, Duration::from_secs);
        let account = ImpersonatedServiceAccount {
            http: options.http.clone(),
            url: url_of(&options.http, &step.target)?,
            target: step.target.clone(),
            delegates,
            scopes: scopes.clone(),
            lifetime: check_lifetime(lifetime)?,
            source: tokens_for_iam(&source)?,
            source_quota_project: source.quota_project().map(str::to_owned),
            source_principal: source.principal().map(Arc::from),
        };
        let loaded = Loaded {
            kind: CredentialKind::ImpersonatedServiceAccount,
            login: None,
            source: Arc::new(account),
            identity: Identity::account(step.target.as_str()),
            principal: Some(step.target.as_str().into()),
            quota_project: step.quota_project.clone(),
            project: source.project().map(str::to_owned),
            oauth_client_id: None,
            scopes: Some(scopes),
        };
        Ok(Credentials::new(loaded, options).acting_through(source, step))
    }
}

/// What can be known to be wrong without asking; the delegates as the request names them.
fn check(source: &Credentials, step: &ImpersonationConfig) -> Result<Vec<String>, Error> {
    let wrong = |why: String, advice: &'static str| {
        Error::new(ErrorKind::InvalidOptions, why).with_remedy(Remedy::new(advice))
    };
    const ADDRESS: &str = "Give the account's address: NAME@PROJECT.iam.gserviceaccount.com.";
    for email in std::iter::once(&step.target).chain(&step.delegates) {
        if resource(email).is_none() {
            return Err(wrong(
                format!("{:?} is no service account's address", clipped(email)),
                ADDRESS,
            ));
        }
    }
    if !is_account(&step.target) {
        return Err(wrong(
            format!("the account to act as is {:?}", clipped(&step.target)),
            ADDRESS,
        ));
    }
    let target = resource(&step.target);
    let delegates: Vec<String> = step.delegates.iter().filter_map(|d| resource(d)).collect();
    let mut route: Vec<&String> = delegates.iter().chain(&target).collect();
    let length = route.len();
    route.sort();
    route.dedup();
    let is_itself = source.kind() == CredentialKind::ImpersonatedServiceAccount
        && source.acts_as().any(|email| email == step.target);
    if route.len() < length || is_itself {
        return Err(wrong(
            format!("the way to {} goes round in a circle", step.target),
            "Name each account once.",
        ));
    }
    match source.kind() {
        CredentialKind::ApiKey => Err(wrong(
            format!(
                "an API key belongs to nobody, and cannot act as {}",
                step.target
            ),
            "Use a login or a service account's key.",
        )),
        CredentialKind::GdchServiceAccount => Err(wrong(
            format!(
                "a service identity of Google Distributed Cloud cannot act as {}",
                step.target
            ),
            "Use a credential of Google's public cloud.",
        )),
        _ => match source.quota_project().filter(|p| is_google_sdk_project(p)) {
            Some(project) => Err(wrong(
                format!(
                    "the quota project {project} belongs to a Google SDK and can never be billed"
                ),
                "Choose a project of your own as the quota project.",
            )),
            None => Ok(delegates),
        },
    }
}

/// The tokens of the source: where its request names scopes, such as are good for IAM alone.
fn tokens_for_iam(source: &Credentials) -> Result<TokenCache, Error> {
    if let Some(narrow) = source.for_iam()? {
        return Ok(TokenCache::from(narrow));
    }
    source.token_cache().cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOptions,
            "these credentials have no tokens to act with",
        )
    })
}

#[cfg(test)]
mod tests;
