//! Every way to fail that passes by itself, and what is made of it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ee_emulator::{Emulator, Fault};
use ee_rest::{Client, Error, ErrorKind};
use http::Method;
use serde_json::{Value, json};

use super::*;

fn refusal(status: u16, message: &str, reason: &str) -> Fault {
    Fault::status(status).json(&json!({"error": {
        "code": status, "message": message, "errors": [{"reason": reason}],
    }}))
}

/// What fails once and may succeed the next time: its name, whether the server surely did
/// nothing about the request, and the fault.
fn passing() -> Vec<(&'static str, bool, Fault)> {
    vec![
        (
            "429",
            true,
            refusal(429, "Too many concurrent aggregations.", ""),
        ),
        ("403 rate", true, refusal(403, "Slow.", "rateLimitExceeded")),
        (
            "403 user rate",
            true,
            refusal(403, "Slow.", "userRateLimitExceeded"),
        ),
        (
            "500",
            false,
            refusal(500, "Internal error encountered.", ""),
        ),
        (
            "502",
            false,
            Fault::respond(502, "text/html", "<html><title>Bad gateway"),
        ),
        ("503", false, refusal(503, "Unavailable.", "")),
        ("504", false, Fault::status(504)),
        ("no answer", false, Fault::disconnect()),
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

fn impatient(setup: &Setup) -> Client {
    let client = setup.client().timeout(Duration::from_millis(400));
    client.build().unwrap()
}

#[tokio::test]
async fn what_fails_for_the_moment_is_computed_all_the_same() {
    for (name, _, fault) in passing() {
        let setup = Setup::new().await;
        let client = impatient(&setup);
        setup.fault(fault.times(2));
        let seven: usize = client.compute(&constant(7)).await.unwrap();
        assert_eq!((seven, setup.requests()), (7, 3), "{name}");
    }
}

#[tokio::test]
async fn a_change_is_made_again_only_if_it_surely_was_not_made() {
    for (name, surely_not, fault) in passing() {
        let setup = Setup::new().await;
        let client = impatient(&setup);
        setup.fault(fault);
        setup.fault(Fault::respond(200, "application/json", "{}"));
        let request = client.request(Method::POST, "assets").json(&json!({}));
        let sent = request.send().await;
        assert_eq!(sent.is_ok(), surely_not, "{name}: {sent:?}");
        assert_eq!(setup.requests(), 1 + usize::from(surely_not), "{name}");
    }
}

#[tokio::test]
async fn exports_through_every_fault_start_each_task_once_and_lose_none() {
    let setup = Setup::new().await;
    let client = impatient(&setup);
    let mut faults = passing();
    // These begin with the real answer, and the emulator has none to an export.
    faults.retain(|(name, ..)| !name.ends_with("body") && !name.ends_with("dribbles"));
    faults.retain(|(name, ..)| *name != "late");
    let late = Fault::status(200).after(Duration::from_secs(60));
    faults.push(("late", false, late));
    let exports = faults.len() * 3;
    for round in 0..3 {
        for (_, _, fault) in &faults {
            setup.fault(fault.clone().on_path(export_path()).skip(round));
        }
    }
    let well = json!({"name": format!("projects/{PROJECT}/operations/X"), "done": false});
    let well = Fault::status(200).json(&well).times(usize::MAX);
    setup.fault(well.on_path(export_path()));

    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..exports {
        let request = client.request(Method::POST, "image:export");
        let request = request.json(&json!({"description": format!("export {n}")}));
        tasks.spawn(async move { request.send().await.map(|reply| reply.attempts()) });
    }
    let attempts: Vec<Result<u32, Error>> = tasks.join_all().await;
    let sum: u32 = attempts.into_iter().map(Result::unwrap).sum();

    // By its id the server knows an export that it has already.
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
async fn a_server_that_is_not_there_is_tried_again_for_every_kind_of_request() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    let emulator = Arc::into_inner(setup.emulator);
    // The token source holds the emulator too: what is stopped is another one.
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
async fn the_wait_that_the_server_asks_for_is_kept_be_it_seconds_or_a_date() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup.fault(Fault::status(503).header("retry-after", "1"));
    let started = Instant::now();
    client.compute::<usize>(&constant(1)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));

    // A date past the deadline: there is no use in waiting.
    setup.fault(Fault::status(503).header("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"));
    let error = client.compute::<usize>(&constant(1)).await.unwrap_err();
    assert_eq!(error.attempts(), 1);
    // A date that is over: no wait.
    setup.fault(Fault::status(503).header("retry-after", "Thu, 01 Jan 2015 00:00:00 GMT"));
    client.compute::<usize>(&constant(1)).await.unwrap();
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_asked_once() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    let daily =
        "Quota exceeded for quota metric 'earthengine.googleapis.com/daily_eecu_usage_time'";
    let faults = [
        refusal(429, daily, "RATE_LIMIT_EXCEEDED"),
        refusal(400, "User memory limit exceeded.", ""),
        refusal(500, "User memory limit exceeded.", ""),
        refusal(403, "Not signed up for Earth Engine.", "forbidden"),
        refusal(404, "Not found.", ""),
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
    // A spent daily budget does not mean too much at once.
    assert_eq!(client.concurrency_limit(), Some(40));
}

#[tokio::test]
async fn in_an_outage_the_retries_stop_and_when_it_is_over_they_come_back() {
    let setup = Setup::new().await;
    let client = setup.client().retry_budget(50).build().unwrap();
    setup.fault(Fault::status(503).times(100));
    let mut attempts = Vec::new();
    while setup.emulator.faults_left(EARTHENGINE) > 80 {
        let error = client.compute::<usize>(&constant(1)).await.unwrap_err();
        attempts.push(error.attempts());
    }
    // 10 retries at 5 each: the first two requests have them.
    assert_eq!(attempts[..4], [6, 6, 1, 1]);
    setup.emulator.clear_faults();
    for n in 0..5 {
        assert_eq!(client.compute::<usize>(&constant(n)).await.unwrap(), n);
    }
    setup.fault(Fault::status(503));
    assert_eq!(client.compute::<usize>(&constant(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_refused_token_in_the_middle_of_things_costs_one_renewal() {
    let setup = Setup::new().await;
    let client = setup.client().build().unwrap();
    setup
        .emulator
        .fault(EARTHENGINE, Fault::status(401).skip(10));
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
    // The first, one for the fault, one for the forty.
    assert!(setup.tokens.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn the_deadline_ends_attempts_waits_and_queues_alike() {
    let setup = Setup::new().await;
    let client = setup.client().concurrency_limit(1).build().unwrap();
    let soon = Duration::from_millis(200);
    // An attempt.
    setup.fault(Fault::delay(Duration::from_secs(60)));
    let request = client.request(Method::GET, "config").deadline(soon);
    assert_eq!(request.send().await.unwrap_err().kind(), ErrorKind::Timeout);
    // A wait: it would end too late, so that it does not begin.
    setup.fault(Fault::status(503).header("retry-after", "30"));
    let request = client.request(Method::GET, "config").deadline(soon);
    assert_eq!(request.send().await.unwrap_err().attempts(), 1);
    // A queue.
    setup.fault(Fault::respond_stream(1 << 40));
    let request = client.request(Method::GET, "config");
    let holder = request.send_streaming().await.unwrap();
    let request = client.request(Method::GET, "config").deadline(soon);
    let error = request.send().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 0));
    assert!(error.to_string().contains("turn"), "{error}");
    drop(holder);
    client.get_json::<Value>("config").await.unwrap();
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn a_compressed_reply_is_read_and_its_length_is_what_it_unpacks_to() {
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
