//! Refusals by name, for whoever sets up an emulator or wants to read one.

use crate::refusals::{self, EARTH_ENGINE};
use crate::reply::Reply;

/// A refusal, to be chosen for a project with [`Project::refuse`](crate::Project::refuse), or
/// to be read with [`body`](Refusal::body) by a test that needs no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// 403 `USER_PROJECT_DENIED`: the caller may not use the project.
    UserProjectDenied,
    /// 403 `SERVICE_DISABLED`: the Earth Engine API is not enabled in the project.
    ServiceDisabled,
    /// 403 without a reason: "Not signed up for Earth Engine or project is not registered."
    NotSignedUp,
    /// 403 without a reason: the project is not registered; with the older registration page.
    NotRegistered,
    /// 403 without a reason: the project is not registered; with the Cloud console's page.
    NotRegisteredConsole,
    /// 403 `CONSUMER_SUSPENDED`.
    ConsumerSuspended,
    /// 403, the text of a suspension without a reason.
    SuspendedWithoutReason,
    /// 403 without a reason: "Project '…' not found or deleted."
    NotFoundOrDeleted,
    /// 404 without a reason: the same text.
    ProjectNotFound,
    /// 403 `CONSUMER_INVALID`: the project does not exist, or the caller may not see it.
    ConsumerInvalid,
    /// 403 with the plain text `Forbidden`.
    Forbidden,
    /// 403 with a page of HTML.
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
    /// 401 `ACCESS_TOKEN_TYPE_UNSUPPORTED`: the bearer is nothing that Google issues.
    TokenTypeUnsupported,
    /// 400 `API_KEY_INVALID`.
    ApiKeyInvalid,
    /// 429 without a reason: "Too many concurrent aggregations."
    TooManyConcurrentAggregations,
    /// 429 `RATE_LIMIT_EXCEEDED`: the request rate or concurrency limit.
    RateLimitExceeded,
    /// 429 `RATE_LIMIT_EXCEEDED`: a quota metric per minute.
    QuotaPerMinuteExceeded,
    /// 429 `RATE_LIMIT_EXCEEDED`: the day's compute budget, which no retry helps.
    DailyQuotaExceeded,
    /// 400 without a reason: "User memory limit exceeded."
    UserMemoryLimitExceeded,
    /// 500 without a reason.
    Internal,
    /// 503 without a reason.
    Unavailable,
}

impl Refusal {
    /// All of them.
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

    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        self.reply("project").status.as_u16()
    }

    /// The body of the answer, about this project.
    ///
    /// ```
    /// let body = ee_emulator::Refusal::ServiceDisabled.body("my-project");
    /// assert!(body.contains("has not been used in project my-project before"));
    /// ```
    pub fn body(self, project: &str) -> String {
        String::from_utf8_lossy(&self.reply(project).body).into_owned()
    }

    pub(crate) fn reply(self, project: &str) -> Reply {
        match self {
            Self::UserProjectDenied => refusals::user_project_denied(EARTH_ENGINE, project),
            Self::ServiceDisabled => refusals::service_disabled(project),
            Self::NotSignedUp => refusals::not_signed_up(),
            Self::NotRegistered => refusals::not_registered(project),
            Self::NotRegisteredConsole => refusals::not_registered_console(project),
            Self::ConsumerSuspended => refusals::consumer_suspended(EARTH_ENGINE, project),
            Self::SuspendedWithoutReason => refusals::suspended_without_reason(project),
            Self::NotFoundOrDeleted => refusals::not_found_or_deleted(project),
            Self::ProjectNotFound => refusals::project_not_found(project),
            Self::ConsumerInvalid => refusals::consumer_invalid(EARTH_ENGINE, project),
            Self::Forbidden => refusals::forbidden(),
            Self::ForbiddenHtml => refusals::forbidden_html(),
            Self::ScopeInsufficient => refusals::scope_insufficient(EARTH_ENGINE, "", &[]),
            Self::IamPermissionDenied => {
                refusals::iam_permission_denied(project, "earthengine.computations.create")
            }
            Self::LocalDefaultCredentials => refusals::local_default_credentials(EARTH_ENGINE),
            Self::AccessTokenExpired => refusals::access_token_expired(EARTH_ENGINE, ""),
            Self::CredentialsMissing => refusals::credentials_missing(EARTH_ENGINE, ""),
            Self::TokenTypeUnsupported => refusals::token_type_unsupported(EARTH_ENGINE, ""),
            Self::ApiKeyInvalid => refusals::api_key_invalid(EARTH_ENGINE),
            Self::TooManyConcurrentAggregations => refusals::too_many_concurrent_aggregations(),
            Self::RateLimitExceeded => refusals::rate_limit_exceeded(project),
            Self::QuotaPerMinuteExceeded => refusals::quota_per_minute_exceeded(project),
            Self::DailyQuotaExceeded => refusals::daily_quota_exceeded(project),
            Self::UserMemoryLimitExceeded => refusals::user_memory_limit_exceeded(),
            Self::Internal => refusals::internal(),
            Self::Unavailable => refusals::unavailable(),
        }
    }
}
