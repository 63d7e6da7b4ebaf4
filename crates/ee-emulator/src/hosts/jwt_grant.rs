//! The JWT bearer grant (RFC 7523) for service accounts.

use serde_json::json;

use super::id_token;
use super::oauth2::{Form, invalid_grant, issue, required};
use crate::jwt::{Jwt, MAX_ASSERTION_LIFETIME};
use crate::response::Response;
use crate::scopes;
use crate::state::{IssuedTo, Shared, Token};

/// Google's message for an invalid `iat` or `exp`.
const INVALID_LIFETIME: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a \
                        reasonable timeframe. Check your iat and exp values in the JWT claim.";

const UNAUTHORIZED: &str = "Client is unauthorized to retrieve access tokens using this method, \
                            or client not authorized for any of the scopes requested.";

pub(super) fn handle(shared: &Shared, form: &Form, audience: &str) -> Result<Response, Response> {
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
    if !jwt.has_valid_lifetime(now, MAX_ASSERTION_LIFETIME) {
        return Err(invalid_grant(INVALID_LIFETIME));
    }
    if let (Some(audience), None) = (jwt.claim("target_audience"), jwt.claim("scope")) {
        let claims = id_token::email_claims(issuer);
        let token = id_token::issue(issuer, audience, claims, now);
        return Ok(Response::oauth(200, &json!({"id_token": token})));
    }
    let scopes = scopes::split(jwt.claim("scope").unwrap_or_default());
    if scopes.is_empty() || !scopes.iter().all(|scope| scopes::is_known(scope)) {
        return Err(Response::oauth_error(
            400,
            "invalid_scope",
            "Invalid OAuth scope or ID token audience provided.",
        ));
    }
    let subject = jwt.claim("sub").unwrap_or(issuer);
    if subject != issuer && !account.delegated.contains(subject) {
        return Err(Response::oauth_error(
            401,
            "unauthorized_client",
            UNAUTHORIZED,
        ));
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
    // Google returns `scope` only to users.
    Ok(Response::oauth(200, &issue(&mut state, token, now)))
}
