//! One request to IAM credentials: a token of a service account, for somebody who may act as it
//! (`projects.serviceAccounts.generateAccessToken`).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ee_token::{
    AccessToken, Error, ErrorKind, Exchange, HttpClient, ReceivedResponse, Remedy, Request, Scopes,
    SecretString, http_date, sanitize_message, try_again,
};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

/// What the URL ends with, behind the account's address.
pub(crate) const METHOD: &str = ":generateAccessToken";
/// The role that whoever asks must have on the account.
pub(crate) const ROLE: &str = "roles/iam.serviceAccountTokenCreator";
/// The permission of that role which Google's refusal names.
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

/// Requests a token of the account that the URL names. Transient failures are retried.
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
    let body = serde_json::to_vec(&Body {
        delegates,
        scope: scopes.iter().collect(),
        lifetime: format!("{}s", lifetime.as_secs()),
    })
    .map_err(|_| Error::new(ErrorKind::InvalidCredential, "the request has no JSON form"))?;
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
    // serde's own message could quote the token.
    let reply: TokenBody = serde_json::from_slice(body)
        .map_err(|_| invalid("it is no JSON object with accessToken and expireTime"))?;
    let end = DateTime::parse_from_rfc3339(&reply.expire_time)
        .map_err(|_| invalid("its expireTime is not a time"))?;
    // The end is by the server's clock, and so is its Date: this machine's may be off.
    let received = Utc::now();
    let life = end.to_utc() - http_date(headers).unwrap_or(received);
    if life <= TimeDelta::zero() || life > TimeDelta::days(366) {
        return Err(invalid("its expireTime makes no sense"));
    }
    let token = AccessToken::new(reply.access_token.expose_secret())
        .map_err(|_| invalid("its accessToken is empty or cannot stand in a header"))?;
    Ok(token.with_expiry(received + life))
}

/// `google.rpc.Status` in JSON, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: String,
}

/// Interprets an error response.
pub(crate) fn rejection(received: &ReceivedResponse, url: &Url, source: &AccessToken) -> Error {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: Status,
    }
    let host = url.host_str().unwrap_or_default();
    let target = target(url).unwrap_or_default();
    let Ok(ErrorBody { error }) = serde_json::from_slice(&received.body) else {
        return received.unexplained(host);
    };
    let message = sanitize_message(&error.message, &[source.secret()]);
    let is_overloaded = matches!(error.status.as_str(), "RESOURCE_EXHAUSTED" | "UNAVAILABLE");
    if received.is_busy() || is_overloaded {
        let message = format!("{host} cannot respond now: {message}");
        return Error::new(ErrorKind::Server, message).with_remedy(try_again());
    }
    let (kind, remedy) = meaning(received.status, &error, &target).unwrap_or_else(|| {
        (
            ErrorKind::UnconfirmedRejection,
            Remedy::of_unconfirmed_rejection(),
        )
    });
    let message = format!("no token for {target}: {host} responded: {message}");
    Error::new(kind, message).with_remedy(remedy)
}

/// The kind and the remedy of a rejection; `None` for a reason that is not known.
fn meaning(status: StatusCode, reply: &Status, target: &str) -> Option<(ErrorKind, Remedy)> {
    let reason = |name: &str| reply.details.iter().any(|detail| detail.reason == name);
    if status == StatusCode::UNAUTHORIZED {
        let remedy =
            Remedy::new("Log in again, or create a new key for the credential that acts as it.");
        return Some((ErrorKind::Expired, remedy));
    }
    if reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
        let remedy = Remedy::new(
            "The token that should act as the service account is not good for IAM: get it with the scope cloud-platform.",
        );
        return Some((ErrorKind::InvalidScope, remedy));
    }
    let remedy = if reason("SERVICE_DISABLED") {
        Remedy::new(
            "Enable the IAM Service Account Credentials API in the project that the message names.",
        )
        .command("gcloud services enable iamcredentials.googleapis.com")
    } else if reason("USER_PROJECT_DENIED") {
        Remedy::new(
            "Choose another quota project, or ask its owner for the role Service Usage Consumer (roles/serviceusage.serviceUsageConsumer).",
        )
    } else if reason("IAM_PERMISSION_DENIED") || reply.message.contains(PERMISSION) {
        grant_role(target, None)
    } else if reply.status == "NOT_FOUND" {
        Remedy::new("There is no such service account: check its address.")
            .command(format!("gcloud iam service-accounts describe {target}"))
    } else if reply.message.contains("lifetime") {
        Remedy::new(
            "Ask for an hour at most, or let the organization's policy iam.allowServiceAccountCredentialLifetimeExtension allow up to 12 for this account.",
        )
    } else if reply.status == "INVALID_ARGUMENT" {
        Remedy::new("Check the scopes and the delegates of the impersonation.")
    } else {
        return None;
    };
    Some((ErrorKind::Rejected, remedy))
}

/// What to do where the role on the service account is missing, for this member if it is known.
pub(crate) fn grant_role(target: &str, member: Option<&str>) -> Remedy {
    let who = member.unwrap_or("the credential that acts as it");
    Remedy::new(format!(
        "Let somebody who administers {target} give {who} the role Service Account Token Creator on it ({ROLE}). It takes effect within minutes."
    ))
    .command(format!(
        "gcloud iam service-accounts add-iam-policy-binding {target} --member={} --role={ROLE}",
        member.unwrap_or("MEMBER")
    ))
    .url("https://cloud.google.com/iam/docs/create-short-lived-credentials-direct")
}

/// The account that the URL is about: what its last segment says.
pub(crate) fn target(url: &Url) -> Option<String> {
    let account = url.path().rsplit('/').next()?.strip_suffix(METHOD)?;
    Some(account.replace("%40", "@"))
}

#[cfg(test)]
mod tests;
