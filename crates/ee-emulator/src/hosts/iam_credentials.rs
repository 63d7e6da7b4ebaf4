//! `iamcredentials.googleapis.com`: service account impersonation.

use std::time::Duration;

use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::json;

use super::admission::{Call, Caller, authenticate, check_quota_project, require_scope};
use crate::error_responses;
use crate::request::Request;
use crate::response::Response;
use crate::scopes;
use crate::state::{IssuedTo, Shared, State, Token, later};

const SERVICE: &str = "iamcredentials.googleapis.com";
const GENERATE_ACCESS_TOKEN: Call<'_> = Call {
    service: SERVICE,
    method: "google.iam.credentials.v1.IAMCredentials.GenerateAccessToken",
};
const IAM: &str = "https://www.googleapis.com/auth/iam";
const PERMISSION: &str = "iam.serviceAccounts.getAccessToken";
/// The optional prefix of delegates, as documented in the reference.
const RESOURCE: &str = "projects/-/serviceAccounts/";
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// Longer lifetimes need an organization policy, which the emulator does not have.
const MAX_LIFETIME: Duration = DEFAULT_LIFETIME;

/// The body of `generateAccessToken`. Google's front end rejects unknown fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    delegates: Option<Vec<String>>,
    scope: Option<Vec<String>>,
    lifetime: Option<String>,
}

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["v1", "projects", "-", "serviceAccounts", last] = segments.as_slice() else {
        return Response::page_not_found(&request.path);
    };
    match (request.method.as_str(), last.split_once(':')) {
        ("POST", Some((target, "generateAccessToken"))) => {
            match generate(shared, request, target) {
                Ok(response) | Err(response) => response,
            }
        }
        _ => Response::page_not_found(&request.path),
    }
}

fn generate(shared: &Shared, request: &Request, target: &str) -> Result<Response, Response> {
    let caller = authenticate(shared, request, GENERATE_ACCESS_TOKEN)?;
    require_scope(
        &caller,
        &[IAM, scopes::CLOUD_PLATFORM],
        GENERATE_ACCESS_TOKEN,
    )?;
    // An API key identifies no principal that could impersonate a service account.
    let Caller::Token(source) = &caller else {
        return Err(error_responses::credentials_missing(
            SERVICE,
            GENERATE_ACCESS_TOKEN.method,
        ));
    };
    let now = shared.clock.now();
    let mut state = shared.state();
    if let Some(project) = request.header("x-goog-user-project") {
        check_quota_project(&state, project, &caller, SERVICE)?;
    }
    let body = parse(request)?;
    let lifetime = lifetime(body.lifetime.as_deref())?;
    let scopes = requested_scopes(body.scope)?;
    let project = check_chain(
        &state,
        &source.email,
        &body.delegates.unwrap_or_default(),
        target,
    )?;
    let expires_at = later(now, lifetime);
    let secret = state.issue(Token {
        email: target.to_owned(),
        scopes,
        expires_at,
        revoked: false,
        issued_to: IssuedTo::ServiceAccount { project },
    });
    Ok(Response::json(
        200,
        &json!({
            "accessToken": secret,
            "expireTime": expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        }),
    ))
}

fn parse(request: &Request) -> Result<Body, Response> {
    let is_json = request.header("content-type").is_some_and(|value| {
        value.split(';').next().unwrap_or_default().trim() == "application/json"
    });
    if !is_json {
        return Err(error_responses::invalid_argument(
            "Invalid JSON payload received. The content type must be application/json.",
        ));
    }
    serde_json::from_slice(&request.body).map_err(|error| {
        error_responses::invalid_argument(&format!("Invalid JSON payload received. {error}"))
    })
}

/// Parses a `google.protobuf.Duration` in JSON: seconds with the suffix `s`.
fn lifetime(text: Option<&str>) -> Result<Duration, Response> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIFETIME);
    };
    let seconds: Option<u64> = text.strip_suffix('s').and_then(|n| n.parse().ok());
    let Some(seconds) = seconds else {
        return Err(error_responses::invalid_argument(&format!(
            "Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration), \"{text}\""
        )));
    };
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(error_responses::invalid_argument(
            "The token lifetime must be greater than 0 seconds.",
        )),
        life if life > MAX_LIFETIME => Err(error_responses::invalid_argument(
            "The lifetime of the access token exceeds the maximum allowed: 3600 seconds.",
        )),
        life => Ok(life),
    }
}

fn requested_scopes(scope: Option<Vec<String>>) -> Result<Vec<String>, Response> {
    let requested = scope.unwrap_or_default();
    if requested.is_empty() {
        return Err(error_responses::invalid_argument(
            "Request contains an invalid argument: at least one scope is required.",
        ));
    }
    match requested.iter().find(|scope| !scopes::is_known(scope)) {
        Some(unknown) => Err(error_responses::invalid_argument(&format!(
            "Invalid OAuth scope: {unknown}"
        ))),
        None => Ok(requested),
    }
}

/// Returns the target's project, if each principal in the chain may impersonate the next.
fn check_chain(
    state: &State,
    source: &str,
    delegates: &[String],
    target: &str,
) -> Result<String, Response> {
    let hops = delegates
        .iter()
        .map(|delegate| delegate.strip_prefix(RESOURCE).unwrap_or(delegate))
        .chain([target]);
    let mut from = source;
    for to in hops {
        if !state.accounts.contains_key(to) {
            return Err(unknown_account(to));
        }
        let allowed = state
            .impersonators
            .get(to)
            .is_some_and(|who| who.contains(from));
        if !allowed {
            return Err(permission_denied());
        }
        from = to;
    }
    match state.accounts.get(target) {
        Some(account) => Ok(account.project.clone()),
        None => Err(unknown_account(target)),
    }
}

fn unknown_account(email: &str) -> Response {
    Response::json(
        404,
        &json!({"error": {
            "code": 404,
            "message": format!("Not found; Gaia id not found for email {email}"),
            "status": "NOT_FOUND",
        }}),
    )
}

fn permission_denied() -> Response {
    Response::json(
        403,
        &json!({"error": {
            "code": 403,
            "message": format!("Permission '{PERMISSION}' denied on resource (or it may not exist)."),
            "status": "PERMISSION_DENIED",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": PERMISSION},
            }],
        }}),
    )
}
