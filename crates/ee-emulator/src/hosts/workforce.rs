//! `sts.googleapis.com/v1/oauthtoken` and `/v1/introspect`: token refresh for users of workforce
//! pools (RFC 6749 section 6, with HTTP Basic), and token introspection (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::oauth2::{Form, invalid_grant, required, seconds_left, token_form};
use crate::request::Request;
use crate::response::Response;
use crate::state::{IssuedTo, Shared, State, Token};

const INTROSPECT: &str = "/v1/introspect";
pub(super) const PATHS: [&str; 2] = ["/v1/oauthtoken", INTROSPECT];

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    if request.method != http::Method::POST {
        return Response::page_not_found(&request.path);
    }
    let respond = if request.path == INTROSPECT {
        introspect
    } else {
        refresh
    };
    match token_form(request).and_then(|form| respond(shared, request, &form)) {
        Ok(response) | Err(response) => response,
    }
}

fn refresh(shared: &Shared, request: &Request, form: &Form) -> Result<Response, Response> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let client_id = client(&state, request)?;
    if required(form, "grant_type")? != "refresh_token" {
        return Err(Response::oauth_error(
            400,
            "unsupported_grant_type",
            "Invalid grant_type.",
        ));
    }
    let refresh_token = required(form, "refresh_token")?;
    let grant = match state.grants.get(refresh_token) {
        Some(grant) if grant.client_id == client_id && !grant.revoked => grant.clone(),
        _ => return Err(invalid_grant("The refresh token is invalid.")),
    };
    let expires_at = state.expiry(now);
    let access_token = state.issue(Token {
        email: grant.email.clone(),
        scopes: grant.scopes.clone(),
        expires_at,
        revoked: false,
        issued_to: IssuedTo::Client {
            id: client_id,
            refresh_token: Some(refresh_token.to_owned()),
        },
    });
    let mut response = json!({
        "access_token": access_token,
        "expires_in": seconds_left(expires_at, now),
        "token_type": "Bearer",
    });
    if state.rotates_refresh_tokens {
        if let Some(old) = state.grants.get_mut(refresh_token) {
            old.revoked = true;
        }
        response["refresh_token"] = json!(state.grant(grant));
    }
    Ok(Response::oauth(200, &response))
}

fn introspect(shared: &Shared, request: &Request, form: &Form) -> Result<Response, Response> {
    let now = shared.clock.now();
    let state = shared.state();
    let client_id = client(&state, request)?;
    let token = state.valid_token(required(form, "token")?, now).ok();
    let body = match token {
        Some(token) => json!({
            "active": true,
            "client_id": client_id,
            "exp": token.expires_at.timestamp(),
            "scope": token.scopes.join(" "),
            "sub": token.email,
            "username": token.email,
        }),
        None => json!({ "active": false }),
    };
    Ok(Response::oauth(200, &body))
}

/// Authenticates the client with HTTP Basic (RFC 6749 section 2.3.1) and returns its id.
fn client(state: &State, request: &Request) -> Result<String, Response> {
    let unauthorized =
        || Response::oauth_error(401, "invalid_client", "The OAuth client was not found.");
    let pair = request
        .header("authorization")
        .and_then(|header| header.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(unauthorized)?;
    let (id, secret) = pair.split_once(':').ok_or_else(unauthorized)?;
    match state.client(id) {
        Some(client) if client.secret == secret => Ok(client.id.clone()),
        _ => Err(unauthorized()),
    }
}
