//! The requests that came in, kept for assertions.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::redact;

/// How many requests are kept, and how many bytes of their bodies: an emulator that runs for days
/// forgets the oldest rather than fill the memory.
const MOST_REQUESTS: usize = 100_000;
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// A request as it arrived. The fields hold everything, secrets included; `Debug` hides those.
#[derive(Clone)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: Method,
    /// The Google host that was meant: the first segment of the path.
    pub host: String,
    /// The path on that host, as it was sent (percent-encoded), beginning with `/`.
    pub path: String,
    /// The query as it was sent, without `?`; empty where there was none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. Empty if it was too long to be accepted.
    pub body: Bytes,
    /// The status that was answered; `None` while no answer was given, or if the connection was
    /// cut instead of one.
    pub status: Option<u16>,
    /// The [label](crate::Fault::label) of the fault that it met with.
    pub fault: Option<String>,
    /// When the request had been read, by the emulator's clock.
    pub at: DateTime<Utc>,
    /// The same moment by the machine's monotonic clock, for measuring pauses between requests.
    pub received: Instant,
}

impl RecordedRequest {
    /// A header's value, if the request had it once or more (then the first) and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The parameters of a form-encoded body. Of a repeated one the last is kept; a body of
    /// another type gives an empty map.
    pub fn form(&self) -> BTreeMap<String, String> {
        if !self
            .content_type()
            .starts_with("application/x-www-form-urlencoded")
        {
            return BTreeMap::new();
        }
        parameters(&self.body)
    }

    /// The parameters of the query. Of a repeated one the last is kept.
    pub fn query_parameters(&self) -> BTreeMap<String, String> {
        parameters(self.query.as_bytes())
    }

    /// The body as JSON; `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The token of an `Authorization: Bearer` header.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    fn content_type(&self) -> &str {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

fn parameters(encoded: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

impl fmt::Debug for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| {
                if redact::is_secret_header(name.as_str()) {
                    format!("{name}: [redacted]")
                } else {
                    format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
                }
            })
            .collect();
        f.debug_struct("RecordedRequest")
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &self.path)
            .field("query", &redact::parameters(&self.query))
            .field("headers", &headers)
            .field("body", &redact::body(self.content_type(), &self.body))
            .field("status", &self.status)
            .field("fault", &self.fault)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// The requests that are remembered, oldest first.
#[derive(Default)]
pub(crate) struct RequestLog {
    requests: VecDeque<RecordedRequest>,
    /// Of the requests, whether they are still being answered.
    under_way: VecDeque<bool>,
    bytes: usize,
    /// How many were forgotten: the identity of a request is its place in the whole history.
    forgotten: u64,
}

impl RequestLog {
    /// Remembers a request and says by which number its status can be added.
    pub(crate) fn add(&mut self, request: RecordedRequest) -> u64 {
        self.bytes += request.body.len();
        self.requests.push_back(request);
        self.under_way.push_back(true);
        let number = self.forgotten + self.requests.len() as u64 - 1;
        while self.requests.len() > MOST_REQUESTS
            || (self.bytes > MOST_BYTES && self.requests.len() > 1)
        {
            self.forget_oldest();
        }
        number
    }

    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        if let Some(request) = self.place(number).and_then(|at| self.requests.get_mut(at)) {
            request.status = Some(status);
        }
    }

    pub(crate) fn met_with(&mut self, number: u64, fault: String) {
        if let Some(request) = self.place(number).and_then(|at| self.requests.get_mut(at)) {
            request.fault = Some(fault);
        }
    }

    /// Nothing more will become of a request.
    pub(crate) fn ended(&mut self, number: u64) {
        if let Some(under_way) = self.place(number).and_then(|at| self.under_way.get_mut(at)) {
            *under_way = false;
        }
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.forgotten)?).ok()
    }

    /// The oldest requests, up to the first that is still being answered, which are forgotten.
    pub(crate) fn take_ended(&mut self) -> Vec<RecordedRequest> {
        let ended = self.under_way.iter().take_while(|under_way| !**under_way);
        (0..ended.count())
            .filter_map(|_| self.forget_oldest())
            .collect()
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn to_host(&self, host: &str) -> Vec<RecordedRequest> {
        self.requests
            .iter()
            .filter(|request| request.host == host)
            .cloned()
            .collect()
    }

    pub(crate) fn clear(&mut self) {
        while !self.requests.is_empty() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> Option<RecordedRequest> {
        let request = self.requests.pop_front()?;
        self.under_way.pop_front();
        self.bytes -= request.body.len();
        self.forgotten += 1;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content_type: &'static str, body: &'static str) -> RecordedRequest {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        headers.insert(
            "authorization",
            http::HeaderValue::from_static("Bearer s3cret"),
        );
        RecordedRequest {
            method: Method::POST,
            host: "oauth2.googleapis.com".to_owned(),
            path: "/token".to_owned(),
            query: "access_token=s3cret&alt=json".to_owned(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
            status: None,
            fault: None,
            at: Utc::now(),
            received: Instant::now(),
        }
    }

    #[test]
    fn debug_hides_tokens_in_headers_queries_forms_and_json() {
        let form = request(
            "application/x-www-form-urlencoded",
            "grant_type=refresh_token&refresh_token=s3cret&client_secret=s3cret&new=s3cret",
        );
        let json = request(
            "application/json",
            r#"{"a":[{"accessToken":"s3cret"}],"b":1}"#,
        );
        let other = request("text/plain", "s3cret");
        for request in [form, json, other] {
            let shown = format!("{request:?}");
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains("alt=json"), "{shown}");
        }
    }

    #[test]
    fn a_status_finds_its_request_after_the_log_was_cleared() {
        let mut log = RequestLog::default();
        let first = log.add(request("text/plain", "a"));
        log.clear();
        let second = log.add(request("text/plain", "b"));
        log.answered(first, 500);
        log.answered(second, 200);
        assert_eq!(log.all()[0].status, Some(200));
    }

    #[test]
    fn requests_are_taken_once_and_not_while_they_are_answered() {
        let mut log = RequestLog::default();
        let numbers = ["a", "b", "c"].map(|body| log.add(request("text/plain", body)));
        log.met_with(numbers[0], "cut".to_owned());
        log.ended(numbers[0]);
        log.ended(numbers[2]);
        let taken = log.take_ended();
        assert_eq!(taken.len(), 1, "the second is still being answered");
        assert_eq!(taken[0].fault.as_deref(), Some("cut"));
        log.answered(numbers[1], 200);
        log.ended(numbers[1]);
        let bodies: Vec<_> = log.take_ended().into_iter().map(|r| r.body).collect();
        assert_eq!(bodies, ["b", "c"]);
        assert!(log.all().is_empty() && log.take_ended().is_empty());
    }

    #[test]
    fn forms_and_json_and_bearers_are_read() {
        let form = request("application/x-www-form-urlencoded", "a=1&b=x+y");
        assert_eq!(form.form()["b"], "x y");
        assert_eq!(form.bearer(), Some("s3cret"));
        assert_eq!(request("application/json", "{\"a\":1}").json()["a"], 1);
        assert_eq!(request("application/json", "{").json(), Value::Null);
    }
}
