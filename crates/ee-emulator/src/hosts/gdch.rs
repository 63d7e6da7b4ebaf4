//! A token server of Google Distributed Cloud, with a fictitious name: service identities exchange
//! a self-signed JWT for an access token for one audience.

use serde::Deserialize;
use serde_json::json;

use super::oauth2::{invalid_grant, invalid_request, issue};
use crate::jwt::{Jwt, MAX_ASSERTION_LIFETIME};
use crate::request::Request;
use crate::response::Response;
use crate::service_identity::HOST;
use crate::state::{IssuedTo, Shared, Token};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    grant_type: String,
    audience: Option<String>,
    requested_token_type: String,
    subject_token: String,
    subject_token_type: String,
}

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    if request.method != http::Method::POST || request.path != "/authenticate" {
        return Response::page_not_found(&request.path);
    }
    exchange(shared, request).unwrap_or_else(|error| error)
}

fn exchange(shared: &Shared, request: &Request) -> Result<Response, Response> {
    if request.header("content-type") != Some("application/json") {
        return Err(invalid_request("The request must be JSON."));
    }
    let body: Body = serde_json::from_slice(&request.body)
        .map_err(|error| invalid_request(&format!("The request is invalid: {error}")))?;
    for (found, expected) in [
        (
            &body.grant_type,
            "urn:ietf:params:oauth:token-type:token-exchange",
        ),
        (&body.requested_token_type, ACCESS_TOKEN),
        (
            &body.subject_token_type,
            "urn:k8s:params:oauth:token-type:serviceaccount",
        ),
    ] {
        if found != expected {
            return Err(invalid_request(&format!(
                "expected {expected}, found {found}"
            )));
        }
    }
    let audience = body.audience.filter(|audience| !audience.is_empty());
    let audience = audience.ok_or_else(|| invalid_request("The audience is missing."))?;
    let jwt = Jwt::parse(&body.subject_token)
        .ok_or_else(|| invalid_grant("The subject token is not a JWT."))?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let subject = jwt.claim("iss").unwrap_or_default();
    let known = state
        .identities
        .iter()
        .any(|identity| identity.subject() == subject && jwt.is_signed_by_identity(identity));
    if !known || jwt.claim("sub") != Some(subject) {
        return Err(invalid_grant(
            "The JWT's issuer is unknown or its signature is invalid.",
        ));
    }
    let own = [
        format!("https://{HOST}/authenticate"),
        format!("{}/authenticate", shared.url(HOST)),
    ];
    if !own.iter().any(|url| jwt.claim("aud") == Some(url))
        || !jwt.has_valid_lifetime(now, MAX_ASSERTION_LIFETIME)
    {
        return Err(invalid_grant(
            "The JWT has the wrong audience or has expired.",
        ));
    }
    let token = Token {
        email: subject.to_owned(),
        scopes: vec![audience],
        expires_at: state.expiry(now),
        revoked: false,
        issued_to: IssuedTo::ServiceAccount {
            project: String::new(),
        },
    };
    let mut response = issue(&mut state, token, now);
    response["issued_token_type"] = json!(ACCESS_TOKEN);
    Ok(Response::oauth(200, &response))
}
