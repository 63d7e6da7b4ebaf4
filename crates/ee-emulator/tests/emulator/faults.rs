//! Injected faults.

use std::time::{Duration, Instant};

use ee_emulator::{Emulator, Fault};

use crate::client::*;

async fn discovery(emulator: &Emulator) -> reqwest::RequestBuilder {
    client().get(format!("{}/$discovery/rest", emulator.url(EARTHENGINE)))
}

#[tokio::test]
async fn faults_are_applied_in_order() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fault(
        EARTHENGINE,
        Fault::status(503)
            .body("busy")
            .header("Retry-After", "1")
            .times(2),
    );
    emulator.fault(EARTHENGINE, Fault::respond(200, "text/html", "<p>hello"));
    assert_eq!(emulator.faults_left(EARTHENGINE), 3);
    for _ in 0..2 {
        let response = send(discovery(&emulator).await).await;
        assert_eq!((response.status, response.text.as_str()), (503, "busy"));
        assert_eq!(response.headers["retry-after"], "1");
    }
    let response = send(discovery(&emulator).await).await;
    assert_eq!((response.status, response.text.as_str()), (200, "<p>hello"));
    assert_eq!(response.headers["content-type"], "text/html");
    let response = send(discovery(&emulator).await).await;
    assert!(response.json()["rootUrl"].is_string());
    let statuses: Vec<_> = emulator.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [Some(503), Some(503), Some(200), Some(200)]);
}

#[tokio::test]
async fn fault_applies_to_its_host_and_path_only() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fault(OAUTH2, Fault::status(500));
    emulator.fault(EARTHENGINE, Fault::status(500).on_path("/v1/other"));
    assert_eq!(send(discovery(&emulator).await).await.status, 200);
    let base = emulator.url(EARTHENGINE);
    assert_eq!(get(format!("{base}/v1/other?x=1")).await.status, 500);
    assert_eq!(token(&emulator, &[]).await.status, 500);
    assert_eq!(token(&emulator, &[]).await.status, 400);
    emulator.fault(OAUTH2, Fault::status(500));
    emulator.clear_faults();
    assert_eq!(token(&emulator, &[]).await.status, 400);
}

#[tokio::test]
async fn response_of_any_host_is_scripted_by_method_path_and_header() {
    let emulator = Emulator::start().await.unwrap();
    let token = Fault::status(200)
        .body("a token")
        .on_method("GET")
        .on_path("/token")
        .require_header("Metadata", "true");
    emulator.fault("tokens.example.com", token);
    let url = emulator.url("tokens.example.com");
    let to_token = || client().get(format!("{url}/token"));
    let with_header = || to_token().header("metadata", "true");
    assert_eq!(
        send(client().post(format!("{url}/token"))).await.status,
        404
    );
    assert_eq!(send(to_token()).await.status, 400);
    assert_eq!(send(to_token().header("metadata", "no")).await.status, 400);
    assert_eq!(send(with_header()).await.text, "a token");
    assert_eq!(send(with_header()).await.status, 404);
}

#[tokio::test]
async fn disconnect_sends_no_response() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fault(EARTHENGINE, Fault::disconnect());
    let error = discovery(&emulator).await.send().await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!(emulator.requests()[0].status, None);
    assert_eq!(send(discovery(&emulator).await).await.status, 200);
}

#[tokio::test]
async fn truncated_body_has_full_content_length() {
    let emulator = Emulator::start().await.unwrap();
    let whole = send(discovery(&emulator).await).await.text;
    for kept in [0, 10] {
        emulator.fault(EARTHENGINE, Fault::truncate_body(kept));
        let mut response = discovery(&emulator).await.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.content_length(), Some(whole.len() as u64));
        let mut received = Vec::new();
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                end => break end,
            }
        };
        assert!(end.is_err(), "the end must be noticed as a break");
        assert_eq!(received, &whole.as_bytes()[..kept]);
    }
}

