//! The authorization code grant (RFC 6749 §4.1 with RFC 7636): the URL of the consent page, its
//! response, and the exchange of its code.

use ee_token::internal::{Refusal, refusal_cause};
use ee_token::{
    AccessToken, Endpoint, Endpoints, ErrorKind as Token, Grant, HttpClient, Remedy, Scopes,
    SecretString, TokenEndpoint,
};
use url::Url;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::kinds::oauth_clients::{CLIENT_ID, CLIENT_SECRET};
use crate::kinds::user_login::email_of;
use crate::login::pkce;
use crate::{Error, ErrorKind};

/// An OAuth client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(super) id: String,
    pub(super) secret: SecretString,
}

impl Client {
    /// Returns Earth Engine's own client.
    pub(super) fn earth_engine() -> Self {
        Self {
            id: CLIENT_ID.to_owned(),
            secret: CLIENT_SECRET.into(),
        }
    }
}

/// A request to the authorization endpoint.
pub(super) struct AuthorizationRequest<'a> {
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) scopes: &'a Scopes,
    pub(super) verifier: &'a SecretString,
    pub(super) state: &'a str,
    pub(super) more: &'a [(&'a str, &'a str)],
}

impl AuthorizationRequest<'_> {
    /// Returns the URL of the consent page.
    pub(super) fn url(&self, endpoints: &Endpoints) -> Result<Url, Error> {
        let mut url = endpoints.url(Endpoint::Authorization).clone();
        url.query_pairs_mut()
            .append_pair("client_id", self.client_id)
            .append_pair("scope", &self.scopes.to_string())
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("code_challenge", &pkce::challenge(self.verifier))
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", self.state)
            .extend_pairs(self.more);
        Ok(endpoints.resolve(&url)?)
    }
}

/// The response of the authorization endpoint.
pub(super) enum AuthorizationResponse {
    Code(SecretString),
    /// The error code.
    Denied(String),
}

/// Why a callback is not the expected response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidCallback {
    /// Its state is missing or belongs to another login.
    StateMismatch,
    /// It belongs to this login but has neither a code nor an error.
    Malformed,
}

impl AuthorizationResponse {
    /// Parses the query of a callback.
    pub(super) fn parse(query: &str, state: &str) -> Result<Self, InvalidCallback> {
        let (mut given_state, mut code, mut error) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "state" => &mut given_state,
                "code" => &mut code,
                "error" => &mut error,
                _ => continue,
            };
            // RFC 6749 §3.1: no parameter more than once.
            if slot.replace(Zeroizing::new(value.into_owned())).is_some() {
                return Err(InvalidCallback::Malformed);
            }
        }
        if !given_state.is_some_and(|given| pkce::same(&given, state)) {
            return Err(InvalidCallback::StateMismatch);
        }
        match (code, error) {
            (Some(code), None) if !code.is_empty() => Ok(Self::Code(code.as_str().into())),
            (None, Some(error)) if !error.is_empty() => Ok(Self::Denied(error.as_str().to_owned())),
            _ => Err(InvalidCallback::Malformed),
        }
    }
}

/// Returns the error for an error code of the authorization endpoint (RFC 6749 §4.1.2.1).
pub(super) fn denied(reason: &str) -> Error {
    let is_code = reason.len() <= 64 && reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match reason {
        "access_denied" => Error::new(
            ErrorKind::LoginDenied,
            "access was not granted on the consent page (access_denied)",
        )
        .with_remedy(Remedy::new("Log in again and grant access on the page.")),
        "server_error" | "temporarily_unavailable" => Error::new(
            ErrorKind::LoginFailed,
            format!("the consent page returned the error {reason}"),
        )
        .with_remedy(Remedy::new("Log in again in a moment.")),
        _ if is_code => {
            let refusal = Refusal {
                names: vec![reason],
                ..Refusal::default()
            };
            match refusal.cause() {
                Some(cause) => Error::new(
                    ErrorKind::LoginDenied,
                    format!("the settings of an organization or of the account do not allow this login ({reason})"),
                )
                .with_remedy(refusal.remedy(cause)),
                None => Error::new(
                    ErrorKind::LoginFailed,
                    format!("the consent page returned the error {reason}"),
                )
                .with_remedy(refusal.unknown()),
            }
        }
        _ => Error::new(ErrorKind::LoginFailed, "the consent page returned no code")
            .with_remedy(Remedy::new("Log in again.")),
    }
}

/// The result of a code exchange.
#[derive(Debug)]
pub(super) struct TokenGrant {
    pub(super) access_token: AccessToken,
    pub(super) refresh_token: Option<SecretString>,
    /// The granted scopes, or the requested ones if the response does not list them.
    pub(super) scopes: Scopes,
    /// The user's email address, if the response names it.
    pub(super) email: Option<String>,
}

/// An authorization code and the parameters of its request.
pub(super) struct CodeExchange<'a> {
    pub(super) code: &'a SecretString,
    pub(super) client: &'a Client,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a SecretString,
    pub(super) requested: &'a Scopes,
}

