//! The crate's error type.

pub(crate) mod api_error;
pub(crate) mod excerpt;
pub(crate) mod redactor;
pub(crate) mod rpc_code;

use std::fmt;
use std::sync::Arc;

use ee_token::{ErrorBody, Remedy};
use http::StatusCode;

use crate::ApiError;
use crate::request::prepared::RequestName;

/// An error of a request. One word wide and cheap to clone.
///
/// Its source is the [`ApiError`] of an error response, the [`ee_token::Error`] of a failed token
/// request, or the error of the connection.
///
/// ```
/// use ee_rest::{Error, ErrorKind};
///
/// fn is_not_found(error: &Error) -> bool {
///     error.api().is_some_and(|api| api.status == 404)
/// }
/// # assert!(!is_not_found(&Error::new(ErrorKind::NoProject, "no project")));
/// ```
#[derive(Clone)]
pub struct Error(ErrorBody<RequestErrorKind>);

/// The kind and attempt count. Implemented by hand because `error_type!` supports only a kind.
#[derive(Clone, Copy)]
struct RequestErrorKind {
    kind: ErrorKind,
    attempts: u32,
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server responded with an error; see [`Error::api`].
    Api,
    /// No access token could be obtained; see [`Error::token_error`].
    Token,
    /// The host could not be reached, or the connection was lost.
    Network,
    /// The response did not arrive before the timeout or deadline.
    Timeout,
    /// The response is not the expected JSON, or is too long.
    InvalidResponse,
    /// The request is invalid: its path, a header, its URL or its body.
    InvalidRequest,
    /// The path is relative to a project, but no project is set.
    NoProject,
    /// A long-running operation failed; see [`Error::operation`].
    OperationFailed,
    /// A long-running operation was cancelled; see [`Error::operation`].
    OperationCancelled,
    /// A file could not be written.
    File,
    /// The call was made outside of a tokio runtime.
    Runtime,
}

impl Error {
    /// Creates an error. The message should name the host, path or project concerned, and must
    /// not contain a secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with_attempts(0, kind, message)
    }

    /// Creates an error of a request that was sent this many times.
    pub(crate) fn with_attempts(
        attempts: u32,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self(ErrorBody::new(RequestErrorKind { kind, attempts }, message))
    }

    /// Creates the error of an error response to a request that was sent this many times.
    pub(crate) fn of_api(attempts: u32, name: &RequestName, api: ApiError) -> Self {
        let message = format!("{name} failed: {api}");
        let error = Self::with_attempts(attempts, ErrorKind::Api, message);
        let error = match api.status {
            StatusCode::UNAUTHORIZED => error.with_remedy(Remedy::new(
                "The server rejected the token or the API key. Log in again, or use another credential.",
            )),
            _ => error,
        };
        error.with_source(api)
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind().kind
    }

    /// Returns how many times the request was sent. 0 if it was invalid or no access token could
    /// be obtained.
    pub fn attempts(&self) -> u32 {
        self.0.kind().attempts
    }

    /// Returns the server's error response, if the kind is [`ErrorKind::Api`].
    pub fn api(&self) -> Option<&ApiError> {
        self.0.source()?.downcast_ref()
    }

    /// Returns whether the server rejected the credentials (401).
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.api()
            .is_some_and(|api| api.status == StatusCode::UNAUTHORIZED)
    }

    /// Returns the operation that failed, was cancelled, or did not finish before the deadline.
    pub fn operation(&self) -> Option<&crate::Operation> {
        let last: &crate::api::operations::OperationSnapshot = self.0.source()?.downcast_ref()?;
        Some(&last.operation)
    }

    /// Returns the error of the token source, if the kind is [`ErrorKind::Token`].
    pub fn token_error(&self) -> Option<&ee_token::Error> {
        // Network errors have an `ee_token::Error` as their source, too.
        (self.kind() == ErrorKind::Token)
            .then(|| self.0.source()?.downcast_ref())
            .flatten()
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(&self) -> bool {
        match self.kind() {
            ErrorKind::Network | ErrorKind::Timeout => true,
            ErrorKind::Api => self.api().is_some_and(ApiError::is_transient),
            ErrorKind::Token => self.token_error().is_some_and(|e| e.is_transient()),
            _ => false,
        }
    }

    /// Returns how to fix the problem, if known.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy()
    }

    /// Returns the principal concerned, usually an email address, if known.
    pub fn principal(&self) -> Option<&str> {
        self.0.principal()
    }

    /// Sets how to fix the problem.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.set_remedy(remedy);
        self
    }

    /// Sets the principal concerned.
    #[must_use]
    pub fn with_principal(mut self, principal: impl Into<String>) -> Self {
        self.0.set_principal(principal.into());
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.set_source(Arc::new(source));
        self
    }

    /// Sets the underlying error and copies its remedy and principal.
    pub(crate) fn context(mut self, error: ee_token::Error) -> Self {
        if let Some(remedy) = error.remedy() {
            self.0.set_remedy(remedy.clone());
        }
        if let Some(principal) = error.principal() {
            self.0.set_principal(principal.to_owned());
        }
        self.with_source(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message())?;
        match self.attempts() {
            0 | 1 => Ok(()),
            n => write!(f, " (after {n} attempts)"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for RequestErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {} attempt(s)", self.kind, self.attempts)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
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
