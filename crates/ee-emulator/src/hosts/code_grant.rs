//! The authorization code grant (RFC 6749 section 4.1.3) with PKCE (RFC 7636).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::oauth2::{Form, invalid_grant, issue, required};
use super::refresh_grant::{authenticate_client, unauthorized_client};
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

    let refresh_token = state.grant(Grant::new(&email, &client_id, scopes.clone()));
    let scope = scopes.join(" ");
    let token = Token {
        email,
        scopes,
        expires_at: state.expiry(now),
        revoked: false,
        issued_to: IssuedTo::Client {
            id: client_id,
            refresh_token: Some(refresh_token.clone()),
        },
    };
    let mut response = issue(&mut state, token, now);
    response["scope"] = json!(scope);
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
