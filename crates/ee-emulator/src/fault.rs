//! Faults: what a host does instead of, or in addition to, its normal response.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};

use crate::request::Request;
use crate::response::Response;

/// A fault to inject into a host's responses with [`Emulator::fault`](crate::Emulator::fault).
///
/// Each host has a queue of faults, which are applied in order, each to one request unless
/// [`times`](Self::times) sets another number. A request that receives a fault's response is
/// recorded, but does not reach the host.
///
/// ```
/// use std::time::Duration;
/// use ee_emulator::Fault;
/// let _busy = Fault::status(503).body("try later").header("Retry-After", "1").times(2);
/// let _late = Fault::delay(Duration::from_millis(50)).on_path("/token");
/// ```
#[derive(Clone)]
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) delay: Duration,
    after_requests: usize,
    times: usize,
    method: Option<String>,
    path: Option<String>,
    /// Names and values of headers without which a request is rejected.
    required: Vec<(String, String)>,
    label: Option<String>,
}

#[derive(Clone)]
pub(crate) enum FaultKind {
    Respond(Response),
    Stream(u64),
    Disconnect,
    Truncate(usize),
    BreakStream(u64),
    Slow(usize, Duration),
    Gzip,
    /// The normal response; the fault is its delay.
    Normal,
}

impl Fault {
    /// Responds with this HTTP status and an empty `text/plain` body.
    pub fn status(status: u16) -> Self {
        Self::respond(status, "text/plain; charset=utf-8", "")
    }

    /// Responds with this status, content type and body.
    pub fn respond(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::of(FaultKind::Respond(Response::new(
            status,
            content_type,
            body,
        )))
    }

    /// Responds 200 with a chunked JSON body of `total` bytes, generated while it is sent.
    pub fn respond_stream(total: u64) -> Self {
        Self::of(FaultKind::Stream(total))
    }

    /// Closes the connection without a response.
    pub fn disconnect() -> Self {
        Self::of(FaultKind::Disconnect)
    }

    /// Sends the normal response with its full `Content-Length`, but closes the connection after
    /// `bytes` bytes of the body.
    pub fn truncate_body(bytes: usize) -> Self {
        Self::of(FaultKind::Truncate(bytes))
    }

    /// Starts a response like [`respond_stream`](Self::respond_stream), and closes the connection
    /// after `bytes` bytes of the body.
    pub fn break_stream(bytes: u64) -> Self {
        Self::of(FaultKind::BreakStream(bytes))
    }

    /// Sends the normal response with its body in chunks of `bytes` bytes and a pause before each.
    pub fn slow_body(bytes: usize, pause: Duration) -> Self {
        Self::of(FaultKind::Slow(bytes.max(1), pause))
    }

    /// Compresses the normal response if the client accepts it.
    ///
    /// As at Google, both `Accept-Encoding` and `User-Agent` must contain `gzip`. Other clients
    /// receive the response uncompressed.
    pub fn gzip() -> Self {
        Self::of(FaultKind::Gzip)
    }

    /// Delays the normal response.
    ///
    /// To delay another fault, use [`delayed_by`](Self::delayed_by).
    pub fn delay(delay: Duration) -> Self {
        Self::of(FaultKind::Normal).delayed_by(delay)
    }

    fn of(kind: FaultKind) -> Self {
        Self {
            kind,
            delay: Duration::ZERO,
            after_requests: 0,
            times: 1,
            method: None,
            path: None,
            required: Vec::new(),
            label: None,
        }
    }

