//! The projects that a principal can access: the Resource Manager's `projects:search`.

use std::time::Duration;

use ee_credentials::Credentials;
use ee_rest::ApiError;
use ee_rest::internal::{LOGIN_WITH_SCOPES, project_at_fault, refusal};
use ee_token::internal::{Exchange, RefusalCause, sanitize_message};
use ee_token::{AccessToken, Endpoint, HttpClient, Remedy, Request, RetryPolicy};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

use crate::project::listed::{ApiState, ListedProject};
use crate::{Error, ErrorKind, Registration};

/// A page of 500 projects has a few hundred KiB.
const MAX_RESPONSE_SIZE: usize = 8 << 20;
const TIMEOUT: Duration = Duration::from_secs(15);
const PAGE_SIZE: &str = "500";
/// Enough for 10,000 projects. Also ends the loop if the server repeats itself.
const MAX_PAGES: usize = 20;
/// The maximum length in characters (<https://cloud.google.com/resource-manager/reference/rest/v3/projects>).
const MAX_NAME: usize = 30;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default, deserialize_with = "known_projects")]
    projects: Vec<Project>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Project {
    /// `projects/NUMBER`.
    name: String,
    project_id: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    state: String,
}

/// Reads the projects that have an ID, and skips anything else.
fn known_projects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Project>, D::Error> {
    let all = Vec::<Value>::deserialize(deserializer)?;
    let known = all
        .into_iter()
        .filter_map(|project| Project::deserialize(project).ok());
    Ok(known.collect())
}

/// Lists the projects that the principal can access, sorted by ID, without their API and
/// registration state.
///
/// The requests are billed to `payer` if possible, and otherwise to the credential's project.
pub(crate) async fn search(
    http: &HttpClient,
    credentials: &Credentials,
    payer: Option<&str>,
) -> Result<Vec<ListedProject>, Error> {
    match pages(http, credentials, payer).await {
        // A payer that cannot be used must not prevent listing the others.
        Err(error) if payer.is_some() && is_about_payer(error.kind()) => {
            pages(http, credentials, None).await.map_err(|_| error)
        }
        result => result,
    }
}

fn is_about_payer(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ApiDisabled)
}

