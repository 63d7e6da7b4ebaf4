//! The crate's error type.

use ee_credentials::SearchStep;
use ee_rest::ApiError;
use ee_token::internal::{ErrorExtra, error_type};

use crate::{Project, ProjectSource};

error_type! {
    /// Why there is no verified client, or why a request failed.
    ///
    /// The [remedy](Error::remedy) says how to fix the problem. If a server responded with an
    /// error, its [message](Error::server_message) is kept.
    Error, ErrorKind, RequestedFrom
}

/// Where the requested project came from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestedFrom(Option<ProjectSource>);

impl ErrorExtra for RequestedFrom {}

impl Error {
    /// Returns the ID or number of the project concerned, if known. It is not always the one that
    /// was requested.
    pub fn project(&self) -> Option<&str> {
        self.0.details().project.as_deref()
    }

    /// Returns where the project that was requested came from, if one was selected.
    pub fn project_source(&self) -> Option<ProjectSource> {
        self.0.extra().0
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

    /// Sets the project that was requested, unless the error names another one, and its source.
    pub(crate) fn for_project(mut self, project: &Project) -> Self {
        // A server may name the same project by its number.
        let is_number = |id: &str| id.bytes().all(|b| b.is_ascii_digit());
        let is_other = |id: &str| id != project.id && !is_number(id);
        if self.project().is_some_and(is_other) {
            return self;
        }
        *self.0.extra_mut() = RequestedFrom(Some(project.source));
        match self.project() {
            Some(_) => self,
            None => self.with_project(&project.id),
        }
    }

    /// Sets the server's error response as the source.
    pub(crate) fn with_api(mut self, api: ApiError) -> Self {
        self.0.details_mut().server_message = Some(api.message.clone());
        self.with_source(api)
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
        Self::new(error.kind().into(), error.to_string()).with_cause(error)
    }
}

impl From<ee_credentials::Error> for Error {
    fn from(error: ee_credentials::Error) -> Self {
        Self::new(error.kind().into(), error.to_string()).with_cause(error)
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
    /// A response that is not from Earth Engine: a proxy blocked the request, the network requires a
    /// login, or Google does not serve this network or region.
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

    /// Returns the remedy of errors for which there is no more specific one.
    pub fn default_remedy(self) -> &'static str {
        use ee_rest::ErrorKind as Request;
        use ee_token::ErrorKind as Token;
        match self {
            Self::NoCredentials => ee_credentials::ErrorKind::NoCredentials.default_remedy(),
            Self::InvalidCredentials => Token::InvalidCredential.default_remedy(),
            Self::CredentialsRejected => Request::CredentialsRejected.default_remedy(),
            Self::UnconfirmedRejection => Token::UnconfirmedRejection.default_remedy(),
            Self::ReauthenticationRequired => Token::ReauthenticationRequired.default_remedy(),
            Self::ClockSkew => Token::ClockSkew.default_remedy(),
            Self::InsufficientScopes => Token::InvalidScope.default_remedy(),
            Self::NoProject | Self::InvalidProject => Request::InvalidProject.default_remedy(),
            Self::SdkProject => {
                "Use a Cloud project of your own, for example with --project or EARTHENGINE_PROJECT."
            }
            Self::ProjectDenied => Request::ProjectDenied.default_remedy(),
            Self::ProjectSuspended => Request::ProjectSuspended.default_remedy(),
            Self::ProjectNotFound => Request::ProjectNotFound.default_remedy(),
            Self::ApiDisabled => Request::ApiDisabled.default_remedy(),
            Self::NotRegistered => Request::NotRegistered.default_remedy(),
            Self::PermissionDenied => Request::PermissionDenied.default_remedy(),
            Self::QuotaExceeded => Request::QuotaExceeded.default_remedy(),
            Self::DailyQuotaExceeded => Request::DailyQuotaExceeded.default_remedy(),
            Self::MemoryLimitExceeded => Request::MemoryLimitExceeded.default_remedy(),
            Self::NotFound => Request::NotFound.default_remedy(),
            Self::InvalidArgument => Request::InvalidArgument.default_remedy(),
            Self::ServerError => Token::Server.default_remedy(),
            Self::Network | Self::Timeout => Token::Network.default_remedy(),
            Self::NetworkBlocked => Request::NetworkBlocked.default_remedy(),
            Self::Io => Token::Io.default_remedy(),
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
            Request::Runtime | Request::UntrustedEmulator | Request::InvalidEnvironment => {
                Self::Usage
            }
            _ => Self::ServerError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of every crate, as an error that was created with nothing but a message.
    #[test]
    fn bare_error_of_every_kind_has_a_remedy_in_every_crate() {
        let of_tokens = ee_token::ErrorKind::ALL.iter();
        let tokens = of_tokens.map(|kind| ee_token::Error::new(*kind, "failed"));
        let requests = ee_rest::ErrorKind::ALL.iter();
        let requests = requests.map(|kind| ee_rest::Error::new(*kind, "failed"));
        let found = ee_credentials::ErrorKind::ALL.iter();
        let found = found.map(|kind| ee_credentials::Error::new(*kind, "failed"));
        let token_kinds = ee_token::ErrorKind::ALL.iter().copied();
        let mut errors: Vec<Error> = ErrorKind::ALL
            .iter()
            .map(|kind| Error::new(*kind, "failed"))
            .chain(tokens.map(Error::from))
            .chain(requests.map(Error::from))
            .chain(found.map(Error::from))
            .collect();
        errors.extend(token_kinds.flat_map(|kind| {
            [
                ee_credentials::Error::new(ee_credentials::ErrorKind::Token(kind), "failed").into(),
                Error::from(ee_rest::Error::new(
                    ee_rest::ErrorKind::Token(kind),
                    "failed",
                )),
            ]
        }));
        for error in errors {
            let remedy = &error.remedy().text;
            assert!(remedy.ends_with('.') && remedy.len() > 10, "{error:#?}");
        }
    }

    #[test]
    fn request_error_keeps_its_details() {
        let denied = ee_rest::internal::not_registered("my-project", None)
            .with_principal("jane@example.com");
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
