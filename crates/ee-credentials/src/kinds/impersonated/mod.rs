//! A service account that another credential impersonates: the file type
//! `impersonated_service_account`, and [`Credentials::impersonate`](crate::Credentials::impersonate).

pub(crate) mod builder;
pub(crate) mod config;
pub(crate) mod file;
mod id_token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use ee_token::internal::open_ahead;
use ee_token::{
    AccessToken, ErrorKind as Token, HttpClient, Remedy, Scopes, TokenCache, TokenFuture,
    TokenSource,
};
use url::Url;

use crate::CredentialKind;
use crate::iam::account::Route;
use crate::iam::{self as iam, generate_access_token};
use crate::input::shell::is_plain_word;
use crate::kinds::credential::Credential;
use crate::kinds::identity::Identity;

/// The limit of source tokens for one token of the account, if each expires before the response.
const MAX_SOURCE_TOKENS: u32 = 5;
/// The longest lifetime that Google grants unless the organization's policy allows more.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// A service account, and the credential that impersonates it.
pub(crate) struct ImpersonatedServiceAccount {
    pub(crate) http: HttpClient,
    pub(crate) url: Url,
    pub(crate) route: Route,
    pub(crate) scopes: Scopes,
    pub(crate) lifetime: Duration,
    pub(crate) source: TokenCache,
    /// The project that the requests to IAM are billed to.
    pub(crate) source_quota_project: Option<Box<str>>,
    pub(crate) source_principal: Option<Arc<str>>,
}

impl ImpersonatedServiceAccount {
    pub(crate) fn into_credential(self) -> Credential {
        let (target, scopes) = (self.route.target.clone(), self.scopes.clone());
        let source = Arc::new(self);
        Credential::new(CredentialKind::ImpersonatedServiceAccount, source.clone())
            .id_tokens(source)
            .identity(Identity::account(target.as_str()))
            .principal(Some(target))
            .scopes(Some(scopes))
    }

    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        if self.source.cached().is_none() {
            open_ahead(&self.http, &self.url);
        }
        let mut source = self.source.token().await?;
        let mut renewed = false;
        for _ in 0..MAX_SOURCE_TOKENS {
            let error = match self.ask(&source).await {
                Err(error) if error.kind() == Token::Expired => error,
                other => {
                    if other.is_ok() {
                        self.source.accepted(&source);
                    }
                    return other.map_err(|error| self.explain(error));
                }
            };
            // A token that expired while the request was retried was not rejected.
            let has_expired = source.expires_at().is_some_and(|end| end <= Utc::now());
            if renewed && !has_expired {
                return Err(self.explain(error));
            }
            // Valid by the local clock and not by the server's: retry with a new token.
            match self.source.renew(&source).await? {
                Some(new) => source = new,
                None => return Err(self.explain(error)),
            }
            renewed |= !has_expired;
        }
        Err(ee_token::Error::new(
            Token::Timeout,
            format!(
                "no token for {}: the tokens of its source expire before {} responds",
                self.route.target,
                self.url.host_str().unwrap_or_default()
            ),
        )
        .with_remedy(Remedy::new("Try again in a moment.")))
    }

    async fn ask(&self, source: &AccessToken) -> Result<AccessToken, ee_token::Error> {
        generate_access_token(
            &self.http,
            &self.url,
            source,
            self.source_quota_project.as_deref(),
            &self.route.delegates,
            &self.scopes,
            self.lifetime,
        )
        .await
    }

    /// Adds the principal that was denied, and the command that grants it the role.
    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        let Some(principal) = &self.source_principal else {
            return error;
        };
        let command = error.remedy().command.as_deref();
        let asks_for_role = command.is_some_and(|command| command.contains("--member="));
        let error = match member(principal) {
            Some(member) if asks_for_role && self.route.delegates.is_empty() => {
                error.with_remedy(iam::grant_role(&self.route.target, Some(&member)))
            }
            _ => error,
        };
        error.with_principal(&**principal)
    }
}

/// Returns the principal as IAM policies name it, or `None` if a shell would not take it as a word.
fn member(principal: &str) -> Option<String> {
    if !is_plain_word(principal) {
        return None;
    }
    if principal.starts_with("principal") {
        return Some(principal.to_owned());
    }
    let (_, domain) = principal.split_once('@')?;
    let kind = if domain.ends_with("gserviceaccount.com") {
        "serviceAccount"
    } else {
        "user"
    };
    Some(format!("{kind}:{principal}"))
}

impl TokenSource for ImpersonatedServiceAccount {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }

    fn can_retry_after_rejection(&self) -> bool {
        self.source.can_retry_after_rejection()
    }
}

impl fmt::Debug for ImpersonatedServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImpersonatedServiceAccount")
            .field("target", &self.route.target)
            .field("delegates", &self.route.delegates)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
