//! Failed and lost connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::ErrorKind;
use crate::tests::client_at;

const SUCCESS: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"result\":3}";
const TRUNCATED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"res";
const TRUNCATED_ERROR: &str =
    "HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\nconnection: close\r\n\r\nForbidden";

/// Starts a server that sends `first` as its first response, closes the connection, and succeeds
/// from then on. Returns its URL and the request count.
async fn server(first: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            if connection.read(&mut request).await.unwrap_or(0) == 0 {
                continue;
            }
            let n = counter.fetch_add(1, Ordering::SeqCst);
            let response = if n == 0 { first } else { SUCCESS };
            let _ = connection.write_all(response.as_bytes()).await;
        }
    });
    (uri, count)
}

#[tokio::test]
async fn computation_with_a_lost_response_is_retried() {
    for response in ["", "HTTP/1.1 200", TRUNCATED] {
        let (uri, count) = server(response).await;
        assert_eq!(client_at(&uri).compute::<i64>(&json!({})).await.unwrap(), 3);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn change_with_a_lost_response_is_retried_only_if_idempotent() {
    for first in ["", "HTTP/1.1 200", TRUNCATED] {
        let (uri, count) = server(first).await;
        let request = client_at(&uri).request(Method::POST, "projects/p/assets/a:copy");
        let error = request.json(&json!({})).send().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::Network, 1),
            "{error}"
        );
        assert!(error.token_error().is_none() && error.api().is_none());
        assert_eq!(count.load(Ordering::SeqCst), 1);

        let (uri, _) = server(first).await;
        let request = client_at(&uri).request(Method::POST, "projects/p/assets/a:copy");
        let response = request.json(&json!({})).idempotent(true).send().await;
        assert_eq!(response.unwrap().attempts(), 2);

        let (uri, _) = server(first).await;
        let request = client_at(&uri).request(Method::GET, "config");
        let result = request.idempotent(false).send().await;
        assert_eq!(result.unwrap_err().attempts(), 1);
    }
}

#[tokio::test]
async fn truncated_error_response_is_still_an_api_error() {
    let (uri, _) = server(TRUNCATED_ERROR).await;
    let error = client_at(&uri)
        .get_json::<Value>("config")
        .await
        .unwrap_err();
    let api = error.api().unwrap();
    assert_eq!(
        (api.status.as_u16(), api.message.as_str()),
        (403, "Forbidden")
    );
}

#[tokio::test]
async fn chunked_error_response_is_read_to_its_end() {
    let padding = format!("1f4\r\n{}\r\n", " ".repeat(500)).repeat(100);
    let response = format!(
        "HTTP/1.1 403 Forbidden\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         a\r\n{{\"error\": \r\n{padding}11\r\n{{\"message\": \"m\"}}}}\r\n0\r\n\r\n"
    );
    let (uri, _) = server(response.leak()).await;
    let error = client_at(&uri)
        .get_json::<Value>("config")
        .await
        .unwrap_err();
    assert_eq!(error.api().unwrap().message, "m");
}

#[tokio::test]
async fn request_that_was_never_sent_is_retried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let request = client_at(&uri).request(Method::POST, "image:export");
    let error = request.json(&json!({})).send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 4));
    assert!(error.is_transient() && !error.remedy().text.is_empty());
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}
