//! What went wrong.

/// The kind of an [`Error`](crate::Error). [`ErrorKind::code`] is its stable name.
///
/// `ee-init` has the same kinds. [`NoCredentials`](Self::NoCredentials) and
/// [`SdkProject`](Self::SdkProject) are only returned there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No source has credentials.
    NoCredentials,
    /// The credentials found are invalid: a damaged file, a wrong key.
    InvalidCredentials,
    /// Google rejected the credentials, a token obtained with them, or the API key.
    CredentialsRejected,
    /// A token server responded with an error status that does not show that the credentials are
    /// invalid. Transient.
    UnconfirmedRejection,
    /// The organization requires the user to log in again.
    ReauthenticationRequired,
    /// This machine's clock is wrong.
    ClockSkew,
    /// The token lacks a scope that Earth Engine requires.
    InsufficientScopes,
    /// No project is set, and none was found; or Earth Engine requires a project.
    NoProject,
    /// The project belongs to a Google SDK and cannot be used for Earth Engine.
    SdkProject,
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
    /// The server rejected the request as invalid.
    InvalidArgument,
    /// The request is invalid: its path, a header, its URL or its body. Nothing was sent.
    InvalidRequest,
    /// The server has a problem.
    ServerError,
    /// The response is not the expected JSON, is too long, or has an unexpected status.
    InvalidResponse,
    /// A long-running operation failed; see [`Error::operation`](crate::Error::operation).
    OperationFailed,
    /// A long-running operation was cancelled; see [`Error::operation`](crate::Error::operation).
    OperationCancelled,
    /// The host could not be reached, or the connection was lost.
    Network,
    /// A response that is not from Earth Engine: a proxy blocked the request, the network requires a
    /// login, or Google does not serve this network or region.
    NetworkBlocked,
    /// The response did not arrive before the timeout or deadline.
    Timeout,
    /// A local file cannot be read now: too many open files, an I/O error, a file system that does
    /// not respond.
    Io,
    /// A file could not be written.
    File,
    /// The library or its environment is not set up correctly: no runtime, an invalid variable, an
    /// emulator that another user serves.
    Usage,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::NoCredentials,
        Self::InvalidCredentials,
        Self::CredentialsRejected,
        Self::UnconfirmedRejection,
        Self::ReauthenticationRequired,
        Self::ClockSkew,
        Self::InsufficientScopes,
        Self::NoProject,
        Self::SdkProject,
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
        Self::InvalidRequest,
        Self::ServerError,
        Self::InvalidResponse,
        Self::OperationFailed,
        Self::OperationCancelled,
        Self::Network,
        Self::NetworkBlocked,
        Self::Timeout,
        Self::Io,
        Self::File,
        Self::Usage,
    ];

    /// Returns the stable name, as `eectl --json` prints it. Kinds that a script would handle in
    /// the same way share one.
    ///
    /// ```
    /// assert_eq!(ee_rest::ErrorKind::ApiDisabled.code(), "api_disabled");
    /// ```
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::InvalidCredentials => "invalid_credentials",
            Self::CredentialsRejected | Self::UnconfirmedRejection => "credentials_rejected",
            Self::ReauthenticationRequired => "reauthentication_required",
            Self::ClockSkew => "clock_skew",
            Self::InsufficientScopes => "insufficient_scopes",
            Self::NoProject => "no_project",
            Self::SdkProject => "sdk_project",
            Self::InvalidProject => "invalid_project",
            Self::ProjectDenied => "project_denied",
            Self::ProjectSuspended => "project_suspended",
            Self::ApiDisabled => "api_disabled",
            Self::NotRegistered => "not_registered",
            Self::PermissionDenied => "permission_denied",
            Self::QuotaExceeded | Self::DailyQuotaExceeded => "quota_exceeded",
            Self::NotFound | Self::ProjectNotFound => "not_found",
            Self::InvalidArgument | Self::InvalidRequest | Self::MemoryLimitExceeded => {
                "invalid_argument"
            }
            Self::ServerError
            | Self::InvalidResponse
            | Self::OperationFailed
            | Self::OperationCancelled => "server_error",
            Self::Network | Self::NetworkBlocked => "network",
            Self::Timeout => "timeout",
            Self::Io | Self::File => "io",
            Self::Usage => "usage",
        }
    }

    /// Returns the remedy of errors for which there is no more specific one.
    pub fn default_remedy(self) -> &'static str {
        use ee_token::ErrorKind as Token;
        match self {
            Self::NoCredentials => {
                "Log in, or set GOOGLE_APPLICATION_CREDENTIALS to a credential file."
            }
            Self::InvalidCredentials => Token::InvalidCredential.default_remedy(),
            Self::CredentialsRejected => {
                "Log in again, or create a new key. If the program supplied an access token, it has expired: supply a new one."
            }
            Self::UnconfirmedRejection => Token::UnconfirmedRejection.default_remedy(),
            Self::ReauthenticationRequired => Token::ReauthenticationRequired.default_remedy(),
            Self::ClockSkew => Token::ClockSkew.default_remedy(),
            Self::InsufficientScopes => Token::InvalidScope.default_remedy(),
            Self::NoProject | Self::InvalidProject => {
                "Set the ID of a Cloud project that is registered for Earth Engine."
            }
            Self::SdkProject => {
                "Use a Cloud project of your own, for example with --project or EARTHENGINE_PROJECT."
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
            Self::InvalidRequest => "Change the part of the request that the message names.",
            Self::ServerError => Token::Server.default_remedy(),
            Self::InvalidResponse => "Set a larger max_response_size, or request less at once.",
            Self::OperationFailed | Self::OperationCancelled => {
                "Correct the cause that the message names, and start the operation again."
            }
            Self::Network | Self::Timeout => {
                "Try again, or set a longer timeout or deadline. If it fails again, check the network and the proxy."
            }
            Self::NetworkBlocked => "Try from another network, or check the proxy (HTTPS_PROXY).",
            Self::Io => Token::Io.default_remedy(),
            Self::File => "Check the path, its permissions and the free space.",
            Self::Usage => "Change the option or the environment variable that the message names.",
        }
    }

    /// Returns whether the problem is the project, so that another project or a change to this one
    /// helps.
    pub fn is_project_error(self) -> bool {
        matches!(
            self,
            Self::NoProject
                | Self::SdkProject
                | Self::InvalidProject
                | Self::ProjectDenied
                | Self::ProjectSuspended
                | Self::ProjectNotFound
                | Self::ApiDisabled
                | Self::NotRegistered
        )
    }

    /// Returns whether the problem is the credentials.
    pub fn is_credential_error(self) -> bool {
        matches!(
            self,
            Self::NoCredentials
                | Self::InvalidCredentials
                | Self::CredentialsRejected
                | Self::UnconfirmedRejection
                | Self::ReauthenticationRequired
                | Self::ClockSkew
                | Self::InsufficientScopes
        )
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::UnconfirmedRejection
                | Self::QuotaExceeded
                | Self::ServerError
                | Self::Network
                | Self::Timeout
                | Self::Io
        )
    }

    /// Returns whether the error can persist for a few minutes after its cause was fixed, because
    /// IAM roles, API enablement and registrations take time to propagate.
    /// `EarthEngineBuilder::wait_for_propagation` waits for it.
    pub fn may_resolve_after_propagation(self) -> bool {
        matches!(
            self,
            Self::ApiDisabled | Self::ProjectDenied | Self::PermissionDenied | Self::NotRegistered
        )
    }
}

impl From<ee_token::ErrorKind> for ErrorKind {
    fn from(kind: ee_token::ErrorKind) -> Self {
        use ee_token::ErrorKind as Token;
        match kind {
            Token::InvalidKey | Token::InvalidCredential | Token::DisallowedUrl => {
                Self::InvalidCredentials
            }
            Token::Rejected | Token::Expired => Self::CredentialsRejected,
            Token::UnconfirmedRejection => Self::UnconfirmedRejection,
            Token::ReauthenticationRequired => Self::ReauthenticationRequired,
            Token::ClockSkew => Self::ClockSkew,
            Token::InvalidScope => Self::InsufficientScopes,
            Token::Network => Self::Network,
            Token::Timeout => Self::Timeout,
            Token::Io => Self::Io,
            Token::Runtime | Token::UntrustedEmulator | Token::InvalidEnvironment => Self::Usage,
            _ => Self::ServerError,
        }
    }
}
