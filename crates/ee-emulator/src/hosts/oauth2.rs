//! `oauth2.googleapis.com`: the token, tokeninfo and revocation endpoints.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use http::Method;
use serde_json::{Value, json};

use super::{code_grant, id_token, jwt_grant, refresh_grant};
use crate::request::Request;
use crate::response::Response;
use crate::scopes;
use crate::state::{IssuedTo, Shared, State, Token};

/// The parameters of a token request, which must not be repeated (RFC 6749 section 3.2).
pub(super) type Form = BTreeMap<String, String>;

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/token") => token(shared, request, "https://oauth2.googleapis.com/token"),
        ("GET" | "POST", "/tokeninfo") => token_info(shared, request),
        ("POST", "/revoke") => revoke(shared, request),
        (_, "/token" | "/revoke" | "/tokeninfo") => method_not_allowed(request),
        _ => Response::page_not_found(&request.path),
    }
}

/// Handles `www.googleapis.com`: the keys of ID tokens, and the legacy URL of the token endpoint,
/// `/oauth2/v4/token`, which older clients also use as the audience.
pub(super) fn handle_www(shared: &Shared, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/oauth2/v4/token") => token(
            shared,
            request,
            "https://www.googleapis.com/oauth2/v4/token",
        ),
        (_, "/oauth2/v4/token") => method_not_allowed(request),
        ("GET", "/oauth2/v1/certs") => id_token::certificates(shared.clock.now()),
        ("GET", "/oauth2/v3/certs") => id_token::key_set(),
        _ => Response::page_not_found(&request.path),
    }
}

fn method_not_allowed(request: &Request) -> Response {
    let allowed = if request.path == "/tokeninfo" {
        "GET, POST"
    } else {
        "POST"
    };
    Response::oauth_error(405, "invalid_request", "Method not allowed.")
        .with(http::header::ALLOW, allowed)
}

fn token(shared: &Shared, request: &Request, audience: &str) -> Response {
    token_form(request)
        .and_then(|form| grant(shared, &form, audience))
        .unwrap_or_else(|error| error)
}

/// Parses the parameters of a token request (RFC 6749 section 4): a form without repeated names.
pub(super) fn token_form(request: &Request) -> Result<Form, Response> {
    if !request.is_form() {
        return Err(invalid_request(
            "The request must be encoded as application/x-www-form-urlencoded.",
        ));
    }
    // Secrets in URLs end up in logs.
    if !request.query.is_empty() {
        return Err(invalid_request("Parameters belong in the body."));
    }
    let mut form = Form::new();
    for (name, value) in request.form() {
        if form.contains_key(&name) {
            return Err(invalid_request(&format!(
                "OAuth 2 parameters can only have a single value: {name}"
            )));
        }
        form.insert(name, value);
    }
    Ok(form)
}

fn grant(shared: &Shared, form: &Form, audience: &str) -> Result<Response, Response> {
    match form.get("grant_type").map(String::as_str) {
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            jwt_grant::handle(shared, form, audience)
        }
        Some("refresh_token") => refresh_grant::handle(shared, form),
        Some("authorization_code") => code_grant::handle(shared, form),
        None | Some("") => Err(missing("grant_type")),
        Some(other) => Err(Response::oauth_error(
            400,
            "unsupported_grant_type",
            &format!("Invalid grant_type: {other}"),
        )),
    }
}

pub(super) fn missing(parameter: &str) -> Response {
    invalid_request(&format!("Missing required parameter: {parameter}"))
}

/// Returns a parameter that must be present and not empty.
pub(super) fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Response> {
    form.get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| missing(name))
}

pub(super) fn invalid_request(description: &str) -> Response {
    Response::oauth_error(400, "invalid_request", description)
}

pub(super) fn invalid_grant(description: &str) -> Response {
    Response::oauth_error(400, "invalid_grant", description)
}

/// Returns the value of `expires_in`: the remaining seconds, rounded down.
pub(super) fn seconds_left(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (expires_at - now).num_seconds()
}

/// Issues an access token and returns the fields that the responses to all token requests have.
pub(super) fn issue(state: &mut State, token: Token, now: DateTime<Utc>) -> Value {
    let expires_in = seconds_left(token.expires_at, now);
    json!({
        "access_token": state.issue(token),
        "expires_in": expires_in,
        "token_type": "Bearer",
    })
}

/// Returns the id of the client that a request authenticates with HTTP Basic (RFC 6749 section
/// 2.3.1).
pub(super) fn basic_client(state: &State, request: &Request) -> Option<String> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let client = state.client(id).filter(|client| client.secret == secret)?;
    Some(client.id.clone())
}

fn token_info(shared: &Shared, request: &Request) -> Response {
    let now = shared.clock.now();
    let token = request
        .form_or_query("access_token")
        .and_then(|secret| shared.state().valid_token(&secret, now).ok());
    match token {
        Some(token) => describe(&token, now),
        None => Response::oauth_error(400, "invalid_token", "Invalid Value"),
    }
}

fn describe(token: &Token, now: DateTime<Utc>) -> Response {
    let client = match &token.issued_to {
        IssuedTo::Client { id, .. } => id.clone(),
        IssuedTo::ServiceAccount { .. } => token.email.clone(),
    };
    // Google sends these numbers as strings.
    let mut info = json!({
        "azp": client,
        "aud": client,
        "scope": token.scopes.join(" "),
        "exp": token.expires_at.timestamp().to_string(),
        "expires_in": seconds_left(token.expires_at, now).to_string(),
        "access_type": "offline",
    });
    if token
        .scopes
        .iter()
        .any(|scope| scope == scopes::USERINFO_EMAIL || scope == "email")
    {
        info["email"] = json!(token.email);
        info["email_verified"] = json!("true");
    }
    if token
        .scopes
        .iter()
        .any(|scope| scopes::IDENTIFYING.contains(&scope.as_str()))
    {
        info["sub"] = json!(account_number(&token.email));
    }
    Response::oauth(200, &info)
}

/// Returns the number of an account, which is derived from its address.
pub(super) fn account_number(email: &str) -> String {
    // FNV-1a.
    let hash = email.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("1{hash:020}")
}

fn revoke(shared: &Shared, request: &Request) -> Response {
    debug_assert_eq!(request.method, Method::POST);
    let Some(secret) = request.form_or_query("token") else {
        return missing("token");
    };
    let mut state = shared.state();
    let known = state
        .grants
        .get(&secret)
        .is_some_and(|grant| !grant.revoked)
        || state.valid_token(&secret, shared.clock.now()).is_ok();
    if known && state.revoke_one(&secret) {
        Response::oauth(200, &json!({}))
    } else {
        Response::oauth_error(400, "invalid_token", "Token expired or revoked")
    }
}
