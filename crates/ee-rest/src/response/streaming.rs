//! A response whose body is read in chunks.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ee_token::Remedy;
use ee_token::internal::{BodySpan, read_chunk};
use futures_core::Stream;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::request::name::RequestName;
use crate::send::admission::Permit;
use crate::send::deadline::earlier;
use crate::send::driver::runtime;
use crate::{Error, ErrorKind};

/// A successful response whose body is read in chunks, so that only one chunk is in memory at a
/// time. Created by [`RequestBuilder::send_streaming`](crate::RequestBuilder::send_streaming).
///
/// It counts as a concurrent request until its body is read to the end, it is dropped, or nothing
/// has been read for a second: a slow reader keeps no other request waiting.
///
/// ```no_run
/// # async fn f(client: ee_rest::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Write as _;
///
/// let mut response = client
///     .request(http::Method::GET, "thumbnails/abc:getPixels")
///     .send_streaming()
///     .await?;
/// let mut file = std::fs::File::create("picture.png")?;
/// while let Some(chunk) = response.chunk().await? {
///     file.write_all(&chunk)?;
/// }
/// # Ok(()) }
/// ```
pub struct StreamingResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) attempts: u32,
    pub(crate) name: RequestName,
    pub(crate) body: Body,
    pub(crate) read: u64,
    pub(crate) limits: Limits,
}

/// The state of a body.
pub(crate) enum Body {
    /// More chunks may follow.
    Open(Box<Open>),
    Ended,
    /// Failed. Further reads return the same error, never the end of the body.
    Broken(Error),
}

/// An unfinished body, and the permit that it holds while it is read.
pub(crate) struct Open {
    pub(crate) response: reqwest::Response,
    pub(crate) permit: Option<Permit>,
    span: BodySpan,
}

impl Open {
    /// Starts to read a body.
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self {
            span: BodySpan::open(&response),
            response,
            permit: None,
        }
    }
}

/// The limits of a body's duration and size.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The timeout of each chunk.
    pub(crate) chunk_timeout: Duration,
    pub(crate) until: Option<Instant>,
    pub(crate) bytes: Option<usize>,
}

impl StreamingResponse {
    /// Returns the HTTP status, which is always 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns how many times the request was sent.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns how many bytes of the body have been read.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Reads the next chunk of the body. Returns `None` at its end. Cancel safe.
    ///
    /// # Errors
    /// - [`ErrorKind::Network`] if the connection is lost;
    /// - [`ErrorKind::Timeout`] if no chunk arrives within the attempt timeout, or the deadline
    ///   passes;
    /// - [`ErrorKind::InvalidResponse`] if the body is too long;
    /// - [`ErrorKind::Usage`] outside of a tokio runtime.
    ///
    /// Further calls return the same error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        runtime()?;
        let Open {
            response,
            permit,
            span,
        } = match &mut self.body {
            Body::Open(open) => &mut **open,
            Body::Ended => return Ok(None),
            Body::Broken(error) => return Err(error.clone()),
        };
        let next = match until(self.limits) {
            Some(until) => timeout_at(until, read_chunk(response)).await,
            None => Ok(read_chunk(response).await),
        };
        let error = match next {
            Ok(Ok(Some(chunk))) => {
                self.read += chunk.len() as u64;
                span.add(&chunk);
                if let Some(permit) = permit {
                    permit.was_read(Instant::now());
                }
                match self.limits.bytes {
                    Some(max) if self.read > max as u64 => Error::new(
                        ErrorKind::InvalidResponse,
                        format!("the response to {} is longer than {max} bytes", self.name),
                    )
                    .with_remedy(Remedy::new(
                        "Set a larger max_response_size, or request less at once.",
                    )),
                    _ => return Ok(Some(chunk)),
                }
            }
            Ok(Ok(None)) => {
                self.body = Body::Ended;
                return Ok(None);
            }
            Ok(Err(error)) => Error::new(
                ErrorKind::Network,
                format!(
                    "the response to {} was interrupted after {} bytes: {error}",
                    self.name, self.read
                ),
            )
            .with_cause(error),
            Err(_) => Error::new(
                ErrorKind::Timeout,
                format!(
                    "the response to {} stalled after {} bytes",
                    self.name, self.read
                ),
            ),
        };
        let error = error.with_attempts(self.attempts);
        self.body = Body::Broken(error.clone());
        Err(error)
    }

    /// Returns the rest of the body as a stream of chunks, which ends after the first error.
    pub fn bytes_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        futures_util::stream::try_unfold(self, async |mut response| {
            Ok(response.chunk().await?.map(|chunk| (chunk, response)))
        })
    }
}

/// Returns the deadline of the next chunk.
fn until(limits: Limits) -> Option<Instant> {
    earlier(
        Instant::now().checked_add(limits.chunk_timeout),
        limits.until,
    )
}

impl fmt::Debug for StreamingResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingResponse")
            .field("status", &self.status)
            .field("attempts", &self.attempts)
            .field("bytes_read", &self.read)
            .finish_non_exhaustive()
    }
}
