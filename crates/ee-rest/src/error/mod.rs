//! The crate's error type.

pub(crate) mod api_error;
pub(crate) mod excerpt;
pub(crate) mod explain;
pub(crate) mod kind;
pub(crate) mod redactor;
pub(crate) mod rpc_code;

use std::fmt;

use ee_token::Remedy;
use ee_token::internal::{ErrorExtra, error_type};
use http::StatusCode;

use crate::{ApiError, ErrorKind};

error_type! {
    /// An error of a request. One word wide and cheap to clone.
    ///
    /// If the server responded with an error, the message explains it, the
    /// [remedy](Error::remedy) says how to fix the problem, and the [`ApiError`] is the source.
    /// Otherwise the source is the [`ee_token::Error`] of a failed token request, or the error of
    /// the connection.
    ///
    /// ```
    /// use ee_rest::{Error, ErrorKind};
    ///
    /// fn is_missing(error: &Error) -> bool {
    ///     error.kind() == ErrorKind::NotFound
    /// }
    /// # assert!(!is_missing(&Error::new(ErrorKind::NoProject, "no project")));
    /// ```
    Error, ErrorKind, Sent
}

/// How far a request got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// How many times it was sent.
    attempts: u32,
    /// Whether no access token could be obtained.
    lacks_token: bool,
}

impl ErrorExtra for Sent {
    fn write_after_message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempts {
            0 | 1 => Ok(()),
            n => write!(f, " (after {n} attempts)"),
        }
    }
}

impl Error {
    /// Returns the ID or number of the project concerned, if known. It is not always the one that
    /// was requested.
    pub fn project(&self) -> Option<&str> {
        self.0.details().project.as_deref()
    }

    /// Returns how many times the request was sent. 0 if it was invalid or no access token could
    /// be obtained.
    pub fn attempts(&self) -> u32 {
        self.0.extra().attempts
    }

    /// Returns the server's error response, if there was one.
    pub fn api(&self) -> Option<&ApiError> {
        self.0.find_source()
    }

    /// Returns the error of the token source, if no access token could be obtained.
    pub fn token_error(&self) -> Option<&ee_token::Error> {
        // Network errors have an `ee_token::Error` as their source, too.
        match self.0.extra().lacks_token {
            true => self.0.find_source(),
            false => None,
        }
    }

    /// Returns whether the time of the call ended. The timeout of a token request is a failure of
    /// its own.
    pub(crate) fn is_own_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout && self.token_error().is_none()
    }

    /// Returns the first error of this type in the chain of sources.
    pub(crate) fn find_source<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.find_source()
    }

    /// Creates the error of an invalid request.
    pub(crate) fn invalid_request(
        message: impl Into<String>,
        remedy: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorKind::InvalidRequest, message).with_remedy(Remedy::new(remedy))
    }

    /// Creates the error of a value that could not be serialized to JSON.
    pub(crate) fn not_json(what: &str, error: serde_json::Error) -> Self {
        Self::invalid_request(
            format!("{what} could not be serialized to JSON"),
            "Use string keys in maps, finite numbers, and no type whose `Serialize` implementation fails.",
        )
        .with_source(error)
    }

    /// Creates the error of a response that is not what the API promises.
    pub(crate) fn invalid_response(attempts: u32, message: String) -> Self {
        Self::new(ErrorKind::InvalidResponse, message)
            .with_remedy(
                Remedy::new("Try again later. If it fails again, check whether a newer version of this library supports the API's current responses.")
                    .url("https://developers.google.com/earth-engine/reference/rest"),
            )
            .with_attempts(attempts)
    }

    /// Creates the error of a failed token request.
    pub(crate) fn token(error: ee_token::Error) -> Self {
        let message = format!("could not get an access token: {error}");
        let mut error = Self::new(error.kind().into(), message).with_cause(error);
        error.0.extra_mut().lacks_token = true;
        error
    }

    /// Sets how many times the request was sent.
    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.extra_mut().attempts = attempts;
        self
    }

    pub(crate) fn with_project(mut self, project: impl Into<String>) -> Self {
        self.0.details_mut().project = Some(project.into());
        self
    }

    /// Returns whether the server rejected the credentials (401).
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.api()
            .is_some_and(|api| api.status == StatusCode::UNAUTHORIZED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
