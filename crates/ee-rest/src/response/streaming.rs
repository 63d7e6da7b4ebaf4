//! A reply that is read piece by piece.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ee_token::read_chunk;
use futures_core::Stream;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::request::Name;
use crate::send::check_runtime;
use crate::send::concurrency::Place;
use crate::{Error, ErrorKind};

/// A reply that succeeded so far, and whose body is read piece by piece: however long it is,
/// no more than a piece of it is in memory. Made by
/// [`RequestBuilder::send_streaming`](crate::RequestBuilder::send_streaming).
///
/// It counts as a request under way until it is read to its end or dropped.
///
/// ```no_run
/// # async fn f(client: ee_rest::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Write as _;
///
/// let mut reply = client
///     .request(http::Method::GET, "thumbnails/abc:getPixels")
///     .send_streaming()
///     .await?;
/// let mut file = std::fs::File::create("picture.png")?;
/// while let Some(piece) = reply.chunk().await? {
///     file.write_all(&piece)?;
/// }
/// # Ok(()) }
/// ```
pub struct StreamingResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) attempts: u32,
    pub(crate) name: Name,
    pub(crate) body: Body,
    pub(crate) read: u64,
    pub(crate) limits: Limits,
}

/// How far a body is.
pub(crate) enum Body {
    /// There may be more.
    Open(Box<Open>),
    Ended,
    /// Asking again gets the same error, never an orderly end.
    Broken(Error),
}

/// A body of which there may be more, and the place that is held until there is none.
pub(crate) struct Open {
    pub(crate) reply: reqwest::Response,
    pub(crate) _place: Option<Place>,
}

/// How long a body may take and be.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// For each piece.
    pub(crate) pause: Duration,
    pub(crate) until: Option<Instant>,
    pub(crate) bytes: Option<usize>,
}

impl StreamingResponse {
    /// The HTTP status, always a 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// How many times the request was sent until this reply came.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many bytes of the body were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The next piece of the body; none at its end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] if the body breaks off, [`ErrorKind::Timeout`] if nothing comes
    /// for as long as an attempt may take, or the deadline passes, and
    /// [`ErrorKind::InvalidResponse`] if it is longer than allowed. Asking again gets the
    /// same error. [`ErrorKind::Runtime`] outside of a tokio runtime.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        check_runtime()?;
        let reply = match &mut self.body {
            Body::Open(open) => &mut open.reply,
            Body::Ended => return Ok(None),
            Body::Broken(error) => return Err(error.clone()),
        };
        let next = match until(self.limits) {
            Some(until) => timeout_at(until, read_chunk(reply)).await,
            None => Ok(read_chunk(reply).await),
        };
        let error = match next {
            Ok(Ok(Some(piece))) => {
                self.read += piece.len() as u64;
                match self.limits.bytes {
                    Some(most) if self.read > most as u64 => Error::after(
                        self.attempts,
                        ErrorKind::InvalidResponse,
                        format!("the answer to {} is longer than {most} bytes", self.name),
                    ),
                    _ => return Ok(Some(piece)),
                }
            }
            Ok(Ok(None)) => {
                self.body = Body::Ended;
                return Ok(None);
            }
            Ok(Err(error)) => Error::after(
                self.attempts,
                ErrorKind::Network,
                format!(
                    "the answer to {} broke off after {} bytes: {error}",
                    self.name, self.read
                ),
            )
            .context(error),
            Err(_) => Error::after(
                self.attempts,
                ErrorKind::Timeout,
                format!(
                    "the answer to {} came to a halt after {} bytes",
                    self.name, self.read
                ),
            ),
        };
        self.body = Body::Broken(error.clone());
        Err(error)
    }

    /// The rest of the body as a stream of pieces. It ends after the first error.
    pub fn bytes_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        futures_util::stream::try_unfold(self, async |mut reply| {
            Ok(reply.chunk().await?.map(|piece| (piece, reply)))
        })
    }
}

/// When the next piece must have come.
fn until(limits: Limits) -> Option<Instant> {
    let pause = Instant::now().checked_add(limits.pause);
    match (pause, limits.until) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
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
