//! A service account that another credential acts as: the ADC type
//! `impersonated_service_account`, and [`Credentials::impersonate`](crate::Credentials::impersonate).

pub(crate) mod builder;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use ee_token::{
    AccessToken, Endpoint, ErrorKind as Token, HttpClient, Remedy, Scopes, TokenCache, TokenFuture,
    TokenSource, UrlField,
};
use url::Url;

use crate::iam::{self as iam, METHOD, generate_access_token};
use crate::input::allowed_hosts;
use crate::input::json::{Document, clipped};
use crate::input::location::{Place, is_plain_word};
use crate::input::universe::check_universe;
use crate::kinds;
use crate::kinds::credential::Loaded;
use crate::kinds::identity::Identity;
use crate::{CredentialKind, CredentialOptions, Error, ErrorKind};
use ee_token::internal::is_google_sdk_project;

const URL: &str = "service_account_impersonation_url";
const SOURCE: &str = "source_credentials";
/// What a token must be good for to act as a service account, and all that a source asks for.
const IAM_SCOPE: &str = "iam";
/// How deep sources may be nested. Chains of accounts belong into `delegates`.
const MAX_DEPTH: usize = 4;
/// What a delegate's name begins with in the request.
const RESOURCE: &str = "projects/-/serviceAccounts/";
/// Tokens of the source for one of the account's, if one after the other ends on the way.
const MAX_SOURCE_TOKENS: u32 = 5;
/// What is asked for, and what Google grants without the organisation's leave.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// The longest that an organisation can allow.
const LONGEST_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// A service account, and the credential that acts as it.
pub(crate) struct ImpersonatedServiceAccount {
    pub(crate) http: HttpClient,
    pub(crate) url: Url,
    pub(crate) target: String,
    pub(crate) delegates: Vec<String>,
    pub(crate) scopes: Scopes,
    pub(crate) lifetime: Duration,
    pub(crate) source: TokenCache,
    /// Who pays for the requests to IAM.
    pub(crate) source_quota_project: Option<String>,
    pub(crate) source_principal: Option<Arc<str>>,
}

/// Reads `service_account_impersonation_url` and `source_credentials`, and if there are any
/// `delegates`, `scopes` and `quota_project_id`.
pub(crate) fn load(document: &Document, options: &CredentialOptions) -> Result<Loaded, Error> {
    check_universe(document)?;
    options.refuse_subject(CredentialKind::ImpersonatedServiceAccount)?;
    let is_source = matches!(document.place, Place::Part { .. });
    if !is_source {
        check_chain(document)?;
    }
    let (url, target) = target(document, options)?;
    let delegates = delegates(document)?;
    check_route(&document.place, &target, &delegates)?;
    // The file's own scopes are for its user; as a source it is good for IAM alone.
    let own_scopes = document.texts("scopes")?.map(Scopes::new);
    let scopes = own_scopes
        .filter(|scopes| !is_source && !scopes.is_empty())
        .or_else(|| options.scopes.clone())
        .unwrap_or_default();
    let part = document.required_part(SOURCE)?;
    let source = kinds::load_document(&part, &source_options(&part, options)?)?;
    if let Some(project) = source
        .quota_project
        .as_deref()
        .filter(|p| is_google_sdk_project(p))
    {
        return Err(part.place.invalid_field(
            "quota_project_id",
            format_args!("is {project}, which belongs to a Google SDK and can never be billed"),
        ));
    }
    let identity = Identity::impersonated(&target, source.kind, &source.identity);
    let tokens = TokenCache::from(source.source);
    let login = source.login.map(|login| login.acting_through(&tokens));
    let account = ImpersonatedServiceAccount {
        http: options.http.clone(),
        url,
        target: target.clone(),
        delegates,
        scopes: scopes.clone(),
        lifetime: DEFAULT_LIFETIME,
        source: tokens,
        source_quota_project: source.quota_project,
        source_principal: source.principal,
    };
    Ok(Loaded {
        kind: CredentialKind::ImpersonatedServiceAccount,
        login,
        source: Arc::new(account),
        identity,
        project: None,
        principal: Some(target.into()),
        quota_project: document.project("quota_project_id")?,
        oauth_client_id: None,
        scopes: Some(scopes),
    })
}

