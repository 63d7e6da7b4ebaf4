//! A token server of Google Distributed Cloud, under a made-up name: service identities
//! exchange a JWT that they signed for a token for one service.

use serde::Deserialize;
use serde_json::json;

use super::oauth2::{invalid_grant, seconds_left};
use crate::jwt::{Jwt, LONGEST_ASSERTION};
use crate::reply::Reply;
use crate::request::Request;
use crate::server::Shared;
use crate::service_identity::HOST;
use crate::state::{IssuedTo, Token};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    grant_type: String,
    audience: Option<String>,
    requested_token_type: String,
    subject_token: String,
    subject_token_type: String,
}

pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    if request.method != http::Method::POST || request.path != "/authenticate" {
        return Reply::no_such_page(&request.path);
    }
    match exchange(shared, request) {
        Ok(reply) | Err(reply) => reply,
    }
}

fn exchange(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
    let invalid = |why: &str| Reply::oauth_error(400, "invalid_request", why);
    if request.header("content-type") != Some("application/json") {
        return Err(invalid("The request must be JSON."));
    }
    let body: Body = serde_json::from_slice(&request.body)
        .map_err(|error| invalid(&format!("The request cannot be read: {error}")))?;
    for (found, wanted) in [
        (
            &body.grant_type,
            "urn:ietf:params:oauth:token-type:token-exchange",
        ),
        (
            &body.requested_token_type,
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        (
            &body.subject_token_type,
            "urn:k8s:params:oauth:token-type:serviceaccount",
        ),
    ] {
        if found != wanted {
            return Err(invalid(&format!("{found} is not {wanted}")));
        }
    }
    let audience = body.audience.filter(|audience| !audience.is_empty());
    let audience = audience.ok_or_else(|| invalid("The audience is missing."))?;
    let jwt = Jwt::parse(&body.subject_token)
        .ok_or_else(|| invalid_grant("The subject token is no JWT."))?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let subject = jwt.claim("iss").unwrap_or_default();
    let known = state
        .identities
        .iter()
        .any(|identity| identity.subject() == subject && jwt.is_signed_by_identity(identity));
    if !known || jwt.claim("sub") != Some(subject) {
        return Err(invalid_grant("The JWT's signer is not known."));
    }
    let own = [
        format!("https://{HOST}/authenticate"),
        format!("{}/authenticate", shared.url(HOST)),
    ];
    if !own.iter().any(|url| jwt.claim("aud") == Some(url))
        || !jwt.is_timely(now, LONGEST_ASSERTION)
    {
        return Err(invalid_grant("The JWT is for somebody else or too old."));
    }
    let expires_at = state.expiry(now);
    let secret = state.issue(Token {
        email: subject.to_owned(),
        scopes: vec![audience],
        expires_at,
        revoked: false,
        issued_to: IssuedTo::ServiceAccount {
            project: String::new(),
        },
    });
    Ok(Reply::oauth(
        200,
        &json!({
            "access_token": secret,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "expires_in": seconds_left(expires_at, now),
            "token_type": "Bearer",
        }),
    ))
}
