//! The error responses of Google's APIs, by name.

use crate::error_responses::{self, EARTH_ENGINE};
use crate::response::Response;

/// An error response of Google's APIs.
///
/// [`Project::fail_with`](crate::Project::fail_with) makes a project respond with it. Tests that
/// need no server can read it with [`body`](GoogleError::body).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GoogleError {
    /// 403 `USER_PROJECT_DENIED`: the caller may not use the project.
    UserProjectDenied,
    /// 403 `SERVICE_DISABLED`: the Earth Engine API is not enabled in the project.
    ServiceDisabled,
    /// 403 without a reason: "Not signed up for Earth Engine or project is not registered."
    NotSignedUp,
    /// 403 without a reason: the project is not registered. Links to the older registration page.
    NotRegistered,
    /// 403 without a reason: the project is not registered. Links to the Cloud console.
    NotRegisteredConsole,
    /// 403 `CONSUMER_SUSPENDED`.
    ConsumerSuspended,
    /// 403 without a reason: "Consumer '…' has been suspended."
    SuspendedWithoutReason,
    /// 403 without a reason: "Project '…' not found or deleted."
    NotFoundOrDeleted,
    /// 404 without a reason: "Project '…' not found or deleted."
    ProjectNotFound,
    /// 403 `CONSUMER_INVALID`: the project does not exist, or the caller may not see it.
    ConsumerInvalid,
    /// 403 with the plain text `Forbidden`.
    Forbidden,
    /// 403 with an HTML page.
    ForbiddenHtml,
    /// 403 `ACCESS_TOKEN_SCOPE_INSUFFICIENT`.
    ScopeInsufficient,
    /// 403 `IAM_PERMISSION_DENIED`: a permission on the project is missing.
    IamPermissionDenied,
    /// 403 without a reason: gcloud's credentials without a quota project.
    LocalDefaultCredentials,
    /// 401 `ACCESS_TOKEN_EXPIRED`.
    AccessTokenExpired,
    /// 401 `CREDENTIALS_MISSING`.
    CredentialsMissing,
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`: not a token that Google issues.
    TokenTypeUnsupported,
    /// 400 `API_KEY_INVALID`.
    ApiKeyInvalid,
    /// 429 without a reason: "Too many concurrent aggregations."
    TooManyConcurrentAggregations,
    /// 429 `RATE_LIMIT_EXCEEDED`: the request rate or concurrency limit.
    RateLimitExceeded,
    /// 429 `RATE_LIMIT_EXCEEDED`: a quota metric per minute.
    QuotaPerMinuteExceeded,
    /// 429 `RATE_LIMIT_EXCEEDED`: the daily compute quota, for which a retry is useless.
    DailyQuotaExceeded,
    /// 400 without a reason: "User memory limit exceeded."
    UserMemoryLimitExceeded,
    /// 500 without a reason.
    Internal,
    /// 503 without a reason.
    Unavailable,
}

impl GoogleError {
    /// All error responses.
    pub const ALL: &'static [Self] = &[
        Self::UserProjectDenied,
        Self::ServiceDisabled,
        Self::NotSignedUp,
        Self::NotRegistered,
        Self::NotRegisteredConsole,
        Self::ConsumerSuspended,
        Self::SuspendedWithoutReason,
        Self::NotFoundOrDeleted,
        Self::ProjectNotFound,
        Self::ConsumerInvalid,
        Self::Forbidden,
        Self::ForbiddenHtml,
        Self::ScopeInsufficient,
        Self::IamPermissionDenied,
        Self::LocalDefaultCredentials,
        Self::AccessTokenExpired,
        Self::CredentialsMissing,
        Self::TokenTypeUnsupported,
        Self::ApiKeyInvalid,
        Self::TooManyConcurrentAggregations,
        Self::RateLimitExceeded,
        Self::QuotaPerMinuteExceeded,
        Self::DailyQuotaExceeded,
        Self::UserMemoryLimitExceeded,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Returns the HTTP status.
    pub fn status(self) -> u16 {
        self.response("project").status.as_u16()
    }

    /// Returns the response body for this project.
    ///
    /// ```
    /// let body = ee_emulator::GoogleError::ServiceDisabled.body("my-project");
    /// assert!(body.contains("has not been used in project my-project before"));
    /// ```
    pub fn body(self, project: &str) -> String {
        String::from_utf8_lossy(&self.response(project).body).into_owned()
    }

    pub(crate) fn response(self, project: &str) -> Response {
        match self {
            Self::UserProjectDenied => error_responses::user_project_denied(EARTH_ENGINE, project),
            Self::ServiceDisabled => error_responses::service_disabled(project),
            Self::NotSignedUp => error_responses::not_signed_up(),
            Self::NotRegistered => error_responses::not_registered(project),
            Self::NotRegisteredConsole => error_responses::not_registered_console(project),
            Self::ConsumerSuspended => error_responses::consumer_suspended(EARTH_ENGINE, project),
            Self::SuspendedWithoutReason => error_responses::suspended_without_reason(project),
            Self::NotFoundOrDeleted => error_responses::not_found_or_deleted(project),
            Self::ProjectNotFound => error_responses::project_not_found(project),
            Self::ConsumerInvalid => error_responses::consumer_invalid(EARTH_ENGINE, project),
            Self::Forbidden => error_responses::forbidden(),
            Self::ForbiddenHtml => error_responses::forbidden_html(),
            Self::ScopeInsufficient => error_responses::scope_insufficient(EARTH_ENGINE, "", &[]),
            Self::IamPermissionDenied => {
                error_responses::iam_permission_denied(project, "earthengine.computations.create")
            }
            Self::LocalDefaultCredentials => {
                error_responses::local_default_credentials(EARTH_ENGINE)
            }
            Self::AccessTokenExpired => error_responses::access_token_expired(EARTH_ENGINE, ""),
            Self::CredentialsMissing => error_responses::credentials_missing(EARTH_ENGINE, ""),
            Self::TokenTypeUnsupported => error_responses::token_type_unsupported(EARTH_ENGINE, ""),
            Self::ApiKeyInvalid => error_responses::api_key_invalid(EARTH_ENGINE),
            Self::TooManyConcurrentAggregations => {
                error_responses::too_many_concurrent_aggregations()
            }
            Self::RateLimitExceeded => error_responses::rate_limit_exceeded(project),
            Self::QuotaPerMinuteExceeded => error_responses::quota_per_minute_exceeded(project),
            Self::DailyQuotaExceeded => error_responses::daily_quota_exceeded(project),
            Self::UserMemoryLimitExceeded => error_responses::user_memory_limit_exceeded(),
            Self::Internal => error_responses::internal(),
            Self::Unavailable => error_responses::unavailable(),
        }
    }
}
