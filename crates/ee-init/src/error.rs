//! The crate's error type.

use ee_credentials::SearchStep;
use ee_rest::ApiError;
use ee_token::Remedy;
use ee_token::internal::error_type;

error_type! {
    /// Why there is no verified client, or why a request failed.
    ///
    /// The [remedy](Error::remedy) says how to fix the problem. If a server responded with an
    /// error, its [message](Error::server_message) is kept.
    Error, ErrorKind
}

impl Error {
    /// Returns the ID or number of the project concerned, if known. It is not always the one that
    /// was requested.
    pub fn project(&self) -> Option<&str> {
        self.0.details().project.as_deref()
    }

    /// Returns the server's message, if a server responded with an error.
    pub fn server_message(&self) -> Option<&str> {
        self.0.details().server_message.as_deref()
    }

    /// Returns what each step of the search for credentials found, if it failed. Empty otherwise.
    pub fn search_steps(&self) -> &[SearchStep] {
        self.0
            .find_source::<ee_credentials::Error>()
            .map_or(&[], ee_credentials::Error::search_steps)
    }

    pub(crate) fn with_project(mut self, project: impl Into<String>) -> Self {
        self.0.details_mut().project = Some(project.into());
        self
    }

    /// Sets the server's error response as the source.
    pub(crate) fn with_api(mut self, api: ApiError) -> Self {
        self.0.details_mut().server_message = Some(api.message.clone());
        self.with_source(api)
    }

    /// Sets the kind's default remedy if the cause has none.
    fn or_default_remedy(self) -> Self {
        match self.remedy() {
            Some(_) => self,
            None => {
                let remedy = default_remedy(self.kind());
                self.with_remedy(remedy)
            }
        }
    }

    /// Returns the server's error response, if there was one.
    pub(crate) fn api(&self) -> Option<&ApiError> {
        self.0.find_source()
    }
}

impl From<ee_rest::Error> for Error {
    fn from(error: ee_rest::Error) -> Self {
        Self::new(error.kind().into(), error.to_string()).with_cause(error)
    }
}

impl From<ee_token::Error> for Error {
    fn from(error: ee_token::Error) -> Self {
        Self::new(error.kind().into(), error.to_string())
            .with_cause(error)
            .or_default_remedy()
    }
}

impl From<ee_credentials::Error> for Error {
    fn from(error: ee_credentials::Error) -> Self {
        Self::new(error.kind().into(), error.to_string())
            .with_cause(error)
            .or_default_remedy()
    }
}

/// The kind of an [`Error`]. [`ErrorKind::code`] is its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No source has credentials.
    NoCredentials,
    /// The credentials found are invalid: a damaged file, a wrong key.
    InvalidCredentials,
    /// Google rejected the credentials, or a token obtained with them.
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
    /// No project is set, and none was found.
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
    /// The request is invalid.
    InvalidArgument,
    /// The server has a problem, or its response is invalid.
    ServerError,
    /// The host could not be reached: name resolution, a proxy, a certificate or the connection
    /// failed.
    Network,
    /// A 403 that is not from Earth Engine: a proxy blocked the request, or Google does not serve
    /// this network or region.
    NetworkBlocked,
    /// The response did not arrive in time.
    Timeout,
    /// A local file cannot be read now (too many open files, an I/O error, a file system that does
    /// not respond), or a download cannot be saved.
    Io,
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
        Self::ServerError,
        Self::Network,
        Self::NetworkBlocked,
        Self::Timeout,
        Self::Io,
        Self::Usage,
    ];

    /// Returns the stable name, as `eectl --json` prints it. Kinds that a script would handle in
    /// the same way share one.
    ///
    /// ```
    /// assert_eq!(ee_init::ErrorKind::ApiDisabled.code(), "api_disabled");
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
            Self::InvalidArgument | Self::MemoryLimitExceeded => "invalid_argument",
            Self::ServerError => "server_error",
            Self::Network | Self::NetworkBlocked => "network",
            Self::Timeout => "timeout",
            Self::Io => "io",
            Self::Usage => "usage",
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
            Token::Runtime | Token::UntrustedEmulator => Self::Usage,
            _ => Self::ServerError,
        }
    }
}

impl From<ee_credentials::ErrorKind> for ErrorKind {
    fn from(kind: ee_credentials::ErrorKind) -> Self {
        use ee_credentials::ErrorKind as Found;
        match kind {
            Found::NoCredentials => Self::NoCredentials,
            Found::InvalidEnvironment | Found::InvalidOptions => Self::Usage,
            Found::Io => Self::Io,
            Found::Token(kind) => kind.into(),
            _ => Self::InvalidCredentials,
        }
    }
}

