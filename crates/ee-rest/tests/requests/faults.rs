//! Transient faults of every kind.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ee_emulator::{Emulator, Fault};
use ee_rest::{Client, ClientEvent, Error, ErrorKind};
use http::Method;
use serde_json::{Value, json};

use super::*;

fn error_response(status: u16, message: &str, reason: &str) -> Fault {
    Fault::status(status).json(&json!({"error": {
        "code": status, "message": message, "errors": [{"reason": reason}],
    }}))
}

/// Transient faults: a name, whether the request certainly was not processed, and the fault.
fn transient_faults() -> Vec<(&'static str, bool, Fault)> {
    vec![
        (
            "429",
            true,
            error_response(429, "Too many concurrent aggregations.", ""),
        ),
        (
            "403 rate",
            true,
            error_response(403, "Slow.", "rateLimitExceeded"),
        ),
        (
            "403 user rate",
            true,
            error_response(403, "Slow.", "userRateLimitExceeded"),
        ),
        (
            "500",
            false,
            error_response(500, "Internal error encountered.", ""),
        ),
        (
            "502",
            false,
            Fault::respond(502, "text/html", "<html><title>Bad gateway"),
        ),
        ("503", false, error_response(503, "Unavailable.", "")),
        ("504", false, Fault::status(504)),
        ("no response", false, Fault::disconnect()),
        ("no body", false, Fault::truncate_body(0)),
        ("half a body", false, Fault::truncate_body(9)),
        ("half a stream", false, Fault::break_stream(100_000)),
        ("late", false, Fault::delay(Duration::from_secs(60))),
        (
            "a body that dribbles",
            false,
            Fault::slow_body(1, Duration::from_secs(10)),
        ),
    ]
}

fn client_with_short_timeout(setup: &Setup) -> Client {
    let client = setup.client().timeout(Duration::from_millis(400));
    client.build().unwrap()
}

#[tokio::test]
async fn computation_succeeds_despite_transient_faults() {
    for (name, _, fault) in transient_faults() {
        let setup = Setup::new().await;
        let client = client_with_short_timeout(&setup);
        setup.fault(fault.times(2));
        let seven: usize = client.compute(&constant(7)).await.unwrap();
        assert_eq!((seven, setup.requests()), (7, 3), "{name}");
    }
}

#[tokio::test]
async fn change_is_retried_only_if_it_was_not_processed() {
    for (name, not_processed, fault) in transient_faults() {
        let setup = Setup::new().await;
        let client = client_with_short_timeout(&setup);
        setup.fault(fault);
        setup.fault(Fault::respond(200, "application/json", "{}"));
        let request = client.request(Method::POST, "assets").json(&json!({}));
        let sent = request.send().await;
        assert_eq!(sent.is_ok(), not_processed, "{name}: {sent:?}");
        assert_eq!(setup.requests(), 1 + usize::from(not_processed), "{name}");
    }
}

