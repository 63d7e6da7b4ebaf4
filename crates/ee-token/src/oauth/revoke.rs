//! Token revocation (RFC 7009).

use http::StatusCode;
use serde::Deserialize;

use crate::oauth::error_response::classify;
use crate::secret::wipe::secret_request;
use crate::transport::exchange::Exchange;
use crate::{Endpoint, Error, HttpClient, SecretString};

/// Revokes a grant at Google, by its refresh token or by an access token that was issued for it.
/// Returns `false` if it had already expired or been revoked.
///
/// # Errors
/// [`ErrorKind::Network`](crate::ErrorKind::Network) or [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if the server cannot be reached,
/// [`ErrorKind::Server`](crate::ErrorKind::Server) or [`ErrorKind::Rejected`](crate::ErrorKind::Rejected) if it rejects the request.
pub async fn revoke(http: &HttpClient, token: &SecretString) -> Result<bool, Error> {
    let url = http.endpoints().url(Endpoint::Revocation);
    let request = secret_request(url, &[("token", token.expose_secret())]);
    let received = Exchange::new(http).send(request).await?;
    match received.status {
        StatusCode::OK => Ok(true),
        StatusCode::BAD_REQUEST if is_already_revoked(&received.body) => Ok(false),
        _ => {
            let host = url.host_str().unwrap_or_default();
            Err(classify(&received, host, &[token.expose_secret()]))
        }
    }
}

/// Returns whether the response says that the token has expired or was revoked.
pub(crate) fn is_already_revoked(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: String,
    }
    serde_json::from_slice(body).is_ok_and(|body: ErrorBody| body.error == "invalid_token")
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{body_string, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::{Endpoints, ErrorKind};

    async fn response_to(status: u16, body: &str) -> Result<bool, Error> {
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
    async fn revoking_a_revoked_token_is_not_an_error() {
        assert!(response_to(200, "{}").await.unwrap());
        let revoked =
            r#"{"error": "invalid_token", "error_description": "Token expired or revoked"}"#;
        assert!(!response_to(400, revoked).await.unwrap());
    }

    #[tokio::test]
    async fn error_responses_do_not_show_the_token() {
        for (status, body, kind) in [
            (
                400,
                r#"{"error": "invalid_request", "error_description": "1//canary"}"#,
                ErrorKind::Rejected,
            ),
            (503, "", ErrorKind::Server),
            (404, "<html>", ErrorKind::InvalidResponse),
        ] {
            let error = response_to(status, body).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
