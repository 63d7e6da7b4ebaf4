//! The error of this crate.

pub(crate) mod api_error;
pub(crate) mod excerpt;
pub(crate) mod redactor;
pub(crate) mod rpc_code;

use std::fmt;
use std::sync::Arc;

use ee_token::{ErrorBody, Remedy};
use http::StatusCode;

use crate::ApiError;
use crate::request::Name;

/// Why there is no answer, or none that can be used. One word wide and cheap to clone.
///
/// Its source is the [`ApiError`] of a refusal, the [`ee_token::Error`] of a token that could
/// not be had, or the error of the connection.
///
/// ```
/// use ee_rest::{Error, ErrorKind};
///
/// fn is_gone(error: &Error) -> bool {
///     error.api().is_some_and(|api| api.status == 404)
/// }
/// # assert!(!is_gone(&Error::new(ErrorKind::NoProject, "no project")));
/// ```
#[derive(Clone)]
pub struct Error(ErrorBody<RequestErrorKind>);

/// What a program can ask an error for. Written out instead of using `error_type!`, whose
/// errors know a kind alone.
#[derive(Clone, Copy)]
struct RequestErrorKind {
    kind: ErrorKind,
    attempts: u32,
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server refused; [`Error::api`] has what it said.
    Api,
    /// There is no token to send; [`Error::token_error`] says why.
    Token,
    /// The host could not be reached, or the connection broke.
    Network,
    /// No answer in time.
    Timeout,
    /// An answer that is no answer: not the JSON expected, or longer than allowed.
    InvalidResponse,
    /// A request that cannot be sent: a path, header, URL or body that makes no sense.
    InvalidRequest,
    /// A path that needs a project, and no project.
    NoProject,
    /// A long-running operation failed; [`Error::operation`] has what is known of it.
    OperationFailed,
    /// A long-running operation was cancelled; [`Error::operation`] has what is known of it.
    OperationCancelled,
    /// A file cannot be written.
    File,
    /// A call that was made outside of a tokio runtime.
    Runtime,
}

impl Error {
    /// An error of this kind. The message names the host, path or project at fault, and
    /// never a secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::after(0, kind, message)
    }

    /// An error after so many attempts.
    pub(crate) fn after(attempts: u32, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(ErrorBody::new(RequestErrorKind { kind, attempts }, message))
    }

    /// The error of a response with an error status, after so many attempts.
    pub(crate) fn of_api(attempts: u32, name: &Name, api: ApiError) -> Self {
        let error = Self::after(
            attempts,
            ErrorKind::Api,
            format!("{name} was refused: {api}"),
        );
        let error = match api.status {
            StatusCode::UNAUTHORIZED => error.with_remedy(Remedy::new(
                "The server rejected the token or the API key. Log in again, or use another credential.",
            )),
            _ => error,
        };
        error.with_source(api)
    }

    /// What went wrong, for a program to match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind().kind
    }

    /// How many times the request was sent, as far as this client knows. 0 if it was refused
    /// here or there was no token to send.
    pub fn attempts(&self) -> u32 {
        self.0.kind().attempts
    }

    /// What the server said, if it refused.
    pub fn api(&self) -> Option<&ApiError> {
        self.0.source()?.downcast_ref()
    }

    /// Whether the server did not take the token.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.api()
            .is_some_and(|api| api.status == StatusCode::UNAUTHORIZED)
    }

    /// The operation that failed, was cancelled, or did not end in time.
    pub fn operation(&self) -> Option<&crate::Operation> {
        let last: &crate::api::operations::Last = self.0.source()?.downcast_ref()?;
        Some(&last.operation)
    }

    /// Why there is no token, if that is the trouble.
    pub fn token_error(&self) -> Option<&ee_token::Error> {
        // A broken connection has an `ee_token::Error` for its source as well.
        (self.kind() == ErrorKind::Token)
            .then(|| self.0.source()?.downcast_ref())
            .flatten()
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self.kind() {
            ErrorKind::Network | ErrorKind::Timeout => true,
            ErrorKind::Api => self.api().is_some_and(ApiError::is_transient),
            ErrorKind::Token => self.token_error().is_some_and(|e| e.is_transient()),
            _ => false,
        }
    }

    /// What a person should do about it, where that is known.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy()
    }

    /// Who was refused (an e-mail address, usually), where that is known.
    pub fn principal(&self) -> Option<&str> {
        self.0.principal()
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.set_remedy(remedy);
        self
    }

    /// Adds who was refused.
    #[must_use]
    pub fn with_principal(mut self, principal: impl Into<String>) -> Self {
        self.0.set_principal(principal.into());
        self
    }

    /// Adds the error that this one stems from.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.set_source(Arc::new(source));
        self
    }

    /// Passes on what an error of the layer below knows, and keeps it as the source.
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
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
