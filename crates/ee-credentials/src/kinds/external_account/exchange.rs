//! The exchange of a subject token, and the optional impersonation of a service account.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ee_token::internal::{RefusalCause, UrlField, open_ahead, refusal_cause};
use ee_token::{
    AccessToken, ClientBasicAuth, ErrorKind as Token, Grant, HttpClient, Remedy, Scopes,
    SecretString, TokenEndpoint, TokenFuture, TokenSource,
};
use serde_json::json;
use url::Url;

use crate::iam::account::{iam_scopes, is_account, url_of};
use crate::iam::{generate_access_token, target};
use crate::input::allowed_hosts;
use crate::input::location::Location;
use crate::kinds::external_account::config::ExternalAccountConfig;
use crate::kinds::external_account::context::Context;
use crate::kinds::external_account::source::Source;
use crate::{CredentialOptions, Error};

const TROUBLESHOOTING: &str =
    "https://cloud.google.com/iam/docs/troubleshooting-workload-identity-federation";
const MEMBERS_PAGE: &str = "https://cloud.google.com/iam/docs/workload-identity-federation-with-deployment-pipelines#access";

/// The service account to impersonate.
pub(crate) struct Impersonation {
    pub(crate) url: Url,
    pub(crate) email: String,
    pub(super) quota_project: Option<String>,
    lifetime: Duration,
}

impl Impersonation {
    /// Returns the impersonation that the account configures, if any.
    pub(crate) fn new(
        account: &ExternalAccountConfig,
        location: &Location,
        options: &CredentialOptions,
    ) -> Result<Option<Self>, Error> {
        const FIELD: &str = "service_account_impersonation_url";
        let url = match (&account.impersonation_url, &account.email) {
            (Some(url), _) => {
                allowed_hosts::check(url, (FIELD, UrlField::Impersonation), location, options)?
            }
            (None, Some(email)) => url_of(&options.http, email)?,
            (None, None) => return Ok(None),
        };
        let email = target(&url).filter(|email| {
            is_account(email) && account.email.as_ref().is_none_or(|named| named == email)
        });
        let email = email.ok_or_else(|| {
            location.invalid_field(
                FIELD,
                "does not end with the email address of a service account and `:generateAccessToken`",
            )
        })?;
        let quota_project = options
            .overriding_quota_project()
            .or_else(|| account.quota_project.clone());
        Ok(Some(Self {
            url,
            email,
            quota_project,
            lifetime: account.lifetime,
        }))
    }
}

/// Returns whether the description of an `invalid_grant` is about the subject token.
fn is_about_subject(said: &str) -> bool {
    let words = [
        "token",
        "audience",
        "issuer",
        "subject",
        "signature",
        "claim",
        "attribute",
        "credential",
    ];
    let said = said.to_ascii_lowercase();
    said == "invalid_grant" || words.iter().any(|word| said.contains(word))
}

/// A token source that exchanges subject tokens.
pub(crate) struct TokenExchange {
    context: Context,
    source: Source,
    token_url: Url,
    account: ExternalAccountConfig,
    pub(super) impersonation: Option<Arc<Impersonation>>,
    scopes: Scopes,
}

