//! Many calls in one request, each of which is taken or refused by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ee_token::{AccessToken, ManualClock, TokenCache, source_fn};
use serde_json::{Value, json};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::tests::{builder_at, client, count, counting_source};
use crate::{Auth, BatchResponse, Client, ClientEvent, Error, ErrorKind};

/// Answers each call of a batch by its id and the token that it came with.
struct Each<F>(F);

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n{\"result\": 3}";
const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\": {\"code\": 401, \"message\": \"No.\"}}";

impl<F: Fn(&str, &str) -> String + Send + Sync> Respond for Each<F> {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let token = request.headers["authorization"].to_str().unwrap();
        let token = token.strip_prefix("Bearer ").unwrap();
        let mut body = String::new();
        for id in ids(request) {
            let answer = (self.0)(&id, token);
            body += &format!("--x\r\nContent-ID: <response-{id}>\r\n\r\n{answer}\r\n");
        }
        ResponseTemplate::new(200).set_body_raw(body + "--x--", "multipart/mixed; boundary=x")
    }
}

/// The ids of the calls, in their order.
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
        .respond_with(Each(each))
        .mount(&server)
        .await;
    server
}

/// Takes the first token for the call `a` alone.
fn only_a_with_the_first(id: &str, token: &str) -> String {
    let taken = id == "a" || token != "token-1";
    if taken { OK } else { UNAUTHORIZED }.to_owned()
}

async fn three(client: &Client) -> Result<BatchResponse, Error> {
    let batch = client.batch().get("a", "config").get("b", "config");
    batch.post("c", "image:export", &json!({})).send().await
}

fn attempts(reply: &BatchResponse) -> Vec<u32> {
    let attempts = |(_, answer): (_, &Result<crate::Response, Error>)| match answer {
        Ok(response) => response.attempts(),
        Err(error) => error.attempts(),
    };
    reply.iter().map(attempts).collect()
}

#[tokio::test]
async fn calls_whose_token_is_not_taken_are_sent_once_more_by_themselves() {
    let server = server(only_a_with_the_first).await;
    let (source, minted) = counting_source();
    let auth = Auth::token_cache(TokenCache::new(source));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    let reply = three(&client).await.unwrap();
    assert_eq!(reply.failures().count(), 0);
    assert_eq!(attempts(&reply), [1, 2, 2]);
    let sent = server.received_requests().await.unwrap();
    assert_eq!(sent.len(), 2);
    assert_eq!(ids(&sent[1]), ["b", "c"]);
    // What starts a task is the same task.
    let id = |request| text(request).split_once("requestId").unwrap().1.to_owned();
    assert_eq!(id(&sent[0]), id(&sent[1]));
    // The dead token is not handed out again.
    three(&client).await.unwrap();
    assert_eq!(
        (count(&server).await, minted.load(Ordering::SeqCst)),
        (3, 2)
    );
}