#[tokio::test]
async fn exports_start_each_task_once_despite_faults() {
    let setup = Setup::new().await;
    // After a few rejections, the calls run one after the other, and the first meets most faults.
    let policy = RetryPolicy {
        max_retries: 100,
        ..quick()
    };
    let client = client_with_short_timeout(&setup).to_builder();
    let client = client.retry_policy(policy).build().unwrap();
    let mut faults = transient_faults();
    // These need the emulator's own response, which exports do not have.
    faults.retain(|(name, ..)| !name.ends_with("body") && !name.ends_with("dribbles"));
    faults.retain(|(name, ..)| *name != "late");
    let late = Fault::status(200).delayed_by(Duration::from_secs(60));
    faults.push(("late", false, late));
    let exports = faults.len() * 3;
    for round in 0..3 {
        for (_, _, fault) in &faults {
            setup.fault(fault.clone().on_path(export_path()).after_requests(round));
        }
    }
    let operation = json!({"name": format!("projects/{PROJECT}/operations/X"), "done": false});
    let success = Fault::status(200).json(&operation).times(usize::MAX);
    setup.fault(success.on_path(export_path()));

    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..exports {
        let request = client.request(Method::POST, "image:export");
        let request = request.json(&json!({"description": format!("export {n}")}));
        tasks.spawn(async move { request.send().await.map(|response| response.attempts()) });
    }
    let attempts: Vec<Result<u32, Error>> = tasks.join_all().await;
    let sum: u32 = attempts.into_iter().map(Result::unwrap).sum();

    // The server detects a duplicate export by its request ID.
    let mut ids: HashMap<String, String> = HashMap::new();
    let requests = setup.emulator.requests_to(EARTHENGINE);
    assert_eq!(requests.len(), sum as usize);
    assert!(requests.len() > exports, "nothing failed");
    for request in requests {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let known = ids.insert(text("description"), text("requestId"));
        assert!(known.is_none_or(|id| id == text("requestId")), "{body}");
    }
    let mut distinct: Vec<&String> = ids.values().collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!((ids.len(), distinct.len()), (exports, exports));
}

#[tokio::test]
async fn unreachable_server_is_retried_for_every_method() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    let emulator = Arc::into_inner(setup.emulator);
    // The token source also holds the emulator, so another one is shut down.
    assert!(emulator.is_none());
    let other = Emulator::start().await.unwrap();
    let closed = format!("http://{}/", other.address());
    other.shutdown().await;
    let client = client.to_builder().base_url(closed.parse().unwrap());
    let client = client.build().unwrap();
    for (method, path) in [
        (Method::GET, "config"),
        (Method::POST, "value:compute"),
        (Method::POST, "assets"),
        (Method::PATCH, "assets/a"),
    ] {
        let error = client.request(method, path).send().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::Network, 6),
            "{error}"
        );
    }
}

#[tokio::test]
async fn retry_after_is_respected_as_seconds_or_date() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::status(503).header("retry-after", "1"));
    let started = Instant::now();
    client.compute::<usize>(&constant(1)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));

    // A date past the deadline: waiting is pointless.
    setup.fault(Fault::status(503).header("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"));
    let error = client.compute::<usize>(&constant(1)).await.unwrap_err();
    assert_eq!(error.attempts(), 1);
    // A date in the past: no delay.
    setup.fault(Fault::status(503).header("retry-after", "Thu, 01 Jan 2015 00:00:00 GMT"));
    client.compute::<usize>(&constant(1)).await.unwrap();
}

#[tokio::test]
async fn permanent_failures_are_sent_once() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    let daily =
        "Quota exceeded for quota metric 'earthengine.googleapis.com/daily_eecu_usage_time'";
    let faults = [
        error_response(429, daily, "RATE_LIMIT_EXCEEDED"),
        error_response(400, "User memory limit exceeded.", ""),
        error_response(500, "User memory limit exceeded.", ""),
        error_response(403, "Not signed up for Earth Engine.", "forbidden"),
        error_response(404, "Not found.", ""),
        Fault::respond(200, "text/html", "<html><title>Log in"),
        Fault::respond(200, "application/json", ""),
        Fault::respond(200, "application/json", "[".repeat(100_000)),
        Fault::respond(200, "application/json", &b"{\"result\": \"\xff\"}"[..]),
    ];
    let count = faults.len();
    for fault in faults {
        setup.fault(fault);
        client.compute::<usize>(&constant(1)).await.unwrap_err();
    }
    assert_eq!(setup.requests(), count);
    // An exhausted daily quota does not lower the concurrency limit.
    assert_eq!(client.concurrency_limit(), Some(40));
}

