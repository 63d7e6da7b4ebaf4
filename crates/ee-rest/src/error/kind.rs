//! What went wrong.

use ee_token::Remedy;

/// The kind of an [`Error`](crate::Error).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No access token could be obtained; see [`Error::token_error`](crate::Error::token_error).
    Token(ee_token::ErrorKind),
    /// Google rejected the access token or the API key.
    CredentialsRejected,
    /// The token lacks a scope that Earth Engine requires.
    InsufficientScopes,
    /// The path is relative to a project, but no project is set; or Earth Engine requires a
    /// project.
    NoProject,
    /// The ID cannot be that of a Cloud project.
    InvalidProject,
    /// The principal may not use the project.
    ProjectDenied,
    /// The project is suspended.
    ProjectSuspended,
    /// The project does not exist, or the principal may not see it.
    ProjectNotFound,
    /// The Earth Engine API is not enabled in the project.
    ApiDisabled,
    /// The project is not registered for Earth Engine.
    NotRegistered,
    /// The principal lacks a permission.
    PermissionDenied,
    /// A rate or concurrency limit was exceeded.
    QuotaExceeded,
    /// The project's daily quota of computing time is exhausted.
    DailyQuotaExceeded,
    /// The computation needs more memory than Earth Engine allows one request.
    MemoryLimitExceeded,
    /// The resource does not exist, or the principal may not see it.
    NotFound,
    /// Earth Engine rejected the request as invalid.
    InvalidArgument,
    /// A transient server error: 500, 502, 503 or 504.
    ServerError,
    /// A 403 that is not from Earth Engine: a proxy blocked the request, or Google does not serve
    /// this network or region.
    NetworkBlocked,
    /// The host could not be reached, or the connection was lost.
    Network,
    /// The response did not arrive before the timeout or deadline.
    Timeout,
    /// The response is not the expected JSON, is too long, or has an unexpected status.
    InvalidResponse,
    /// The request is invalid: its path, a header, its URL or its body. Nothing was sent.
    InvalidRequest,
    /// A long-running operation failed; see [`Error::operation`](crate::Error::operation).
    OperationFailed,
    /// A long-running operation was cancelled; see [`Error::operation`](crate::Error::operation).
    OperationCancelled,
    /// A file could not be written.
    File,
    /// The call was made outside of a tokio runtime.
    Runtime,
    /// Another user serves the emulator's address, or its owner is unknown.
    UntrustedEmulator,
}

impl ErrorKind {
    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Token(kind) => kind.is_transient(),
            Self::QuotaExceeded | Self::ServerError | Self::Network | Self::Timeout => true,
            _ => false,
        }
    }

    /// Returns the remedy of an error whose cause has none.
    pub(crate) fn default_remedy(self) -> Remedy {
        Remedy::new(match self {
            Self::Token(kind) if !kind.is_transient() => "Log in again, or use another credential.",
            Self::Network | Self::Timeout => {
                "Try again, or set a longer timeout or deadline. If it fails again, check the network and the proxy."
            }
            Self::InvalidRequest | Self::UntrustedEmulator => {
                "Check the client's base URL and the emulator's address."
            }
            Self::InvalidResponse => "Set a larger max_response_size, or request less at once.",
            Self::Runtime => "Call it from within a tokio runtime, or use the blocking client.",
            _ => "Try again in a moment.",
        })
    }
}
