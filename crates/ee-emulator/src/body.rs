//! Response bodies: complete, truncated, generated or slow.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::concurrency::Permit;

/// The delay before a connection is closed, so that the bytes sent so far reach the client.
const CLOSE_DELAY: Duration = Duration::from_millis(20);

/// The chunk size of a generated body.
const CHUNK_SIZE: usize = 64 * 1024;

static PADDING: [u8; CHUNK_SIZE] = [b'a'; CHUNK_SIZE];

/// The start and end of a generated body, which make it valid JSON of any length.
const OPENING: &[u8] = b"{\"padding\":\"";
const CLOSING: &[u8] = b"\"}";

/// A body, and the concurrency permit that it holds until it has been sent.
pub(crate) struct ResponseBody {
    pub(crate) stream: BodyStream,
    pub(crate) permit: Option<Permit>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.stream).poll_frame(context);
        // Released before the last byte is sent: a client that has the whole response may send
        // its next request at once.
        if self.stream.is_end_stream() {
            self.permit = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}

/// The frames of a body.
pub(crate) enum BodyStream {
    /// The complete body in one frame.
    Full(Option<Bytes>),
    /// These bytes, then a closed connection.
    Truncated(Option<Bytes>, Pin<Box<Sleep>>),
    /// `total` bytes, generated while they are sent.
    Generated { sent: u64, total: u64 },
    /// The same, then a closed connection.
    GeneratedTruncated {
        sent: u64,
        total: u64,
        pause: Pin<Box<Sleep>>,
    },
    /// Chunks of `chunk` bytes, with a pause of `interval` before each.
    Slow {
        rest: Bytes,
        chunk: usize,
        interval: Duration,
        pause: Pin<Box<Sleep>>,
    },
}

impl BodyStream {
    pub(crate) fn full(body: Bytes) -> Self {
        Self::Full(Some(body).filter(|body| !body.is_empty()))
    }

    pub(crate) fn truncated(head: Bytes) -> Self {
        Self::Truncated(
            Some(head).filter(|head| !head.is_empty()),
            Box::pin(tokio::time::sleep(CLOSE_DELAY)),
        )
    }

    pub(crate) fn generated_truncated(total: u64) -> Self {
        Self::GeneratedTruncated {
            sent: 0,
            total,
            pause: Box::pin(tokio::time::sleep(CLOSE_DELAY)),
        }
    }

    pub(crate) fn slow(body: Bytes, chunk: usize, interval: Duration) -> Self {
        Self::Slow {
            rest: body,
            chunk,
            interval,
            pause: Box::pin(tokio::time::sleep(interval)),
        }
    }

    /// Creates a body of `total` bytes, or of the shortest JSON if that is longer.
    pub(crate) fn generated(total: u64) -> Self {
        let least = (OPENING.len() + CLOSING.len()) as u64;
        Self::Generated {
            sent: 0,
            total: total.max(least),
        }
    }
}

impl Body for BodyStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Full(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Truncated(head, pause) => match head.take() {
                Some(head) => Poll::Ready(Some(Ok(Frame::data(head)))),
                None => pause
                    .as_mut()
                    .poll(context)
                    .map(|()| Some(Err(connection_closed()))),
            },
            Self::GeneratedTruncated { sent, total, pause } => {
                let left = usize::try_from(*total - *sent)
                    .unwrap_or(CHUNK_SIZE)
                    .min(CHUNK_SIZE);
                if left == 0 {
                    return pause
                        .as_mut()
                        .poll(context)
                        .map(|()| Some(Err(connection_closed())));
                }
                *sent += left as u64;
                let chunk = Bytes::from_static(&PADDING).slice(..left);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Self::Slow {
                rest,
                chunk,
                interval,
                pause,
            } => {
                if rest.is_empty() {
                    return Poll::Ready(None);
                }
                pause.as_mut().poll(context).map(|()| {
                    pause.as_mut().reset(Instant::now() + *interval);
                    Some(Ok(Frame::data(rest.split_to((*chunk).min(rest.len())))))
                })
            }
            Self::Generated { sent, total } => Poll::Ready(next_chunk(sent, *total).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64)),
            // A truncated body has a Content-Length that is too high; a generated one is chunked, so
            // that a client cannot reject it by its length.
            Self::Truncated(..) | Self::Generated { .. } | Self::GeneratedTruncated { .. } => {
                SizeHint::default()
            }
            Self::Slow { rest, .. } => SizeHint::with_exact(rest.len() as u64),
        }
    }
}

/// Makes hyper close the connection.
pub(crate) fn connection_closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "connection closed by a fault",
    )
}

fn next_chunk(sent: &mut u64, total: u64) -> Option<Frame<Bytes>> {
    if *sent >= total {
        return None;
    }
    let padding_left = total - CLOSING.len() as u64 - *sent;
    let chunk = if *sent == 0 {
        Bytes::from_static(OPENING)
    } else if padding_left == 0 {
        Bytes::from_static(CLOSING)
    } else {
        let length = usize::try_from(padding_left)
            .unwrap_or(CHUNK_SIZE)
            .min(CHUNK_SIZE);
        Bytes::from_static(&PADDING).slice(..length)
    };
    *sent += chunk.len() as u64;
    Some(Frame::data(chunk))
}
