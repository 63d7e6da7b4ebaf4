//! The scopes and the owner of a token: tokeninfo and introspection.

use http::StatusCode;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::oauth::error_response::classify;
use crate::secret::sanitize::is_unsafe_for_display;
use crate::secret::wipe::secret_request;
use crate::transport::exchange::Exchange;
use crate::{AccessToken, ClientBasicAuth, Endpoint, Error, ErrorKind, HttpClient, Remedy, Scopes};

/// The scopes and the owner of a token, as returned by [`token_info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// The granted scopes.
    pub scopes: Scopes,
    /// The owner's email address, if the scopes include `email`.
    pub email: Option<String>,
    /// The owner's account ID (`sub`), if the scopes include `openid` or the account's profile.
    /// Unlike an email address, it never changes.
    pub subject: Option<String>,
}

/// Queries the tokeninfo endpoint for the scopes and the owner of a token. Token responses contain
/// the scopes of user logins, but not of service accounts or metadata servers.
///
/// # Errors
/// [`ErrorKind::Rejected`] if the token is unknown, expired or revoked;
/// [`ErrorKind::Network`], [`ErrorKind::Timeout`], [`ErrorKind::Server`] or
/// [`ErrorKind::InvalidResponse`] if there is no usable response.
///
/// ```no_run
/// # async fn f(http: ee_token::HttpClient, token: ee_token::AccessToken) -> Result<(), ee_token::Error> {
/// let info = ee_token::token_info(&http, &token).await?;
/// assert!(info.scopes.contains("earthengine"));
/// # Ok(()) }
/// ```
pub async fn token_info(http: &HttpClient, token: &AccessToken) -> Result<TokenInfo, Error> {
    let url = http.endpoints().url(Endpoint::TokenInfo);
    let request = secret_request(url, &[("access_token", token.secret())]);
    let received = Exchange::new(http).send(request).await?;
    let host = url.host_str().unwrap_or_default();
    if received.status != StatusCode::OK {
        return Err(classify(&received, host, &[token.secret()]));
    }
    parse_response(&received.body, host)
}

pub(crate) fn parse_response(body: &[u8], host: &str) -> Result<TokenInfo, Error> {
    let response: TokenInfoBody = description(body, host)?;
    Ok(TokenInfo {
        scopes: Scopes::from_untrusted([response.scope]),
        email: response
            .email
            .as_str()
            .filter(|email| is_mail_address(email))
            .map(str::to_owned),
        subject: response
            .sub
            .as_str()
            .filter(|subject| !subject.is_empty())
            .map(str::to_owned),
    })
}

/// Queries a token introspection endpoint (RFC 7662) for the subject of a token. Returns `None`
/// if the token is not active or the endpoint does not name a subject.
///
/// # Errors
/// [`ErrorKind::Rejected`] if the endpoint does not accept the client;
/// [`ErrorKind::Network`], [`ErrorKind::Timeout`], [`ErrorKind::Server`] or
/// [`ErrorKind::InvalidResponse`] if there is no usable response.
pub async fn introspect(
    http: &HttpClient,
    url: &Url,
    client: &ClientBasicAuth<'_>,
    token: &AccessToken,
) -> Result<Option<String>, Error> {
    let mut request = secret_request(url, &[("token", token.secret())]);
    request.headers_mut().insert(AUTHORIZATION, client.basic()?);
    let received = Exchange::new(http).send(request).await?;
    let host = url.host_str().unwrap_or_default();
    if received.status != StatusCode::OK {
        let of_client = client.secrets();
        let mut secrets: Vec<&str> = of_client.iter().map(|secret| secret.as_str()).collect();
        secrets.push(token.secret());
        return Err(classify(&received, host, &secrets));
    }
    let response: Introspection = description(&received.body, host)?;
    Ok(response
        .sub
        .filter(|sub| response.active && !sub.is_empty()))
}

/// Reads the description of a token.
fn description<T: DeserializeOwned>(body: &[u8], host: &str) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| {
        let shape = crate::shape(body);
        let why = format!("the response of {host} does not describe a token: {shape}");
        Error::new(ErrorKind::InvalidResponse, why).with_remedy(Remedy::unexpected_intermediary())
    })
}

/// Returns whether the text can be an email address and is safe to print.
fn is_mail_address(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !is_unsafe_for_display(c) && !"<>\"\\".contains(c);
    let has_both_parts = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    // RFC 5321 §4.5.3.1: 64 characters for the name, 255 for the host.
    has_both_parts && text.len() <= 320 && text.chars().all(fits)
}

#[derive(Deserialize)]
struct TokenInfoBody {
    scope: String,
    // Of any type, because an unexpected type must not hide the scopes.
    #[serde(default)]
    email: Value,
    #[serde(default)]
    sub: Value,
}

