//! `iamcredentials.googleapis.com`: service account impersonation.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use chrono::SecondsFormat;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::admission::{Call, Caller, authenticate, check_quota_project, require_scope};
use super::id_token;
use crate::error_responses;
use crate::request::Request;
use crate::response::Response;
use crate::scopes;
use crate::state::{Account, IssuedTo, Shared, State, Token, later};
use crate::x509::sign;

const SERVICE: &str = "iamcredentials.googleapis.com";
const IAM: &str = "https://www.googleapis.com/auth/iam";
/// The optional prefix of delegates, as documented in the reference.
const RESOURCE: &str = "projects/-/serviceAccounts/";
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// Longer lifetimes need an organization policy, which the emulator does not have.
const MAX_LIFETIME: Duration = DEFAULT_LIFETIME;

/// A method that is called for the service account in the path.
struct Method {
    name: &'static str,
    full_name: &'static str,
    /// The permission on the service account.
    permission: &'static str,
    handle: fn(Impersonation<'_>) -> Result<Response, Response>,
}

/// A call of a caller who has a sufficient scope.
struct Impersonation<'a> {
    shared: &'a Shared,
    request: &'a Request,
    method: &'static Method,
    caller: Caller,
    /// The service account in the path.
    target: &'a str,
}

static METHODS: [Method; 3] = [
    Method {
        name: "generateAccessToken",
        full_name: "google.iam.credentials.v1.IAMCredentials.GenerateAccessToken",
        permission: "iam.serviceAccounts.getAccessToken",
        handle: generate_access_token,
    },
    Method {
        name: "generateIdToken",
        full_name: "google.iam.credentials.v1.IAMCredentials.GenerateIdToken",
        permission: "iam.serviceAccounts.getOpenIdToken",
        handle: generate_id_token,
    },
    Method {
        name: "signBlob",
        full_name: "google.iam.credentials.v1.IAMCredentials.SignBlob",
        permission: "iam.serviceAccounts.signBlob",
        handle: sign_blob,
    },
];

/// The body of `generateAccessToken`. Google's front end rejects unknown fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessTokenBody {
    delegates: Option<Vec<String>>,
    scope: Option<Vec<String>>,
    lifetime: Option<String>,
}

/// The body of `generateIdToken`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IdTokenBody {
    delegates: Option<Vec<String>>,
    audience: Option<String>,
    include_email: Option<Value>,
    use_email_azp: Option<Value>,
}

/// The body of `signBlob`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignBlobBody {
    delegates: Option<Vec<String>>,
    payload: Option<String>,
}

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["v1", "projects", "-", "serviceAccounts", last] = segments.as_slice() else {
        return Response::page_not_found(&request.path);
    };
    let called = last.split_once(':').and_then(|(target, name)| {
        let method = METHODS.iter().find(|method| method.name == name)?;
        Some((target, method))
    });
    match (request.method.as_str(), called) {
        ("POST", Some((target, method))) => {
            perform(shared, request, method, target).unwrap_or_else(|error| error)
        }
        _ => Response::page_not_found(&request.path),
    }
}

fn perform(
    shared: &Shared,
    request: &Request,
    method: &'static Method,
    target: &str,
) -> Result<Response, Response> {
    let call = Call {
        service: SERVICE,
        method: method.full_name,
    };
    let caller = authenticate(shared, request, call)?;
    require_scope(&caller, &[IAM, scopes::CLOUD_PLATFORM], call)?;
    (method.handle)(Impersonation {
        shared,
        request,
        method,
        caller,
        target,
    })
}

fn generate_access_token(call: Impersonation<'_>) -> Result<Response, Response> {
    let body: AccessTokenBody = parse(call.request)?;
    let lifetime = lifetime(body.lifetime.as_deref())?;
    let scopes = requested_scopes(body.scope)?;
    let mut state = call.shared.state();
    let account = call.account(&state, body.delegates)?;
    let expires_at = later(call.shared.clock.now(), lifetime);
    let token = Token {
        email: call.target.to_owned(),
        scopes,
        expires_at,
        revoked: false,
        issued_to: IssuedTo::ServiceAccount {
            project: account.project.clone(),
        },
    };
    let secret = state.issue(token);
    Ok(Response::json(
        200,
        &json!({
            "accessToken": secret,
            "expireTime": expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        }),
    ))
}

fn generate_id_token(call: Impersonation<'_>) -> Result<Response, Response> {
    let body: IdTokenBody = parse(call.request)?;
    let audience = body.audience.filter(|audience| !audience.is_empty());
    let audience = audience.ok_or_else(|| {
        error_responses::invalid_argument(
            "Request contains an invalid argument: the audience is required.",
        )
    })?;
    let has_email = boolean("include_email", body.include_email.as_ref())?;
    let has_email_azp = boolean("use_email_azp", body.use_email_azp.as_ref())?;
    call.account(&call.shared.state(), body.delegates)?;
    let mut claims = match has_email {
        true => id_token::email_claims(call.target),
        false => Map::new(),
    };
    if has_email_azp {
        claims.insert("azp".into(), json!(call.target));
    }
    let now = call.shared.clock.now();
    let token = id_token::issue(call.target, &audience, claims, now);
    Ok(Response::json(200, &json!({"token": token})))
}