#[tokio::test]
async fn delay_postpones_the_response() {
    let emulator = Emulator::start().await.unwrap();
    let delay = Duration::from_millis(150);
    for fault in [Fault::delay(delay), Fault::status(500).delayed_by(delay)] {
        emulator.fault(EARTHENGINE, fault);
        let start = Instant::now();
        let _ = send(discovery(&emulator).await).await;
        assert!(start.elapsed() >= delay);
    }
    let start = Instant::now();
    assert_eq!(send(discovery(&emulator).await).await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn generated_stream_is_json_of_requested_length() {
    let emulator = Emulator::start().await.unwrap();
    for total in [14_u64, 15, 1000, 65_536 + 12, 300_000] {
        emulator.fault(EARTHENGINE, Fault::respond_stream(total));
        let response = discovery(&emulator).await.send().await.unwrap();
        assert_eq!(response.content_length(), None);
        let body = response.bytes().await.unwrap();
        assert_eq!(body.len() as u64, total);
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(json["padding"].is_string());
    }
}

#[tokio::test]
async fn huge_stream_can_be_dropped_early() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fault(EARTHENGINE, Fault::respond_stream(u64::MAX / 2));
    let mut response = discovery(&emulator).await.send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    assert_eq!(send(discovery(&emulator).await).await.status, 200);
}

#[tokio::test]
async fn fault_responds_for_unknown_host() {
    let emulator = Emulator::start().await.unwrap();
    let json = serde_json::json!({"id_token": "x"});
    emulator.fault(
        "issuer.example",
        Fault::status(200).json(&json).times(usize::MAX),
    );
    for _ in 0..3 {
        let response = get(format!("{}/any", emulator.url("issuer.example"))).await;
        assert_eq!(response.json(), json);
        assert_eq!(
            response.headers["content-type"],
            "application/json; charset=UTF-8"
        );
    }
    emulator.clear_faults();
    assert_eq!(get(emulator.url("issuer.example")).await.status, 404);
}

#[tokio::test]
async fn fault_applies_after_skipped_requests() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fault(EARTHENGINE, Fault::status(401).after_requests(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(discovery(&emulator).await).await.status);
    }
    assert_eq!(statuses, [200, 200, 401, 200]);
}

#[tokio::test]
async fn slow_body_arrives_complete_in_chunks() {
    let emulator = Emulator::start().await.unwrap();
    let whole = send(discovery(&emulator).await).await.text;
    let piece = whole.len() / 3;
    let pause = Duration::from_millis(15);
    emulator.fault(EARTHENGINE, Fault::slow_body(piece, pause));
    let started = Instant::now();
    assert_eq!(send(discovery(&emulator).await).await.text, whole);
    assert!(started.elapsed() >= pause * 3);
}

#[tokio::test]
async fn broken_stream_ends_early() {
    let emulator = Emulator::start().await.unwrap();
    emulator.fault(EARTHENGINE, Fault::break_stream(100_000));
    let mut response = discovery(&emulator).await.send().await.unwrap();
    assert_eq!(response.content_length(), None);
    let mut received = 0;
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len(),
            end => break end,
        }
    };
    assert!(end.is_err(), "the end must be noticed as a break");
    assert_eq!(received, 100_000);
}

#[tokio::test]
async fn response_is_compressed_if_both_headers_ask_for_gzip() {
    let emulator = Emulator::start().await.unwrap();
    let whole = send(discovery(&emulator).await).await.text;
    emulator.fault(EARTHENGINE, Fault::gzip().times(3));
    for (accept, agent, compressed) in [
        ("gzip, deflate", "me (gzip)", true),
        ("identity", "me (gzip)", false),
        ("gzip", "me", false),
    ] {
        let request = discovery(&emulator).await;
        let request = request.header("accept-encoding", accept);
        let response = request.header("user-agent", agent).send().await.unwrap();
        let said = response.headers().contains_key("content-encoding");
        let bytes = response.bytes().await.unwrap();
        assert_eq!(said, compressed, "{accept} {agent}");
        assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), compressed);
        assert_eq!(bytes == whole.as_bytes(), !compressed);
    }
}

#[tokio::test]
async fn host_at_its_limit_rejects_and_counts_requests() {
    let emulator = Emulator::start().await.unwrap();
    emulator.limit_concurrency(EARTHENGINE, Some(2));
    emulator.fault(EARTHENGINE, Fault::respond_stream(1 << 40).times(2));
    // Unread bodies keep the requests in flight.
    let first = discovery(&emulator).await.send().await.unwrap();
    let second = discovery(&emulator).await.send().await.unwrap();
    assert_eq!(send(discovery(&emulator).await).await.status, 429);
    let count = emulator.concurrency(EARTHENGINE);
    assert_eq!((count.in_flight, count.peak, count.rejected), (2, 2, 1));
    drop((first, second));
    emulator.limit_concurrency(EARTHENGINE, None);
    assert_eq!(send(discovery(&emulator).await).await.status, 200);
}