/// The fields of an introspection response that are used (RFC 7662 §2.2).
#[derive(Deserialize)]
struct Introspection {
    active: bool,
    sub: Option<String>,
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{body_string, header, method, path};
    use wiremock::{Mock, MockBuilder, MockServer, ResponseTemplate};

    use super::*;
    use crate::Endpoints;

    /// Starts a server that responds to these requests. The client sends all requests to it.
    async fn start(requests: MockBuilder, status: u16, body: &str) -> (MockServer, HttpClient) {
        let server = MockServer::start().await;
        let response = ResponseTemplate::new(status).set_body_string(body);
        requests.respond_with(response).mount(&server).await;
        let endpoints = Endpoints::emulator(*server.address()).unwrap();
        (server, HttpClient::new(endpoints))
    }

    fn token() -> AccessToken {
        AccessToken::new("ya29.canary").unwrap()
    }

    async fn token_info_for(status: u16, body: &str) -> Result<TokenInfo, Error> {
        let requests = Mock::given(method("POST"))
            .and(path("/oauth2.googleapis.com/tokeninfo"))
            .and(body_string("access_token=ya29.canary"));
        let (_server, http) = start(requests, status, body).await;
        token_info(&http, &token()).await
    }

    #[tokio::test]
    async fn token_is_sent_in_the_body() {
        let body = r#"{"scope": "https://www.googleapis.com/auth/earthengine openid",
            "email": "jane@example.com", "expires_in": "3599"}"#;
        let info = token_info_for(200, body).await.unwrap();
        assert_eq!(info.scopes, Scopes::new(["earthengine", "openid"]));
        assert_eq!(info.email.as_deref(), Some("jane@example.com"));
        assert_eq!(info.subject, None);
    }

    #[tokio::test]
    async fn token_info_reads_the_subject_if_it_is_text() {
        for (sub, subject) in [
            (
                r#""10769150350006150715113082367""#,
                Some("10769150350006150715113082367"),
            ),
            (r#""""#, None),
            ("7", None),
            ("null", None),
            ("{}", None),
        ] {
            let body = format!(r#"{{"scope": "openid", "sub": {sub}}}"#);
            let info = token_info_for(200, &body).await.unwrap();
            assert_eq!(info.subject.as_deref(), subject, "{body}");
            assert_eq!(info.scopes, Scopes::new(["openid"]));
        }
    }

    async fn introspected(status: u16, body: &str) -> Result<Option<String>, Error> {
        let requests = Mock::given(method("POST"))
            .and(path("/sts.googleapis.com/v1/introspect"))
            .and(header("authorization", "Basic YzpzLWNhbmFyeQ=="))
            .and(body_string("token=ya29.canary"));
        let (_server, http) = start(requests, status, body).await;
        let url = "https://sts.googleapis.com/v1/introspect".parse().unwrap();
        let client = ClientBasicAuth {
            client_id: "c",
            client_secret: &"s-canary".into(),
        };
        introspect(&http, &url, &client, &token()).await
    }

    #[tokio::test]
    async fn introspection_names_the_subject_of_an_active_token() {
        for (body, subject) in [
            (
                r#"{"active": true, "sub": "principal://p/jane"}"#,
                Some("principal://p/jane"),
            ),
            (r#"{"active": true, "sub": ""}"#, None),
            (r#"{"active": true}"#, None),
            (r#"{"active": false}"#, None),
            (r#"{"active": false, "sub": "principal://p/jane"}"#, None),
        ] {
            assert_eq!(introspected(200, body).await.unwrap().as_deref(), subject);
        }
    }

    #[tokio::test]
    async fn invalid_scopes_and_addresses_are_ignored() {
        let info = token_info_for(
            200,
            r#"{"scope": "openid \u001b[2J", "email": "jane\u202e@example.com"}"#,
        );
        let info = info.await.unwrap();
        assert_eq!(info.scopes, Scopes::new(["openid"]));
        assert_eq!(info.email, None);
    }

    #[test]
    fn email_address_has_two_parts_and_is_printable() {
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
    async fn error_responses_do_not_show_the_token() {
        use ErrorKind::{InvalidResponse, Rejected, Server};
        let invalid_token = r#"{"error": "invalid_token", "error_description": "ya29.canary"}"#;
        let invalid_client =
            r#"{"error": "invalid_client", "error_description": "s-canary ya29.canary"}"#;
        let common = [
            (503, "", Server),
            (200, "<html>", InvalidResponse),
            (200, "{}", InvalidResponse),
        ];
        let check = |error: Error, body: &str, kind| {
            assert_eq!(error.kind(), kind, "{body}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        };
        for (status, body, kind) in common.into_iter().chain([(400, invalid_token, Rejected)]) {
            let error = token_info_for(status, body).await.unwrap_err();
            check(error, body, kind);
        }
        for (status, body, kind) in common.into_iter().chain([(401, invalid_client, Rejected)]) {
            let error = introspected(status, body).await.unwrap_err();
            check(error, body, kind);
        }
    }
}
