//! The consent page: its address, what it sends back, and the exchange of its code for a grant
//! (RFC 6749 §4.1 with RFC 7636).

use ee_token::{
    AccessToken, Endpoint, Endpoints, ErrorKind as Token, Grant, HttpClient, Remedy, Scopes,
    SecretString, TokenEndpoint,
};
use url::Url;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::login::pkce;
use crate::{Error, ErrorKind};

/// An OAuth client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(super) id: String,
    pub(super) secret: SecretString,
}

/// What the consent page is asked for.
pub(super) struct Question<'a> {
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) scopes: &'a Scopes,
    pub(super) verifier: &'a SecretString,
    pub(super) state: &'a str,
    pub(super) more: &'a [(&'a str, &'a str)],
}

impl Question<'_> {
    /// The page's address, for a browser.
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

/// What came back from the consent page.
pub(super) enum Answer {
    Code(SecretString),
    /// The reason, as the page's own word for it.
    Refused(String),
}

/// Why a callback is not the answer that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Its state is missing or another one: it belongs to another login, or to none.
    ForeignState,
    /// It belongs to this login, and makes no sense.
    Malformed,
}

impl Answer {
    /// Reads the query of a callback.
    pub(super) fn parse(query: &str, state: &str) -> Result<Self, NoAnswer> {
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
                return Err(NoAnswer::Malformed);
            }
        }
        if !given_state.is_some_and(|given| pkce::same(&given, state)) {
            return Err(NoAnswer::ForeignState);
        }
        match (code, error) {
            (Some(code), None) if !code.is_empty() => Ok(Self::Code(code.as_str().into())),
            (None, Some(error)) if !error.is_empty() => {
                Ok(Self::Refused(error.as_str().to_owned()))
            }
            _ => Err(NoAnswer::Malformed),
        }
    }
}

/// The error for a refusal of the consent page (RFC 6749 §4.1.2.1).
pub(super) fn refused(reason: &str) -> Error {
    let is_word = reason.len() <= 64 && reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match reason {
        "access_denied" => Error::new(
            ErrorKind::LoginDenied,
            "the consent page says access_denied: the consent was not given",
        )
        .with_remedy(Remedy::new("Log in again, and agree on the page.")),
        "admin_policy_enforced" | "org_internal" => Error::new(
            ErrorKind::LoginDenied,
            format!(
                "the consent page says {reason}: your organisation does not allow this application"
            ),
        )
        .with_remedy(Remedy::new(
            "Ask your organisation's administrator to allow it, or log in with another account.",
        )),
        _ if is_word => Error::new(
            ErrorKind::LoginFailed,
            format!("the consent page says {reason}"),
        )
        .with_remedy(Remedy::new("Log in again.")),
        _ => Error::new(ErrorKind::LoginFailed, "the consent page sent no code")
            .with_remedy(Remedy::new("Log in again.")),
    }
}

/// What the person granted.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: AccessToken,
    pub(super) refresh_token: Option<SecretString>,
    /// As far as the endpoint says so, otherwise what was asked for.
    pub(super) scopes: Scopes,
}

/// A code, and where it came from.
pub(super) struct Code<'a> {
    pub(super) code: &'a SecretString,
    pub(super) client: &'a Client,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a SecretString,
    pub(super) asked: &'a Scopes,
}

impl Code<'_> {
    /// Exchanges the code, which can be done once.
    pub(super) async fn exchange(&self, http: &HttpClient) -> Result<Granted, Error> {
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
            .map_err(not_accepted)?;
        let scopes = response.access_token.scopes();
        Ok(Granted {
            scopes: scopes.unwrap_or(self.asked).clone(),
            refresh_token: response
                .refresh_token
                .filter(|token| !token.expose_secret().is_empty()),
            access_token: response.access_token,
        })
    }
}

fn not_accepted(error: ee_token::Error) -> Error {
    if error.kind() != Token::Rejected {
        return error.into();
    }
    let is_the_client = error.to_string().contains("_client");
    let remedy = if is_the_client {
        "Check the OAuth client's id and secret."
    } else {
        "Log in again: a code can be used once, within a few minutes, and by the login that asked for it."
    };
    Error::new(
        ErrorKind::LoginFailed,
        format!("the consent page's code was not accepted: {error}"),
    )
    .with_remedy(Remedy::new(remedy))
    .with_source(error)
}

/// Those of the scopes that were asked for and not granted: the person unticked them.
pub(super) fn missing(asked: &Scopes, granted: &Scopes) -> Scopes {
    Scopes::new(asked.iter().filter(|scope| !covers(granted, scope)))
}

/// Google answers with the longer of these scopes' two names.
pub(super) fn covers(granted: &Scopes, scope: &str) -> bool {
    match scope {
        "email" | "profile" => {
            granted.contains(scope) || granted.contains(&format!("userinfo.{scope}"))
        }
        _ => granted.contains(scope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_this_logins_state_and_either_a_code_or_a_reason() {
        let parse = |query: &str| match Answer::parse(query, "s3cret") {
            Ok(Answer::Code(code)) => Ok(code.expose_secret().to_owned()),
            Ok(Answer::Refused(reason)) => Ok(format!("refused: {reason}")),
            Err(no) => Err(no),
        };
        assert_eq!(parse("code=4%2F0a&state=s3cret&scope=x").unwrap(), "4/0a");
        assert_eq!(
            parse("error=access_denied&state=s3cret").unwrap(),
            "refused: access_denied"
        );
        for (query, why) in [
            ("", NoAnswer::ForeignState),
            ("code=x", NoAnswer::ForeignState),
            ("code=x&state=", NoAnswer::ForeignState),
            ("code=x&state=S3cret", NoAnswer::ForeignState),
            ("error=access_denied&state=other", NoAnswer::ForeignState),
            ("state=s3cret", NoAnswer::Malformed),
            ("code=&state=s3cret", NoAnswer::Malformed),
            ("code=x&error=y&state=s3cret", NoAnswer::Malformed),
            ("code=x&code=y&state=s3cret", NoAnswer::Malformed),
            ("code=x&state=other&state=s3cret", NoAnswer::Malformed),
        ] {
            assert_eq!(parse(query).unwrap_err(), why, "{query}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_pages_word_if_it_is_one() {
        for (reason, kind, part) in [
            (
                "access_denied",
                ErrorKind::LoginDenied,
                "consent was not given",
            ),
            (
                "admin_policy_enforced",
                ErrorKind::LoginDenied,
                "organisation",
            ),
            ("server_error", ErrorKind::LoginFailed, "server_error"),
            ("<script>\u{1b}[2J", ErrorKind::LoginFailed, "sent no code"),
        ] {
            let error = refused(reason);
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.remedy().is_some() && !error.to_string().contains('<'));
        }
    }

    #[test]
    fn what_is_missing_was_asked_for_and_not_granted() {
        let asked = Scopes::new(["openid", "email", "earthengine", "drive"]);
        let granted = Scopes::new(["openid", "userinfo.email", "earthengine"]);
        assert_eq!(missing(&asked, &granted), Scopes::new(["drive"]));
        assert!(missing(&granted, &granted).is_empty());
    }
}
