//! Wrongs that are done on purpose, each of which the ledger must see.

use std::time::{Duration, Instant};

use chrono::Utc;
use earthengine::Method;
use earthengine::token::AccessToken;
use ee_emulator::RecordedRequest;
use reqwest::header::{AUTHORIZATION, HeaderMap, USER_AGENT};
use serde_json::json;

use crate::judging::SETTLED;
use crate::ledger::{Errand, Failure, Ledger, Span, Symptom};
use crate::weather::Cause;

const IDENTITY: u64 = 1;
const CLIENT: u64 = 2;
const NUMBER: i64 = 7;
const EMAIL: &str = "robot-1@ee-demo-project.iam.gserviceaccount.com";

/// A ledger with one client of one identity, which has lived for a while.
struct Book {
    ledger: Ledger,
    /// When everything begins.
    start: Instant,
}

impl Book {
    fn new() -> Self {
        let ledger = Ledger::default();
        let pause = Duration::from_secs(3);
        ledger.open(IDENTITY, false, &[(EMAIL.to_owned(), pause)]);
        ledger.client_born(IDENTITY, CLIENT);
        let start = Instant::now() - Duration::from_secs(170);
        let life = Span {
            from: start,
            to: None,
        };
        let mut books = ledger.books();
        let identity = books.identities.get_mut(&IDENTITY).unwrap();
        identity.clients.insert(CLIENT, life);
        drop(books);
        Self { ledger, start }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    /// A request came to the emulator.
    fn came(&self, request: RecordedRequest) {
        self.ledger.count(vec![request]);
    }

    /// A computation that fails in the end came so often, and met this.
    fn attempts(&self, times: u32, met: Option<Cause>) {
        for attempt in 0..times {
            self.came(compute(self.at(f64::from(attempt)), met));
        }
    }

    /// The program was told so.
    fn failed(&self, errand: Errand, attempts: u32, symptom: Symptom) {
        self.failed_at(errand, attempts, symptom, 0.0);
    }

    fn failed_at(&self, errand: Errand, attempts: u32, symptom: Symptom, seconds: f64) {
        self.ledger.failed(Failure {
            identity: IDENTITY,
            errand,
            attempts,
            started: self.at(seconds),
            ended: self.at(seconds + 6.0),
            symptom,
            message: "planted".to_owned(),
        });
    }

    fn wire_was_cut(&self, seconds: f64) {
        let at = self.at(seconds);
        let span = Span {
            from: at,
            to: Some(at),
        };
        self.ledger.books().breakdowns.push_back(span);
    }

    /// The violations, once everything is judged.
    fn violations(&self) -> Vec<String> {
        self.ledger.judge(true);
        self.ledger.violations()
    }

    fn is_clean(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{violations:?}");
    }

    fn has_one(&self, words: &str) {
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

fn struck(mut request: RecordedRequest, met: Option<Cause>) -> RecordedRequest {
    request.fault = met.map(|cause| format!("{cause:?}"));
    request.status = match met {
        Some(Cause::Closed) => None,
        Some(Cause::Unavailable) => Some(503),
        Some(Cause::Unauthorized) => Some(401),
        _ => request.status,
    };
    request
}

fn compute(at: Instant, met: Option<Cause>) -> RecordedRequest {
    let path = "/v1/projects/p/value:compute";
    let mut request = request(at, "earthengine.googleapis.com", Method::POST, path);
    let expression = json!({"result": "0", "values": {"0": {"constantValue": NUMBER}}});
    request.body = json!({"expression": expression})
        .to_string()
        .into_bytes()
        .into();
    struck(request, met)
}

fn create(at: Instant, met: Option<Cause>) -> RecordedRequest {
    let path = "/v1/projects/p/assets";
    let mut request = request(at, "earthengine.googleapis.com", Method::POST, path);
    request.query = format!("assetId=soak-{NUMBER}");
    struck(request, met)
}

fn token(at: Instant, met: Option<Cause>) -> RecordedRequest {
    let path =
        format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken").replace('@', "%40");
    struck(
        request(at, "iamcredentials.googleapis.com", Method::POST, &path),
        met,
    )
}

const COMPUTE: Errand = Errand::Compute(NUMBER);

#[test]
fn a_failure_whose_attempts_all_met_faults_is_explained() {
    for (cause, symptom) in [
        (Cause::Closed, Symptom::Network),
        (Cause::Late, Symptom::Timeout),
        (Cause::Unavailable, Symptom::Unavailable),
    ] {
        let book = Book::new();
        book.attempts(6, Some(cause));
        book.failed(COMPUTE, 6, symptom);
        book.is_clean();
    }
}

#[test]
fn a_request_that_was_answered_well_and_failed_all_the_same_is_lost() {
    let book = Book::new();
    book.attempts(5, Some(Cause::Closed));
    book.came(compute(book.at(5.0), None));
    book.failed(COMPUTE, 6, Symptom::Network);
    book.has_one("although attempt 6 met no fault");
}

#[test]
fn a_failure_without_all_its_retries_is_a_lost_request() {
    for attempts in 1..6 {
        let book = Book::new();
        book.attempts(attempts, Some(Cause::Closed));
        book.failed(COMPUTE, attempts, Symptom::Network);
        book.has_one("before its attempts and its time were used up");
    }
}

#[test]
fn a_failure_of_another_sort_than_its_last_fault_is_a_lost_request() {
    let book = Book::new();
    book.attempts(6, Some(Cause::Unavailable));
    book.failed(COMPUTE, 6, Symptom::Network);
    book.has_one("its last attempt did not meet such a fault");
}

#[test]
fn other_peoples_faults_and_earlier_ones_on_the_wire_explain_nothing() {
    let book = Book::new();
    book.wire_was_cut(10.0);
    book.failed_at(COMPUTE, 6, Symptom::Network, 30.0);
    book.has_one("6 attempts did not arrive");

    let book = Book::new();
    book.attempts(6, Some(Cause::Closed));
    book.failed(Errand::Compute(NUMBER + 1), 6, Symptom::Network);
    book.has_one("6 attempts did not arrive");
}

#[test]
fn nothing_may_fail_in_a_calm_that_has_settled() {
    let book = Book::new();
    let calm = Span {
        from: book.at(0.0),
        to: Some(book.at(80.0)),
    };
    book.ledger.books().calms.push(calm);
    let late = SETTLED.as_secs_f64() + 1.0;
    for attempt in 0..6 {
        let at = book.at(late + f64::from(attempt));
        book.came(compute(at, Some(Cause::Closed)));
    }
    book.failed_at(COMPUTE, 6, Symptom::Network, late);
    book.has_one("in a calm");
}

#[test]
fn a_token_that_failed_without_its_retries_is_a_lost_request() {
    for (times, is_lost) in [(0, true), (1, true), (2, true), (3, false)] {
        let book = Book::new();
        for time in 0..times {
            book.came(token(book.at(f64::from(time)), Some(Cause::Closed)));
        }
        book.failed(Errand::Token, 0, Symptom::Network);
        match is_lost {
            true => book.has_one("without enough token requests that met a fault"),
            false => book.is_clean(),
        }
    }
}

#[test]
fn an_asset_that_is_said_to_be_made_was_made_once() {
    for (made, words) in [
        (&[][..], "made by none"),
        (&[Some(Cause::Closed)], "made by none"),
        (&[None, None], "was made 2 times"),
    ] {
        let book = Book::new();
        for cause in made {
            book.came(create(book.at(0.0), *cause));
        }
        book.ledger.made(NUMBER, true);
        let violations = book.violations();
        assert!(violations[0].contains(words), "{violations:?}");
    }
    let book = Book::new();
    book.came(create(book.at(0.0), None));
    book.ledger.made(NUMBER, true);
    book.is_clean();
}

#[test]
fn a_change_that_may_have_arrived_is_not_sent_again() {
    let book = Book::new();
    book.came(create(book.at(0.0), Some(Cause::Closed)));
    book.came(create(book.at(1.0), None));
    book.ledger.made(NUMBER, true);
    book.has_one("was sent again");
}

#[test]
fn a_dead_token_that_is_sent_is_seen() {
    // What is 3 s late may have been held up unnoticed, and while the process stood still all may.
    for (ago, stood_still, is_dead) in [(6, false, true), (3, false, false), (6, true, false)] {
        let book = Book::new();
        let end = Utc::now() - chrono::TimeDelta::seconds(ago);
        let token = AccessToken::new("ya29.planted").unwrap();
        book.ledger.saw_token(&token.with_expiry(end));
        let now = Instant::now();
        if stood_still {
            book.ledger.stood_still(now - Duration::from_secs(5), now);
        }
        let mut refused = compute(now, None);
        refused.status = Some(401);
        book.came(refused);
        match is_dead {
            true => book.has_one("after its end"),
            false => book.is_clean(),
        }
    }
}

#[test]
fn a_hundred_refusals_of_one_token_allow_one_request_more() {
    let book = Book::new();
    for _ in 0..100 {
        book.came(compute(book.at(0.0), Some(Cause::Unauthorized)));
    }
    // In 170 s a token is asked for 57 times, and once more for the one that was refused.
    let asked = |times: u32| {
        for time in 0..times {
            book.came(token(book.at(f64::from(time)), None));
        }
    };
    asked(60);
    book.has_one("sent 60 token requests; 58 are allowed");
}

#[test]
fn a_calm_forgives_no_token_request_too_many() {
    let book = Book::new();
    let calm = Span {
        from: book.at(0.0),
        to: Some(book.at(70.0)),
    };
    book.ledger.books().calms.push(calm);
    // Thirty seconds that are settled, in which there are ten pauses.
    for time in 0..12 {
        book.came(token(book.at(41.0 + f64::from(time)), None));
    }
    book.has_one("in a calm of 30 s; 11 are allowed");
}

#[test]
fn what_cannot_be_judged_is_little() {
    let book = Book::new();
    for _ in 0..50 {
        book.ledger.succeeded();
    }
    book.ledger.stood_still(book.at(0.0), book.at(5.0));
    book.failed(COMPUTE, 1, Symptom::Network);
    book.is_clean();
    book.ledger.judge_excuses();
    let violations = book.ledger.violations();
    assert!(
        violations[0].contains("1 of 51 calls could not be judged"),
        "{violations:?}"
    );
}
