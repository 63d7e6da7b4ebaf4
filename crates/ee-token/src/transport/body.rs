//! Reads the bodies of responses, and reports how much has arrived.

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use tracing::Span;
use tracing::field::Empty;

use crate::error::network::from_reqwest;
use crate::{Error, ErrorKind, Remedy};

/// The span of a body that is being received. It shows programs that watch the log how many bytes
/// have arrived (`done`), of how many (`total`) if the server says so.
#[derive(Debug)]
pub struct BodySpan {
    span: Span,
    done: u64,
}

impl BodySpan {
    /// Opens the span of a response's body.
    pub fn open(response: &Response) -> Self {
        let span = tracing::debug_span!(
            "waiting",
            activity = "downloading",
            done = Empty,
            total = Empty,
            is_bytes = true
        );
        // Unknown if the body is compressed.
        if let Some(total) = response.content_length() {
            span.record("total", total);
        }
        Self { span, done: 0 }
    }

    /// Adds a chunk.
    pub fn add(&mut self, chunk: &Bytes) {
        self.done += chunk.len() as u64;
        self.span.record("done", self.done);
    }
}

/// Reads a body, or the rest of it, of at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::InvalidResponse`] if the body is longer; [`ErrorKind::Network`] or
/// [`ErrorKind::Timeout`] if it is cut off.
pub async fn read_bounded(response: &mut Response, limit: usize) -> Result<Bytes, Error> {
    let host = response.url().host_str().unwrap_or_default().to_owned();
    read_body(response, limit, &host).await
}

/// Reads a body like [`read_bounded`]. `host` is the one that messages name.
pub(crate) async fn read_body(
    response: &mut Response,
    limit: usize,
    host: &str,
) -> Result<Bytes, Error> {
    let too_long = || {
        let message = format!("the response of {host} is longer than {limit} bytes");
        Error::new(ErrorKind::InvalidResponse, message)
            .with_remedy(Remedy::unexpected_intermediary())
    };
    if response.content_length().is_some_and(|n| n > limit as u64) {
        return Err(too_long());
    }
    // Most bodies are one chunk, which is returned without a copy.
    let mut first = Bytes::new();
    let mut body = BytesMut::new();
    let mut span = BodySpan::open(response);
    let cut_off = |error| from_reqwest(error, host, host);
    while let Some(chunk) = response.chunk().await.map_err(cut_off)? {
        if first.len() + body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        span.add(&chunk);
        if first.is_empty() && body.is_empty() {
            first = chunk;
        } else {
            if body.is_empty() {
                body = BytesMut::from(std::mem::take(&mut first));
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(if body.is_empty() {
        first
    } else {
        body.freeze()
    })
}

/// Reads the next chunk of a body. Returns `None` at its end.
///
/// # Errors
/// [`ErrorKind::Network`] or [`ErrorKind::Timeout`] if the body is cut off.
pub async fn read_chunk(response: &mut Response) -> Result<Option<Bytes>, Error> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| {
        let host = response.url().host_str().unwrap_or_default();
        from_reqwest(error, host, host)
    })
}