fn sign_blob(call: Impersonation<'_>) -> Result<Response, Response> {
    let body: SignBlobBody = parse(call.request)?;
    // As in all of Google's APIs, both alphabets are accepted.
    let payload = body.payload.and_then(|text| {
        let decoded = STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text));
        decoded.ok()
    });
    let payload = payload.ok_or_else(|| {
        error_responses::invalid_argument(
            "Invalid value at 'payload' (TYPE_BYTES), Base64 decoding failed.",
        )
    })?;
    let key = {
        let state = call.shared.state();
        let key = call.account(&state, body.delegates)?.keys.first_key_value();
        key.map(|(id, key)| (id.clone(), key.clone()))
    };
    // Signed after the lock is released, because it is slow.
    let (id, key) = key.ok_or_else(|| unknown_account(call.target))?;
    let signed = STANDARD.encode(sign(&key, &payload));
    Ok(Response::json(
        200,
        &json!({"keyId": id, "signedBlob": signed}),
    ))
}

fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, Response> {
    let is_json = request.header("content-type").is_some_and(|value| {
        value.split(';').next().unwrap_or_default().trim() == "application/json"
    });
    if !is_json {
        return Err(error_responses::invalid_argument(
            "Invalid JSON payload received. The content type must be application/json.",
        ));
    }
    serde_json::from_slice(&request.body).map_err(|error| {
        error_responses::invalid_argument(&format!("Invalid JSON payload received. {error}"))
    })
}

/// Parses a boolean, which some clients send as a string. Defaults to `false`.
fn boolean(name: &str, value: Option<&Value>) -> Result<bool, Response> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(other) => Err(error_responses::invalid_argument(&format!(
            "Invalid value at '{name}' (TYPE_BOOL), {other}"
        ))),
    }
}

/// Parses a `google.protobuf.Duration` in JSON: seconds with the suffix `s`.
fn lifetime(text: Option<&str>) -> Result<Duration, Response> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIFETIME);
    };
    let seconds: Option<u64> = text.strip_suffix('s').and_then(|n| n.parse().ok());
    let Some(seconds) = seconds else {
        return Err(error_responses::invalid_argument(&format!(
            "Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration), \"{text}\""
        )));
    };
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(error_responses::invalid_argument(
            "The token lifetime must be greater than 0 seconds.",
        )),
        life if life > MAX_LIFETIME => Err(error_responses::invalid_argument(
            "The lifetime of the access token exceeds the maximum allowed: 3600 seconds.",
        )),
        life => Ok(life),
    }
}

fn requested_scopes(scope: Option<Vec<String>>) -> Result<Vec<String>, Response> {
    let requested = scope.unwrap_or_default();
    if requested.is_empty() {
        return Err(error_responses::invalid_argument(
            "Request contains an invalid argument: at least one scope is required.",
        ));
    }
    match requested.iter().find(|scope| !scopes::is_known(scope)) {
        Some(unknown) => Err(error_responses::invalid_argument(&format!(
            "Invalid OAuth scope: {unknown}"
        ))),
        None => Ok(requested),
    }
}

impl Impersonation<'_> {
    /// Returns the service account after checking the quota project, and that each principal in the
    /// chain of delegates has the permission on the next.
    fn account<'s>(
        &self,
        state: &'s State,
        delegates: Option<Vec<String>>,
    ) -> Result<&'s Account, Response> {
        // An API key identifies no principal that could impersonate a service account.
        let Caller::Token(source) = &self.caller else {
            let method = self.method.full_name;
            return Err(error_responses::credentials_missing(SERVICE, method));
        };
        if let Some(project) = self.request.header("x-goog-user-project") {
            check_quota_project(state, project, &self.caller, SERVICE)?;
        }
        let delegates = delegates.unwrap_or_default();
        let hops = delegates
            .iter()
            .map(|delegate| delegate.strip_prefix(RESOURCE).unwrap_or(delegate))
            .chain([self.target]);
        let mut from = source.email.as_str();
        for to in hops {
            known_account(state, to)?;
            let allowed = state
                .impersonators
                .get(to)
                .is_some_and(|who| who.contains(from));
            if !allowed {
                return Err(permission_denied(self.method.permission));
            }
            from = to;
        }
        known_account(state, self.target)
    }
}

fn known_account<'a>(state: &'a State, email: &str) -> Result<&'a Account, Response> {
    let account = state.accounts.get(email);
    account.ok_or_else(|| unknown_account(email))
}

fn unknown_account(email: &str) -> Response {
    error_responses::not_found(&format!("Not found; Gaia id not found for email {email}"))
}

fn permission_denied(permission: &str) -> Response {
    Response::json(
        403,
        &json!({"error": {
            "code": 403,
            "message": format!("Permission '{permission}' denied on resource (or it may not exist)."),
            "status": "PERMISSION_DENIED",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": permission},
            }],
        }}),
    )
}
