//! Giving a grant back (RFC 7009).

use http::StatusCode;
use serde::Deserialize;

use crate::oauth::error_response::classify;
use crate::secret::wipe::secret_request;
use crate::transport::exchange::Exchange;
use crate::{Endpoint, Error, HttpClient, SecretString};

/// Ends a grant at Google: by its refresh token, or by an access token that came from it.
/// Returns `false` if it had ended before.
///
/// # Errors
/// [`ErrorKind::Network`](crate::ErrorKind::Network) or [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if Google cannot be reached,
/// [`ErrorKind::Server`](crate::ErrorKind::Server) or [`ErrorKind::Rejected`](crate::ErrorKind::Rejected) if it does not agree.
pub async fn revoke(http: &HttpClient, token: &SecretString) -> Result<bool, Error> {
    let url = http.endpoints().url(Endpoint::Revocation);
    let request = secret_request(url, "token", token.expose_secret());
    let received = Exchange::new(http).send(request).await?;
    match received.status {
        StatusCode::OK => Ok(true),
        StatusCode::BAD_REQUEST if has_ended(&received.body) => Ok(false),
        _ => {
            let host = url.host_str().unwrap_or_default();
            Err(classify(&received, host, &[token.expose_secret()]))
        }
    }
}

/// Google says so of a token that was revoked or has expired.
pub(crate) fn has_ended(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Reply {
        error: String,
    }
    serde_json::from_slice(body).is_ok_and(|reply: Reply| reply.error == "invalid_token")
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{body_string, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::{Endpoints, ErrorKind};

    async fn answer(status: u16, body: &str) -> Result<bool, Error> {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/oauth2.googleapis.com/revoke"))
            .and(header("content-type", "application/x-www-form-urlencoded"))
            .and(body_string("token=1%2F%2Fcanary"))
            .respond_with(ResponseTemplate::new(status).set_body_string(body))
            .mount(&server)
            .await;
        let http = HttpClient::new(Endpoints::emulator(*server.address()).unwrap());
        revoke(&http, &"1//canary".into()).await
    }

    #[tokio::test]
    async fn the_token_goes_in_the_body_and_a_grant_that_had_ended_is_no_error() {
        assert!(answer(200, "{}").await.unwrap());
        let over = r#"{"error": "invalid_token", "error_description": "Token expired or revoked"}"#;
        assert!(!answer(400, over).await.unwrap());
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_kind_and_no_secret() {
        for (status, body, kind) in [
            (
                400,
                r#"{"error": "invalid_request", "error_description": "1//canary"}"#,
                ErrorKind::Rejected,
            ),
            (503, "", ErrorKind::Server),
            (404, "<html>", ErrorKind::InvalidResponse),
        ] {
            let error = answer(status, body).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
