//! Connections that are never made, or break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::ErrorKind;
use crate::tests::client_at;

const WELL: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"result\":3}";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"res";
const CUT_REFUSAL: &str =
    "HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\nconnection: close\r\n\r\nForbidden";

/// A server that reads a request, answers the first with `first` and hangs up, and answers
/// the others well. Returns its address and the count of requests.
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
            let answer = if n == 0 { first } else { WELL };
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (uri, count)
}

#[tokio::test]
async fn a_computation_whose_answer_got_lost_is_sent_again() {
    for answer in ["", "HTTP/1.1 200", CUT] {
        let (uri, count) = server(answer).await;
        assert_eq!(client_at(&uri).compute::<i64>(&json!({})).await.unwrap(), 3);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_change_whose_answer_got_lost_is_not_made_again_unless_the_caller_says_so() {
    for answer in ["", "HTTP/1.1 200", CUT] {
        let (uri, count) = server(answer).await;
        let request = client_at(&uri).request(Method::POST, "projects/p/assets/a:copy");
        let error = request.json(&json!({})).send().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::Network, 1),
            "{error}"
        );
        assert!(error.token_error().is_none() && error.api().is_none());
        assert_eq!(count.load(Ordering::SeqCst), 1);

        let (uri, _) = server(answer).await;
        let request = client_at(&uri).request(Method::POST, "projects/p/assets/a:copy");
        let reply = request.json(&json!({})).idempotent(true).send().await;
        assert_eq!(reply.unwrap().attempts(), 2);

        let (uri, _) = server(answer).await;
        let request = client_at(&uri).request(Method::GET, "config");
        let reply = request.idempotent(false).send().await;
        assert_eq!(reply.unwrap_err().attempts(), 1);
    }
}

#[tokio::test]
async fn a_refusal_that_breaks_off_is_a_refusal_all_the_same() {
    let (uri, _) = server(CUT_REFUSAL).await;
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
async fn a_refusal_that_does_not_say_how_long_it_is_is_read_to_its_end() {
    let padding = format!("1f4\r\n{}\r\n", " ".repeat(500)).repeat(100);
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         a\r\n{{\"error\": \r\n{padding}11\r\n{{\"message\": \"m\"}}}}\r\n0\r\n\r\n"
    );
    let (uri, _) = server(answer.leak()).await;
    let error = client_at(&uri)
        .get_json::<Value>("config")
        .await
        .unwrap_err();
    assert_eq!(error.api().unwrap().message, "m");
}

#[tokio::test]
async fn whatever_never_got_there_is_sent_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let request = client_at(&uri).request(Method::POST, "image:export");
    let error = request.json(&json!({})).send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, 4));
    assert!(error.is_transient() && error.remedy().is_some());
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}
