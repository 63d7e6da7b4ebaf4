//! Answer bodies as hyper sends them: whole, cut short, or without visible end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::concurrency::Inside;

/// How long a cut waits, so that what was sent before it reaches the client first.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// The size of one piece of a streamed body.
const PIECE: usize = 64 * 1024;

static PADDING: [u8; PIECE] = [b'a'; PIECE];

/// What a streamed body begins and ends with: however long it is, it is JSON.
const OPENING: &[u8] = b"{\"padding\":\"";
const CLOSING: &[u8] = b"\"}";

/// A body, and the place at its host that it takes until it is gone.
pub(crate) struct Answer {
    pub(crate) body: AnswerBody,
    pub(crate) inside: Option<Inside>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // Before the last byte is out: who has the whole answer may come again at once.
        if self.body.is_end_stream() {
            self.inside = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body on its way out.
pub(crate) enum AnswerBody {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// These bytes, and then the connection breaks.
    Broken(Option<Bytes>, Pin<Box<Sleep>>),
    /// So many bytes that they are made up as they go.
    Endless { sent: u64, total: u64 },
    /// The same, and then the connection breaks.
    EndlessBroken {
        sent: u64,
        total: u64,
        pause: Pin<Box<Sleep>>,
    },
    /// Pieces of so many bytes, with a pause before each.
    Slow {
        rest: Bytes,
        piece: usize,
        every: Duration,
        pause: Pin<Box<Sleep>>,
    },
}

impl AnswerBody {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self::Whole(Some(body).filter(|body| !body.is_empty()))
    }

    pub(crate) fn broken(head: Bytes) -> Self {
        Self::Broken(
            Some(head).filter(|head| !head.is_empty()),
            Box::pin(tokio::time::sleep(BEFORE_CUT)),
        )
    }

    pub(crate) fn endless_broken(total: u64) -> Self {
        Self::EndlessBroken {
            sent: 0,
            total,
            pause: Box::pin(tokio::time::sleep(BEFORE_CUT)),
        }
    }

    pub(crate) fn slow(body: Bytes, piece: usize, every: Duration) -> Self {
        Self::Slow {
            rest: body,
            piece,
            every,
            pause: Box::pin(tokio::time::sleep(every)),
        }
    }

    /// `total` bytes, but never fewer than the frame of the JSON needs.
    pub(crate) fn endless(total: u64) -> Self {
        let least = (OPENING.len() + CLOSING.len()) as u64;
        Self::Endless {
            sent: 0,
            total: total.max(least),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Broken(head, pause) => match head.take() {
                Some(head) => Poll::Ready(Some(Ok(Frame::data(head)))),
                None => pause.as_mut().poll(context).map(|()| Some(Err(cut()))),
            },
            Self::EndlessBroken { sent, total, pause } => {
                let left = usize::try_from(*total - *sent).unwrap_or(PIECE).min(PIECE);
                if left == 0 {
                    return pause.as_mut().poll(context).map(|()| Some(Err(cut())));
                }
                *sent += left as u64;
                let piece = Bytes::from_static(&PADDING).slice(..left);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Slow {
                rest,
                piece,
                every,
                pause,
            } => {
                if rest.is_empty() {
                    return Poll::Ready(None);
                }
                pause.as_mut().poll(context).map(|()| {
                    pause.as_mut().reset(Instant::now() + *every);
                    Some(Ok(Frame::data(rest.split_to((*piece).min(rest.len())))))
                })
            }
            Self::Endless { sent, total } => Poll::Ready(next_piece(sent, *total).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64)),
            // The one has a Content-Length that it does not keep, the other is chunked, so that a
            // client cannot refuse it by its length alone.
            Self::Broken(..) | Self::Endless { .. } | Self::EndlessBroken { .. } => {
                SizeHint::default()
            }
            Self::Slow { rest, .. } => SizeHint::with_exact(rest.len() as u64),
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut on request")
}

fn next_piece(sent: &mut u64, total: u64) -> Option<Frame<Bytes>> {
    if *sent >= total {
        return None;
    }
    let padding_left = total - CLOSING.len() as u64 - *sent;
    let piece = if *sent == 0 {
        Bytes::from_static(OPENING)
    } else if padding_left == 0 {
        Bytes::from_static(CLOSING)
    } else {
        let length = usize::try_from(padding_left).unwrap_or(PIECE).min(PIECE);
        Bytes::from_static(&PADDING).slice(..length)
    };
    *sent += piece.len() as u64;
    Some(Frame::data(piece))
}
