//! Unexpected responses.

use http::Method;
use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tests::{client, count};
use crate::{Error, ErrorKind, RpcCode};

async fn get(response: ResponseTemplate) -> Result<Value, Error> {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    let result = client(&server).get_json("config").await;
    assert_eq!(count(&server).await, 1, "retried unnecessarily");
    result
}

fn good(body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(body)
}

#[tokio::test]
async fn error_describes_a_response_that_is_not_json() {
    for (body, expected) in [
        (&b"<html>Please log in"[..], "HTML"),
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"{\"name\": \"x", "cut off"),
        (b"hello", "invalid JSON"),
        (b"{\"a\": \"\xff\"}", "invalid JSON"),
    ] {
        let error = get(good(body)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidResponse, 1)
        );
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.remedy().text.is_empty());
    }
}

#[tokio::test]
async fn value_of_another_type_is_not_blamed_on_an_intermediary() {
    let server = MockServer::start().await;
    let response = good(r#"{"result": 2.5}"#);
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    let computed = client(&server).compute::<i64>(&serde_json::json!({})).await;
    let error = computed.unwrap_err();
    assert!(error.to_string().contains("2.5"), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert!(!error.remedy().text.contains("proxy"));
}

#[tokio::test]
async fn deeply_nested_response_is_an_error_and_not_a_crash() {
    let deep = "[".repeat(100_000);
    let error = get(good(deep.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    let error_body = ResponseTemplate::new(400).set_body_string(format!("{{\"error\":{deep}"));
    let error = get(error_body).await.unwrap_err();
    assert!(error.api().unwrap().is_from_intermediary());
}

#[tokio::test]
async fn missing_field_is_named_in_the_error() {
    #[derive(Debug, serde::Deserialize)]
    struct Config {
        #[allow(dead_code)]
        name: String,
    }
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(good("{}"))
        .mount(&server)
        .await;
    let error = client(&server)
        .get_json::<Config>("config")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("missing field `name`"),
        "{error}"
    );
}

#[tokio::test]
async fn response_over_the_size_limit_is_an_error() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(good(vec![b'1'; 5000]))
        .mount(&server)
        .await;
    let client = client(&server)
        .to_builder()
        .max_response_size(4999)
        .build()
        .unwrap();
    let error = client.get_json::<Value>("config").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidResponse, 1)
    );
    assert!(error.to_string().contains("4999"), "{error}");
    let request = client
        .request(Method::GET, "config")
        .max_response_size(5000);
    assert_eq!(request.send().await.unwrap().bytes().len(), 5000);
}

#[tokio::test]
async fn error_response_is_read_up_to_64_kib() {
    // A longer body is cut off; it is still recognized as JSON.
    for (length, message) in [
        (60 * 1024, "m"),
        (65 * 1024, "{\"error\": {\"message\": \"m\"}"),
        (5_000_000, "{\"error\": {\"message\": \"m\"}"),
    ] {
        let padding = " ".repeat(length);
        let body = format!("{{\"error\": {{\"message\": \"m\"}}{padding}}}");
        let error = get(ResponseTemplate::new(400).set_body_string(body))
            .await
            .unwrap_err();
        let api = error.api().unwrap();
        assert_eq!(
            (api.code, api.is_from_intermediary(), &*api.message),
            (RpcCode::InvalidArgument, false, message)
        );
    }
}

#[tokio::test]
async fn response_exposes_headers_status_and_bytes() {
    let server = MockServer::start().await;
    let response = good("x").insert_header("x-earth-engine-init-message", "hello");
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    let request = client(&server).request(Method::GET, "v1/projects/p/thumbnails/t:getPixels");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-earth-engine-init-message"], "hello");
    assert_eq!(response.status(), 200);
    assert_eq!(&response.into_bytes()[..], b"x");
}
