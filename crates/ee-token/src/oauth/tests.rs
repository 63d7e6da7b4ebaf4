use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::Endpoints;

fn endpoint(server: &MockServer, max_retries: u32) -> TokenEndpoint {
    let http = HttpClient::new(Endpoints::emulator(*server.address()).unwrap());
    TokenEndpoint::google(http).with_retry(RetryPolicy {
        max_retries,
        initial_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        ..RetryPolicy::for_token_requests()
    })
}

async fn server_with(responses: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let queue = Mutex::new(responses);
    Mock::given(method("POST"))
        .respond_with(move |_: &Request| {
            let mut queue = queue.lock().unwrap();
            if queue.len() > 1 {
                queue.remove(0)
            } else {
                queue[0].clone()
            }
        })
        .mount(&server)
        .await;
    server
}

fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

const GOOD: &str = r#"{"access_token":"ya29.good","expires_in":3599,"token_type":"Bearer"}"#;

async fn refresh(endpoint: &TokenEndpoint) -> Result<TokenResponse, Error> {
    let (secret, refresh_token) = ("client-canary".into(), "refresh-canary".into());
    let grant = Grant::RefreshToken {
        client_id: Some("me"),
        client_secret: Some(&secret),
        refresh_token: &refresh_token,
        rapt: None,
        scopes: None,
    };
    endpoint.exchange(&grant, None).await
}

async fn form(server: &MockServer, index: usize) -> BTreeMap<String, String> {
    let requests = server.received_requests().await.unwrap();
    url::form_urlencoded::parse(&requests[index].body)
        .into_owned()
        .collect()
}

fn form_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect()
}

#[tokio::test]
async fn refresh_token_request_has_exactly_these_fields() {
    let server = server_with(vec![json(200, GOOD)]).await;
    let response = refresh(&endpoint(&server, 0)).await.unwrap();
    assert_eq!(response.access_token.secret(), "ya29.good");
    let lifetime = response.access_token.expires_at().unwrap() - Utc::now();
    assert!(
        (3590..=3599).contains(&lifetime.num_seconds()),
        "{lifetime}"
    );
    assert_eq!(
        form(&server, 0).await,
        form_of(&[
            ("grant_type", "refresh_token"),
            ("client_id", "me"),
            ("client_secret", "client-canary"),
            ("refresh_token", "refresh-canary"),
        ])
    );
    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.url.path(), "/oauth2.googleapis.com/token");
    assert_eq!(
        request.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
}

#[tokio::test]
async fn code_and_token_exchange_requests_have_exact_fields() {
    let server = server_with(vec![json(200, GOOD)]).await;
    let endpoint = endpoint(&server, 0);
    let (code, secret, verifier) = ("4/code".into(), "s".into(), "v".into());
    let grant = Grant::AuthorizationCode {
        code: &code,
        client_id: "me",
        client_secret: Some(&secret),
        redirect_uri: "http://localhost:8085",
        code_verifier: Some(&verifier),
    };
    endpoint.exchange(&grant, None).await.unwrap();
    assert_eq!(
        form(&server, 0).await,
        form_of(&[
            ("grant_type", "authorization_code"),
            ("code", "4/code"),
            ("client_id", "me"),
            ("client_secret", "s"),
            ("redirect_uri", "http://localhost:8085"),
            ("code_verifier", "v"),
        ])
    );

    let subject = "subject-token".into();
    let grant = Grant::TokenExchange {
        audience: "//iam.googleapis.com/x",
        scopes: &Scopes::new(["earthengine"]),
        subject_token: &subject,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        options: Some(r#"{"userProject":"1"}"#),
    };
    let client = ClientBasicAuth {
        client_id: "id",
        client_secret: &secret,
    };
    endpoint.exchange(&grant, Some(&client)).await.unwrap();
    assert_eq!(
        form(&server, 1).await,
        form_of(&[
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange"
            ),
            ("audience", "//iam.googleapis.com/x"),
            ("scope", "https://www.googleapis.com/auth/earthengine"),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token"
            ),
            ("subject_token", "subject-token"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("options", "%7B%22userProject%22%3A%221%22%7D"),
        ])
    );
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[1].headers["authorization"], "Basic aWQ6cw==");
}

