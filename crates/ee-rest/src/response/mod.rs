//! A successful response.

pub(crate) mod save;
pub(crate) mod streaming;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use ee_token::Remedy;
use ee_token::internal::truncated;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::Error;
use crate::error::redactor::Secrets;
use crate::request::name::RequestName;
use crate::send::events::{INIT_MESSAGE, PROFILE, QUOTA_STATUS};

/// A successful response with its whole body.
///
/// `Debug` shows neither the body nor the headers.
#[derive(Clone)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) attempts: u32,
    pub(crate) name: RequestName,
    pub(crate) secrets: Secrets,
}

impl Response {
    /// Returns the HTTP status, which is always 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers. Earth Engine's own are `x-earth-engine-quota-status`,
    /// `x-earth-engine-init-message` and `x-earth-engine-computation-profile`.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the ID of the computation's profile, if one was requested.
    pub fn profile_id(&self) -> Option<Cow<'_, str>> {
        self.text(PROFILE)
    }

    /// Returns the project's quota status, as sent by the server.
    pub fn quota_status(&self) -> Option<Cow<'_, str>> {
        self.text(QUOTA_STATUS)
    }

    /// Returns the server's message to the user, if it sent one.
    pub fn init_message(&self) -> Option<Cow<'_, str>> {
        self.text(INIT_MESSAGE)
    }

    fn text(&self, header: HeaderName) -> Option<Cow<'_, str>> {
        let value = self.headers.get(header)?;
        Some(Cow::Owned(self.secrets.sanitize_header(value)))
    }

    /// Returns the body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// Consumes the response and returns its body.
    pub fn into_bytes(self) -> Bytes {
        self.body
    }

    /// Returns how many times the request was sent.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Deserializes the body as JSON.
    ///
    /// # Errors
    /// Returns [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse) if the body is not JSON or does not match `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.not_json(&error))
    }

    /// Creates the error of a body that could not be parsed.
    pub(crate) fn not_json(&self, error: &serde_json::Error) -> Error {
        let invalid = Error::invalid_response(
            self.attempts,
            format!(
                "the response to {} is not the expected JSON: {}",
                self.name,
                self.json_problem(error)
            ),
        );
        match error.classify() {
            // Valid JSON of another type does not come from an intermediary.
            Category::Data => invalid,
            _ => invalid.with_remedy(Remedy::unexpected_intermediary()),
        }
    }

    /// Describes why the body could not be parsed. The parser's error is not kept as the source,
    /// because it may quote a secret that the server echoed.
    fn json_problem(&self, error: &serde_json::Error) -> String {
        let first = self.body.iter().find(|b| !b.is_ascii_whitespace());
        match (first, error.classify()) {
            (None, _) => "it is empty".into(),
            (Some(b'<'), _) => "it is HTML, possibly from a login page or proxy".into(),
            (_, Category::Eof) => format!("it is cut off after {} bytes", self.body.len()),
            (_, Category::Data) => {
                // serde_json quotes whole values, which can be megabytes long.
                let clean = self.secrets.sanitize(&error.to_string());
                truncated(&clean, 300).into_owned()
            }
            _ => format!(
                "invalid JSON at line {} column {}",
                error.line(),
                error.column()
            ),
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