    /// Sets the body of a response from [`status`](Self::status).
    ///
    /// Has no effect on faults that send no response of their own.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        if let FaultKind::Respond(response) = &mut self.kind {
            response.body = body.into();
        }
        self
    }

    /// Sets a header of a response from [`status`](Self::status) or [`respond`](Self::respond),
    /// replacing one of the same name.
    ///
    /// Names and values that HTTP does not allow are ignored, as is `Content-Length`, which follows
    /// from the body.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (FaultKind::Respond(response), Ok(name), Ok(value)) =
            (&mut self.kind, name, HeaderValue::from_str(value))
            && name != CONTENT_LENGTH
        {
            response.headers.retain(|(other, _)| *other != name);
            response.headers.push((name, value));
        }
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.body(body.to_string())
            .header(CONTENT_TYPE.as_str(), "application/json; charset=UTF-8")
    }

    /// Delays the fault by this duration.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ee_emulator::Fault;
    /// let _late = Fault::status(503).delayed_by(Duration::from_millis(50));
    /// ```
    #[must_use]
    pub fn delayed_by(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the number of requests that the fault applies to. Defaults to 1; 0 disables the fault, and
    /// `usize::MAX` makes it permanent.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Lets this number of matching requests pass before the fault applies. Defaults to 0.
    #[must_use]
    pub fn after_requests(mut self, requests: usize) -> Self {
        self.after_requests = requests;
        self
    }

    /// Restricts the fault to requests for this path of the host.
    ///
    /// The path begins with `/` and has no query. Other requests leave the fault in the queue.
    #[must_use]
    pub fn on_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Restricts the fault to requests with this method. Other requests leave the fault in the queue.
    #[must_use]
    pub fn on_method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Requires a header, as a token service does. A request without it receives status 400 and
    /// leaves the fault in the queue.
    #[must_use]
    pub fn require_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.required.push((name.into(), value.into()));
        self
    }

    /// Sets the name that [`RecordedRequest::fault`](crate::RecordedRequest::fault) reports.
    ///
    /// Defaults to a description of what the fault does, as in its `Debug` output.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    fn applies_to(&self, request: &Request) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        is(&self.method, request.method.as_str()) && is(&self.path, &request.path)
    }

    /// Returns the rejection of a request without a required header.
    fn rejection(&self, request: &Request) -> Option<Self> {
        let mut required = self.required.iter();
        let (name, _) =
            required.find(|(name, value)| request.header(name) != Some(value.as_str()))?;
        let body = format!("The request lacks the header {name} or has another value.\n");
        Some(Self::status(400).body(body))
    }

    /// Returns the label, or the default description.
    pub(crate) fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.kind.to_string())
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respond(response) => write!(f, "respond {}", response.status.as_u16()),
            Self::Stream(total) => write!(f, "stream {total} bytes"),
            Self::Disconnect => f.write_str("disconnect"),
            Self::Truncate(bytes) => write!(f, "truncate after {bytes} bytes"),
            Self::BreakStream(bytes) => write!(f, "break a stream after {bytes} bytes"),
            Self::Slow(bytes, pause) => write!(f, "{bytes} bytes every {pause:?}"),
            Self::Gzip => f.write_str("gzip"),
            Self::Normal => f.write_str("normal response"),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("kind", &self.kind.to_string())
            .field("delay", &self.delay)
            .field("after_requests", &self.after_requests)
            .field("times", &self.times)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("label", &self.label)
            .finish()
    }
}

/// The queued faults, by host.
#[derive(Default)]
pub(crate) struct Faults(HashMap<String, VecDeque<Fault>>);

impl Faults {
    pub(crate) fn queue(&mut self, host: &str, fault: Fault) {
        if fault.times > 0 {
            self.0.entry(host.to_owned()).or_default().push_back(fault);
        }
    }

    /// Takes one occurrence of the first fault that applies to the request.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Fault> {
        let queue = self.0.get_mut(&request.host)?;
        let mut found = None;
        for (index, fault) in queue.iter_mut().enumerate() {
            if !fault.applies_to(request) {
                continue;
            }
            if fault.after_requests == 0 {
                found = Some(index);
                break;
            }
            fault.after_requests -= 1;
        }
        let index = found?;
        let fault = queue.get_mut(index)?;
        if let Some(rejection) = fault.rejection(request) {
            return Some(rejection);
        }
        let taken = fault.clone();
        if fault.times != usize::MAX {
            fault.times -= 1;
        }
        if fault.times == 0 {
            queue.remove(index);
        }
        Some(taken)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the number of occurrences left for a host.
    pub(crate) fn left(&self, host: &str) -> usize {
        self.0.get(host).map_or(0, |queue| {
            queue
                .iter()
                .fold(0, |sum: usize, fault| sum.saturating_add(fault.times))
        })
    }
}
