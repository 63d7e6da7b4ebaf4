//! The refresh token grant (RFC 6749 section 6).

use serde_json::json;

use super::oauth2::{Form, invalid_grant, invalid_request, issue, missing, required};
use crate::response::Response;
use crate::scopes;
use crate::state::{IssuedTo, Shared, State, Token};

pub(super) fn handle(shared: &Shared, form: &Form) -> Result<Response, Response> {
    let refresh_token = required(form, "refresh_token")?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let client_id = authenticate_client(&state, form)?;
    let Some(grant) = state.grants.get(refresh_token) else {
        return Err(invalid_grant("Bad Request"));
    };
    if grant.client_id != client_id {
        return Err(unauthorized_client());
    }
    if grant.revoked {
        return Err(invalid_grant("Token has been expired or revoked."));
    }
    if grant.needs_reauthentication {
        return Err(Response::oauth(
            400,
            &json!({
                "error": "invalid_grant",
                "error_description": "reauth related error (invalid_rapt)",
                "error_uri": "https://support.google.com/a/answer/9368756",
                "error_subtype": "invalid_rapt",
            }),
        ));
    }
    let token = Token {
        email: grant.email.clone(),
        scopes: narrowed(&grant.scopes, form.get("scope").map(String::as_str))?,
        expires_at: state.expiry(now),
        revoked: false,
        issued_to: IssuedTo::Client {
            id: client_id,
            refresh_token: Some(refresh_token.to_owned()),
        },
    };
    let scope = token.scopes.join(" ");
    let mut response = issue(&mut state, token, now);
    response["scope"] = json!(scope);
    Ok(Response::oauth(200, &response))
}

/// Authenticates the client by the secret in the form, and returns its id.
pub(super) fn authenticate_client(state: &State, form: &Form) -> Result<String, Response> {
    let id = required(form, "client_id")
        .map_err(|_| invalid_request("Could not determine client ID from request."))?;
    let Some(client) = state.client(id) else {
        return Err(Response::oauth_error(
            401,
            "invalid_client",
            "The OAuth client was not found.",
        ));
    };
    match form.get("client_secret").map(String::as_str) {
        None | Some("") => Err(invalid_request("client_secret is missing.")),
        Some(secret) if secret == client.secret => Ok(client.id.clone()),
        Some(_) => Err(Response::oauth_error(401, "invalid_client", "Unauthorized")),
    }
}

/// Creates Google's response to a client that sends another client's token.
pub(super) fn unauthorized_client() -> Response {
    Response::oauth_error(401, "unauthorized_client", "Unauthorized")
}

/// Returns the requested scopes, which must have been granted, or all granted scopes if none is
/// requested.
fn narrowed(granted: &[String], requested: Option<&str>) -> Result<Vec<String>, Response> {
    let Some(requested) = requested.map(scopes::split) else {
        return Ok(granted.to_vec());
    };
    if requested.is_empty() {
        return Err(missing("scope"));
    }
    if requested.iter().all(|scope| granted.contains(scope)) {
        Ok(requested)
    } else {
        Err(Response::oauth_error(400, "invalid_scope", "Bad Request"))
    }
}
