//! Redaction of secrets that the server echoes.

use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use ee_token::{AccessToken, TokenCache};
use http::Method;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tests::{builder_at, ok};
use crate::{Auth, Client};

const TOKEN: &str = "canary-token-0123456789";
const KEY: &str = "canary-key-0123456789";

fn client(server: &MockServer) -> Client {
    let tokens = TokenCache::new(AccessToken::new(TOKEN).unwrap());
    let auth = Auth::token_cache(tokens).with_api_key(KEY.into());
    builder_at(&server.uri(), auth).build().unwrap()
}

fn all_text(error: &crate::Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?} {:?}", error.remedy());
    let mut next = error.source();
    while let Some(error) = next {
        let _ = write!(text, " {error} {error:?}");
        next = error.source();
    }
    text
}

fn assert_clean(text: &str) {
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let server = MockServer::start().await;
    let response = ok().insert_header("x-echo", TOKEN);
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    let client = client(&server);
    let request = client
        .request(Method::GET, "config")
        .query("key", KEY)
        .json(&TOKEN);
    assert_clean(&format!(
        "{client:?} {client:#?} {:?} {request:?}",
        client.to_builder()
    ));
    assert_clean(&format!("{:?}", request.send().await.unwrap()));
    assert_clean(&format!("{:?}", client.0.headers));
}

#[tokio::test]
async fn echoed_secrets_are_redacted() {
    let echo = format!("token {TOKEN} key {KEY}");
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": echo, "domain": echo,
         "metadata": {"a": echo, &echo: "b"}},
        {"@type": "type.googleapis.com/google.rpc.Help",
         "links": [{"description": echo, "url": format!("https://x.example/?k={KEY}")}]},
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
         "violations": [{"subject": echo, "description": echo}]},
    ]);
    let bodies = [
        json!({"error": {"code": 400, "status": echo, "message": echo, "details": details}})
            .to_string(),
        json!({"error": echo}).to_string(),
        format!("<html><title>{echo}</title>"),
        format!("<p>{echo}</p>"),
        format!("{}{echo}", "x".repeat(170)),
        echo,
    ];
    for status in [200, 400, 401, 403] {
        for body in &bodies {
            let server = MockServer::start().await;
            let response = ResponseTemplate::new(status).set_body_string(body);
            Mock::given(any())
                .respond_with(response)
                .mount(&server)
                .await;
            let error = client(&server)
                .get_json::<Vec<u8>>("config")
                .await
                .unwrap_err();
            assert_clean(&all_text(&error));
        }
    }
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(200).set_body_json(TOKEN);
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    let error = client(&server).get_json::<u8>("config").await.unwrap_err();
    assert!(error.to_string().contains("[redacted]"), "{error}");
    assert_clean(&all_text(&error));
}

#[tokio::test]
async fn traces_describe_requests_without_secrets() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(503).set_body_string(format!("busy {TOKEN} {KEY}"));
    Mock::given(any())
        .respond_with(busy)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(ok()).mount(&server).await;
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let request = client(&server)
        .request(Method::GET, "config")
        .query("key", KEY);
    request.send().await.unwrap();
    drop(guard);
    let log = log.0.lock().unwrap().clone();
    assert_clean(&log);
    for part in [
        "method=GET",
        "path=v1/projects/p-12345/config",
        "host=\"127.0.0.1\"",
        "status=200",
        "attempts=2",
        "elapsed_ms=",
    ] {
        assert!(log.contains(part), "{part} is missing: {log}");
    }
}

/// Records all traces of this project's crates.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0.lock().unwrap(), "{field}={value:?} ");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ee_")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
