//! Replies that are read piece by piece.

use std::time::Duration;

use ee_emulator::Fault;
use ee_rest::ErrorKind;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Method;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn a_token_that_expires_during_a_stream_neither_ends_nor_repeats_it() {
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
    // The next request finds out, and gets a new token.
    let next = client.request(Method::GET, "config").send().await.unwrap();
    assert_eq!(next.attempts(), 2);
}

#[tokio::test]
async fn a_stream_is_sent_again_before_it_begins_and_never_after() {
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
            Ok(None) => panic!("a break is no end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.is_transient());
    assert!(error.to_string().contains("after 300000 bytes"), "{error}");
    assert_eq!(stream.bytes_read(), 300_000);
    // Asking again does not make it an end.
    stream.chunk().await.unwrap_err();
    assert_eq!(setup.requests(), 3);
}

#[tokio::test]
async fn a_stream_that_halts_is_late_and_one_that_is_slow_is_not() {
    let setup = Setup::new().await;
    let client = setup.client().timeout(Duration::from_millis(400));
    let client = client.build().unwrap();
    setup.fault(Fault::slow_body(100, Duration::from_secs(30)));
    let request = client.request(Method::GET, "config");
    let mut stream = request.send_streaming().await.unwrap();
    let error = stream.chunk().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");

    // Longer than the time-out in all, and never as long without a byte.
    let whole = client.request(Method::GET, "config").send().await.unwrap();
    let piece = whole.bytes().len() / 6;
    setup.fault(Fault::slow_body(piece, Duration::from_millis(100)));
    let request = client.request(Method::GET, "config");
    let stream = request.send_streaming().await.unwrap();
    let pieces: Vec<_> = stream.bytes_stream().try_collect().await.unwrap();
    assert_eq!(pieces.concat(), whole.bytes()[..]);

    // A deadline is for all of it.
    setup.fault(Fault::slow_body(piece, Duration::from_millis(100)));
    let request = client.request(Method::GET, "config");
    let request = request.deadline(Duration::from_millis(300));
    let stream = request.send_streaming().await.unwrap();
    let ends: Vec<_> = stream.bytes_stream().collect().await;
    let error = ends.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_stream_can_be_bounded_and_refused_like_any_reply() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::respond_stream(1 << 40));
    let request = client
        .request(Method::GET, "config")
        .max_response_size(100_000);
    let stream = request.send_streaming().await.unwrap();
    let pieces: Vec<_> = stream.bytes_stream().collect().await;
    let error = pieces.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert_eq!(pieces.iter().filter(|piece| piece.is_err()).count(), 1);

    let request = client.request(Method::GET, "projects/nobody-has-this/config");
    let error = request.send_streaming().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Api);
    client.get_json::<Value>("config").await.unwrap();
}
