//! `sts.googleapis.com/v1/oauthtoken` and `/v1/introspect`: token refresh for users of workforce
//! pools (RFC 6749 section 6, with HTTP Basic), and token introspection (RFC 7662).

use serde_json::json;

use super::oauth2::{Form, basic_client, invalid_grant, issue, required, token_form};
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
    token_form(request)
        .and_then(|form| respond(shared, request, &form))
        .unwrap_or_else(|error| error)
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
    let token = Token {
        email: grant.email.clone(),
        scopes: grant.scopes.clone(),
        expires_at: state.expiry(now),
        revoked: false,
        issued_to: IssuedTo::Client {
            id: client_id,
            refresh_token: Some(refresh_token.to_owned()),
        },
    };
    let mut response = issue(&mut state, token, now);
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

/// Authenticates the client and returns its id.
fn client(state: &State, request: &Request) -> Result<String, Response> {
    basic_client(state, request).ok_or_else(|| {
        Response::oauth_error(401, "invalid_client", "The OAuth client was not found.")
    })
}
