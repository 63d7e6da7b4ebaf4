//! Streamed responses.

use std::time::Duration;

use ee_emulator::Fault;
use ee_rest::ErrorKind;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Method;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn token_expiry_during_a_stream_does_not_interrupt_it() {
    const TOTAL: u64 = 64 << 20;
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::respond_stream(TOTAL));
    let request = client.request(Method::GET, "config");
    let mut stream = request.send_streaming().await.unwrap();
    while stream.bytes_read() < TOTAL / 2 {
        stream.chunk().await.unwrap().unwrap();
    }
    setup.emulator.expire_tokens();
    while stream.chunk().await.unwrap().is_some() {}
    assert_eq!(stream.bytes_read(), TOTAL);
    assert_eq!(setup.requests(), 1);
    // The next request is rejected and renews the token.
    let next = client.request(Method::GET, "config").send().await.unwrap();
    assert_eq!(next.attempts(), 2);
}

#[tokio::test]
async fn stream_is_retried_before_it_begins_and_never_after() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::status(503).times(2));
    setup.fault(Fault::break_stream(300_000));
    let request = client.request(Method::GET, "config");
    let mut stream = request.send_streaming().await.unwrap();
    assert_eq!(stream.attempts(), 3);
    let error = loop {
        match stream.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an interruption is not the end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.is_transient());
    assert!(error.to_string().contains("after 300000 bytes"), "{error}");
    assert_eq!(stream.bytes_read(), 300_000);
    // Reading again returns the error, not the end.
    stream.chunk().await.unwrap_err();
    assert_eq!(setup.requests(), 3);
}

#[tokio::test]
async fn stalled_stream_times_out_and_slow_stream_does_not() {
    let setup = Setup::new().await;
    let client = setup.client().timeout(Duration::from_millis(400));
    let client = client.build().unwrap();
    setup.fault(Fault::slow_body(100, Duration::from_secs(30)));
    let request = client.request(Method::GET, "config");
    let mut stream = request.send_streaming().await.unwrap();
    let error = stream.chunk().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");

    // Takes longer than the timeout in all, but no single chunk does.
    let full = client.request(Method::GET, "config").send().await.unwrap();
    let chunk_size = full.bytes().len() / 6;
    setup.fault(Fault::slow_body(chunk_size, Duration::from_millis(100)));
    let request = client.request(Method::GET, "config");
    let stream = request.send_streaming().await.unwrap();
    let chunks: Vec<_> = stream.bytes_stream().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), full.bytes()[..]);

    // The deadline covers the whole stream.
    setup.fault(Fault::slow_body(chunk_size, Duration::from_millis(100)));
    let request = client.request(Method::GET, "config");
    let request = request.deadline(Duration::from_millis(300));
    let stream = request.send_streaming().await.unwrap();
    let ends: Vec<_> = stream.bytes_stream().collect().await;
    let error = ends.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn stream_size_limits_and_error_responses_are_reported() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::respond_stream(1 << 40));
    let request = client
        .request(Method::GET, "config")
        .max_response_size(100_000);
    let stream = request.send_streaming().await.unwrap();
    let chunks: Vec<_> = stream.bytes_stream().collect().await;
    let error = chunks.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert_eq!(chunks.iter().filter(|chunk| chunk.is_err()).count(), 1);

    let request = client.request(Method::GET, "projects/unknown-project/config");
    let error = request.send_streaming().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    client.get_json::<Value>("config").await.unwrap();
}