#[tokio::test]
async fn calls_are_held_in_an_outage_and_succeed_afterwards() {
    let setup = Setup::new().await;
    let outages = Arc::new(AtomicUsize::new(0));
    let count = outages.clone();
    let client = setup.client().on_event(move |event| {
        let is_outage = matches!(event, ClientEvent::Outage { .. });
        count.fetch_add(usize::from(is_outage), Ordering::SeqCst);
    });
    let client = client.build().unwrap();
    assert_eq!(client.compute::<usize>(&constant(0)).await.unwrap(), 0);
    setup.fault(Fault::status(503).times(usize::MAX));
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let client = client.clone();
        calls.spawn(async move { client.compute::<usize>(&constant(n)).await.unwrap() });
    }
    // Six attempts of each call would take less than 0.3 s.
    tokio::time::sleep(Duration::from_secs(2)).await;
    setup.emulator.clear_faults();
    let failed = setup.requests();
    assert!(failed < 60, "{failed}");
    let mut results = calls.join_all().await;
    results.sort_unstable();
    assert_eq!(results, (0..200).collect::<Vec<_>>());
    assert!(outages.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn held_call_fails_at_its_deadline_and_names_the_outage() {
    let setup = Setup::new().await;
    let client = setup.client().max_concurrent_requests(4).build().unwrap();
    client.get_json::<Value>("config").await.unwrap();
    setup.fault(Fault::status(503).times(usize::MAX));
    let call = |deadline| {
        let request = client.request(Method::GET, "config");
        request.deadline(deadline).send()
    };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        calls.spawn(call(Duration::from_secs(60)));
    }
    let message = "requests to earthengine.googleapis.com have been failing for";
    let error = loop {
        let error = call(Duration::from_millis(100)).await.unwrap_err();
        if error.attempts() == 0 && error.to_string().contains(message) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.remedy().text.contains("deadline"));
}

#[tokio::test]
async fn token_rejected_during_use_is_renewed_once() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup
        .emulator
        .fault(EARTHENGINE, Fault::status(401).after_requests(10));
    for n in 0..10 {
        assert_eq!(client.compute::<usize>(&constant(n)).await.unwrap(), n);
    }
    let mut tasks = tokio::task::JoinSet::new();
    setup.emulator.expire_tokens();
    for n in 0..40 {
        let client = client.clone();
        tasks.spawn(async move { client.compute::<usize>(&constant(n)).await.unwrap() });
    }
    let mut results = tasks.join_all().await;
    results.sort_unstable();
    assert_eq!(results, (0..40).collect::<Vec<_>>());
    // The first token, one renewal for the fault, one for the forty requests.
    assert!(setup.tokens.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn deadline_limits_attempts_backoff_and_queueing() {
    let setup = Setup::new().await;
    let client = setup.client().max_concurrent_requests(1).build().unwrap();
    let soon = Duration::from_millis(200);
    // An attempt in progress.
    setup.fault(Fault::delay(Duration::from_secs(60)));
    let request = client.request(Method::GET, "config").deadline(soon);
    assert_eq!(request.send().await.unwrap_err().kind(), ErrorKind::Timeout);
    // A backoff that would end too late does not start.
    setup.fault(Fault::status(503).header("retry-after", "30"));
    let request = client.request(Method::GET, "config").deadline(soon);
    assert_eq!(request.send().await.unwrap_err().attempts(), 1);
    // Queueing.
    setup.fault(Fault::respond_stream(1 << 40));
    let request = client.request(Method::GET, "config");
    let holder = request.send_streaming().await.unwrap();
    let request = client.request(Method::GET, "config").deadline(soon);
    let error = request.send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 0));
    assert!(error.to_string().contains("queued"), "{error}");
    drop(holder);
    client.get_json::<Value>("config").await.unwrap();
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn gzip_response_size_limit_applies_to_decompressed_bytes() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::gzip().times(2));
    let list: Value = client.get_json("algorithms").await.unwrap();
    assert!(list["algorithms"].is_array());
    let request = client
        .request(Method::GET, "algorithms")
        .max_response_size(1000);
    let error = request.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
}