impl TokenExchange {
    pub(crate) fn new(
        context: Context,
        source: Source,
        token_url: Url,
        account: ExternalAccountConfig,
        impersonation: Option<Impersonation>,
        scopes: Scopes,
    ) -> Self {
        Self {
            context,
            source,
            token_url,
            account,
            impersonation: impersonation.map(Arc::new),
            scopes,
        }
    }

    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        let Some(impersonation) = &self.impersonation else {
            return Ok(self.federated_token(&self.scopes).await?.1);
        };
        let (http, federated) = self.federated_token(&iam_scopes()).await?;
        generate_access_token(
            &http,
            &impersonation.url,
            &federated,
            impersonation.quota_project.as_deref(),
            &[],
            &self.scopes,
            impersonation.lifetime,
        )
        .await
        .map_err(|error| self.explain_impersonation(error))
    }

    /// Returns a token of the federated identity, and the HTTP client that obtained it.
    pub(super) async fn federated_token(
        &self,
        scopes: &Scopes,
    ) -> Result<(HttpClient, AccessToken), ee_token::Error> {
        self.open_ahead();
        let (http, subject) = self.subject_token().await?;
        let token = self.exchange(&http, &subject, scopes).await?;
        Ok((http, token))
    }

    /// Opens the connections that follow the subject token, except those with a client certificate.
    fn open_ahead(&self) {
        if matches!(self.source, Source::Certificate(_)) {
            return;
        }
        let impersonation = self.impersonation.as_ref().map(|next| &next.url);
        for url in [Some(&self.token_url), impersonation].into_iter().flatten() {
            open_ahead(&self.context.http, url);
        }
    }

    /// Returns the subject token and the HTTP client that must present it.
    async fn subject_token(&self) -> Result<(HttpClient, SecretString), ee_token::Error> {
        let context = &self.context;
        let plain = |subject| (context.http.clone(), subject);
        match &self.source {
            Source::File(file) => file.read(context).await.map(plain),
            Source::Url(url) => url.fetch(context).await.map(plain),
            Source::Executable(executable) => executable.run(context).await.map(plain),
            Source::Aws(aws) => aws.signed_request(context).await.map(plain),
            Source::Certificate(certificate) => certificate.present(context).await,
            Source::Closure(supply) => supply().await.map(plain),
        }
    }

    async fn exchange(
        &self,
        http: &HttpClient,
        subject: &SecretString,
        scopes: &Scopes,
    ) -> Result<AccessToken, ee_token::Error> {
        let client = self.account.client.as_ref();
        let client = client.map(|(client_id, client_secret)| ClientBasicAuth {
            client_id,
            client_secret,
        });
        // Without an OAuth client, the request needs a user project.
        let options = match (&self.account.user_project, &client) {
            (Some(project), None) => Some(json!({ "userProject": project }).to_string()),
            _ => None,
        };
        let grant = Grant::TokenExchange {
            audience: &self.account.audience,
            scopes,
            subject_token: subject,
            subject_token_type: &self.account.subject_token_type,
            options: options.as_deref(),
        };
        let endpoint = TokenEndpoint::new(http.clone(), self.token_url.clone());
        match endpoint.exchange(&grant, client.as_ref()).await {
            Ok(response) if response.access_token.scopes().is_some() => Ok(response.access_token),
            Ok(response) => Ok(response.access_token.with_scopes(scopes.clone())),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Adds the provider, the source and a remedy to a rejection.
    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        if !error.kind().is_rejection() {
            return error;
        }
        let message = error.to_string();
        let audience = &self.account.audience;
        let source = self.source.noun();
        let is = |code: &str| message.contains(code);
        let said = error.server_message().unwrap_or_default();
        let remedy = match refusal_cause(&error) {
            Some(RefusalCause::AttributeCondition) => Some(Remedy::new(format!(
                "The provider's attribute condition does not accept the subject token from {source}. Compare the token's claims with the condition, and change one of them."
            ))),
            Some(_) => None,
            None if is("invalid_target") => Some(Remedy::new(
                "The provider does not exist or is disabled. Compare `audience` with the provider's name.",
            )),
            None if is("invalid_client") => Some(Remedy::new(
                "Check `client_id` and `client_secret`: the OAuth client is unknown.",
            )),
            None if is("invalid_grant") && (is("expired") || is("stale")) => {
                Some(Remedy::new(format!(
                    "The subject token has expired, or the clock of this machine is wrong. Make sure that {source} provides a new token."
                )))
            }
            None if is("invalid_grant") && is_about_subject(said) => Some(Remedy::new(format!(
                "Compare the subject token from {source} with the provider's issuer, audiences and attribute mapping."
            ))),
            None => None,
        };
        let error = error.context(format!(
            "{message} (federation with {audience}, subject token from {source}, {})",
            self.context.location
        ));
        let remedy = remedy.unwrap_or_else(|| error.remedy().clone());
        error.with_remedy(match &remedy.url {
            Some(_) => remedy,
            None => remedy.url(TROUBLESHOOTING),
        })
    }

    /// Adds the principal and a remedy to a rejected impersonation. Federated identities need another
    /// role than service accounts.
    pub(super) fn explain_impersonation(&self, error: ee_token::Error) -> ee_token::Error {
        let Some(email) = &self.context.email else {
            return error;
        };
        // The role is missing, and not another reason.
        let command = error.remedy().command.as_deref().unwrap_or_default();
        let denied = error.kind() == Token::Rejected && command.contains("--member=");
        let error = error.with_principal(email);
        if !denied {
            return error;
        }
        error.with_remedy(
                Remedy::new(format!(
                    "Ask an administrator of {email} to grant the federated identity the role Workload Identity User on it (roles/iam.workloadIdentityUser). The grant takes effect within minutes."
                ))
                .command(format!(
                    "gcloud iam service-accounts add-iam-policy-binding {email} --role=roles/iam.workloadIdentityUser --member=MEMBER"
                ))
                .url(MEMBERS_PAGE),
            )
    }
}

impl TokenSource for TokenExchange {
    fn fetch_token(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }

    /// Only a file can be checked for a new token; the next token of other sources is unknown.
    fn can_retry_after_rejection(&self) -> bool {
        matches!(&self.source, Source::File(file) if file.can_retry_after_rejection())
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("account", &self.account)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