impl From<ee_rest::ErrorKind> for ErrorKind {
    fn from(kind: ee_rest::ErrorKind) -> Self {
        use ee_rest::ErrorKind as Request;
        match kind {
            Request::Token(kind) => kind.into(),
            Request::CredentialsRejected => Self::CredentialsRejected,
            Request::InsufficientScopes => Self::InsufficientScopes,
            Request::NoProject => Self::NoProject,
            Request::InvalidProject => Self::InvalidProject,
            Request::ProjectDenied => Self::ProjectDenied,
            Request::ProjectSuspended => Self::ProjectSuspended,
            Request::ProjectNotFound => Self::ProjectNotFound,
            Request::ApiDisabled => Self::ApiDisabled,
            Request::NotRegistered => Self::NotRegistered,
            Request::PermissionDenied => Self::PermissionDenied,
            Request::QuotaExceeded => Self::QuotaExceeded,
            Request::DailyQuotaExceeded => Self::DailyQuotaExceeded,
            Request::MemoryLimitExceeded => Self::MemoryLimitExceeded,
            Request::NotFound => Self::NotFound,
            Request::InvalidArgument | Request::InvalidRequest => Self::InvalidArgument,
            Request::NetworkBlocked => Self::NetworkBlocked,
            Request::Network => Self::Network,
            Request::Timeout => Self::Timeout,
            Request::File => Self::Io,
            Request::Runtime | Request::UntrustedEmulator => Self::Usage,
            _ => Self::ServerError,
        }
    }
}

/// Returns the remedy of an error whose cause has none.
fn default_remedy(kind: ErrorKind) -> Remedy {
    match kind {
        ErrorKind::NoCredentials => {
            Remedy::new("Log in, or set GOOGLE_APPLICATION_CREDENTIALS to a credential file.")
                .command("eectl auth login")
        }
        ErrorKind::UnconfirmedRejection => Remedy::of_unconfirmed_rejection(),
        ErrorKind::ClockSkew => Remedy::new("Synchronize this machine's clock with network time.")
            .command("timedatectl set-ntp true"),
        ErrorKind::InsufficientScopes => {
            Remedy::new("Log in again with the scopes earthengine and cloud-platform.")
        }
        kind if kind.is_credential_error() => {
            Remedy::new("Log in again, or use another credential.")
        }
        ErrorKind::Network | ErrorKind::Timeout => Remedy::new(
            "Check the network connection, the proxy (HTTPS_PROXY, NO_PROXY) and the firewall, then try again.",
        ),
        ErrorKind::Io => {
            Remedy::new("Try again. If it fails again, close files, or check the file system.")
        }
        ErrorKind::Usage => {
            Remedy::new("Fix the option or the environment variable that the message names.")
        }
        _ => Remedy::new("Try again in a moment."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converted_error_has_a_remedy() {
        use ee_credentials::ErrorKind as Found;
        use ee_token::ErrorKind as Token;
        for kind in [
            Token::InvalidKey,
            Token::InvalidCredential,
            Token::Rejected,
            Token::UnconfirmedRejection,
            Token::ReauthenticationRequired,
            Token::ClockSkew,
            Token::InvalidScope,
            Token::Expired,
            Token::InvalidResponse,
            Token::Server,
            Token::Network,
            Token::Timeout,
            Token::Io,
            Token::DisallowedUrl,
            Token::UntrustedEmulator,
            Token::Runtime,
        ] {
            let error = Error::from(ee_token::Error::new(kind, "failed"));
            assert!(error.remedy().is_some(), "{kind:?}");
        }
        for kind in [
            Found::NoCredentials,
            Found::InvalidFile,
            Found::InvalidEnvironment,
            Found::Io,
        ] {
            let error = Error::from(ee_credentials::Error::new(kind, "failed"));
            assert!(error.remedy().is_some(), "{kind:?}");
        }
    }

    #[test]
    fn request_error_keeps_its_details() {
        let denied =
            ee_rest::internal::not_registered("my-project").with_principal("jane@example.com");
        let error = Error::from(denied.clone());
        assert_eq!(error.kind(), ErrorKind::NotRegistered);
        assert_eq!(error.to_string(), denied.to_string());
        assert_eq!(error.remedy(), denied.remedy());
        assert_eq!(error.project(), Some("my-project"));
        assert_eq!(error.principal(), Some("jane@example.com"));
        let context = error.context("cannot start");
        assert_eq!(context.project(), Some("my-project"));
        assert_eq!(context.kind(), ErrorKind::NotRegistered);
    }
}
