//! `sts.googleapis.com` and `sts.mtls.googleapis.com`: Google's tokens for other people's
//! (RFC 8693).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::aws;
use super::oauth2::{Form, required, seconds_left, token_form};
use crate::federation::{Trust, keys, principal};
use crate::jwt::Jwt;
use crate::reply::Reply;
use crate::request::Request;
use crate::scopes;
use crate::server::Shared;
use crate::state::{IssuedTo, State, Token};
use crate::x509::Certificate;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];
const AWS4_REQUEST: &str = "urn:ietf:params:aws:token-type:aws4_request";
const MTLS: &str = "urn:ietf:params:oauth:token-type:mtls";
/// How long a subject token may be good for, in seconds.
const LONGEST_LIFE: i64 = 86_400;
/// Every parameter there is. Another one is a mistake, and Google says so.
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

pub(super) fn answer(shared: &Shared, request: &Request, with_certificate: bool) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/token") => match exchange(shared, request, with_certificate) {
            Ok(reply) | Err(reply) => reply,
        },
        (_, "/v1/token") => Reply::oauth_error(405, "invalid_request", "Method not allowed.")
            .with(http::header::ALLOW, "POST"),
        _ => Reply::no_such_page(&request.path),
    }
}

fn exchange(shared: &Shared, request: &Request, with_certificate: bool) -> Result<Reply, Reply> {
    let form = token_form(request)?;
    if let Some(unknown) = form
        .keys()
        .find(|name| !PARAMETERS.contains(&name.as_str()))
    {
        return Err(invalid(&format!("Unknown parameter: {unknown}")));
    }
    if required(&form, "grant_type")? != GRANT_TYPE {
        return Err(Reply::oauth_error(
            400,
            "unsupported_grant_type",
            "Invalid grant_type.",
        ));
    }
    if required(&form, "requested_token_type")? != ACCESS_TOKEN {
        return Err(invalid("Invalid requested_token_type."));
    }
    let scopes = scopes::split(required(&form, "scope")?);
    if let Some(unknown) = scopes.iter().find(|scope| !scopes::is_known(scope)) {
        return Err(Reply::oauth_error(
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
        Reply::oauth_error(400, "invalid_target", "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.")
    })?;
    if matches!(trust, Trust::X509 { .. }) != with_certificate {
        return Err(invalid(
            "Certificates belong to sts.mtls.googleapis.com, and nothing else does.",
        ));
    }
    let project = paying_project(&form, audience, client)?;
    let subject = subject(shared, &state, &form, audience, &trust)?;
    let expires_at = state.expiry(now);
    let secret = state.issue(Token {
        email: principal(audience, &subject),
        scopes,
        expires_at,
        revoked: false,
        issued_to: IssuedTo::ServiceAccount { project },
    });
    Ok(Reply::oauth(
        200,
        &json!({
            "access_token": secret,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": seconds_left(expires_at, now),
        }),
    ))
}

fn invalid(why: &str) -> Reply {
    Reply::oauth_error(400, "invalid_request", why)
}

fn invalid_grant(why: &str) -> Reply {
    Reply::oauth_error(400, "invalid_grant", why)
}

/// The OAuth client that the request authenticates (HTTP Basic), if it does.
fn authenticated_client(state: &State, request: &Request) -> Result<Option<String>, Reply> {
    let Some(header) = request.header("authorization") else {
        return Ok(None);
    };
    let refused = || {
        Reply::oauth_error(
            401,
            "invalid_client",
            "The OAuth client was not found or its secret is wrong.",
        )
    };
    let pair = header
        .strip_prefix("Basic ")
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(refused)?;
    let (id, secret) = pair.split_once(':').ok_or_else(refused)?;
    match state.client(id) {
        Some(client) if client.secret == secret => Ok(Some(client.id.clone())),
        _ => Err(refused()),
    }
}

/// The pool's own project; a workforce pool has none, and needs one named or a client's.
fn paying_project(form: &Form, audience: &str, client: Option<String>) -> Result<String, Reply> {
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
            Some(_) => Err(invalid("userProject is for workforce pools.")),
        };
    }
    match (options.user_project, client) {
        (Some(project), _) => Ok(project),
        (None, Some(client)) => {
            Ok(crate::oauth_client::OAuthClient::project_number(&client).to_owned())
        }
        (None, None) => Err(invalid(
            "A user project or a client is required for workforce pools.",
        )),
    }
}

/// JSON that was encoded for a URL once more than the form.
fn decode_options(encoded: &str) -> Result<Options, Reply> {
    let wrong = || invalid("Invalid options.");
    if encoded.contains(['{', '"']) {
        return Err(wrong());
    }
    let as_form = format!("x={encoded}");
    let (_, json) = url::form_urlencoded::parse(as_form.as_bytes())
        .next()
        .ok_or_else(wrong)?;
    serde_json::from_str(&json).map_err(|_| wrong())
}

/// Who the subject token is about, if the provider believes it.
fn subject(
    shared: &Shared,
    state: &State,
    form: &Form,
    audience: &str,
    trust: &Trust,
) -> Result<String, Reply> {
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
            if !jwt.is_timely(now, LONGEST_LIFE) {
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
        _ => Err(invalid(
            "The subject_token_type is not one of the provider's.",
        )),
    }
}