#[tokio::test]
async fn unusual_responses_are_parsed_or_an_error() {
    let expires_in =
        |expires_in: &str| format!(r#"{{"access_token":"t","expires_in":{expires_in}}}"#);
    for (body, expected) in [
        (expires_in("\"3600\""), Some(Some(3600))),
        (expires_in("3599.9"), Some(Some(3599))),
        (expires_in("null"), Some(None)),
        (r#"{"access_token":"t"}"#.into(), Some(None)),
        (
            r#"{"access_token":"t","token_type":"bearer","scope":""}"#.into(),
            Some(None),
        ),
        (
            r#"{"access_token":"t","scope":["openid", 7]}"#.into(),
            Some(None),
        ),
        (
            r#"{"access_token":"t","scope":{"a": 1}}"#.into(),
            Some(None),
        ),
        (expires_in("1e300"), Some(Some(366 * 24 * 3600))),
        (expires_in("0"), None),
        (expires_in("-5"), None),
        (expires_in("\"soon\""), None),
        (expires_in("\"NaN\""), None),
        (expires_in("[1]"), None),
        (r#"{"access_token":""}"#.into(), None),
        (r#"{"access_token":"a\r\nb"}"#.into(), None),
        (r#"{"access_token":7}"#.into(), None),
        (r#"{"access_token":"t","token_type":"mac"}"#.into(), None),
        (r#"{"access_tok"#.into(), None),
        (r#"{"id_token":"only"}"#.into(), None),
        ("<html>Sign in to the network</html>".into(), None),
        (String::new(), None),
        ("[]".into(), None),
        ("\u{0}\u{1}".into(), None),
    ] {
        let server = server_with(vec![json(200, &body)]).await;
        let result = refresh(&endpoint(&server, 0)).await;
        match (result, expected) {
            (Ok(response), Some(expected)) => {
                let lifetime = response
                    .access_token
                    .expires_at()
                    .map(|at| (at - Utc::now()).num_seconds());
                match (lifetime, expected) {
                    (Some(lifetime), Some(expected)) => {
                        assert!((expected - lifetime) <= 5, "{body}: {lifetime}")
                    }
                    (lifetime, expected) => assert_eq!(lifetime, expected, "{body}"),
                }
            }
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body}"),
            (result, _) => panic!("{body}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn response_over_1_mib_is_an_error_and_not_retried() {
    let body = vec![b' '; (1 << 20) + 1];
    let server = server_with(vec![ResponseTemplate::new(200).set_body_bytes(body)]).await;
    let error = refresh(&endpoint(&server, 2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn error_responses_map_to_their_kind() {
    use ErrorKind::{
        ClockSkew, InvalidResponse, InvalidScope, ReauthenticationRequired, Rejected, Server,
    };
    let oauth = |code: &str, rest: &str| format!(r#"{{"error":"{code}"{rest}}}"#);
    let rapt = |subtype| oauth("invalid_grant", &format!(r#","error_subtype":"{subtype}""#));
    let revoked = r#","error_description":"Token has been expired or revoked.""#;
    let skew = r#","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.""#;
    for (status, body, kind) in [
        (400, oauth("invalid_grant", revoked), Rejected),
        (400, rapt("invalid_rapt"), ReauthenticationRequired),
        (400, rapt("rapt_required"), ReauthenticationRequired),
        (400, oauth("invalid_grant", skew), ClockSkew),
        (400, oauth("invalid_scope", ""), InvalidScope),
        (401, oauth("invalid_client", ""), Rejected),
        (401, oauth("unauthorized_client", ""), Rejected),
        (400, oauth("temporarily_unavailable", ""), Server),
        (400, oauth("internal_failure", ""), Server),
        (
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Bad audience."}}"#
                .into(),
            Rejected,
        ),
        (401, oauth("deleted_client", ""), Rejected),
        (400, oauth("invalid_target", ""), Rejected),
        (400, oauth("rate_limit_exceeded", ""), Server),
        (
            403,
            r#"{"error":{"code":403,"status":"RESOURCE_EXHAUSTED","message":"Quota exceeded."}}"#
                .into(),
            Server,
        ),
        (429, "slow down".into(), Server),
        (503, "<html>".into(), Server),
        (
            403,
            "<html>Blocked by the proxy</html>".into(),
            InvalidResponse,
        ),
        (307, String::new(), InvalidResponse),
    ] {
        let server = server_with(vec![json(status, &body)]).await;
        let error = refresh(&endpoint(&server, 0)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert!(
            error.to_string().contains("oauth2.googleapis.com"),
            "{error}"
        );
    }
}

/// Statuses of proxies, gateways, filters, login pages and overloaded servers.
const TRANSIENT_STATUSES: [u16; 14] = [
    302, 307, 402, 403, 404, 405, 407, 409, 410, 418, 451, 429, 503, 511,
];

#[test]
fn only_codes_about_the_credential_reject_it() {
    let codes = [
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "access_denied",
        "forbidden",
        "not_found",
        "blocked_by_filter",
    ];
    let google = |status: &str| format!(r#"{{"error":{{"status":"{status}","message":"No."}}}}"#);
    let bodies = codes
        .map(|code| format!(r#"{{"error":"{code}"}}"#))
        .into_iter()
        .chain(["PERMISSION_DENIED", "NOT_FOUND", "UNAUTHENTICATED", ""].map(google));
    for body in bodies {
        for status in TRANSIENT_STATUSES {
            let status = StatusCode::from_u16(status).unwrap();
            let received = ReceivedResponse::with_body(status, body.as_bytes());
            let error = classify(&received, "oauth2.googleapis.com", &[]);
            assert!(error.is_transient(), "{status} {body}");
            assert!(!error.kind().is_rejection(), "{status} {body}");
            assert!(!error.remedy().text.is_empty(), "{status} {body}");
        }
    }
    // With status 400 or 401, the code must be a known one.
    for status in [400, 401] {
        for body in [
            r#"{"error":"no_such_code"}"#,
            r#"{"error":""}"#,
            r#"{"error":{"code":400,"message":"No."}}"#,
            r#"{"error":{"status":"UNAUTHENTICATED"}}"#,
            r#"{"error":7}"#,
            "<html>",
            "",
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let received = ReceivedResponse::with_body(status, body.as_bytes());
            let error = classify(&received, "oauth2.googleapis.com", &[]);
            assert!(error.is_transient(), "{status} {body}");
            assert!(!error.remedy().text.is_empty(), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn rejection_by_a_filter_is_retried() {
    for body in [
        r#"{"error":"forbidden"}"#,
        r#"{"error":"invalid_grant"}"#,
        "<html>",
    ] {
        let server = server_with(vec![json(403, body), json(200, GOOD)]).await;
        refresh(&endpoint(&server, 2)).await.unwrap();
        assert_eq!(server.received_requests().await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn server_message_is_kept_without_secrets() {
    let body = r#"{"error":"invalid_grant","error_description":"Bad token refresh-canary of client-canary, ya29.canary"}"#;
    let server = server_with(vec![json(400, body)]).await;
    let error = refresh(&endpoint(&server, 0)).await.unwrap_err();
    let all = format!("{error} {error:?} {:?}", error.remedy());
    assert!(!all.contains("canary"), "{all}");
    assert!(all.contains("Bad token [redacted] of [redacted]"), "{all}");
}

#[tokio::test]
async fn transient_errors_are_retried_and_rejections_are_not() {
    let truncated = json(200, "{\"access");
    let busy = json(503, "busy");
    let server = server_with(vec![busy, truncated, json(200, GOOD)]).await;
    refresh(&endpoint(&server, 2)).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 3);

    let server = server_with(vec![json(400, r#"{"error":"invalid_grant"}"#)]).await;
    refresh(&endpoint(&server, 2)).await.unwrap_err();
    assert_eq!(server.received_requests().await.unwrap().len(), 1);

    let server = server_with(vec![json(500, "")]).await;
    refresh(&endpoint(&server, 2)).await.unwrap_err();
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn code_is_never_sent_twice() {
    let server = server_with(vec![json(503, "")]).await;
    let code = "4/code".into();
    let grant = Grant::AuthorizationCode {
        code: &code,
        client_id: "me",
        client_secret: None,
        redirect_uri: "http://localhost",
        code_verifier: None,
    };
    endpoint(&server, 2)
        .exchange(&grant, None)
        .await
        .unwrap_err();
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn implausible_date_header_is_ignored() {
    let skewed = r#"{"error": "invalid_grant", "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}"#;
    for date in [
        "31 Dec 262142 23:30:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT",
    ] {
        let server = server_with(vec![json(400, skewed).insert_header("Date", date)]).await;
        let error = endpoint(&server, 0)
            .jwt_bearer(|now| {
                // The expiry of a JWT.
                let expiry = now + TimeDelta::hours(1);
                Ok(expiry.to_rfc3339().into())
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClockSkew, "{date}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "{date}");
    }
}

#[tokio::test]
async fn wrong_clock_is_corrected_once_by_the_date_header() {
    let skewed = || {
        json(
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}"#,
        )
    };
    let ahead = Utc::now() + TimeDelta::hours(5);
    let date = ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let signed = Mutex::new(Vec::new());
    let sign = |at: DateTime<Utc>| {
        signed.lock().unwrap().push(at);
        Ok(SecretString::from("jwt"))
    };

    let server = server_with(vec![
        skewed().insert_header("Date", date.as_str()),
        json(200, GOOD),
    ])
    .await;
    let token_endpoint = endpoint(&server, 0);
    token_endpoint.jwt_bearer(sign).await.unwrap();
    let off = |i: usize| (ahead - signed.lock().unwrap()[i]).num_seconds().abs();
    assert!(off(0) > 17_000 && off(1) < 60);
    // The next JWT has the corrected time.
    token_endpoint.jwt_bearer(sign).await.unwrap();
    assert!(off(2) < 60);

    let server = server_with(vec![skewed().insert_header("Date", date.as_str())]).await;
    let error = endpoint(&server, 0).jwt_bearer(sign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClockSkew);
    assert_eq!(
        server.received_requests().await.unwrap().len(),
        2,
        "one retry"
    );

    let server = server_with(vec![skewed()]).await;
    let error = endpoint(&server, 0).jwt_bearer(sign).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::ClockSkew,
        "the clocks of both sides agree"
    );
}
