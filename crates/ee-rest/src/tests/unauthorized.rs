//! Rejected tokens.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ee_token::{AccessToken, ManualClock, Remedy, TokenCache, source_fn};
use http::Method;
use serde_json::{Value, json};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tests::{
    builder_at, client, count, counting_source, error_response, gone, ok, source_then,
};
use crate::{Auth, Client, ErrorKind};

fn unauthorized() -> ResponseTemplate {
    error_response(
        401,
        "Request had invalid authentication credentials.",
        json!([]),
    )
}

#[tokio::test]
async fn rejected_token_is_renewed_and_the_request_resent() {
    let server = MockServer::start().await;
    let first = header("authorization", "Bearer token-1");
    Mock::given(first)
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(ok()).mount(&server).await;
    // This applies to any method, because the server did not process the first request.
    let request = client(&server).request(Method::POST, "image:export");
    let response = request.json(&json!({})).send().await.unwrap();
    assert_eq!(response.attempts(), 2);
    let last = server.received_requests().await.unwrap().pop().unwrap();
    assert_eq!(last.headers["authorization"], "Bearer token-2");
}

#[tokio::test]
async fn error_after_a_renewal_contains_neither_token() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer token-1"))
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    let echo = error_response(403, "not token-1, not token-2", json!([]));
    Mock::given(any()).respond_with(echo).mount(&server).await;
    let error = client(&server)
        .get_json::<Value>("config")
        .await
        .unwrap_err();
    let message = &error.api().unwrap().message;
    assert_eq!(message, "not [redacted], not [redacted]");
}

#[tokio::test]
async fn second_rejection_is_final() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    let error = client(&server)
        .get_json::<Value>("config")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 2)
    );
    assert_eq!(error.api().unwrap().status, 401);
    assert!(!error.is_transient());
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn calls_to_a_server_that_rejects_every_token_renew_few() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    let clock = ManualClock::new();
    let (source, minted) = counting_source();
    let auth = Auth::token_cache(TokenCache::with_clock(source, &clock));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    let other = client.clone();
    // All clients of a token cache share one backoff of renewals.
    for (tokens, seconds) in (2..).zip([1, 2, 4]) {
        for _ in 0..20 {
            for client in [&client, &other] {
                let error = client.get_json::<Value>("config").await.unwrap_err();
                assert_eq!(error.api().unwrap().status, 401);
                assert!(!error.remedy().text.is_empty());
            }
        }
        assert_eq!(minted.load(Ordering::SeqCst), tokens);
        clock.advance(Duration::from_secs(seconds));
    }
    // Each call was sent once, plus one resend for each new token.
    assert_eq!(count(&server).await, 3 * 20 * 2 + 3);
}

#[tokio::test]
async fn token_that_works_again_may_be_renewed_at_once() {
    let server = MockServer::start().await;
    for rejected in ["Bearer token-1", "Bearer token-2"] {
        Mock::given(header("authorization", rejected))
            .respond_with(unauthorized())
            .mount(&server)
            .await;
    }
    Mock::given(any()).respond_with(ok()).mount(&server).await;
    let clock = ManualClock::new();
    let (source, minted) = counting_source();
    let tokens = TokenCache::with_clock(source, &clock);
    let client = builder_at(&server.uri(), Auth::token_cache(tokens.clone()))
        .build()
        .unwrap();
    client.get_json::<Value>("config").await.unwrap_err();
    assert_eq!(minted.load(Ordering::SeqCst), 2);
    clock.advance(Duration::from_secs(1));
    client.get_json::<Value>("config").await.unwrap();
    let current = tokens.cached().unwrap();
    assert_eq!(current.secret(), "token-3");
    assert!(tokens.renew(&current).await.unwrap().is_some());
}

#[tokio::test]
async fn unchanged_token_is_not_resent() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    let tokens = TokenCache::new(AccessToken::new("the-only-one").unwrap());
    let client = builder_at(&server.uri(), Auth::token_cache(tokens))
        .build()
        .unwrap();
    let error = client.get_json::<Value>("config").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 1)
    );
}

#[tokio::test]
async fn rejected_api_key_is_not_resent() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    let auth = Auth::api_key("AIza-key".into());
    let client = builder_at(&server.uri(), auth).build().unwrap();
    let error = client.get_json::<Value>("config").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_concurrent_rejections_share_one_renewal() {
    let server = MockServer::start().await;
    // Slow, so that most requests are sent with the first token before the first rejection.
    let refused = unauthorized().set_delay(Duration::from_millis(300));
    let first = header("authorization", "Bearer token-1");
    Mock::given(first)
        .respond_with(refused)
        .expect(2..=100)
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer token-2"))
        .respond_with(ok())
        .expect(100)
        .mount(&server)
        .await;
    let (source, minted) = counting_source();
    let auth = Auth::token_cache(TokenCache::new(source));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.compute::<i64>(&json!({})).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 3);
    }
    assert_eq!(minted.load(Ordering::SeqCst), 2);
}

/// Returns a server that rejects every token, and a client whose token source returns one token and
/// then calls `next`.
async fn rejected_client<F>(next: impl Fn() -> F + Send + Sync + 'static) -> (MockServer, Client)
where
    F: Future<Output = Result<AccessToken, ee_token::Error>> + Send + 'static,
{
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(unauthorized())
        .mount(&server)
        .await;
    let source = source_then(AccessToken::new("token-1").unwrap(), next);
    let auth = Auth::token_cache(TokenCache::new(source));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    (server, client)
}

#[tokio::test]
async fn renewal_that_times_out_reports_the_rejection() {
    let (_server, client) = rejected_client(std::future::pending).await;
    let request = client.request(Method::GET, "config");
    let sent = request.deadline(Duration::from_millis(500)).send().await;
    let error = sent.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 1)
    );
    assert_eq!(error.api().unwrap().status, 401);
}

#[tokio::test]
async fn renewal_failure_is_reported_as_a_token_error() {
    let (server, client) = rejected_client(gone).await;
    let error = client.get_json::<Value>("config").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 1)
    );
    assert_eq!(
        error.token_error().unwrap().kind(),
        ee_token::ErrorKind::Rejected
    );
    assert_eq!(count(&server).await, 1);
}

#[tokio::test]
async fn token_error_keeps_kind_remedy_and_principal() {
    let server = MockServer::start().await;
    let source = source_fn(|| async {
        Err(
            ee_token::Error::new(ee_token::ErrorKind::Rejected, "invalid_grant: gone")
                .with_principal("me@example.org")
                .with_remedy(Remedy::new("Log in again.").command("login")),
        )
    });
    let auth = Auth::token_cache(TokenCache::new(source));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    let error = client.get_json::<Value>("config").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 0)
    );
    assert_eq!(
        error.token_error().unwrap().kind(),
        ee_token::ErrorKind::Rejected
    );
    assert_eq!(error.remedy().command.as_deref(), Some("login"));
    assert_eq!(error.principal(), Some("me@example.org"));
    assert!(error.to_string().contains("invalid_grant: gone"), "{error}");
    assert!(!error.is_transient() && error.api().is_none());
    assert_eq!(count(&server).await, 0);
}

#[tokio::test]
async fn transient_token_error_is_transient() {
    let source =
        source_fn(|| async { Err(ee_token::Error::new(ee_token::ErrorKind::Server, "busy")) });
    let auth = Auth::token_cache(TokenCache::new(source));
    let client = builder_at("http://127.0.0.1:9", auth).build().unwrap();
    assert!(
        client
            .get_json::<Value>("config")
            .await
            .unwrap_err()
            .is_transient()
    );
}
