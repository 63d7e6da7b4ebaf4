//! Batches, whose calls succeed or fail individually.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ee_token::{AccessToken, ManualClock, TokenCache};
use serde_json::{Value, json};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::tests::{builder_at, client, count, counting_source, gone, source_then};
use crate::{Auth, BatchResponse, Client, ClientEvent, Error, ErrorKind};

/// Responds to each call of a batch by its ID and the token of the request.
struct BatchResponder<F>(F);

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n{\"result\": 3}";
const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\": {\"code\": 401, \"message\": \"No.\"}}";

impl<F: Fn(&str, &str) -> String + Send + Sync> Respond for BatchResponder<F> {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let token = request.headers["authorization"].to_str().unwrap();
        let token = token.strip_prefix("Bearer ").unwrap();
        let mut body = String::new();
        for id in ids(request) {
            let response = (self.0)(&id, token);
            body += &format!("--x\r\nContent-ID: <response-{id}>\r\n\r\n{response}\r\n");
        }
        ResponseTemplate::new(200).set_body_raw(body + "--x--", "multipart/mixed; boundary=x")
    }
}

/// Returns the IDs of the calls, in order.
fn ids(request: &Request) -> Vec<String> {
    let id = |line: &str| {
        Some(
            line.strip_prefix("Content-ID: <")?
                .strip_suffix('>')?
                .to_owned(),
        )
    };
    text(request).lines().filter_map(id).collect()
}

fn text(request: &Request) -> String {
    String::from_utf8(request.body.clone()).unwrap()
}

async fn server(each: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(BatchResponder(each))
        .mount(&server)
        .await;
    server
}

/// Accepts the first token for the call `a` only, and any other token for all calls.
fn accept_first_token_for_a(id: &str, token: &str) -> String {
    let accepted = id == "a" || token != "token-1";
    if accepted { OK } else { UNAUTHORIZED }.to_owned()
}

async fn send_three_calls(client: &Client) -> Result<BatchResponse, Error> {
    let batch = client.batch().get("a", "config").get("b", "config");
    batch.post("c", "image:export", &json!({})).send().await
}

fn attempts(batch: &BatchResponse) -> Vec<u32> {
    let attempts = |(_, result): (_, &Result<crate::Response, Error>)| match result {
        Ok(response) => response.attempts(),
        Err(error) => error.attempts(),
    };
    batch.iter().map(attempts).collect()
}

#[tokio::test]
async fn calls_with_a_rejected_token_are_resent_once() {
    let server = server(accept_first_token_for_a).await;
    let (source, fetched) = counting_source();
    let auth = Auth::token_cache(TokenCache::new(source));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    let response = send_three_calls(&client).await.unwrap();
    assert_eq!(response.failures().count(), 0);
    assert_eq!(attempts(&response), [1, 2, 2]);
    let sent = server.received_requests().await.unwrap();
    assert_eq!(sent.len(), 2);
    assert_eq!(ids(&sent[1]), ["b", "c"]);
    // The request ID is the same, so that only one task is started.
    let id = |request| text(request).split_once("requestId").unwrap().1.to_owned();
    assert_eq!(id(&sent[0]), id(&sent[1]));
    // The rejected token is not used again.
    send_three_calls(&client).await.unwrap();
    assert_eq!(
        (count(&server).await, fetched.load(Ordering::SeqCst)),
        (3, 2)
    );
}

