//! The client of the IAM Service Account Credentials API
//! (`projects.serviceAccounts.generateAccessToken`).

pub(crate) mod account;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::internal::{
    Exchange, ReceivedResponse, RpcStatus, http_date, sanitize_message, zeroize_json,
};
use ee_token::{AccessToken, Error, ErrorKind, HttpClient, Remedy, Request, Scopes, SecretString};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// The end of the URL, after the account's email address.
pub(crate) const METHOD: &str = ":generateAccessToken";
const ID_TOKEN_METHOD: &str = ":generateIdToken";
/// The role on the account that the caller needs.
pub(crate) const ROLE: &str = "roles/iam.serviceAccountTokenCreator";
/// The permission of that role, which the server's message names.
pub(crate) const PERMISSION: &str = "iam.serviceAccounts.getAccessToken";

const USER_PROJECT: &str = "x-goog-user-project";

#[derive(Serialize)]
struct Body<'a> {
    delegates: &'a [String],
    scope: Vec<&'a str>,
    lifetime: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenBody {
    access_token: SecretString,
    expire_time: String,
}

/// Requests an access token for the account that the URL names. Transient failures are retried.
///
/// # Errors
/// [`ErrorKind::Expired`] if the source's token was rejected, [`ErrorKind::InvalidScope`] if it is
/// not valid for IAM, [`ErrorKind::Rejected`] if its principal may not act as the account or the
/// request is invalid, [`ErrorKind::UnconfirmedRejection`] if the reason is not known.
pub(crate) async fn generate_access_token(
    http: &HttpClient,
    url: &Url,
    source: &AccessToken,
    quota_project: Option<&str>,
    delegates: &[String],
    scopes: &Scopes,
    lifetime: Duration,
) -> Result<AccessToken, Error> {
    // Strings can always be written as JSON.
    let body = serde_json::to_vec(&Body {
        delegates,
        scope: scopes.iter().collect(),
        lifetime: format!("{}s", lifetime.as_secs()),
    })
    .unwrap_or_default();
    let token = Exchange::new(http)
        .run(
            || request(url, source, quota_project, &body),
            |received| match received.status {
                StatusCode::OK => Ok(token(&received.body, &received.headers, url)?),
                _ => Err(rejection(received, url, source).into()),
            },
        )
        .await?;
    Ok(token.with_scopes(scopes.clone()))
}

/// Requests an ID token for the account that the URL names, which is that of access tokens.
///
/// # Errors
/// As [`generate_access_token`].
pub(crate) async fn generate_id_token(
    http: &HttpClient,
    url: &Url,
    source: &AccessToken,
    quota_project: Option<&str>,
    delegates: &[String],
    audience: &str,
) -> Result<SecretString, Error> {
    let mut id_token_url = url.clone();
    let account = url.path().trim_end_matches(METHOD);
    id_token_url.set_path(&[account, ID_TOKEN_METHOD].concat());
    let body = serde_json::json!({
        "delegates": delegates,
        "audience": audience,
        "includeEmail": true,
    });
    let body = body.to_string().into_bytes();
    let token = Exchange::new(http)
        .run(
            || request(&id_token_url, source, quota_project, &body),
            |received| match received.status {
                StatusCode::OK => Ok(id_token(&received.body, &id_token_url)?),
                _ => Err(rejection(received, url, source).into()),
            },
        )
        .await?;
    Ok(token)
}

fn id_token(body: &[u8], url: &Url) -> Result<SecretString, Error> {
    #[derive(Deserialize)]
    struct IdTokenBody {
        token: SecretString,
    }
    // serde's message could quote the token.
    let body: Result<IdTokenBody, _> = serde_json::from_slice(body);
    body.map(|body| body.token).map_err(|_| {
        let host = url.host_str().unwrap_or_default();
        let why = format!("the response of {host} is not an ID token");
        Error::new(ErrorKind::InvalidResponse, why).with_remedy(Remedy::unexpected_intermediary())
    })
}

fn request(
    url: &Url,
    source: &AccessToken,
    quota_project: Option<&str>,
    body: &[u8],
) -> Result<Request, Error> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let mut request = Request::new(Method::POST, url.clone());
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, source.header().clone());
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, JSON);
    if let Some(project) = quota_project {
        let project = HeaderValue::from_str(project).map_err(|_| {
            let why = "the quota project contains characters that a header cannot hold";
            Error::new(ErrorKind::InvalidCredential, why).with_remedy(Remedy::new(
                "Set `quota_project_id` to the project's ID, without spaces and line breaks.",
            ))
        })?;
        headers.insert(USER_PROJECT, project);
    }
    *request.body_mut() = Some(body.to_vec().into());
    Ok(request)
}

