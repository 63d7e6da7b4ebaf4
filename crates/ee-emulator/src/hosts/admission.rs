//! The checks of Google's API front end before a service receives a request: authentication, scopes
//! and the quota project.

use crate::error_responses;
use crate::jwt::{Jwt, MAX_TOKEN_LIFETIME};
use crate::oauth_client::{GCLOUD_CLIENT_ID, OAuthClient};
use crate::project::Project;
use crate::request::Request;
use crate::response::Response;
use crate::scopes;
use crate::state::{BadToken, IssuedTo, Shared, State, Token};

/// The called method, for error messages that name it.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) service: &'a str,
    /// The full name of the gRPC method.
    pub(super) method: &'a str,
}

/// The authenticated caller.
pub(super) enum Caller {
    /// A principal with an access token.
    Token(Token),
    /// An anonymous caller with an API key of this project.
    ApiKey { project: String },
}

impl Caller {
    pub(super) fn email(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(&token.email),
            Self::ApiKey { .. } => None,
        }
    }
}

/// Authenticates a request.
pub(super) fn authenticate(
    shared: &Shared,
    request: &Request,
    call: Call<'_>,
) -> Result<Caller, Response> {
    let key = match api_key(request) {
        Some(key) => Some(
            shared
                .state()
                .api_keys
                .get(&key)
                .cloned()
                .ok_or_else(|| error_responses::api_key_invalid(call.service))?,
        ),
        None => None,
    };
    let bearer = match (request.bearer(), request.header("authorization")) {
        (Some(bearer), _) => bearer,
        // Google's APIs accept no other scheme.
        (None, Some(_)) => {
            return Err(error_responses::token_type_unsupported(
                call.service,
                call.method,
            ));
        }
        (None, None) => {
            return key
                .map(|project| Caller::ApiKey { project })
                .ok_or_else(|| error_responses::credentials_missing(call.service, call.method));
        }
    };
    bearer_token(shared, bearer, call.service)
        .map(Caller::Token)
        .map_err(|bad| match bad {
            BadToken::Expired => error_responses::access_token_expired(call.service, call.method),
            BadToken::Unsupported => {
                error_responses::token_type_unsupported(call.service, call.method)
            }
        })
}

fn api_key(request: &Request) -> Option<String> {
    request
        .header("x-goog-api-key")
        .map(str::to_owned)
        .or_else(|| request.query("key"))
}

/// Validates a bearer token: an issued access token, or a JWT self-signed by a service account.
fn bearer_token(shared: &Shared, bearer: &str, service: &str) -> Result<Token, BadToken> {
    let now = shared.clock.now();
    let state = shared.state();
    let Some(jwt) = Jwt::parse(bearer) else {
        return state.valid_token(bearer, now);
    };
    let issuer = jwt.claim("iss").ok_or(BadToken::Unsupported)?;
    let account = state.accounts.get(issuer).ok_or(BadToken::Unsupported)?;
    if jwt.claim("sub") != Some(issuer) || !jwt.is_signed_by(&account.keys) {
        return Err(BadToken::Unsupported);
    }
    if jwt.is_expired(now) {
        return Err(BadToken::Expired);
    }
    let scopes = match (jwt.claim("scope"), jwt.claim("aud")) {
        (Some(scope), _) => scopes::split(scope),
        // A JWT with an audience is valid for all scopes of one service.
        (None, Some(audience)) if audience == format!("https://{service}/") => {
            scopes::full_all(&[scopes::EARTHENGINE, scopes::CLOUD_PLATFORM])
        }
        _ => return Err(BadToken::Unsupported),
    };
    if !jwt.has_valid_lifetime(now, MAX_TOKEN_LIFETIME) {
        return Err(BadToken::Unsupported);
    }
    Ok(Token {
        email: issuer.to_owned(),
        scopes,
        expires_at: now,
        revoked: false,
        issued_to: IssuedTo::ServiceAccount {
            project: account.project.clone(),
        },
    })
}

/// Checks that a token has one of these scopes. API keys need none.
pub(super) fn require_scope(
    caller: &Caller,
    sufficient: &[&str],
    call: Call<'_>,
) -> Result<(), Response> {
    let Caller::Token(token) = caller else {
        return Ok(());
    };
    if token
        .scopes
        .iter()
        .any(|scope| sufficient.contains(&scope.as_str()))
    {
        Ok(())
    } else {
        Err(error_responses::scope_insufficient(
            call.service,
            call.method,
            sufficient,
        ))
    }
}

/// Returns the name of the quota project: from the request's header, or else from the credential.
pub(super) fn quota_project(
    request: &Request,
    caller: &Caller,
    service: &str,
) -> Result<String, Response> {
    if let Some(named) = request
        .header("x-goog-user-project")
        .filter(|name| !name.is_empty())
    {
        return Ok(named.to_owned());
    }
    match caller {
        Caller::ApiKey { project } => Ok(project.clone()),
        Caller::Token(token) => match &token.issued_to {
            IssuedTo::ServiceAccount { project } => Ok(project.clone()),
            IssuedTo::Client { id, .. } if id == GCLOUD_CLIENT_ID => {
                Err(error_responses::local_default_credentials(service))
            }
            IssuedTo::Client { id, .. } => Ok(OAuthClient::project_number(id).to_owned()),
        },
    }
}

/// Returns the quota project after checking that it exists, that the caller may use it, and that it
/// is not suspended, in the order of Google's front end.
pub(super) fn check_quota_project<'a>(
    state: &'a State,
    name: &str,
    caller: &Caller,
    service: &str,
) -> Result<&'a Project, Response> {
    let project = state
        .project(name)
        .ok_or_else(|| error_responses::not_found_or_deleted(name))?;
    // Access was checked when the key was created.
    let holds_key =
        matches!(caller, Caller::ApiKey { project: own } if project.has_id_or_number(own));
    if !holds_key && !project.allows(caller.email()) {
        return Err(error_responses::user_project_denied(service, name));
    }
    if project.suspended {
        return Err(error_responses::consumer_suspended(service, name));
    }
    Ok(project)
}
