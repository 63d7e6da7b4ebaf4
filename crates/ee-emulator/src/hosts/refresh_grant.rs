//! The refresh-token grant (RFC 6749 section 6), by which clients keep a user logged in.

use serde_json::json;

use super::oauth2::{Form, invalid_grant, missing, required, seconds_left};
use crate::reply::Reply;
use crate::scopes;
use crate::server::Shared;
use crate::state::{IssuedTo, State, Token};

pub(super) fn answer(shared: &Shared, form: &Form) -> Result<Reply, Reply> {
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
        return Err(Reply::oauth(
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
    let expires_in = seconds_left(token.expires_at, now);
    let secret = state.issue(token);
    Ok(Reply::oauth(
        200,
        &json!({
            "access_token": secret,
            "expires_in": expires_in,
            "scope": scope,
            "token_type": "Bearer",
        }),
    ))
}

/// The id of the client that the form names, if its secret is right.
pub(super) fn authenticate_client(state: &State, form: &Form) -> Result<String, Reply> {
    let id = required(form, "client_id").map_err(|_| {
        Reply::oauth_error(
            400,
            "invalid_request",
            "Could not determine client ID from request.",
        )
    })?;
    let Some(client) = state.client(id) else {
        return Err(Reply::oauth_error(
            401,
            "invalid_client",
            "The OAuth client was not found.",
        ));
    };
    match form.get("client_secret").map(String::as_str) {
        None | Some("") => Err(Reply::oauth_error(
            400,
            "invalid_request",
            "client_secret is missing.",
        )),
        Some(secret) if secret == client.secret => Ok(client.id.clone()),
        Some(_) => Err(Reply::oauth_error(401, "invalid_client", "Unauthorized")),
    }
}

/// What Google says to a client that presents another client's token.
pub(super) fn unauthorized_client() -> Reply {
    Reply::oauth_error(401, "unauthorized_client", "Unauthorized")
}

/// The granted scopes, or those of them that were asked for.
fn narrowed(granted: &[String], asked: Option<&str>) -> Result<Vec<String>, Reply> {
    let Some(asked) = asked.map(scopes::split) else {
        return Ok(granted.to_vec());
    };
    if asked.is_empty() {
        return Err(missing("scope"));
    }
    if asked.iter().all(|scope| granted.contains(scope)) {
        Ok(asked)
    } else {
        Err(Reply::oauth_error(400, "invalid_scope", "Bad Request"))
    }
}
