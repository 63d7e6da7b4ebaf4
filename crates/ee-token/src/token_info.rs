//! What a token is good for, as Google tells whoever has it.

use http::StatusCode;
use serde::Deserialize;

use crate::secret::post_secret;
use crate::token_error::{OAuthError, classify};
use crate::{
    AccessToken, Endpoint, Error, ErrorKind, HttpClient, Scopes, read_bounded, steers_terminal,
};

const MAX_REPLY: usize = 1 << 20;

/// What Google says of a token: [`token_info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// The scopes that were granted.
    pub scopes: Scopes,
    /// Whose token it is, if the scope `email` is among them.
    pub email: Option<String>,
}

/// Asks what a token is good for. Token endpoints say so for a person's login, and not for
/// a service account or a machine.
///
/// # Errors
/// [`ErrorKind::Rejected`] for a token that Google does not know, or no longer;
/// [`ErrorKind::Network`], [`ErrorKind::Timeout`], [`ErrorKind::Server`] or
/// [`ErrorKind::InvalidResponse`] if there is no answer that can be used.
///
/// ```no_run
/// # async fn f(http: ee_token::HttpClient, token: ee_token::AccessToken) -> Result<(), ee_token::Error> {
/// let info = ee_token::token_info(&http, &token).await?;
/// assert!(info.scopes.contains("earthengine"));
/// # Ok(()) }
/// ```
pub async fn token_info(http: &HttpClient, token: &AccessToken) -> Result<TokenInfo, Error> {
    let url = http.endpoints().url(Endpoint::TokenInfo);
    let mut response = post_secret(http, url, "access_token", token.secret()).await?;
    let status = response.status();
    let body = read_bounded(&mut response, MAX_REPLY).await?;
    let host = url.host_str().unwrap_or_default();
    if status != StatusCode::OK {
        let reply = OAuthError::parse(&body);
        return Err(classify(status, reply.as_ref(), host, &[token.secret()]));
    }
    parse_reply(&body, host)
}

pub(crate) fn parse_reply(body: &[u8], host: &str) -> Result<TokenInfo, Error> {
    let reply: Reply = serde_json::from_slice(body).map_err(|_| {
        Error::new(
            ErrorKind::InvalidResponse,
            format!(
                "the answer of {host} does not say what the token is good for: {}",
                crate::shape(body)
            ),
        )
    })?;
    Ok(TokenInfo {
        scopes: Scopes::stated([reply.scope]),
        email: reply.email.filter(|email| is_mail_address(email)),
    })
}

/// Whether a text may be a mail address, which is printed. Who uses it finds out whether it is one.
fn is_mail_address(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !steers_terminal(c) && !"<>\"\\".contains(c);
    let has_both_parts = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    // RFC 5321 §4.5.3.1: 64 for the name, 255 for the host.
    has_both_parts && text.len() <= 320 && text.chars().all(fits)
}

#[derive(Deserialize)]
struct Reply {
    scope: String,
    email: Option<String>,
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{body_string, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::Endpoints;

    async fn answer(status: u16, body: &str) -> Result<TokenInfo, Error> {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/oauth2.googleapis.com/tokeninfo"))
            .and(body_string("access_token=ya29.canary"))
            .respond_with(ResponseTemplate::new(status).set_body_string(body))
            .mount(&server)
            .await;
        let http = HttpClient::new(Endpoints::emulator(*server.address()).unwrap());
        token_info(&http, &AccessToken::new("ya29.canary").unwrap()).await
    }

    #[tokio::test]
    async fn the_token_goes_in_the_body_and_its_scopes_and_owner_come_back() {
        let body = r#"{"scope": "https://www.googleapis.com/auth/earthengine openid",
            "email": "jane@example.com", "expires_in": "3599"}"#;
        let info = answer(200, body).await.unwrap();
        assert_eq!(info.scopes, Scopes::new(["earthengine", "openid"]));
        assert_eq!(info.email.as_deref(), Some("jane@example.com"));
    }

    #[tokio::test]
    async fn what_is_no_scope_and_no_address_is_left_out_of_an_answer() {
        let info = answer(
            200,
            r#"{"scope": "openid \u001b[2J", "email": "jane\u202e@example.com"}"#,
        );
        let info = info.await.unwrap();
        assert_eq!(info.scopes, Scopes::new(["openid"]));
        assert_eq!(info.email, None);
    }

    #[test]
    fn an_address_has_a_name_and_a_host_and_nothing_that_plays_tricks() {
        for (text, is_one) in [
            ("jane@example.com", true),
            ("o'neil+ee@müller.example", true),
            ("12345-compute@developer.gserviceaccount.com", true),
            ("", false),
            ("jane", false),
            ("@example.com", false),
            ("jane@", false),
            ("a@b@c", false),
            ("jane doe@example.com", false),
            ("jane@example.com\n", false),
            ("jane\u{1b}[2J@example.com", false),
            ("jane\u{200b}@example.com", false),
            ("Jane <jane@example.com>", false),
        ] {
            assert_eq!(is_mail_address(text), is_one, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_and_a_reply_that_is_none_are_errors_without_the_token() {
        for (status, body, kind) in [
            (
                400,
                r#"{"error": "invalid_token", "error_description": "ya29.canary"}"#,
                ErrorKind::Rejected,
            ),
            (503, "", ErrorKind::Server),
            (200, "<html>", ErrorKind::InvalidResponse),
            (200, "{}", ErrorKind::InvalidResponse),
        ] {
            let error = answer(status, body).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{body}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
