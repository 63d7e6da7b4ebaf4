//! Answer bodies as hyper sends them: whole, cut short, or without visible end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How long a cut waits, so that what was sent before it reaches the client first.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// The size of one piece of a streamed body.
const PIECE: usize = 64 * 1024;

/// What a streamed body begins and ends with: however long it is, it is JSON.
const OPENING: &[u8] = b"{\"padding\":\"";
const CLOSING: &[u8] = b"\"}";

/// A body on its way out.
pub(crate) enum AnswerBody {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// These bytes, and then the connection breaks.
    Broken(Option<Bytes>, Pin<Box<Sleep>>),
    /// So many bytes that they are made up as they go.
    Endless { sent: u64, total: u64 },
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
                None => pause.as_mut().poll(context).map(|()| {
                    let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "cut on request");
                    Some(Err(cut))
                }),
            },
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
            Self::Broken(..) | Self::Endless { .. } => SizeHint::default(),
        }
    }
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
        static PADDING: [u8; PIECE] = [b'a'; PIECE];
        let length = usize::try_from(padding_left).unwrap_or(PIECE).min(PIECE);
        Bytes::from_static(&PADDING).slice(..length)
    };
    *sent += piece.len() as u64;
    Some(Frame::data(piece))
}
