//! The JWT bearer grant (RFC 7523), by which service accounts get tokens.

use serde_json::json;

use super::oauth2::{Form, invalid_grant, required, seconds_left};
use crate::jwt::{Jwt, LONGEST_ASSERTION};
use crate::reply::Reply;
use crate::scopes;
use crate::server::Shared;
use crate::state::{IssuedTo, Token};

/// Google's sentence for times that are wrong, whichever of them it is.
const UNTIMELY: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a \
                        reasonable timeframe. Check your iat and exp values in the JWT claim.";

const UNAUTHORIZED: &str = "Client is unauthorized to retrieve access tokens using this method, \
                            or client not authorized for any of the scopes requested.";

pub(super) fn answer(shared: &Shared, form: &Form, audience: &str) -> Result<Reply, Reply> {
    let assertion = required(form, "assertion")?;
    let jwt = Jwt::parse(assertion)
        .ok_or_else(|| invalid_grant("Invalid JWT: Failed to parse the assertion."))?;
    let issuer = jwt
        .claim("iss")
        .ok_or_else(|| invalid_grant("Invalid JWT: No issuer (iss) in the JWT claim."))?;

    let now = shared.clock.now();
    let mut state = shared.state();
    let account = state
        .accounts
        .get(issuer)
        .ok_or_else(|| invalid_grant("Invalid grant: account not found"))?;
    if !jwt.is_signed_by(&account.keys) {
        return Err(invalid_grant("Invalid JWT Signature."));
    }
    if jwt.claim("aud") != Some(audience) {
        return Err(invalid_grant(&format!(
            "Invalid JWT: Failed audience check. The right audience is {audience}"
        )));
    }
    if !jwt.is_timely(now, LONGEST_ASSERTION) {
        return Err(invalid_grant(UNTIMELY));
    }
    let scopes = scopes::split(jwt.claim("scope").unwrap_or_default());
    if scopes.is_empty() || !scopes.iter().all(|scope| scopes::is_known(scope)) {
        return Err(Reply::oauth_error(
            400,
            "invalid_scope",
            "Invalid OAuth scope or ID token audience provided.",
        ));
    }
    let subject = jwt.claim("sub").unwrap_or(issuer);
    if subject != issuer && !account.delegated.contains(subject) {
        return Err(Reply::oauth_error(401, "unauthorized_client", UNAUTHORIZED));
    }

    let token = Token {
        email: subject.to_owned(),
        scopes,
        expires_at: state.expiry(now),
        revoked: false,
        issued_to: IssuedTo::ServiceAccount {
            project: account.project.clone(),
        },
    };
    let expires_in = seconds_left(token.expires_at, now);
    let secret = state.issue(token);
    // Google repeats the scopes to users only.
    Ok(Reply::oauth(
        200,
        &json!({
            "access_token": secret,
            "expires_in": expires_in,
            "token_type": "Bearer",
        }),
    ))
}
