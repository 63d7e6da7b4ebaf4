//! A log of received requests, for assertions in tests.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::redact;

/// The size of the log, in requests and in bytes of their bodies. Beyond it the oldest requests are
/// dropped, so that memory is bounded in an emulator that runs for days.
const MAX_REQUESTS: usize = 100_000;
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A received request.
///
/// The fields contain secrets; the `Debug` output redacts them.
#[derive(Clone)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: Method,
    /// The Google host: the first segment of the path.
    pub host: String,
    /// The percent-encoded path on that host, beginning with `/`.
    pub path: String,
    /// The percent-encoded query, without `?`. Empty if the request had none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. Empty if it exceeded the size limit.
    pub body: Bytes,
    /// The status of the response. `None` until the response is sent, and if the connection was
    /// closed without one.
    pub status: Option<u16>,
    /// The [label](crate::Fault::label) of the fault that was applied.
    pub fault: Option<String>,
    /// When the request was received, by the emulator's clock.
    pub at: DateTime<Utc>,
    /// The same time by the system's monotonic clock, for measuring intervals between requests.
    pub received: Instant,
}

impl RecordedRequest {
    /// Returns the first value of a header, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the parameters of a form-encoded body, or an empty map for other content types.
    ///
    /// For repeated parameters, the last value is returned.
    pub fn form(&self) -> BTreeMap<String, String> {
        if !self
            .content_type()
            .starts_with("application/x-www-form-urlencoded")
        {
            return BTreeMap::new();
        }
        parameters(&self.body)
    }

    /// Returns the parameters of the query. For repeated parameters, the last value is returned.
    pub fn query_parameters(&self) -> BTreeMap<String, String> {
        parameters(self.query.as_bytes())
    }

    /// Returns the body as JSON, or `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the token of an `Authorization: Bearer` header.
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

/// The recorded requests, oldest first.
#[derive(Default)]
pub(crate) struct RequestLog {
    requests: VecDeque<RecordedRequest>,
    /// For each request, whether it is in flight.
    in_flight: VecDeque<bool>,
    bytes: usize,
    /// The number of requests dropped: a request's number counts from the start of the log.
    dropped: u64,
}

impl RequestLog {
    /// Adds a request and returns its number.
    pub(crate) fn add(&mut self, request: RecordedRequest) -> u64 {
        self.bytes += request.body.len();
        self.requests.push_back(request);
        self.in_flight.push_back(true);
        let number = self.dropped + self.requests.len() as u64 - 1;
        while self.requests.len() > MAX_REQUESTS
            || (self.bytes > MAX_BYTES && self.requests.len() > 1)
        {
            self.drop_oldest();
        }
        number
    }

    pub(crate) fn set_status(&mut self, number: u64, status: u16) {
        if let Some(request) = self.get_mut(number) {
            request.status = Some(status);
        }
    }

    pub(crate) fn set_fault(&mut self, number: u64, fault: String) {
        if let Some(request) = self.get_mut(number) {
            request.fault = Some(fault);
        }
    }

    /// Marks a request as finished.
    pub(crate) fn finish(&mut self, number: u64) {
        if let Some(in_flight) = self
            .index(number)
            .and_then(|index| self.in_flight.get_mut(index))
        {
            *in_flight = false;
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut RecordedRequest> {
        let index = self.index(number)?;
        self.requests.get_mut(index)
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.dropped)?).ok()
    }

    /// Removes and returns the oldest requests, up to the first that is in flight.
    pub(crate) fn take_finished(&mut self) -> Vec<RecordedRequest> {
        let finished = self.in_flight.iter().take_while(|in_flight| !**in_flight);
        (0..finished.count())
            .filter_map(|_| self.drop_oldest())
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
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> Option<RecordedRequest> {
        let request = self.requests.pop_front()?;
        self.in_flight.pop_front();
        self.bytes -= request.body.len();
        self.dropped += 1;
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
    fn debug_output_redacts_secrets() {
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
    fn status_is_recorded_after_log_is_cleared() {
        let mut log = RequestLog::default();
        let first = log.add(request("text/plain", "a"));
        log.clear();
        let second = log.add(request("text/plain", "b"));
        log.set_status(first, 500);
        log.set_status(second, 200);
        assert_eq!(log.all()[0].status, Some(200));
    }

    #[test]
    fn finished_requests_are_taken_once() {
        let mut log = RequestLog::default();
        let numbers = ["a", "b", "c"].map(|body| log.add(request("text/plain", body)));
        log.set_fault(numbers[0], "cut".to_owned());
        log.finish(numbers[0]);
        log.finish(numbers[2]);
        let taken = log.take_finished();
        assert_eq!(taken.len(), 1, "the second request is in flight");
        assert_eq!(taken[0].fault.as_deref(), Some("cut"));
        log.set_status(numbers[1], 200);
        log.finish(numbers[1]);
        let bodies: Vec<_> = log.take_finished().into_iter().map(|r| r.body).collect();
        assert_eq!(bodies, ["b", "c"]);
        assert!(log.all().is_empty() && log.take_finished().is_empty());
    }

    #[test]
    fn forms_json_and_bearer_tokens_are_parsed() {
        let form = request("application/x-www-form-urlencoded", "a=1&b=x+y");
        assert_eq!(form.form()["b"], "x y");
        assert_eq!(form.bearer(), Some("s3cret"));
        assert_eq!(request("application/json", "{\"a\":1}").json()["a"], 1);
        assert_eq!(request("application/json", "{").json(), Value::Null);
    }
}
