//! `sts.googleapis.com` and `sts.mtls.googleapis.com`: token exchange (RFC 8693).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::aws;
use super::oauth2::{
    Form, basic_client, invalid_grant, invalid_request, issue, required, token_form,
};
use crate::federation::{Trust, keys, principal};
use crate::jwt::Jwt;
use crate::request::Request;
use crate::response::Response;
use crate::scopes;
use crate::state::{IssuedTo, Shared, State, Token};
use crate::x509::Certificate;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];
const AWS4_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
const MTLS: &str = "urn:ietf:params:oauth:token-type:mtls";
/// The maximum lifetime of a subject token, in seconds.
const MAX_LIFETIME: i64 = 86_400;
/// All parameters. Google rejects requests with others.
const PARAMETERS: [&str; 7] = [
    "audience",
    "grant_type",
    "options",
    "requested_token_type",
    "scope",
    "subject_token",
    "subject_token_type",
];

/// Google's `options`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    user_project: Option<String>,
}

pub(super) fn handle(shared: &Shared, request: &Request, with_certificate: bool) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/token") => {
            exchange(shared, request, with_certificate).unwrap_or_else(|error| error)
        }
        (_, "/v1/token") => Response::oauth_error(405, "invalid_request", "Method not allowed.")
            .with(http::header::ALLOW, "POST"),
        _ => Response::page_not_found(&request.path),
    }
}

fn exchange(
    shared: &Shared,
    request: &Request,
    with_certificate: bool,
) -> Result<Response, Response> {
    let form = token_form(request)?;
    if let Some(unknown) = form
        .keys()
        .find(|name| !PARAMETERS.contains(&name.as_str()))
    {
        return Err(invalid_request(&format!("Unknown parameter: {unknown}")));
    }
    if required(&form, "grant_type")? != GRANT_TYPE {
        return Err(Response::oauth_error(
            400,
            "unsupported_grant_type",
            "Invalid grant_type.",
        ));
    }
    if required(&form, "requested_token_type")? != ACCESS_TOKEN {
        return Err(invalid_request("Invalid requested_token_type."));
    }
    let scopes = scopes::split(required(&form, "scope")?);
    if let Some(unknown) = scopes.iter().find(|scope| !scopes::is_known(scope)) {
        return Err(Response::oauth_error(
            400,
            "invalid_scope",
            &format!("Invalid scope: {unknown}"),
        ));
    }
    let audience = required(&form, "audience")?;
    let now = shared.clock.now();
    let mut state = shared.state();
    let client = authenticated_client(&state, request)?;
    let trust = state.providers.get(audience).cloned().ok_or_else(|| {
        Response::oauth_error(400, "invalid_target", "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.")
    })?;
    if matches!(trust, Trust::X509 { .. }) != with_certificate {
        return Err(invalid_request(
            "Certificates must be sent to sts.mtls.googleapis.com, and other subject tokens to sts.googleapis.com.",
        ));
    }
    let project = quota_project(&form, audience, client)?;
    let subject = subject(shared, &state, &form, audience, &trust)?;
    let token = Token {
        email: principal(audience, &subject),
        scopes,
        expires_at: state.expiry(now),
        revoked: false,
        issued_to: IssuedTo::ServiceAccount { project },
    };
    let mut response = issue(&mut state, token, now);
    response["issued_token_type"] = json!(ACCESS_TOKEN);
    Ok(Response::oauth(200, &response))
}

/// Returns the OAuth client that the request authenticates, if any.
fn authenticated_client(state: &State, request: &Request) -> Result<Option<String>, Response> {
    let client = basic_client(state, request);
    if client.is_none() && request.header("authorization").is_some() {
        return Err(Response::oauth_error(
            401,
            "invalid_client",
            "The OAuth client was not found or its secret is wrong.",
        ));
    }
    Ok(client)
}

/// Returns the quota project: the pool's, or for a workforce pool that of the options or the client.
fn quota_project(form: &Form, audience: &str, client: Option<String>) -> Result<String, Response> {
    let options = match form.get("options") {
        None => Options::default(),
        Some(encoded) => decode_options(encoded)?,
    };
    let segments: Vec<&str> = audience.split('/').collect();
    if let [
        ..,
        "projects",
        number,
        "locations",
        "global",
        "workloadIdentityPools",
        _,
        "providers",
        _,
    ] = segments[..]
    {
        return match options.user_project {
            None => Ok(number.to_owned()),
            Some(_) => Err(invalid_request("userProject is for workforce pools.")),
        };
    }
    match (options.user_project, client) {
        (Some(project), _) => Ok(project),
        (None, Some(client)) => {
            Ok(crate::oauth_client::OAuthClient::project_number(&client).to_owned())
        }
        (None, None) => Err(invalid_request(
            "A user project or a client is required for workforce pools.",
        )),
    }
}

/// Decodes `options`: JSON that is URL-encoded in addition to the form's encoding.
fn decode_options(encoded: &str) -> Result<Options, Response> {
    let invalid_options = || invalid_request("Invalid options.");
    if encoded.contains(['{', '"']) {
        return Err(invalid_options());
    }
    let as_form = format!("x={encoded}");
    let (_, json) = url::form_urlencoded::parse(as_form.as_bytes())
        .next()
        .ok_or_else(invalid_options)?;
    serde_json::from_str(&json).map_err(|_| invalid_options())
}

/// Validates the subject token and returns its subject.
fn subject(
    shared: &Shared,
    state: &State,
    form: &Form,
    audience: &str,
    trust: &Trust,
) -> Result<String, Response> {
    let token = required(form, "subject_token")?;
    let kind = required(form, "subject_token_type")?;
    let now = shared.clock.now();
    match trust {
        Trust::Oidc { issuer, key } if JWT.contains(&kind) => {
            let jwt = Jwt::parse(token)
                .filter(|jwt| jwt.is_signed_by(&keys(key)))
                .ok_or_else(|| invalid_grant("Error connecting to the given credential's issuer, or its signature is wrong."))?;
            if jwt.claim("iss") != Some(issuer) {
                return Err(invalid_grant(&format!(
                    "The issuer in ID Token does not match the expected {issuer}."
                )));
            }
            if jwt.claim("aud") != Some(audience) {
                return Err(invalid_grant(
                    "The audience in ID Token does not match the expected audience.",
                ));
            }
            if !jwt.has_valid_lifetime(now, MAX_LIFETIME) {
                return Err(invalid_grant("ID Token has expired or is not valid yet."));
            }
            let subject = jwt
                .claim("sub")
                .ok_or_else(|| invalid_grant("The ID Token has no subject."))?;
            Ok(subject.to_owned())
        }
        Trust::Aws if kind == AWS4_REQUEST => {
            aws::caller(token, audience, |id| state.aws_keys.get(id), now)
                .map(|key| key.arn.clone())
                .map_err(|why| invalid_grant(&format!("Received an error from AWS: {why}")))
        }
        Trust::X509 { authority } if kind == MTLS => {
            let chain: Vec<String> = serde_json::from_str(token)
                .map_err(|_| invalid_grant("The subject token is not a list of certificates."))?;
            let chain: Option<Vec<Vec<u8>>> = chain
                .iter()
                .map(|text| STANDARD.decode(text).ok())
                .collect();
            let leaf = chain
                .and_then(|chain| chain.into_iter().next())
                .and_then(|der| Certificate(der).subject_signed_by(authority));
            leaf.ok_or_else(|| {
                invalid_grant("The certificate chain does not lead to a trust anchor.")
            })
        }
        _ => Err(invalid_request(
            "The subject_token_type is not one of the provider's.",
        )),
    }
}