#[tokio::test]
async fn a_call_that_is_refused_with_the_new_token_too_is_not_sent_a_third_time() {
    let server = server(|_, _| UNAUTHORIZED.to_owned()).await;
    let reply = three(&client(&server)).await.unwrap();
    assert_eq!(attempts(&reply), [2, 2, 2]);
    for (_, error) in reply.failures() {
        assert_eq!(error.api().unwrap().status, 401);
    }
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn batches_whose_calls_are_always_rejected_renew_few_tokens() {
    let server = server(|_, _| UNAUTHORIZED.to_owned()).await;
    let clock = ManualClock::new();
    let (source, minted) = counting_source();
    let auth = Auth::token_cache(TokenCache::with_clock(source, clock.clock()));
    let client = builder_at(&server.uri(), auth).build().unwrap();
    for (tokens, seconds) in (2..).zip([1, 2, 4]) {
        for _ in 0..20 {
            let reply = three(&client).await.unwrap();
            for (_, error) in reply.failures() {
                assert_eq!(error.api().unwrap().status, 401);
                assert!(error.remedy().is_some());
            }
        }
        assert_eq!(minted.load(Ordering::SeqCst), tokens);
        clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn batch_whose_renewed_token_works_ends_the_backoff() {
    let server = server(only_a_with_the_first).await;
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(counting_source().0, clock.clock());
    let client = builder_at(&server.uri(), Auth::token_cache(tokens.clone()));
    three(&client.build().unwrap()).await.unwrap();
    let current = tokens.cached().unwrap();
    assert_eq!(current.secret(), "token-2");
    assert!(tokens.renew(&current).await.unwrap().is_some());
}

#[tokio::test]
async fn a_batch_is_not_sent_again_with_the_same_token_or_with_a_key_alone() {
    let server = server(only_a_with_the_first).await;
    let tokens = TokenCache::new(AccessToken::new("token-1").unwrap());
    let client = builder_at(&server.uri(), Auth::token_cache(tokens));
    let reply = three(&client.build().unwrap()).await.unwrap();
    assert_eq!(attempts(&reply), [1, 1, 1]);
    assert_eq!((reply.failures().count(), count(&server).await), (2, 1));
}

#[tokio::test]
async fn where_there_is_no_other_token_the_refused_calls_say_why_and_the_others_stay_answered() {
    let server = server(only_a_with_the_first).await;
    let minted = AtomicBool::new(false);
    let source = source_fn(move || {
        let minted = minted.swap(true, Ordering::SeqCst);
        async move {
            if minted {
                return Err(ee_token::Error::new(ee_token::ErrorKind::Rejected, "gone"));
            }
            AccessToken::new("token-1")
        }
    });
    let client = builder_at(&server.uri(), Auth::token_cache(TokenCache::new(source)));
    let reply = three(&client.build().unwrap()).await.unwrap();
    assert_eq!(reply.json::<Value>("a").unwrap(), json!({"result": 3}));
    let failed: Vec<_> = reply.failures().map(|(id, e)| (id, e.kind())).collect();
    assert_eq!(failed, [("b", ErrorKind::Token), ("c", ErrorKind::Token)]);
    assert_eq!(count(&server).await, 1);
}

#[tokio::test]
async fn neither_the_old_nor_the_new_token_is_in_what_a_call_is_refused_with() {
    let server = server(|_, token| match token {
        "token-1" => UNAUTHORIZED.to_owned(),
        new => format!(
            "HTTP/1.1 403 Forbidden\r\n\r\n{{\"error\": {{\"message\": \"token-1, {new}\"}}}}"
        ),
    })
    .await;
    let reply = three(&client(&server)).await.unwrap();
    for (_, error) in reply.failures() {
        let api = error.api().unwrap();
        assert_eq!(
            (api.status.as_u16(), &*api.message),
            (403, "[redacted], [redacted]")
        );
    }
}

#[tokio::test]
async fn no_token_of_three_is_in_what_a_call_is_refused_with() {
    let server = server(|_, token| match token {
        "token-1" => UNAUTHORIZED.to_owned(),
        new => format!(
            "HTTP/1.1 403 Forbidden\r\n\r\n{{\"error\": {{\"message\": \"token-1, token-2, {new}\"}}}}"
        ),
    })
    .await;
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(counting_source().0, clock.clock());
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
    let reply = three(&client.build().unwrap()).await.unwrap();
    assert_eq!(attempts(&reply), [3, 3, 3]);
    for (_, error) in reply.failures() {
        let message = &error.api().unwrap().message;
        assert_eq!(message, "[redacted], [redacted], [redacted]");
    }
}

#[tokio::test]
async fn calls_that_are_not_sent_again_in_time_keep_their_refusals() {
    let server = server(only_a_with_the_first).await;
    let minted = AtomicBool::new(false);
    let source = source_fn(move || {
        let minted = minted.swap(true, Ordering::SeqCst);
        async move {
            if minted {
                // Nobody sees in the meantime how late it is.
                std::thread::sleep(Duration::from_millis(600));
                return AccessToken::new("token-2");
            }
            AccessToken::new("token-1")
        }
    });
    let client = builder_at(&server.uri(), Auth::token_cache(TokenCache::new(source)));
    let client = client.build().unwrap();
    let batch = client.batch().get("a", "config").get("b", "config");
    let batch = batch.with(|request| request.deadline(Duration::from_millis(500)));
    let reply = batch.send().await.unwrap();
    assert_eq!(reply.json::<Value>("a").unwrap(), json!({"result": 3}));
    let (id, error) = reply.failures().next().unwrap();
    assert_eq!((id, error.kind()), ("b", ErrorKind::Api));
    assert_eq!(error.api().unwrap().status, 401);
}

#[tokio::test]
async fn a_long_refusal_of_one_call_is_read_to_64_kib_and_no_further() {
    let server = server(|_, _| {
        let message = "x".repeat(1 << 20);
        format!("HTTP/1.1 400 Bad\r\n\r\n{{\"error\": {{\"message\": \"{message}\"}}}}")
    })
    .await;
    let reply = three(&client(&server)).await.unwrap();
    for (_, error) in reply.failures() {
        assert!(error.to_string().len() < 2000);
    }
}

#[tokio::test]
async fn the_workload_tag_of_the_client_is_in_each_call_that_takes_one() {
    let server = server(|_, _| OK.to_owned()).await;
    let client = client(&server).with_workload_tag("nightly").unwrap();
    let own = json!({"workloadTag": "mine"});
    let batch = client.batch().post("a", "value:compute", &json!({}));
    let batch = batch.post("b", "maps", &json!({})).get("c", "config");
    let reply = batch.post("d", "value:compute", &own).send().await.unwrap();
    assert_eq!(reply.failures().count(), 0);
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
async fn what_is_told_beside_the_answers_to_single_calls_is_signalled() {
    let server = server(|id, _| {
        OK.replace(
            "OK\r\n",
            &format!("OK\r\nX-Earth-Engine-Computation-Profile: of-{id}\r\n"),
        )
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    let client = client(&server).to_builder().on_event(move |signal| {
        if let ClientEvent::Profile { id, path, .. } = signal {
            listener.lock().unwrap().push(format!("{id} {path}"));
        }
    });
    let client = client.build().unwrap();
    let batch = client.batch().get("a", "config").get("b", "algorithms");
    let reply = batch.send().await.unwrap();
    assert_eq!(
        *told.lock().unwrap(),
        [
            "of-a v1/projects/p-12345/config",
            "of-b v1/projects/p-12345/algorithms"
        ]
    );
    let a = reply.get("a").unwrap().as_ref().unwrap();
    assert_eq!(a.profile_id().unwrap(), "of-a");
}