/// What a source asks for: where its request must name scopes, the one that IAM needs. A
/// person's login has what was granted to it.
fn source_options(
    source: &Document,
    options: &CredentialOptions,
) -> Result<CredentialOptions, Error> {
    let kind = source.required_text("type")?;
    let scopes = match kind {
        "authorized_user" | "external_account_authorized_user" => None,
        "service_account" | "external_account" | "impersonated_service_account" => {
            Some(iam_scopes())
        }
        other => {
            return Err(source.place.invalid_field(
                "type",
                format_args!(
                    "is {:?}, and what acts as a service account must be a service_account, an authorized_user, an external_account, an external_account_authorized_user or another impersonated_service_account",
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

/// The scope that a token for IAM needs.
pub(crate) fn iam_scopes() -> Scopes {
    Scopes::new([IAM_SCOPE])
}

/// The URL that the file names, and whose token is to be had there.
fn target(document: &Document, options: &CredentialOptions) -> Result<(Url, String), Error> {
    let text = document.required_text(URL)?;
    let url = allowed_hosts::check(
        text,
        (URL, UrlField::Impersonation),
        &document.place,
        options,
    )?;
    let wrong = |why: &str| document.place.invalid_field(URL, why);
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let target = iam::target(&url).ok_or_else(|| {
        wrong("does not end with a service account's address and \":generateAccessToken\"")
    })?;
    if !is_account(&target) {
        return Err(wrong("names no service account by its address"));
    }
    Ok((url, target))
}

/// The accounts on the way, as the request names them.
fn delegates(document: &Document) -> Result<Vec<String>, Error> {
    let names = document.texts("delegates")?.unwrap_or_default();
    names
        .into_iter()
        .map(|name| {
            resource(name).ok_or_else(|| {
                document.place.invalid_field(
                    "delegates",
                    format_args!(
                        "names {:?}, which is no service account's address",
                        clipped(name)
                    ),
                )
            })
        })
        .collect()
}

/// A delegate as the request names it; `None` if it is no account.
pub(crate) fn resource(name: &str) -> Option<String> {
    let email = name.strip_prefix(RESOURCE).unwrap_or(name);
    is_account(email).then(|| format!("{RESOURCE}{email}"))
}

/// Whether this is a service account's address or its number, and can stand in a URL as it is.
pub(crate) fn is_account(text: &str) -> bool {
    let number = (10..=30).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    number
        || text.len() <= 320
            && text
                .split_once('@')
                .is_some_and(|(name, domain)| plain(name) && plain(domain) && domain.contains('.'))
}

/// Nobody is passed twice on the way to the target.
fn check_route(place: &Place, target: &str, delegates: &[String]) -> Result<(), Error> {
    let mut seen = BTreeSet::from([target]);
    for delegate in delegates {
        let email = delegate.strip_prefix(RESOURCE).unwrap_or(delegate);
        if !seen.insert(email) {
            return Err(place.invalid_field(
                "delegates",
                format_args!("passes {email} twice: it goes round in a circle"),
            ));
        }
    }
    Ok(())
}

/// The sources inside of each other: not too many, and no account twice.
fn check_chain(document: &Document) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let mut depth = 1;
    let mut next: Option<Document> = None;
    loop {
        let at = next.as_ref().unwrap_or(document);
        let url = at.text(URL)?.and_then(|text| Url::parse(text).ok());
        if let Some(target) = url.as_ref().and_then(iam::target)
            && !seen.insert(target.clone())
        {
            return Err(at.place.invalid_field(
                URL,
                format_args!("names {target} again: the sources go round in a circle"),
            ));
        }
        if !at.has(SOURCE) {
            return Ok(());
        }
        let part = at.required_part(SOURCE)?;
        if part.text("type")? != Some(CredentialKind::ImpersonatedServiceAccount.as_str()) {
            return Ok(());
        }
        depth += 1;
        if depth > MAX_DEPTH {
            return Err(document.place.invalid_field(
                SOURCE,
                format_args!("nests more than {MAX_DEPTH} impersonations: use `delegates`"),
            ));
        }
        next = Some(part);
    }
}

/// The URL at which Google hands out tokens of this account.
pub(crate) fn url_of(http: &HttpClient, email: &str) -> Result<Url, Error> {
    http.endpoints()
        .url(Endpoint::IamCredentials)
        .join(&format!("v1/{RESOURCE}{email}{METHOD}"))
        .map_err(|_| {
            Error::new(
                ErrorKind::InvalidOptions,
                format!("there can be no service account {:?}", clipped(email)),
            )
        })
}

/// A lifetime that Google may grant.
pub(crate) fn check_lifetime(lifetime: Duration) -> Result<Duration, Error> {
    if lifetime.as_secs() >= 1 && lifetime <= LONGEST_LIFETIME {
        return Ok(lifetime);
    }
    Err(Error::new(
        ErrorKind::InvalidOptions,
        format!(
            "a token cannot be asked for {} s: from 1 s to 12 h is possible",
            lifetime.as_secs_f64()
        ),
    )
    .with_remedy(Remedy::new(
        "Ask for an hour at most; longer only where the organisation's policy allows it.",
    )))
}

impl ImpersonatedServiceAccount {
    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
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
            // One that expired while the request was retried was not rejected.
            let has_expired = source.expires_at().is_some_and(|end| end <= Utc::now());
            if renewed && !has_expired {
                return Err(self.explain(error));
            }
            // It was valid by our clock and not by the server's: once more with a new one.
            match self.source.renew(&source).await? {
                Some(new) => source = new,
                None => return Err(self.explain(error)),
            }
            renewed |= !has_expired;
        }
        Err(ee_token::Error::new(
            Token::Timeout,
            format!(
                "no token for {}: those of its source expire before {} responds",
                self.target,
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
            &self.delegates,
            &self.scopes,
            self.lifetime,
        )
        .await
    }

    /// Names who was refused, and whom to give the role.
    fn explain(&self, error: ee_token::Error) -> ee_token::Error {
        let Some(principal) = &self.source_principal else {
            return error;
        };
        let asks_for_role = error
            .remedy()
            .and_then(|remedy| remedy.command.as_deref())
            .is_some_and(|command| command.contains("--member="));
        let error = match member(principal) {
            Some(member) if asks_for_role && self.delegates.is_empty() => {
                error.with_remedy(iam::grant_role(&self.target, Some(&member)))
            }
            _ => error,
        };
        error.with_principal(&**principal)
    }
}

/// A principal as policies name it; `None` if it cannot stand in a command.
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
            .field("target", &self.target)
            .field("delegates", &self.delegates)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
