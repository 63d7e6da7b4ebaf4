//! What went wrong.

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
    /// A response that is not from Earth Engine: a proxy blocked the request, the network requires a
    /// login, or Google does not serve this network or region.
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
    /// An environment variable for the network is set and cannot be used.
    InvalidEnvironment,
}

impl ErrorKind {
    /// All kinds, except those of the token layer.
    pub const ALL: &'static [Self] = &[
        Self::CredentialsRejected,
        Self::InsufficientScopes,
        Self::NoProject,
        Self::InvalidProject,
        Self::ProjectDenied,
        Self::ProjectSuspended,
        Self::ProjectNotFound,
        Self::ApiDisabled,
        Self::NotRegistered,
        Self::PermissionDenied,
        Self::QuotaExceeded,
        Self::DailyQuotaExceeded,
        Self::MemoryLimitExceeded,
        Self::NotFound,
        Self::InvalidArgument,
        Self::ServerError,
        Self::NetworkBlocked,
        Self::Network,
        Self::Timeout,
        Self::InvalidResponse,
        Self::InvalidRequest,
        Self::OperationFailed,
        Self::OperationCancelled,
        Self::File,
        Self::Runtime,
        Self::UntrustedEmulator,
        Self::InvalidEnvironment,
    ];

    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Token(kind) => kind.is_transient(),
            Self::QuotaExceeded | Self::ServerError | Self::Network | Self::Timeout => true,
            _ => false,
        }
    }

    /// Returns the remedy of errors for which there is no more specific one.
    pub fn default_remedy(self) -> &'static str {
        match self {
            Self::Token(kind) => kind.default_remedy(),
            Self::CredentialsRejected => {
                "Log in again, or create a new key. If the program supplied an access token, it has expired: supply a new one."
            }
            Self::InsufficientScopes => ee_token::ErrorKind::InvalidScope.default_remedy(),
            Self::NoProject | Self::InvalidProject => {
                "Set the ID of a Cloud project that is registered for Earth Engine."
            }
            Self::ProjectDenied | Self::PermissionDenied => {
                "Ask the owner of the project for the permission that the server's message names."
            }
            Self::ProjectSuspended => "Use another project, or ask its owner to appeal.",
            Self::ProjectNotFound => "Set the ID of a project that this account can access.",
            Self::ApiDisabled => "Enable the Earth Engine API in the project.",
            Self::NotRegistered => "Register the project for Earth Engine.",
            Self::QuotaExceeded => {
                "Send fewer requests at once, or wait a minute. This limit is temporary."
            }
            Self::DailyQuotaExceeded => "Wait until the next day, or request a higher quota.",
            Self::MemoryLimitExceeded => "Compute less in one request, or export the result.",
            Self::NotFound => "Check the name and your access to it.",
            Self::InvalidArgument => "Change the request as the server's message says.",
            Self::ServerError => "Try again in a moment.",
            Self::NetworkBlocked => "Try from another network, or check the proxy (HTTPS_PROXY).",
            Self::Network | Self::Timeout => {
                "Try again, or set a longer timeout or deadline. If it fails again, check the network and the proxy."
            }
            Self::InvalidResponse => "Set a larger max_response_size, or request less at once.",
            Self::InvalidRequest => "Change the part of the request that the message names.",
            Self::OperationFailed | Self::OperationCancelled => {
                "Correct the cause that the message names, and start the operation again."
            }
            Self::File => "Check the path, its permissions and the free space.",
            Self::Runtime => "Call it from within a tokio runtime, or use the blocking client.",
            Self::UntrustedEmulator => ee_token::ErrorKind::UntrustedEmulator.default_remedy(),
            Self::InvalidEnvironment => ee_token::ErrorKind::InvalidEnvironment.default_remedy(),
        }
    }
}
