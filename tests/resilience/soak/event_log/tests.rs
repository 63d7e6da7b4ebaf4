//! Deliberate violations, each of which the event log must report.

use std::time::{Duration, Instant};

use chrono::Utc;
use earthengine::Method;
use earthengine::token::AccessToken;
use ee_emulator::RecordedRequest;
use reqwest::header::{AUTHORIZATION, HeaderMap, USER_AGENT};
use serde_json::json;

use crate::event_log::{EventLog, Failure, Purpose, Span, Symptom};
use crate::fault_schedule::Cause;
use crate::invariants::SETTLED;

const IDENTITY: u64 = 1;
const CLIENT: u64 = 2;
const NUMBER: i64 = 7;
const EMAIL: &str = "robot-1@ee-demo-project.iam.gserviceaccount.com";

/// An event log with one client of one identity, which has existed for a while.
struct TestLog {
    log: EventLog,
    /// When the test begins.
    start: Instant,
}

impl TestLog {
    fn new() -> Self {
        let log = EventLog::default();
        let pause = Duration::from_secs(3);
        log.open(IDENTITY, false, &[(EMAIL.to_owned(), pause)]);
        log.client_started(IDENTITY, CLIENT);
        let start = Instant::now() - Duration::from_secs(170);
        let life = Span {
            from: start,
            to: None,
        };
        let mut records = log.records();
        let identity = records.identities.get_mut(&IDENTITY).unwrap();
        identity.clients.insert(CLIENT, life);
        drop(records);
        Self { log, start }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    /// Records a request to the emulator.
    fn record(&self, request: RecordedRequest) {
        self.log.count(vec![request]);
    }

    /// Records the attempts of a failing computation, with their faults.
    fn attempts(&self, times: u32, cause: Option<Cause>) {
        for attempt in 0..times {
            self.record(compute(self.at(f64::from(attempt)), cause));
        }
    }

    /// Records a failed call.
    fn failed(&self, purpose: Purpose, attempts: u32, symptom: Symptom) {
        self.failed_at(purpose, attempts, symptom, 0.0);
    }

    fn failed_at(&self, purpose: Purpose, attempts: u32, symptom: Symptom, seconds: f64) {
        self.log.failed(Failure {
            identity: IDENTITY,
            purpose,
            attempts,
            started: self.at(seconds),
            ended: self.at(seconds + 6.0),
            symptom,
            message: "planted".to_owned(),
        });
    }

    fn reset_connections(&self, seconds: f64) {
        let at = self.at(seconds);
        let span = Span {
            from: at,
            to: Some(at),
        };
        self.log.records().network_faults.push_back(span);
    }

    /// Returns the violations after all checks.
    fn violations(&self) -> Vec<String> {
        self.log.check(true);
        self.log.violations()
    }

    fn assert_clean(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{violations:?}");
    }

    fn assert_one(&self, words: &str) {
        let violations = self.violations();
        assert!(
            violations.len() == 1 && violations[0].contains(words),
            "no {words:?}: {violations:?}"
        );
    }
}

fn request(at: Instant, host: &str, method: Method, path: &str) -> RecordedRequest {
    let mut headers = HeaderMap::new();
    headers.insert(
        USER_AGENT,
        format!("soak-{IDENTITY}-{CLIENT} x/1").parse().unwrap(),
    );
    headers.insert(AUTHORIZATION, "Bearer ya29.planted".parse().unwrap());
    RecordedRequest {
        method,
        host: host.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers,
        body: Vec::new().into(),
        status: Some(200),
        fault: None,
        at: Utc::now(),
        received: at,
    }
}

fn struck(mut request: RecordedRequest, cause: Option<Cause>) -> RecordedRequest {
    request.fault = cause.map(|cause| format!("{cause:?}"));
    request.status = match cause {
        Some(Cause::Closed) => None,
        Some(Cause::Unavailable) => Some(503),
        Some(Cause::Unauthorized) => Some(401),
        _ => request.status,
    };
    request
}

fn compute(at: Instant, cause: Option<Cause>) -> RecordedRequest {
    let path = "/v1/projects/p/value:compute";
    let mut request = request(at, "earthengine.googleapis.com", Method::POST, path);
    let expression = json!({"result": "0", "values": {"0": {"constantValue": NUMBER}}});
    request.body = json!({"expression": expression})
        .to_string()
        .into_bytes()
        .into();
    struck(request, cause)
}

fn create(at: Instant, cause: Option<Cause>) -> RecordedRequest {
    let path = "/v1/projects/p/assets";
    let mut request = request(at, "earthengine.googleapis.com", Method::POST, path);
    request.query = format!("assetId=soak-{NUMBER}");
    struck(request, cause)
}

fn token(at: Instant, cause: Option<Cause>) -> RecordedRequest {
    let path =
        format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken").replace('@', "%40");
    struck(
        request(at, "iamcredentials.googleapis.com", Method::POST, &path),
        cause,
    )
}

const COMPUTE: Purpose = Purpose::Compute(NUMBER);

#[test]
fn failure_is_explained_if_every_attempt_met_a_fault() {
    for (cause, symptom) in [
        (Cause::Closed, Symptom::Network),
        (Cause::Late, Symptom::Timeout),
        (Cause::Unavailable, Symptom::Unavailable),
    ] {
        let log = TestLog::new();
        log.attempts(6, Some(cause));
        log.failed(COMPUTE, 6, symptom);
        log.assert_clean();
    }
}

#[test]
fn failure_after_a_good_response_is_a_lost_request() {
    let log = TestLog::new();
    log.attempts(5, Some(Cause::Closed));
    log.record(compute(log.at(5.0), None));
    log.failed(COMPUTE, 6, Symptom::Network);
    log.assert_one("although attempt 6 met no fault");
}

#[test]
fn failure_without_all_retries_is_a_lost_request() {
    for attempts in 1..6 {
        let log = TestLog::new();
        log.attempts(attempts, Some(Cause::Closed));
        log.failed(COMPUTE, attempts, Symptom::Network);
        log.assert_one("before its attempts or its time were exhausted");
    }
}

#[test]
fn failure_unlike_its_last_fault_is_a_lost_request() {
    let log = TestLog::new();
    log.attempts(6, Some(Cause::Unavailable));
    log.failed(COMPUTE, 6, Symptom::Network);
    log.assert_one("its last attempt met no such fault");
}

#[test]
fn faults_of_other_calls_and_times_explain_nothing() {
    let log = TestLog::new();
    log.reset_connections(10.0);
    log.failed_at(COMPUTE, 6, Symptom::Network, 30.0);
    log.assert_one("6 attempts did not arrive");

    let log = TestLog::new();
    log.attempts(6, Some(Cause::Closed));
    log.failed(Purpose::Compute(NUMBER + 1), 6, Symptom::Network);
    log.assert_one("6 attempts did not arrive");
}

#[test]
fn failure_in_a_settled_calm_is_a_violation() {
    let log = TestLog::new();
    let quiet = Span {
        from: log.at(0.0),
        to: Some(log.at(80.0)),
    };
    log.log.records().quiet_periods.push(quiet);
    let late = SETTLED.as_secs_f64() + 1.0;
    for attempt in 0..6 {
        let at = log.at(late + f64::from(attempt));
        log.record(compute(at, Some(Cause::Closed)));
    }
    log.failed_at(COMPUTE, 6, Symptom::Network, late);
    log.assert_one("in a quiet period");
}

#[test]
fn token_failure_without_retries_is_a_lost_request() {
    for (times, is_lost) in [(0, true), (1, true), (2, true), (3, false)] {
        let log = TestLog::new();
        for time in 0..times {
            log.record(token(log.at(f64::from(time)), Some(Cause::Closed)));
        }
        log.failed(Purpose::Token, 0, Symptom::Network);
        match is_lost {
            true => log.assert_one("without enough token requests that met a fault"),
            false => log.assert_clean(),
        }
    }
}

#[test]
fn reported_asset_was_created_once() {
    for (made, words) in [
        (&[][..], "created by none"),
        (&[Some(Cause::Closed)], "created by none"),
        (&[None, None], "was created 2 times"),
    ] {
        let log = TestLog::new();
        for cause in made {
            log.record(create(log.at(0.0), *cause));
        }
        log.log.record_creation(NUMBER, true);
        let violations = log.violations();
        assert!(violations[0].contains(words), "{violations:?}");
    }
    let log = TestLog::new();
    log.record(create(log.at(0.0), None));
    log.log.record_creation(NUMBER, true);
    log.assert_clean();
}

#[test]
fn change_that_may_have_arrived_is_not_retried() {
    let log = TestLog::new();
    log.record(create(log.at(0.0), Some(Cause::Closed)));
    log.record(create(log.at(1.0), None));
    log.log.record_creation(NUMBER, true);
    log.assert_one("was retried after it may have taken effect");
}

#[test]
fn expired_token_in_a_request_is_detected() {
    // A token 3 s late may have been delayed unnoticed, and during a stall any delay is possible.
    for (ago, stalled, is_dead) in [(6, false, true), (3, false, false), (6, true, false)] {
        let log = TestLog::new();
        let end = Utc::now() - chrono::TimeDelta::seconds(ago);
        let token = AccessToken::new("ya29.planted").unwrap();
        log.log.saw_token(&token.with_expiry(end));
        let now = Instant::now();
        if stalled {
            log.log.stalled(now - Duration::from_secs(5), now);
        }
        let mut rejected_token = compute(now, None);
        rejected_token.status = Some(401);
        log.record(rejected_token);
        match is_dead {
            true => log.assert_one("after its expiry"),
            false => log.assert_clean(),
        }
    }
}

#[test]
fn hundred_rejections_of_one_token_allow_one_request() {
    let log = TestLog::new();
    for _ in 0..100 {
        log.record(compute(log.at(0.0), Some(Cause::Unauthorized)));
    }
    // In 170 s there are 57 token requests, and one more for the rejected token.
    let asked = |times: u32| {
        for time in 0..times {
            log.record(token(log.at(f64::from(time)), None));
        }
    };
    asked(60);
    log.assert_one("sent 60 token requests; 58 are allowed");
}

#[test]
fn excess_token_request_in_a_calm_is_a_violation() {
    let log = TestLog::new();
    let quiet = Span {
        from: log.at(0.0),
        to: Some(log.at(70.0)),
    };
    log.log.records().quiet_periods.push(quiet);
    // Thirty settled seconds contain ten intervals.
    for time in 0..12 {
        log.record(token(log.at(41.0 + f64::from(time)), None));
    }
    log.assert_one("in a quiet period of 30 s; 11 are allowed");
}

#[test]
fn unjudged_requests_are_few() {
    let log = TestLog::new();
    for _ in 0..50 {
        log.log.succeeded();
    }
    log.log.stalled(log.at(0.0), log.at(5.0));
    log.failed(COMPUTE, 1, Symptom::Network);
    log.assert_clean();
    log.log.check_excused();
    let violations = log.log.violations();
    assert!(
        violations[0].contains("1 of 51 calls could not be checked"),
        "{violations:?}"
    );
}
