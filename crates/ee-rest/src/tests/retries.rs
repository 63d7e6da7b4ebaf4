//! Refusals that pass by themselves, and those that do not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ee_token::{AccessToken, RetryPolicy, TokenCache, source_fn};
use http::Method;
use serde_json::{Value, json};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tests::{builder_at, client, count, ok, quick, refusal};
use crate::{Auth, Client, Error, ErrorKind};

/// A server that answers so `times` times, and is well from then on.
async fn ill(reply: ResponseTemplate, times: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(reply)
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
async fn what_passes_by_itself_is_sent_again_with_the_same_body() {
    for reply in [
        refusal(429, "Too many concurrent aggregations.", json!([])),
        refusal(500, "Internal", json!([])),
        ResponseTemplate::new(502).set_body_string("<html>Bad gateway"),
        ResponseTemplate::new(503),
        ResponseTemplate::new(504).set_body_string("not JSON"),
        refusal(403, "Rate", reason("rateLimitExceeded")),
        refusal(403, "Rate", reason("userRateLimitExceeded")),
        refusal(403, "Rate", reason("RATE_LIMIT_EXCEEDED")),
    ] {
        let server = ill(reply, 2).await;
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
async fn the_last_failure_is_reported_with_the_number_of_attempts() {
    let server = ill(refusal(503, "Try later.", json!([])), 100).await;
    let error = compute(&client(&server)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Api, 4));
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
async fn what_does_not_pass_is_not_sent_again() {
    let daily = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "metadata": {"quota_metric": "earthengine.googleapis.com/daily_eecu_usage_time"}
    }]);
    let violation = json!([{
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"subject": "project:p", "description": "daily_eecu_usage_time"}]
    }]);
    for reply in [
        refusal(429, "Quota exceeded.", daily),
        refusal(429, "Quota exceeded.", violation),
        refusal(
            429,
            "Quota exceeded for quota metric 'earthengine.googleapis.com/daily_eecu_usage_time'",
            json!([]),
        ),
        refusal(400, "User memory limit exceeded.", json!([])),
        refusal(500, "User memory limit exceeded.", json!([])),
        refusal(
            403,
            "Caller does not have required permission",
            reason("USER_PROJECT_DENIED"),
        ),
        refusal(404, "Not found.", json!([])),
        ResponseTemplate::new(307).insert_header("location", "https://elsewhere.example/"),
    ] {
        let server = ill(reply, 1).await;
        let error = compute(&client(&server)).await.unwrap_err();
        assert_eq!(error.attempts(), 1, "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn an_export_is_sent_again_with_the_id_that_it_got_at_first() {
    for reply in [
        refusal(503, "Try later.", json!([])),
        refusal(429, "Too many requests.", json!([])),
    ] {
        let server = ill(reply, 2).await;
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
async fn a_task_that_the_server_could_not_know_again_is_not_started_again() {
    let body = |body: &'static str| (body, "application/json");
    for (sent, attempts) in [
        (body(r#"{"requestId": "mine"}"#), 2),
        (body(r#"{"requestId": ""}"#), 1),
        (body(r#"{"requestId": null}"#), 1),
        (body("[]"), 1),
        (("{}", "application/octet-stream"), 1),
    ] {
        let server = ill(refusal(503, "Try later.", json!([])), 1).await;
        let request = client(&server).request(Method::POST, "table:export");
        let reply = request.body(sent.0, sent.1).send().await;
        let made = reply.map_or_else(|error| error.attempts(), |reply| reply.attempts());
        assert_eq!(made, attempts, "{sent:?}");
        // What the caller wrote is sent as it is.
        for request in server.received_requests().await.unwrap() {
            assert_eq!(request.body, sent.0.as_bytes());
        }
    }
}

#[tokio::test]
async fn the_server_s_wish_to_wait_is_granted() {
    let started = Instant::now();
    let server = ill(
        ResponseTemplate::new(503).insert_header("retry-after", "1"),
        1,
    )
    .await;
    assert_eq!(compute(&client(&server)).await.unwrap(), 3);
    assert!(started.elapsed() >= Duration::from_secs(1));

    let started = Instant::now();
    let details =
        json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}]);
    let server = ill(refusal(429, "Slow down.", details), 1).await;
    assert_eq!(compute(&client(&server)).await.unwrap(), 3);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_wish_to_wait_past_the_deadline_ends_the_matter_at_once() {
    let started = Instant::now();
    for wish in [
        "30",
        "18446744073709551615",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let server = ill(
            ResponseTemplate::new(503).insert_header("retry-after", wish),
            1,
        )
        .await;
        assert_eq!(compute(&client(&server)).await.unwrap_err().attempts(), 1);
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_policy_can_be_given_to_one_request() {
    let server = ill(ResponseTemplate::new(503), 1).await;
    let request = client(&server).request(Method::GET, "config");
    let error = request
        .retry_policy(RetryPolicy::none())
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.attempts(), 1);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_given_up_and_made_again() {
    let server = ill(ok().set_delay(Duration::from_secs(60)), 1).await;
    let client = client(&server)
        .to_builder()
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    assert_eq!(compute(&client).await.unwrap(), 3);
}

#[tokio::test]
async fn no_attempt_outlives_the_deadline_of_the_whole_call() {
    let server = ill(ok().set_delay(Duration::from_secs(60)), 9).await;
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
async fn a_retry_that_gets_no_turn_ends_with_the_failure_before_it_and_one_without_a_token_with_that()
 {
    let busy = |wait: &str| {
        let retry =
            json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait}]);
        refusal(503, "Try later.", retry)
    };
    let server = MockServer::start().await;
    Mock::given(path("/v1/projects/p-12345/config"))
        .respond_with(busy("0.3s"))
        .mount(&server)
        .await;
    let slow = ok().set_delay(Duration::from_secs(60));
    Mock::given(any()).respond_with(slow).mount(&server).await;
    let client = client(&server).to_builder().concurrency_limit(1);
    let client = client.build().unwrap();
    let request = client.request(Method::GET, "config");
    let failing = tokio::spawn(request.deadline(Duration::from_secs(2)).send());
    while count(&server).await == 0 {
        tokio::task::yield_now().await;
    }
    // Takes the only place while the other waits.
    let other = tokio::spawn(async move { compute(&client).await });
    let error = failing.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Api, 1),
        "{error}"
    );
    other.abort();

    let server = ill(busy("1.2s"), 9).await;
    let minted = AtomicBool::new(false);
    let source = source_fn(move || {
        let minted = minted.swap(true, Ordering::SeqCst);
        async move {
            if minted {
                return Err(ee_token::Error::new(ee_token::ErrorKind::Rejected, "gone"));
            }
            let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(1);
            Ok(AccessToken::new("short-lived")?.with_expiry(soon))
        }
    });
    let client = builder_at(&server.uri(), Auth::token_cache(TokenCache::new(source)));
    let error = compute(&client.build().unwrap()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Token, 1),
        "{error}"
    );
}
