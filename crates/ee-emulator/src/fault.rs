//! Faults: what a host does instead of, or on top of, its real answer.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};

use crate::reply::Reply;

/// One thing that goes wrong, for [`Emulator::fault`](crate::Emulator::fault).
///
/// Faults are queued per host and consumed in the order in which they were queued, each once
/// unless [`times`](Self::times) says otherwise. A request that a fault answers is recorded, but
/// the host never sees it.
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
    skip: usize,
    times: usize,
    path: Option<String>,
    label: Option<String>,
}

#[derive(Clone)]
pub(crate) enum FaultKind {
    Respond(Reply),
    Stream(u64),
    Disconnect,
    Truncate(usize),
    BreakStream(u64),
    Slow(usize, Duration),
    Gzip,
    /// The real answer; the fault is its delay.
    Real,
}

impl Fault {
    /// Answers with this HTTP status and an empty `text/plain` body.
    pub fn status(status: u16) -> Self {
        Self::respond(status, "text/plain; charset=utf-8", "")
    }

    /// Answers with exactly this.
    pub fn respond(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::of(FaultKind::Respond(Reply::new(status, content_type, body)))
    }

    /// Answers 200 with a JSON body of `total` bytes, chunked and made up while it is sent.
    pub fn respond_stream(total: u64) -> Self {
        Self::of(FaultKind::Stream(total))
    }

    /// Closes the connection before any byte of an answer.
    pub fn disconnect() -> Self {
        Self::of(FaultKind::Disconnect)
    }

    /// Sends the real answer with its whole `Content-Length`, but closes the connection after
    /// `bytes` bytes of the body.
    pub fn truncate_body(bytes: usize) -> Self {
        Self::of(FaultKind::Truncate(bytes))
    }

    /// Begins as [`respond_stream`](Self::respond_stream) does, and closes the connection after
    /// `bytes` bytes of the body.
    pub fn break_stream(bytes: u64) -> Self {
        Self::of(FaultKind::BreakStream(bytes))
    }

    /// Sends the real answer, its body in pieces of `bytes` bytes with a pause before each.
    pub fn slow_body(bytes: usize, pause: Duration) -> Self {
        Self::of(FaultKind::Slow(bytes.max(1), pause))
    }

    /// Sends the real answer compressed, as Google does for those who ask for it with
    /// `Accept-Encoding` and have the word `gzip` in their `User-Agent`; to others it is sent
    /// as it is.
    pub fn gzip() -> Self {
        Self::of(FaultKind::Gzip)
    }

    /// Sends the real answer, this much later than usual.
    ///
    /// On a fault that exists already it is a setting: `Fault::status(503).after(delay)`.
    pub fn delay(delay: Duration) -> Self {
        Self::of(FaultKind::Real).after(delay)
    }

    fn of(kind: FaultKind) -> Self {
        Self {
            kind,
            delay: Duration::ZERO,
            skip: 0,
            times: 1,
            path: None,
            label: None,
        }
    }

    /// Sets the body of an answer made with [`status`](Self::status). Other kinds of fault have
    /// no body of their own, so that nothing changes.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        if let FaultKind::Respond(reply) = &mut self.kind {
            reply.body = body.into();
        }
        self
    }

    /// Sets a header of an answer made with [`status`](Self::status) or
    /// [`respond`](Self::respond), in place of one of the same name. A name or value that HTTP
    /// does not allow is ignored, as is `Content-Length`, which follows from the body.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (FaultKind::Respond(reply), Ok(name), Ok(value)) =
            (&mut self.kind, name, HeaderValue::from_str(value))
            && name != CONTENT_LENGTH
        {
            reply.headers.retain(|(other, _)| *other != name);
            reply.headers.push((name, value));
        }
        self
    }

    /// Sets a JSON body, and its content type.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.body(body.to_string())
            .header(CONTENT_TYPE.as_str(), "application/json; charset=UTF-8")
    }

    /// Waits this long before anything else happens.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Happens to so many requests. 0 means that it never happens; `usize::MAX` is for good.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Leaves the first so many requests that it could happen to alone.
    #[must_use]
    pub fn skip(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Happens only to requests for this path of the host, which begins with `/` and has no
    /// query. Other requests leave it in the queue.
    #[must_use]
    pub fn on_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// A name by which [`RecordedRequest::fault`](crate::RecordedRequest::fault) tells it from
    /// others. Without one it is what the fault does, as `Debug` shows it.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The label, or what stands for it.
    pub(crate) fn name(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.kind.to_string())
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respond(reply) => write!(f, "respond {}", reply.status.as_u16()),
            Self::Stream(total) => write!(f, "stream {total} bytes"),
            Self::Disconnect => f.write_str("disconnect"),
            Self::Truncate(bytes) => write!(f, "truncate after {bytes} bytes"),
            Self::BreakStream(bytes) => write!(f, "break a stream after {bytes} bytes"),
            Self::Slow(bytes, pause) => write!(f, "{bytes} bytes every {pause:?}"),
            Self::Gzip => f.write_str("gzip"),
            Self::Real => f.write_str("real answer"),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("kind", &self.kind.to_string())
            .field("delay", &self.delay)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("path", &self.path)
            .field("label", &self.label)
            .finish()
    }
}

/// The faults that are still to happen, by host.
#[derive(Default)]
pub(crate) struct Faults(HashMap<String, VecDeque<Fault>>);

impl Faults {
    pub(crate) fn queue(&mut self, host: &str, fault: Fault) {
        if fault.times > 0 {
            self.0.entry(host.to_owned()).or_default().push_back(fault);
        }
    }

    /// Takes one occurrence of the first fault that applies.
    pub(crate) fn take(&mut self, host: &str, path: &str) -> Option<Fault> {
        let queue = self.0.get_mut(host)?;
        let applies = |fault: &Fault| fault.path.as_deref().is_none_or(|wanted| wanted == path);
        let mut place = None;
        for (at, fault) in queue.iter_mut().enumerate() {
            if !applies(fault) {
                continue;
            }
            if fault.skip == 0 {
                place = Some(at);
                break;
            }
            fault.skip -= 1;
        }
        let place = place?;
        let fault = queue.get_mut(place)?;
        let taken = fault.clone();
        if fault.times != usize::MAX {
            fault.times -= 1;
        }
        if fault.times == 0 {
            queue.remove(place);
        }
        Some(taken)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many occurrences are left for a host.
    pub(crate) fn left(&self, host: &str) -> usize {
        self.0.get(host).map_or(0, |queue| {
            queue
                .iter()
                .fold(0, |sum: usize, fault| sum.saturating_add(fault.times))
        })
    }
}
