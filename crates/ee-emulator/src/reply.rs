//! What a host answers, before it becomes bytes on a connection.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// A complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// What becomes of a request.
pub(crate) enum Outcome {
    /// It is answered.
    Reply(Reply),
    /// The connection is closed without a byte.
    Cut,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            // Only a caller's own mistake gets here with a number that is no status.
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: body.into(),
        }
        .with(CONTENT_TYPE, content_type)
    }

    /// JSON in the layout of Google's API front end (two spaces, a newline at the end).
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(
            status,
            "application/json; charset=UTF-8",
            format!("{body:#}\n"),
        )
    }

    /// A JSON answer of the OAuth endpoints, which must not be cached (RFC 6749 section 5.1).
    pub(crate) fn oauth(status: u16, body: &Value) -> Self {
        Self::json(status, body).with(
            CACHE_CONTROL,
            "no-cache, no-store, max-age=0, must-revalidate",
        )
    }

    /// An error answer of the OAuth endpoints (RFC 6749 section 5.2).
    pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Self {
        Self::oauth(
            status,
            &serde_json::json!({"error": error, "error_description": description}),
        )
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub(crate) fn html(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/html; charset=UTF-8", body.into())
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::html(302, "").with(LOCATION, location)
    }

    /// Google's page for an address that no service knows.
    pub(crate) fn no_such_page(path: &str) -> Self {
        Self::html(
            404,
            format!(
                "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n\
                 <p><b>404.</b> <ins>That’s an error.</ins>\n\
                 <p>The requested URL <code>{}</code> was not found on this server.\n",
                escape(path)
            ),
        )
    }

    /// Adds a header; one whose value cannot be sent is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// `text` for use between tags or quotes of HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
