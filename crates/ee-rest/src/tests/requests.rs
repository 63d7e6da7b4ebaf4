//! Requests as the server sees them.

use std::future::{Future, IntoFuture as _};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ee_token::{SecretString, TokenCache};
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tests::{builder_at, client, counting_source, ok};
use crate::{Auth, Client, Error, ErrorKind};

async fn server() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ok()).mount(&server).await;
    server
}

async fn sent_headers(server: &MockServer) -> HeaderMap {
    server
        .received_requests()
        .await
        .unwrap()
        .pop()
        .unwrap()
        .headers
}

fn token() -> Auth {
    Auth::token_cache(TokenCache::new(counting_source().0))
}

#[tokio::test]
async fn request_has_exactly_the_expected_headers() {
    let server = server().await;
    let client = client(&server);
    client
        .post_json::<Value>("value:compute", &json!({}))
        .await
        .unwrap();
    let mut sent: Vec<(String, String)> = sent_headers(&server)
        .await
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    // Another crate of the workspace may enable reqwest's compression.
    sent.retain(|(name, _)| cfg!(feature = "gzip") || name != "accept-encoding");
    sent.sort();
    let version = env!("CARGO_PKG_VERSION");
    let mut expected = [
        ("accept", "*/*"),
        ("authorization", "Bearer token-1"),
        ("content-length", "2"),
        ("content-type", "application/json"),
        ("host", server.uri().strip_prefix("http://").unwrap()),
        ("user-agent", &our_user_agent()),
        (
            "x-goog-api-client",
            &format!("ee-rust/{version} rust/{}", env!("EE_REST_RUSTC_VERSION")),
        ),
        ("x-goog-user-project", "p-12345"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    if cfg!(feature = "gzip") {
        expected.push(("accept-encoding".to_owned(), "gzip".to_owned()));
        expected.sort();
    }
    assert_eq!(sent, expected);
}

fn our_user_agent() -> String {
    let gzip = if cfg!(feature = "gzip") {
        " (gzip)"
    } else {
        ""
    };
    format!("ee-rust/{}{gzip}", env!("CARGO_PKG_VERSION"))
}

#[test]
fn call_outside_of_a_runtime_is_an_error() {
    fn outcome<T>(call: impl Future<Output = Result<T, Error>>) -> ErrorKind {
        let mut context = Context::from_waker(Waker::noop());
        match std::pin::pin!(call).poll(&mut context) {
            Poll::Ready(Err(error)) => {
                assert!(!error.remedy().text.is_empty(), "{error}");
                error.kind()
            }
            Poll::Ready(Ok(_)) => panic!("it succeeded"),
            Poll::Pending => panic!("it waits"),
        }
    }
    let client = builder_at("http://127.0.0.1:9", token()).build().unwrap();
    let with_key = Auth::api_key("AIza-key".into());
    let with_key = builder_at("http://127.0.0.1:9", with_key).build().unwrap();
    let get = || client.request(Method::GET, "config");
    let wait = client
        .operations()
        .wait("A1")
        .deadline(Duration::from_secs(1));
    for kind in [
        outcome(get().send()),
        outcome(get().deadline(Duration::from_secs(1)).send()),
        outcome(get().send_streaming()),
        outcome(client.batch().get("a", "config").send()),
        outcome(wait.into_future()),
        // With an API key, nothing is awaited before connecting.
        outcome(with_key.request(Method::GET, "config").send()),
        outcome(with_key.request(Method::GET, "config").send_streaming()),
    ] {
        assert_eq!(kind, ErrorKind::Usage);
    }
}

#[test]
fn compiler_version_is_a_version_number() {
    let version = env!("EE_REST_RUSTC_VERSION");
    assert!(version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.'));
}

#[tokio::test]
async fn quota_project_is_omitted_for_legacy_project_and_discovery() {
    let server = server().await;
    let legacy = client(&server)
        .to_builder()
        .project("earthengine-legacy")
        .build()
        .unwrap();
    legacy.get_json::<Value>("config").await.unwrap();
    assert!(
        !sent_headers(&server)
            .await
            .contains_key("x-goog-user-project")
    );
    client(&server)
        .get_json::<Value>("$discovery/rest")
        .await
        .unwrap();
    assert!(
        !sent_headers(&server)
            .await
            .contains_key("x-goog-user-project")
    );
}

#[tokio::test]
async fn quota_project_is_billed_but_not_used_in_paths() {
    let server = server().await;
    let client = client(&server)
        .to_builder()
        .quota_project("payer-1")
        .build()
        .unwrap();
    client.get_json::<Value>("config").await.unwrap();
    assert_eq!(
        sent_headers(&server).await["x-goog-user-project"],
        "payer-1"
    );
    let request = server.received_requests().await.unwrap().pop().unwrap();
    assert_eq!(request.url.path(), "/v1/projects/p-12345/config");
}

#[tokio::test]
async fn request_can_override_the_project() {
    let server = server().await;
    let request = client(&server)
        .request(Method::GET, "config")
        .project("other-1");
    request.send().await.unwrap();
    assert_eq!(
        sent_headers(&server).await["x-goog-user-project"],
        "other-1"
    );
    let request = server.received_requests().await.unwrap().pop().unwrap();
    assert_eq!(request.url.path(), "/v1/projects/other-1/config");
}

#[tokio::test]
async fn api_key_is_sent_in_its_header_and_not_in_the_url() {
    let server = server().await;
    let key: SecretString = "AIza-key".into();
    let client = builder_at(&server.uri(), Auth::api_key(key))
        .build()
        .unwrap();
    client.get_json::<Value>("config").await.unwrap();
    let headers = sent_headers(&server).await;
    assert_eq!(headers["x-goog-api-key"], "AIza-key");
    assert!(!headers.contains_key("authorization"));
    let request = server.received_requests().await.unwrap().pop().unwrap();
    assert_eq!(request.url.query(), None);
}

#[tokio::test]
async fn token_and_api_key_are_sent_together() {
    let server = server().await;
    let auth = token().with_api_key("AIza-key".into());
    let client = builder_at(&server.uri(), auth).build().unwrap();
    client.get_json::<Value>("config").await.unwrap();
    let headers = sent_headers(&server).await;
    assert_eq!(headers["x-goog-api-key"], "AIza-key");
    assert_eq!(headers["authorization"], "Bearer token-1");
}

#[tokio::test]
async fn user_agent_starts_with_the_programs_name() {
    let server = server().await;
    let client = client(&server)
        .to_builder()
        .user_agent("my-program/1.0")
        .build()
        .unwrap();
    client.get_json::<Value>("config").await.unwrap();
    let agent = format!("my-program/1.0 {}", our_user_agent());
    assert_eq!(sent_headers(&server).await["user-agent"], agent);
}

#[tokio::test]
async fn computation_is_wrapped_and_its_result_unwrapped() {
    let server = MockServer::start().await;
    let expression = json!({"result": "0", "values": {"0": {"constantValue": 3}}});
    Mock::given(method("POST"))
        .and(path("/v1/projects/p-12345/value:compute"))
        .and(body_json(json!({"expression": expression})))
        .respond_with(ok())
        .expect(1)
        .mount(&server)
        .await;
    let three: i64 = client(&server).compute(&expression).await.unwrap();
    assert_eq!(three, 3);
}

#[tokio::test]
async fn computed_null_is_accepted_by_types_that_accept_null() {
    for body in [json!({"result": null}), json!({})] {
        let server = MockServer::start().await;
        let response = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(any())
            .respond_with(response)
            .mount(&server)
            .await;
        let client = client(&server);
        assert_eq!(
            client.compute::<Option<i64>>(&json!({})).await.unwrap(),
            None
        );
        assert_eq!(
            client.compute::<Value>(&json!({})).await.unwrap(),
            Value::Null
        );
        let error = client.compute::<i64>(&json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    }
}

#[tokio::test]
async fn query_and_path_are_encoded_faithfully() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/projects/p-12345/assets/a%20b/%252e%252e"))
        .and(query_param("filter", "a=b&c d+é"))
        .respond_with(ok())
        .expect(1)
        .mount(&server)
        .await;
    let request = client(&server).request(Method::GET, "assets/a b/%2e%2e");
    request.query("filter", "a=b&c d+é").send().await.unwrap();
}

#[tokio::test]
async fn bytes_keep_their_content_type_and_empty_posts_have_a_length() {
    let server = server().await;
    let client = client(&server);
    let request = client.request(Method::POST, "projects/p/x");
    request
        .body(&b"\x00\xff"[..], "image/tiff")
        .send()
        .await
        .unwrap();
    let request = server.received_requests().await.unwrap().pop().unwrap();
    assert_eq!(request.body, b"\x00\xff");
    assert_eq!(request.headers["content-type"], "image/tiff");
    let cancel = client.request(Method::POST, "projects/p/operations/o:cancel");
    cancel.send().await.unwrap();
    assert_eq!(sent_headers(&server).await["content-length"], "0");
}

#[tokio::test]
async fn invalid_request_is_rejected_before_it_is_sent() {
    let server = server().await;
    let client = client(&server);
    let get = |path: &str| client.request(Method::GET, path);
    let header = HeaderName::from_static;
    for request in [
        get("a/../b"),
        get("config?x=y"),
        get("config").header(header("authorization"), "Bearer mine"),
        get("config").header(header("x-goog-api-key"), "mine"),
        get("config").header(header("x-other"), "a\r\nb"),
        get("config").json(&std::collections::HashMap::from([((1, 2), 3)])),
    ] {
        let error = request.send().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidRequest, 0)
        );
    }
    for project in ["a/b", ""] {
        let error = get("config").project(project).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidProject);
    }
    let auth = token();
    let without_project = Client::builder(auth, client.http().clone())
        .build()
        .unwrap();
    let error = without_project
        .get_json::<Value>("config")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoProject);
    assert_eq!(super::count(&server).await, 0);
}

#[test]
fn client_with_invalid_options_is_not_built() {
    let at = |uri: &str| builder_at(uri, token());
    let key = |key: &str| builder_at("https://ee.example", Auth::api_key(key.into()));
    for builder in [
        at("http://ee.example"),
        at("https://me:pw@ee.example"),
        at("https://ee.example/?x=y"),
        at("mailto:me@example.org"),
        at("https://ee.example").user_agent("a\r\nb"),
        key(""),
        key("a b"),
        key("a\r\nx: y"),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.build().expect_err(&shown);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{shown}");
        assert!(!error.remedy().text.is_empty(), "{shown}");
    }
    for builder in [
        at("https://ee.example").project("projects/x"),
        at("https://ee.example").project(""),
        at("https://ee.example").quota_project("a\nb"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidProject);
    }
}