pub(crate) fn token(body: &[u8], headers: &HeaderMap, url: &Url) -> Result<AccessToken, Error> {
    let invalid = |why: &str| {
        let host = url.host_str().unwrap_or_default();
        Error::new(
            ErrorKind::InvalidResponse,
            format!("the response of {host} is not a token: {why}"),
        )
        .with_remedy(Remedy::unexpected_intermediary())
    };
    // serde's message could quote the token.
    let response: TokenBody = serde_json::from_slice(body)
        .map_err(|_| invalid("it is not a JSON object with accessToken and expireTime"))?;
    let end = DateTime::parse_from_rfc3339(&response.expire_time)
        .map_err(|_| invalid("its expireTime is not a time"))?;
    // expireTime and Date are both by the server's clock; this machine's may be wrong.
    let received = Utc::now();
    let life = end.to_utc() - http_date(headers).unwrap_or(received);
    if life <= TimeDelta::zero() || life > TimeDelta::days(366) {
        return Err(invalid("its expireTime is implausible"));
    }
    let token = AccessToken::new(response.access_token.expose_secret()).map_err(|_| {
        invalid("its accessToken is empty or contains characters that a header cannot hold")
    })?;
    Ok(token.with_expiry(received + life))
}

/// Interprets an error response.
pub(crate) fn rejection(received: &ReceivedResponse, url: &Url, source: &AccessToken) -> Error {
    let host = url.host_str().unwrap_or_default();
    let target = target(url).unwrap_or_default();
    let mut body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let error = match body.get("error") {
        Some(error) if error.is_object() => RpcStatus::read(error),
        _ => return received.unexplained(host, &[source.secret()]),
    };
    zeroize_json(&mut body);
    let said = sanitize_message(&error.message, &[source.secret()]);
    let is_overloaded = matches!(error.code.as_str(), "RESOURCE_EXHAUSTED" | "UNAVAILABLE");
    if received.is_busy() || is_overloaded {
        let message = format!("{host} cannot respond now: {said}");
        return Error::new(ErrorKind::Server, message).with_server_message(said);
    }
    let (kind, remedy) = meaning(received.status, &error, host, &target);
    let message = format!("no token for {target}: {host} responded: {said}");
    Error::new(kind, message)
        .with_remedy(remedy)
        .with_server_message(said)
}

/// Returns the kind and the remedy of a rejection.
fn meaning(
    status: StatusCode,
    response: &RpcStatus,
    host: &str,
    target: &str,
) -> (ErrorKind, Remedy) {
    let refusal = response.refusal(host);
    let reason = |name: &str| refusal.names.contains(&name);
    if let Some(cause) = refusal.cause().filter(|_| status.is_client_error()) {
        return (ErrorKind::Rejected, refusal.remedy(cause));
    }
    if status == StatusCode::UNAUTHORIZED {
        let remedy = Remedy::new(
            "Log in again, or create a new key for the credential that impersonates it.",
        );
        return (ErrorKind::Expired, remedy);
    }
    if reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
        let remedy = Remedy::new(
            "The token of the impersonating credential lacks the scope cloud-platform, which IAM requires. Log in again with it. On a virtual machine, give its service account the scope.",
        )
        .command("eectl auth login --scopes earthengine,cloud-platform --force");
        return (ErrorKind::InvalidScope, remedy);
    }
    let remedy = if reason("USER_PROJECT_DENIED") {
        Remedy::new(
            "Choose another quota project, or ask its owner for the role Service Usage Consumer (roles/serviceusage.serviceUsageConsumer).",
        )
    } else if reason("IAM_PERMISSION_DENIED") || response.message.contains(PERMISSION) {
        grant_role(target, None)
    } else if reason("NOT_FOUND") {
        Remedy::new("The service account does not exist: check its email address.")
            .command(format!("gcloud iam service-accounts describe {target}"))
    } else if response.message.contains("lifetime") {
        Remedy::new(
            "Request a lifetime of 1 hour or less, or allow up to 12 hours for this account with the organization policy iam.allowServiceAccountCredentialLifetimeExtension.",
        )
    } else if reason("INVALID_ARGUMENT") {
        refusal.with_link(Remedy::new(
            "Check the scopes and delegates of the impersonation.",
        ))
    } else {
        let remedy = refusal.with_link(Remedy::of_unconfirmed_rejection());
        return (ErrorKind::UnconfirmedRejection, remedy);
    };
    (ErrorKind::Rejected, remedy)
}

/// Returns the remedy for a missing role on the service account. `member` is the caller, if known.
pub(crate) fn grant_role(target: &str, member: Option<&str>) -> Remedy {
    let who = member.unwrap_or("the credential that impersonates it");
    Remedy::new(format!(
        "Ask an administrator of {target} to grant {who} the role Service Account Token Creator on it ({ROLE}). The grant takes effect within minutes."
    ))
    .command(format!(
        "gcloud iam service-accounts add-iam-policy-binding {target} --member={} --role={ROLE}",
        member.unwrap_or("MEMBER")
    ))
    .url("https://cloud.google.com/iam/docs/create-short-lived-credentials-direct")
}

/// Returns the account in the last segment of the URL.
pub(crate) fn target(url: &Url) -> Option<String> {
    let account = url.path().rsplit('/').next()?.strip_suffix(METHOD)?;
    Some(account.replace("%40", "@"))
}

#[cfg(test)]
mod tests;
