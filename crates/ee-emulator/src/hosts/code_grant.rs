//! The authorization code grant (RFC 6749 section 4.1.3) with PKCE (RFC 7636).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::oauth2::{Form, invalid_grant, required, seconds_left};
use super::refresh_grant::{authenticate_client, unauthorized_client};
use crate::random;
use crate::response::Response;
use crate::state::{AuthorizationCode, Grant, IssuedTo, Shared, Token};

pub(super) fn handle(shared: &Shared, form: &Form) -> Result<Response, Response> {
    let code = required(form, "code")?;
    let redirect_uri = required(form, "redirect_uri")?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let client_id = authenticate_client(&state, form)?;
    let Some(issued) = state.codes.get_mut(code) else {
        return Err(invalid_grant("Malformed auth code."));
    };
    if issued.client_id != client_id {
        return Err(unauthorized_client());
    }
    if issued.redirect_uri != redirect_uri {
        return Err(Response::oauth_error(
            400,
            "redirect_uri_mismatch",
            "Bad Request",
        ));
    }
    check_verifier(issued, form.get("code_verifier").map(String::as_str))?;
    // Google's error is the same for used and for expired codes.
    if issued.used || issued.expires_at <= now {
        return Err(invalid_grant("Bad Request"));
    }
    issued.used = true;
    let (email, scopes) = (issued.email.clone(), issued.scopes.clone());
    let offline = issued.offline;

    let refresh_token = state.grant(Grant {
        email: email.clone(),
        client_id: client_id.clone(),
        scopes: scopes.clone(),
        family: random::hex(8),
        revoked: false,
        needs_reauthentication: false,
    });
    let scope = scopes.join(" ");
    let expires_at = state.expiry(now);
    let secret = state.issue(Token {
        email,
        scopes,
        expires_at,
        revoked: false,
        issued_to: IssuedTo::Client {
            id: client_id,
            refresh_token: Some(refresh_token.clone()),
        },
    });
    let mut response = json!({
        "access_token": secret,
        "expires_in": seconds_left(expires_at, now),
        "scope": scope,
        "token_type": "Bearer",
    });
    if offline {
        response["refresh_token"] = json!(refresh_token);
    }
    Ok(Response::oauth(200, &response))
}

fn check_verifier(code: &AuthorizationCode, verifier: Option<&str>) -> Result<(), Response> {
    let Some(verifier) = verifier.filter(|verifier| !verifier.is_empty()) else {
        return Err(invalid_grant("Missing code verifier."));
    };
    if matches_challenge(verifier, &code.challenge) {
        Ok(())
    } else {
        Err(invalid_grant("Invalid code verifier."))
    }
}

/// Returns whether the challenge is the verifier's hash (RFC 7636 section 4.6).
pub(super) fn matches_challenge(verifier: &str, challenge: &str) -> bool {
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    well_formed && URL_SAFE_NO_PAD.encode(digest) == challenge
}
