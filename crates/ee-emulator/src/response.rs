//! The response of a host.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// The outcome of a request.
pub(crate) enum Outcome {
    /// A response is sent.
    Response(Response),
    /// The connection is closed without a response.
    Close,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            // Only a test that passes an invalid status gets the fallback.
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: body.into(),
        }
        .with(CONTENT_TYPE, content_type)
    }

    /// Creates a JSON response formatted like those of Google's API front end (two spaces, a final
    /// newline).
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(
            status,
            "application/json; charset=UTF-8",
            format!("{body:#}\n"),
        )
    }

    /// Creates a JSON response of the OAuth endpoints, which must not be cached (RFC 6749 section
    /// 5.1).
    pub(crate) fn oauth(status: u16, body: &Value) -> Self {
        Self::json(status, body).with(
            CACHE_CONTROL,
            "no-cache, no-store, max-age=0, must-revalidate",
        )
    }

    /// Creates an error response of the OAuth endpoints (RFC 6749 section 5.2).
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

    /// Creates Google's page for an unknown URL.
    pub(crate) fn page_not_found(path: &str) -> Self {
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

    /// Adds a header. A value that HTTP does not allow is ignored.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// Escapes `text` for HTML content and attribute values.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
