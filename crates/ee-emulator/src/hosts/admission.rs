//! Who may call an API, and which project pays: what Google's front end checks before the
//! service itself sees a request.

use crate::jwt::{Jwt, LONGEST_TOKEN};
use crate::oauth_client::{GCLOUD_CLIENT_ID, OAuthClient};
use crate::project::Project;
use crate::refusals;
use crate::reply::Reply;
use crate::request::Request;
use crate::scopes;
use crate::server::Shared;
use crate::state::{BadToken, IssuedTo, State, Token};

/// The call that is made, for the refusals that name it.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) service: &'a str,
    /// The full name of the gRPC method.
    pub(super) method: &'a str,
}

/// Whoever makes a call.
pub(super) enum Caller {
    /// Someone with a token.
    Token(Token),
    /// Nobody in particular, but with an API key of this project.
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

/// Whoever the request proves to come from.
pub(super) fn authenticate(
    shared: &Shared,
    request: &Request,
    call: Call<'_>,
) -> Result<Caller, Reply> {
    let key = match api_key(request) {
        Some(key) => Some(
            shared
                .state()
                .api_keys
                .get(&key)
                .cloned()
                .ok_or_else(|| refusals::api_key_invalid(call.service))?,
        ),
        None => None,
    };
    let bearer = match (request.bearer(), request.header("authorization")) {
        (Some(bearer), _) => bearer,
        // A scheme that no API of Google's takes.
        (None, Some(_)) => {
            return Err(refusals::token_type_unsupported(call.service, call.method));
        }
        (None, None) => {
            return key
                .map(|project| Caller::ApiKey { project })
                .ok_or_else(|| refusals::credentials_missing(call.service, call.method));
        }
    };
    bearer_token(shared, bearer, call.service)
        .map(Caller::Token)
        .map_err(|bad| match bad {
            BadToken::Expired => refusals::access_token_expired(call.service, call.method),
            BadToken::Unsupported => refusals::token_type_unsupported(call.service, call.method),
        })
}

fn api_key(request: &Request) -> Option<String> {
    request
        .header("x-goog-api-key")
        .map(str::to_owned)
        .or_else(|| request.query("key"))
}

/// What a bearer stands for: a token that was issued, or a JWT that a service account signed for
/// this service itself, without asking for a token.
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
        // With an audience the JWT is good for all of one service.
        (None, Some(audience)) if audience == format!("https://{service}/") => {
            scopes::full_all(&[scopes::EARTHENGINE, scopes::CLOUD_PLATFORM])
        }
        _ => return Err(BadToken::Unsupported),
    };
    if !jwt.is_timely(now, LONGEST_TOKEN) {
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

/// A token must have one of these scopes; an API key has none and needs none.
pub(super) fn require_scope(
    caller: &Caller,
    sufficient: &[&str],
    call: Call<'_>,
) -> Result<(), Reply> {
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
        Err(refusals::scope_insufficient(
            call.service,
            call.method,
            sufficient,
        ))
    }
}

/// The name of the project that pays: what the request says, or else what the credential implies.
pub(super) fn quota_project(
    request: &Request,
    caller: &Caller,
    service: &str,
) -> Result<String, Reply> {
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
                Err(refusals::local_default_credentials(service))
            }
            IssuedTo::Client { id, .. } => Ok(OAuthClient::project_number(id).to_owned()),
        },
    }
}

/// The project that pays, if it exists, the caller may use it and it is not suspended: in this
/// order, as Google's front end checks it.
pub(super) fn chargeable<'a>(
    state: &'a State,
    name: &str,
    caller: &Caller,
    service: &str,
) -> Result<&'a Project, Reply> {
    let project = state
        .project(name)
        .ok_or_else(|| refusals::not_found_or_deleted(name))?;
    // A key has passed its project's own checks when it was made.
    let holds_key = matches!(caller, Caller::ApiKey { project: own } if project.is_called(own));
    if !holds_key && !project.admits(caller.email()) {
        return Err(refusals::user_project_denied(service, name));
    }
    if project.suspended {
        return Err(refusals::consumer_suspended(service, name));
    }
    Ok(project)
}
