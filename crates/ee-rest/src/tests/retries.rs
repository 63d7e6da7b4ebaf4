//! Retries of transient failures, and failures that are permanent.

use std::time::{Duration, Instant};

use ee_token::{AccessToken, RetryPolicy, TokenCache};
use http::Method;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tests::{builder_at, client, error_response, gone, ok, quick, source_then};
use crate::{Auth, Client, Error, ErrorKind};

/// Starts a server that sends this response `times` times and succeeds from then on.
async fn failing_server(response: ResponseTemplate, times: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(response)
        .up_to_n_times(times)
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(ok()).mount(&server).await;
    server
}

async fn compute(client: &Client) -> Result<i64, Error> {
    client.compute(&json!({})).await
}

fn reason(reason: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}])
}

#[tokio::test]
async fn transient_failure_is_retried_with_the_same_body() {
    for response in [
        error_response(429, "Too many concurrent aggregations.", json!([])),
        error_response(500, "Internal", json!([])),
        ResponseTemplate::new(502).set_body_string("<html>Bad gateway"),
        ResponseTemplate::new(503),
        ResponseTemplate::new(504).set_body_string("not JSON"),
        error_response(403, "Rate", reason("rateLimitExceeded")),
        error_response(403, "Rate", reason("userRateLimitExceeded")),
        error_response(403, "Rate", reason("RATE_LIMIT_EXCEEDED")),
    ] {
        let server = failing_server(response, 2).await;
        let request = client(&server).request(Method::POST, "value:compute");
        let response = request
            .json(&json!({"expression": 1}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.attempts(), 3);
        for request in server.received_requests().await.unwrap() {
            assert_eq!(request.body, br#"{"expression":1}"#);
        }
    }
}

#[tokio::test]
async fn last_failure_is_reported_with_the_number_of_attempts() {
    let server = failing_server(error_response(503, "Try later.", json!([])), 100).await;
    let error = compute(&client(&server)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::ServerError, 4)
    );
    assert!(error.is_transient());
    let text = error.to_string();
    for part in [
        "POST v1/projects/p-12345/value:compute",
        "503",
        "Try later.",
        "4 attempts",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn permanent_failure_is_not_retried() {
    let daily = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": {"quota_metric": "earthengine.googleapis.com/daily_eecu_usage_time"}
    }]);
    let violation = json!([{
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"subject": "project:p", "description": "daily_eecu_usage_time"}]
    }]);
    for response in [
        error_response(429, "Quota exceeded.", daily),
        error_response(429, "Quota exceeded.", violation),
        error_response(
            429,
            "Quota exceeded for quota metric 'earthengine.googleapis.com/daily_eecu_usage_time'",
            json!([]),
        ),
        error_response(400, "User memory limit exceeded.", json!([])),
        error_response(500, "User memory limit exceeded.", json!([])),
        error_response(
            403,
            "Caller does not have required permission",
            reason("USER_PROJECT_DENIED"),
        ),
        error_response(404, "Not found.", json!([])),
        ResponseTemplate::new(307).insert_header("location", "https://elsewhere.example/"),
    ] {
        let server = failing_server(response, 1).await;
        let error = compute(&client(&server)).await.unwrap_err();
        assert_eq!(error.attempts(), 1, "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn export_is_retried_with_the_same_request_id() {
    for response in [
        error_response(503, "Try later.", json!([])),
        error_response(429, "Too many requests.", json!([])),
    ] {
        let server = failing_server(response, 2).await;
        let client = client(&server);
        for _ in 0..2 {
            let request = client.request(Method::POST, "image:export");
            request.json(&json!({"a": 1})).send().await.unwrap();
        }
        let ids: Vec<Value> = server
            .received_requests()
            .await
            .unwrap()
            .iter()
            .map(|request| request.body_json::<Value>().unwrap()["requestId"].clone())
            .collect();
        assert_eq!(ids.len(), 4);
        assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3]);
        assert!(ids.iter().all(|id| id.as_str().unwrap().len() == 36));
    }
}