async fn pages(
    http: &HttpClient,
    credentials: &Credentials,
    payer: Option<&str>,
) -> Result<Vec<ListedProject>, Error> {
    let mut url = http
        .endpoints()
        .url(Endpoint::ResourceManager)
        .join("v3/projects:search")
        .map_err(|_| {
            Error::new(
                ErrorKind::InvalidArgument,
                "the Resource Manager's URL cannot be the base of other URLs",
            )
            .with_remedy(Remedy::new("Use an http or https URL for this endpoint."))
        })?;
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        url.query_pairs_mut()
            .clear()
            .append_pair("query", "state:ACTIVE")
            .append_pair("pageSize", PAGE_SIZE);
        if !page_token.is_empty() {
            url.query_pairs_mut().append_pair("pageToken", &page_token);
        }
        let (page, sent): (Page, _) = get(http, credentials, payer, &url).await?;
        let active = |project: &Project| matches!(project.state.as_str(), "" | "ACTIVE");
        let projects = page.projects.iter().filter(|project| active(project));
        found.extend(projects.filter_map(|project| listed(project, &sent)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// Reads a page of the response to a request with this token. Returns the projects and the next
/// page token.
#[cfg(fuzzing)]
pub(crate) fn page(body: &[u8], sent: &AccessToken) -> Option<(Vec<ListedProject>, String)> {
    let page: Page = serde_json::from_slice(body).ok()?;
    let projects = page.projects.iter();
    let projects = projects.filter_map(|project| listed(project, sent));
    Some((projects.collect(), page.next_page_token))
}

/// Returns the project as it is shown. The response may be from an intermediary and echo the
/// token, so names are redacted and invalid IDs ignored.
fn listed(project: &Project, sent: &AccessToken) -> Option<ListedProject> {
    let text = |text| sanitize_message(text, &[sent.secret()]);
    let id = text(&project.project_id);
    crate::check_project(&id).ok()?;
    let number = project.name.strip_prefix("projects/");
    let number = number.filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
    let name = Some(project.display_name.as_str());
    let name = name.filter(|name| name.chars().count() <= MAX_NAME);
    Some(ListedProject {
        id,
        number: number.unwrap_or_default().to_owned(),
        name: name.map(text).unwrap_or_default(),
        api: ApiState::Unknown,
        registration: Registration::Unverified,
        error: None,
    })
}

/// Gets JSON from another of Google's services than Earth Engine. Also returns the token that was
/// sent, because the response may echo it. A rejected token is renewed once; transient failures are
/// retried.
pub(crate) async fn get<T: DeserializeOwned>(
    http: &HttpClient,
    credentials: &Credentials,
    payer: Option<&str>,
    url: &Url,
) -> Result<(T, AccessToken), Error> {
    let exchange = Exchange::new(http)
        .timeout(TIMEOUT)
        .max_response_size(MAX_RESPONSE_SIZE);
    let retry = interactive_retries();
    let mut renewed = false;
    let mut tries = 0;
    loop {
        let token = credentials.token().await?;
        let mut request = Request::new(Method::GET, url.clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, token.header().clone());
        if let Some(payer) = payer {
            let payer = HeaderValue::from_str(payer).map_err(|_| {
                let message = "the project is not a valid header value";
                Error::new(ErrorKind::InvalidArgument, message).with_remedy(Remedy::new(
                    "Set the project ID, without spaces and line breaks.",
                ))
            })?;
            headers.insert("x-goog-user-project", payer);
        }
        let _waiting = tracing::debug_span!("waiting", waits_for = host(url), attempt = tries + 1);
        let error = match exchange.send(request).await {
            Ok(received) if received.status == StatusCode::OK => {
                if let Some(cache) = credentials.token_cache() {
                    cache.accepted(&token);
                }
                let value =
                    serde_json::from_slice(&received.body).map_err(|_| invalid_response(url))?;
                return Ok((value, token));
            }
            Ok(received) => {
                if received.status == StatusCode::UNAUTHORIZED
                    && !renewed
                    && let Some(cache) = credentials.token_cache()
                    && cache.renew(&token).await?.is_some()
                {
                    renewed = true;
                    continue;
                }
                let api =
                    ApiError::from_response_redacting(&token, received.status, &received.body);
                explain(&api, url, credentials)
            }
            Err(error) => Error::from(error),
        };
        if !error.is_transient() || tries == retry.max_retries {
            return Err(error);
        }
        tokio::time::sleep(retry.backoff(tries)).await;
        tries += 1;
    }
}

/// Returns the retry policy of a list that a user waits for.
pub(crate) fn interactive_retries() -> RetryPolicy {
    RetryPolicy {
        max_retries: 2,
        max_backoff: Duration::from_secs(2),
        max_elapsed: Duration::from_secs(20),
        ..RetryPolicy::default()
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn invalid_response(url: &Url) -> Error {
    Error::new(
        ErrorKind::ServerError,
        format!("the response of {} is not the expected JSON", host(url)),
    )
    .with_remedy(Remedy::unexpected_intermediary())
}

/// Explains an error response of one of these services.
pub(crate) fn explain(api: &ApiError, url: &Url, credentials: &Credentials) -> Error {
    let host = host(url);
    let who = credentials.principal().unwrap_or("this login");
    let set_project =
        "Set the project with --project, or permanently with `eectl project set PROJECT`.";
    let error = |kind, message: String| Error::new(kind, message).with_api(api.clone());
    let at_fault = project_at_fault(api, None);
    let refusal = refusal(api, host, at_fault.as_deref());
    let or_set_project = |mut remedy: Remedy| {
        remedy.text = format!("{} {set_project}", remedy.text).into();
        remedy
    };
    let cause = match api.status.as_u16() {
        400..=499 if !api.is_transient() => refusal.cause(),
        _ => None,
    };
    if let Some(cause) = cause {
        let kind = match cause {
            RefusalCause::ApiDisabled => ErrorKind::ApiDisabled,
            RefusalCause::AccountDisabled => ErrorKind::CredentialsRejected,
            _ => ErrorKind::PermissionDenied,
        };
        let message = match cause {
            RefusalCause::ApiDisabled => {
                format!("the API {host} is not enabled in the project that {who} is billed to")
            }
            _ => format!("{host} denied access to {who}: {}", api.message),
        };
        return error(kind, message).with_remedy(or_set_project(refusal.remedy(cause)));
    }
    match (api.status.as_u16(), api.reason.as_deref()) {
        (401, _) => error(
            ErrorKind::CredentialsRejected,
            format!("{host} rejected the credentials of {who}: {}", api.message),
        )
        .with_remedy(Remedy::new("Log in again.")),
        (403, _) if api.is_from_intermediary() => error(
            ErrorKind::NetworkBlocked,
            format!(
                "the request to {host} was blocked before it reached Google, possibly by a proxy"
            ),
        )
        .with_remedy(Remedy::new(
            "Check the proxy (HTTPS_PROXY), and try from another network.",
        )),
        (403, Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT")) => error(
            ErrorKind::InsufficientScopes,
            format!("the token of {who} lacks the scope cloud-platform, which {host} needs"),
        )
        .with_remedy(
            Remedy::new(format!(
                "Log in again with the scope cloud-platform. {set_project}"
            ))
            .command(LOGIN_WITH_SCOPES),
        ),
        (511, _) => error(
            ErrorKind::NetworkBlocked,
            format!("the request to {host} did not reach Google: this network requires a login"),
        )
        .with_remedy(Remedy::of_captive_portal()),
        (403, _) => error(
            ErrorKind::PermissionDenied,
            format!("{host} denied access to {who}: {}", api.message),
        )
        .with_remedy(or_set_project(match api.reason.as_deref() {
            Some("IAM_PERMISSION_DENIED") => Remedy::new("The account may not list projects."),
            _ => refusal.unknown(),
        })),
        (429, _) => error(
            ErrorKind::QuotaExceeded,
            format!("a rate limit of {host} was exceeded: {}", api.message),
        )
        .with_remedy(Remedy::new("Try again in a minute.")),
        (400..=499, _) => error(
            ErrorKind::InvalidArgument,
            format!("{host} rejected the request: {}", api.message),
        )
        .with_remedy(Remedy::new(
            "Check the request against the server's message.",
        )),
        _ => error(
            ErrorKind::ServerError,
            format!("{host} has a problem: {}", api.message),
        )
        .with_remedy(Remedy::new("Try again in a moment.").url("https://status.cloud.google.com/")),
    }
}
