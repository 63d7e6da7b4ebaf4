//! What a call that succeeded leaves.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::error::redactor::Secrets;
use crate::request::name::RequestName;
use crate::response::Response;
use crate::response::streaming::{Body, Limits, Open, StreamingResponse};

pub(crate) struct Answer {
    pub(super) received: ReceivedResponse,
    pub(super) attempts: u32,
    pub(super) name: RequestName,
    /// Everything that was sent.
    pub(super) secrets: Secrets,
    pub(super) limits: Limits,
}

pub(super) struct ReceivedResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: ReceivedBody,
}

pub(super) enum ReceivedBody {
    Full(Bytes),
    Streaming(Box<Open>),
}

impl Answer {
    pub(super) fn into_response(self) -> Response {
        let received = self.received;
        Response {
            status: received.status,
            headers: received.headers,
            body: match received.body {
                ReceivedBody::Full(body) => body,
                ReceivedBody::Streaming(_) => Bytes::new(),
            },
            attempts: self.attempts,
            name: self.name,
            secrets: self.secrets,
        }
    }

    pub(super) fn into_streaming_response(self) -> StreamingResponse {
        let received = self.received;
        StreamingResponse {
            status: received.status,
            headers: received.headers,
            attempts: self.attempts,
            name: self.name,
            body: match received.body {
                ReceivedBody::Streaming(open) => Body::Open(open),
                ReceivedBody::Full(_) => Body::Ended,
            },
            read: 0,
            limits: self.limits,
        }
    }
}