#[tokio::test]
async fn task_start_without_a_request_id_is_not_retried() {
    let body = |body: &'static str| (body, "application/json");
    for (sent, attempts) in [
        (body(r#"{"requestId": "mine"}"#), 2),
        (body(r#"{"requestId": ""}"#), 1),
        (body(r#"{"requestId": null}"#), 1),
        (body("[]"), 1),
        (("{}", "application/octet-stream"), 1),
    ] {
        let server = failing_server(error_response(503, "Try later.", json!([])), 1).await;
        let request = client(&server).request(Method::POST, "table:export");
        let response = request.body(sent.0, sent.1).send().await;
        let made = response.map_or_else(|error| error.attempts(), |response| response.attempts());
        assert_eq!(made, attempts, "{sent:?}");
        // The caller's body is unchanged.
        for request in server.received_requests().await.unwrap() {
            assert_eq!(request.body, sent.0.as_bytes());
        }
    }
}

#[tokio::test]
async fn requested_retry_delay_is_respected() {
    let started = Instant::now();
    let server = failing_server(
        ResponseTemplate::new(503).insert_header("retry-after", "1"),
        1,
    )
    .await;
    assert_eq!(compute(&client(&server)).await.unwrap(), 3);
    assert!(started.elapsed() >= Duration::from_secs(1));

    let started = Instant::now();
    let details =
        json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}]);
    let server = failing_server(error_response(429, "Slow down.", details), 1).await;
    assert_eq!(compute(&client(&server)).await.unwrap(), 3);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn retry_delay_past_the_deadline_fails_immediately() {
    let started = Instant::now();
    for delay in [
        "30",
        "18446744073709551615",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let server = failing_server(
            ResponseTemplate::new(503).insert_header("retry-after", delay),
            1,
        )
        .await;
        assert_eq!(compute(&client(&server)).await.unwrap_err().attempts(), 1);
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn retry_policy_can_be_set_per_request() {
    let server = failing_server(ResponseTemplate::new(503), 1).await;
    let request = client(&server).request(Method::GET, "config");
    let error = request
        .retry_policy(RetryPolicy::none())
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.attempts(), 1);
}

#[tokio::test]
async fn attempt_that_times_out_is_retried() {
    let server = failing_server(ok().set_delay(Duration::from_secs(60)), 1).await;
    let client = client(&server)
        .to_builder()
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    assert_eq!(compute(&client).await.unwrap(), 3);
}

#[tokio::test]
async fn attempt_does_not_outlive_the_deadline_of_the_call() {
    let server = failing_server(ok().set_delay(Duration::from_secs(60)), 9).await;
    let policy = RetryPolicy {
        max_elapsed: Duration::from_millis(300),
        ..quick()
    };
    let client = client(&server)
        .to_builder()
        .retry_policy(policy)
        .build()
        .unwrap();
    let started = Instant::now();
    let error = compute(&client).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1));
    assert!(error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn queued_retry_reports_the_last_failure_or_token_error() {
    let busy = |wait: &str| {
        let retry =
            json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait}]);
        error_response(503, "Try later.", retry)
    };
    // After the rejection, the client has no place for a while.
    let server = failing_server(error_response(429, "Slow down.", json!([])), 9).await;
    let client = client(&server).to_builder().max_concurrent_requests(1);
    let client = client.build().unwrap();
    let request = client.request(Method::GET, "config");
    let request = request.deadline(Duration::from_millis(400));
    let error = request.send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::QuotaExceeded, 1),
        "{error}"
    );

    let server = failing_server(busy("1.2s"), 9).await;
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(1);
    let first = AccessToken::new("short-lived").unwrap().with_expiry(soon);
    let source = source_then(first, gone);
    let client = builder_at(&server.uri(), Auth::token_cache(TokenCache::new(source)));
    let error = compute(&client.build().unwrap()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::CredentialsRejected, 1),
        "{error}"
    );
}