impl CodeExchange<'_> {
    /// Exchanges the code, which can be used once.
    pub(super) async fn exchange(&self, http: &HttpClient) -> Result<TokenGrant, Error> {
        let grant = Grant::AuthorizationCode {
            code: self.code,
            client_id: &self.client.id,
            client_secret: Some(&self.client.secret),
            redirect_uri: self.redirect_uri,
            code_verifier: Some(self.verifier),
        };
        let response = TokenEndpoint::google(http.clone())
            .exchange(&grant, None)
            .await
            .map_err(code_error)?;
        let scopes = response.access_token.scopes();
        Ok(TokenGrant {
            scopes: scopes.unwrap_or(self.requested).clone(),
            email: response.id_token.as_ref().and_then(email_of),
            refresh_token: response
                .refresh_token
                .filter(|token| !token.expose_secret().is_empty()),
            access_token: response.access_token,
        })
    }
}

fn code_error(error: ee_token::Error) -> Error {
    if error.kind() != Token::Rejected {
        return error.into();
    }
    let said = error.server_message().unwrap_or_default();
    let remedy = if refusal_cause(&error).is_some() {
        error.remedy().clone()
    } else if said.contains("_client") {
        Remedy::new("Check the OAuth client's ID and secret.")
    } else if said.starts_with("invalid_grant") {
        Remedy::new(
            "Log in again: a code can be used once, within a few minutes, and only by its own login.",
        )
    } else {
        error.remedy().clone()
    };
    Error::new(
        ErrorKind::LoginFailed,
        format!("the authorization code was rejected: {error}"),
    )
    .with_remedy(remedy)
    .with_source(error)
}

/// Returns whether the user may have entered a wrong code, so that another one can be accepted.
pub(super) fn is_wrong_code(error: &Error) -> bool {
    let token = error
        .token_error()
        .filter(|_| error.kind() == ErrorKind::LoginFailed);
    token.is_some_and(|error| {
        let said = error.server_message().unwrap_or_default();
        error.kind() == Token::Rejected
            && said.starts_with("invalid_grant")
            && refusal_cause(error).is_none()
    })
}

/// Returns the requested scopes that were not granted.
pub(super) fn missing(requested: &Scopes, granted: &Scopes) -> Scopes {
    Scopes::new(requested.iter().filter(|scope| !covers(granted, scope)))
}

/// Returns whether a scope was granted.
fn covers(granted: &Scopes, scope: &str) -> bool {
    granted_name(granted, scope).is_some()
}

/// Returns the name of a granted scope in the response: Google uses longer ones for `email` and
/// `profile`.
pub(super) fn granted_name(granted: &Scopes, scope: &str) -> Option<String> {
    let long = || match scope {
        "email" | "profile" => Some(format!("userinfo.{scope}")),
        _ => None,
    };
    let is_granted = |name: &String| granted.contains(name);
    let own = Some(scope.to_owned()).filter(is_granted);
    own.or_else(|| long().filter(is_granted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_needs_the_state_and_either_a_code_or_an_error() {
        use InvalidCallback::{Malformed, StateMismatch};
        let parse = |query: &str| match AuthorizationResponse::parse(query, "s3cret") {
            Ok(AuthorizationResponse::Code(code)) => Ok(code.expose_secret().to_owned()),
            Ok(AuthorizationResponse::Denied(reason)) => Ok(format!("denied: {reason}")),
            Err(no) => Err(no),
        };
        assert_eq!(parse("code=4%2F0a&state=s3cret&scope=x").unwrap(), "4/0a");
        assert_eq!(
            parse("error=access_denied&state=s3cret").unwrap(),
            "denied: access_denied"
        );
        for (query, why) in [
            ("", StateMismatch),
            ("code=x", StateMismatch),
            ("code=x&state=", StateMismatch),
            ("code=x&state=S3cret", StateMismatch),
            ("error=access_denied&state=other", StateMismatch),
            ("state=s3cret", Malformed),
            ("code=&state=s3cret", Malformed),
            ("code=x&error=y&state=s3cret", Malformed),
            ("code=x&code=y&state=s3cret", Malformed),
            ("code=x&state=other&state=s3cret", Malformed),
        ] {
            assert_eq!(parse(query).unwrap_err(), why, "{query}");
        }
    }

    #[test]
    fn denial_quotes_the_error_code_if_it_is_valid() {
        use ErrorKind::{LoginDenied, LoginFailed};
        for (reason, kind, part) in [
            ("access_denied", LoginDenied, "access was not granted"),
            ("admin_policy_enforced", LoginDenied, "organization"),
            ("server_error", LoginFailed, "server_error"),
            ("<script>\u{1b}[2J", LoginFailed, "returned no code"),
        ] {
            let error = denied(reason);
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(part), "{error}");
            assert!(!error.remedy().text.is_empty() && !error.to_string().contains('<'));
        }
    }

    #[test]
    fn missing_scopes_were_requested_but_not_granted() {
        let requested = Scopes::new(["openid", "email", "earthengine", "drive"]);
        let granted = Scopes::new(["openid", "userinfo.email", "earthengine"]);
        assert_eq!(missing(&requested, &granted), Scopes::new(["drive"]));
        assert!(missing(&granted, &granted).is_empty());
    }
}
