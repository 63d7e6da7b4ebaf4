//! The reply to a request that succeeded.

pub(crate) mod save;
pub(crate) mod streaming;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use ee_token::Remedy;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::redactor::Secrets;
use crate::request::Name;
use crate::send::events::{INIT_MESSAGE, PROFILE, QUOTA_STATUS};
use crate::{Error, ErrorKind};

/// The reply to a request that succeeded, whole.
///
/// `Debug` shows neither the body nor the headers.
#[derive(Clone)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) attempts: u32,
    pub(crate) name: Name,
    pub(crate) secrets: Secrets,
}

impl Response {
    /// The HTTP status, always a 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers. Earth Engine's own are `x-earth-engine-quota-status`,
    /// `x-earth-engine-init-message` and `x-earth-engine-computation-profile`.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The id of the computation's profile, if one was asked for.
    pub fn profile_id(&self) -> Option<Cow<'_, str>> {
        self.text(PROFILE)
    }

    /// The project's quota status, in the server's words.
    pub fn quota_status(&self) -> Option<Cow<'_, str>> {
        self.text(QUOTA_STATUS)
    }

    /// What the server says to whoever starts the program.
    pub fn init_message(&self) -> Option<Cow<'_, str>> {
        self.text(INIT_MESSAGE)
    }

    fn text(&self, header: HeaderName) -> Option<Cow<'_, str>> {
        let value = self.headers.get(header)?;
        Some(Cow::Owned(self.secrets.clean_header(value)))
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body, without the rest.
    pub fn into_bytes(self) -> Bytes {
        self.body
    }

    /// How many times the request was sent until this reply came.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidResponse`] if it is not, or not of the form expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let wrong = Error::after(
                self.attempts,
                ErrorKind::InvalidResponse,
                format!(
                    "the answer to {} is not the JSON expected: {}",
                    self.name,
                    self.why(&error)
                ),
            );
            match error.classify() {
                // Whole, and from Google: another form was expected.
                Category::Data => wrong,
                _ => wrong.with_remedy(Remedy::unexpected_intermediary()),
            }
        })
    }

    /// The parser's error is not kept as the source: it may quote the reply, and with it
    /// a secret that the server echoed.
    fn why(&self, error: &serde_json::Error) -> String {
        let first = self.body.iter().find(|b| !b.is_ascii_whitespace());
        match (first, error.classify()) {
            (None, _) => "it is empty".into(),
            (Some(b'<'), _) => "it is HTML (a login page or a proxy's, perhaps)".into(),
            (_, Category::Eof) => format!("it is cut off after {} bytes", self.body.len()),
            (_, Category::Data) => {
                // Values are quoted whole, and may be megabytes.
                let clean = self.secrets.sanitize(&error.to_string());
                match clean.char_indices().nth(300) {
                    Some((end, _)) => format!("{}…", &clean[..end]),
                    None => clean,
                }
            }
            _ => format!("no JSON at line {} column {}", error.line(), error.column()),
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("attempts", &self.attempts)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