#[tokio::test]
async fn call_rejected_with_the_new_token_is_not_resent_again() {
    let server = server(|_, _| UNAUTHORIZED.to_owned()).await;
    let response = send_three_calls(&client(&server)).await.unwrap();
    assert_eq!(attempts(&response), [2, 2, 2]);
    for (_, error) in response.failures() {
        assert_eq!(error.api().unwrap().status, 401);
    }
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn batches_whose_calls_are_always_rejected_renew_few_tokens() {
    let server = server(|_, _| UNAUTHORIZED.to_owned()).await;
    let clock = ManualClock::new();
    let (source, minted) = counting_source();
    let auth = Auth::token_cache(TokenCache::with_clock(source, &clock));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    for (tokens, seconds) in (2..).zip([1, 2, 4]) {
        for _ in 0..20 {
            let response = send_three_calls(&client).await.unwrap();
            for (_, error) in response.failures() {
                assert_eq!(error.api().unwrap().status, 401);
                assert!(!error.remedy().text.is_empty());
            }
        }
        assert_eq!(minted.load(Ordering::SeqCst), tokens);
        clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn batch_whose_renewed_token_works_ends_the_backoff() {
    let server = server(accept_first_token_for_a).await;
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(counting_source().0, &clock);
    let client = builder_at(&server.uri(), Auth::token_cache(tokens.clone()));
    send_three_calls(&client.build().unwrap()).await.unwrap();
    let current = tokens.cached().unwrap();
    assert_eq!(current.secret(), "token-2");
    assert!(tokens.renew(&current).await.unwrap().is_some());
}

#[tokio::test]
async fn batch_is_not_resent_without_a_new_token() {
    let server = server(accept_first_token_for_a).await;
    let tokens = TokenCache::new(AccessToken::new("token-1").unwrap());
    let client = builder_at(&server.uri(), Auth::token_cache(tokens));
    let response = send_three_calls(&client.build().unwrap()).await.unwrap();
    assert_eq!(attempts(&response), [1, 1, 1]);
    assert_eq!((response.failures().count(), count(&server).await), (2, 1));
}

#[tokio::test]
async fn renewal_failure_is_reported_by_the_rejected_calls_only() {
    let server = server(accept_first_token_for_a).await;
    let source = source_then(AccessToken::new("token-1").unwrap(), gone);
    let client = builder_at(&server.uri(), Auth::token_cache(TokenCache::new(source)));
    let response = send_three_calls(&client.build().unwrap()).await.unwrap();
    assert_eq!(response.json::<Value>("a").unwrap(), json!({"result": 3}));
    let failed: Vec<_> = response.failures().map(|(id, e)| (id, e.kind())).collect();
    assert_eq!(
        failed,
        ["b", "c"].map(|id| (id, ErrorKind::CredentialsRejected))
    );
    assert_eq!(count(&server).await, 1);
}

#[tokio::test]
async fn call_errors_contain_neither_old_nor_new_token() {
    let server = server(|_, token| match token {
        "token-1" => UNAUTHORIZED.to_owned(),
        new => format!(
            "HTTP/1.1 403 Forbidden\r\n\r\n{{\"error\": {{\"message\": \"token-1, {new}\"}}}}"
        ),
    })
    .await;
    let response = send_three_calls(&client(&server)).await.unwrap();
    for (_, error) in response.failures() {
        let api = error.api().unwrap();
        assert_eq!(
            (api.status.as_u16(), &*api.message),
            (403, "[redacted], [redacted]")
        );
    }
}

#[tokio::test]
async fn call_errors_contain_none_of_three_tokens() {
    let server = server(|_, token| match token {
        "token-1" => UNAUTHORIZED.to_owned(),
        new => format!(
            "HTTP/1.1 403 Forbidden\r\n\r\n{{\"error\": {{\"message\": \"token-1, token-2, {new}\"}}}}"
        ),
    })
    .await;
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(counting_source().0, &clock);
    // The second token is in use for a second when it is rejected, so that it may be renewed.
    let after_a_second = move |_: &Request| {
        clock.advance(Duration::from_secs(1));
        ResponseTemplate::new(401)
    };
    Mock::given(header("authorization", "Bearer token-2"))
        .respond_with(after_a_second)
        .with_priority(1)
        .mount(&server)
        .await;
    let client = builder_at(&server.uri(), Auth::token_cache(tokens));
    let response = send_three_calls(&client.build().unwrap()).await.unwrap();
    assert_eq!(attempts(&response), [3, 3, 3]);
    for (_, error) in response.failures() {
        let message = &error.api().unwrap().message;
        assert_eq!(message, "[redacted], [redacted], [redacted]");
    }
}

#[tokio::test]
async fn calls_not_resent_before_the_deadline_keep_their_errors() {
    let server = server(accept_first_token_for_a).await;
    let source = source_then(AccessToken::new("token-1").unwrap(), || async {
        // Blocks, so that no timer fires in the meantime.
        std::thread::sleep(Duration::from_millis(600));
        AccessToken::new("token-2")
    });
    let client = builder_at(&server.uri(), Auth::token_cache(TokenCache::new(source)));
    let client = client.build().unwrap();
    let batch = client.batch().get("a", "config").get("b", "config");
    let batch = batch.configure_request(|request| request.deadline(Duration::from_millis(500)));
    let response = batch.send().await.unwrap();
    assert_eq!(response.json::<Value>("a").unwrap(), json!({"result": 3}));
    let (id, error) = response.failures().next().unwrap();
    assert_eq!((id, error.kind()), ("b", ErrorKind::CredentialsRejected));
    assert_eq!(error.api().unwrap().status, 401);
}

#[tokio::test]
async fn error_response_of_a_call_is_read_up_to_64_kib() {
    let server = server(|_, _| {
        let message = "x".repeat(1 << 20);
        format!("HTTP/1.1 400 Bad\r\n\r\n{{\"error\": {{\"message\": \"{message}\"}}}}")
    })
    .await;
    let response = send_three_calls(&client(&server)).await.unwrap();
    for (_, error) in response.failures() {
        assert!(error.to_string().len() < 2000);
    }
}

#[tokio::test]
async fn clients_workload_tag_is_added_to_each_supporting_call() {
    let server = server(|_, _| OK.to_owned()).await;
    let client = client(&server).with_workload_tag("nightly").unwrap();
    let own = json!({"workloadTag": "mine"});
    let batch = client.batch().post("a", "value:compute", &json!({}));
    let batch = batch.post("b", "maps", &json!({})).get("c", "config");
    let response = batch.post("d", "value:compute", &own).send().await.unwrap();
    assert_eq!(response.failures().count(), 0);
    let sent = server.received_requests().await.unwrap();
    let text = text(&sent[0]);
    for part in [
        r#"{"workloadTag":"nightly"}"#,
        "/maps?workloadTag=nightly HTTP/1.1",
        "/config HTTP/1.1",
        r#"{"workloadTag":"mine"}"#,
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert_eq!(text.matches("nightly").count(), 2);
}

#[tokio::test]
async fn response_headers_of_single_calls_emit_events() {
    let server = server(|id, _| {
        OK.replace(
            "OK\r\n",
            &format!("OK\r\nX-Earth-Engine-Computation-Profile: of-{id}\r\n"),
        )
    })
    .await;
    let profiles = Arc::new(Mutex::new(Vec::new()));
    let log = profiles.clone();
    let client = client(&server).to_builder().on_event(move |event| {
        if let ClientEvent::Profile { id, path, .. } = event {
            log.lock().unwrap().push(format!("{id} {path}"));
        }
    });
    let client = client.build().unwrap();
    let batch = client.batch().get("a", "config").get("b", "algorithms");
    let response = batch.send().await.unwrap();
    assert_eq!(
        *profiles.lock().unwrap(),
        [
            "of-a v1/projects/p-12345/config",
            "of-b v1/projects/p-12345/algorithms"
        ]
    );
    let a = response.get("a").unwrap().as_ref().unwrap();
    assert_eq!(a.profile_id().unwrap(), "of-a");
}
