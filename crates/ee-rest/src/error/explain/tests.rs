//! Error responses as the servers send them: the kind, message, remedy, URL and command of each.

use std::collections::HashSet;

use ee_emulator::GoogleError;
use http::StatusCode;

use super::*;

const PROJECT: &str = "asked-for";
/// The project that the server names, if it names one.
const AT_FAULT: &str = "at-fault";
const WHO: &str = "robot@asked-for.iam.gserviceaccount.com";

const IAM: &str = "https://console.cloud.google.com/iam-admin/iam?project=at-fault";
const REGISTER: &str = "https://console.cloud.google.com/earth-engine/configuration?project=";
const QUOTAS: &str =
    "https://console.cloud.google.com/apis/api/earthengine.googleapis.com/quotas?project=";

const CALLER: Caller<'_> = Caller {
    project: Some(PROJECT),
    origin: None,
    principal: Some(WHO),
};

fn explained_as(status: u16, body: &str, caller: Caller<'_>) -> Error {
    let status = StatusCode::from_u16(status).unwrap();
    explain(
        &"GET config",
        ApiError::from_response(status, body.as_bytes()),
        caller,
    )
}

fn explained(error: GoogleError, project: &str) -> Error {
    explained_as(error.status(), &error.body(project), CALLER)
}

/// The kind, excerpts of the message and the remedy, and the URL.
type Meaning = (
    GoogleError,
    ErrorKind,
    &'static str,
    &'static str,
    Option<String>,
);

fn meanings() -> Vec<Meaning> {
    use ErrorKind as Kind;
    let at = |page: &str, project: &str| Some(format!("{page}{project}"));
    let library =
        "https://console.cloud.google.com/apis/library/earthengine.googleapis.com?project=at-fault";
    let dashboard = "https://console.cloud.google.com/home/dashboard?project=at-fault";
    let list = "https://console.cloud.google.com/cloud-resource-manager";
    let keys = "https://console.cloud.google.com/apis/credentials?project=asked-for";
    let start = "https://console.cloud.google.com/earth-engine";
    let memory = "https://developers.google.com/earth-engine/guides/debugging";
    let status = "https://status.cloud.google.com/";
    let page = |url: &str| Some(url.to_owned());
    #[rustfmt::skip]
    let meanings = vec![
        (GoogleError::UserProjectDenied, Kind::ProjectDenied, "may not use project at-fault", "a few minutes", page(IAM)),
        (GoogleError::ServiceDisabled, Kind::ApiDisabled, "not enabled in project at-fault", "a few minutes", page(library)),
        (GoogleError::NotSignedUp, Kind::NotRegistered, "project asked-for is not registered", "a few minutes", at(REGISTER, PROJECT)),
        (GoogleError::NotRegistered, Kind::NotRegistered, "project at-fault is not registered", "a few minutes", at(REGISTER, AT_FAULT)),
        (GoogleError::NotRegisteredConsole, Kind::NotRegistered, "project at-fault is not registered", "a few minutes", at(REGISTER, AT_FAULT)),
        (GoogleError::ConsumerSuspended, Kind::ProjectSuspended, "project at-fault is suspended", "appeal", page(dashboard)),
        (GoogleError::SuspendedWithoutReason, Kind::ProjectSuspended, "project at-fault is suspended", "appeal", page(dashboard)),
        (GoogleError::NotFoundOrDeleted, Kind::ProjectNotFound, "project at-fault does not exist", "spelling", page(list)),
        (GoogleError::ProjectNotFound, Kind::ProjectNotFound, "project at-fault does not exist", "spelling", page(list)),
        (GoogleError::ConsumerInvalid, Kind::ProjectNotFound, "project at-fault does not exist", "spelling", page(list)),
        (GoogleError::Forbidden, Kind::NetworkBlocked, "by a proxy, or by Google", "HTTPS_PROXY", None),
        (GoogleError::ForbiddenHtml, Kind::NetworkBlocked, "Google blocks this network or region", "another network", None),
        (GoogleError::ScopeInsufficient, Kind::InsufficientScopes, "lacks a scope", "both scopes", None),
        (GoogleError::IamPermissionDenied, Kind::PermissionDenied, "lacks the permission earthengine.computations.create", "two roles", page(IAM)),
        (GoogleError::LocalDefaultCredentials, Kind::NoProject, "without a Cloud project", "create and register one", page(start)),
        (GoogleError::AccessTokenExpired, Kind::CredentialsRejected, "rejected the credentials", "Log in again", None),
        (GoogleError::CredentialsMissing, Kind::CredentialsRejected, "rejected the credentials", "Log in again", None),
        (GoogleError::TokenTypeUnsupported, Kind::CredentialsRejected, "rejected the credentials", "Log in again", None),
        (GoogleError::ApiKeyInvalid, Kind::CredentialsRejected, "API key not valid", "restrictions", page(keys)),
        (GoogleError::TooManyConcurrentAggregations, Kind::QuotaExceeded, "Too many concurrent", "temporary", at(QUOTAS, PROJECT)),
        (GoogleError::RateLimitExceeded, Kind::QuotaExceeded, "rate or concurrency limit", "temporary", at(QUOTAS, AT_FAULT)),
        (GoogleError::QuotaPerMinuteExceeded, Kind::QuotaExceeded, "per minute", "temporary", at(QUOTAS, AT_FAULT)),
        (GoogleError::DailyQuotaExceeded, Kind::DailyQuotaExceeded, "Quota exceeded", "midnight", at(QUOTAS, AT_FAULT)),
        (GoogleError::UserMemoryLimitExceeded, Kind::MemoryLimitExceeded, "memory limit", "tileScale", page(memory)),
        (GoogleError::Internal, Kind::ServerError, "GET config failed: 50", "in a moment", page(status)),
        (GoogleError::Unavailable, Kind::ServerError, "GET config failed: 50", "in a moment", page(status)),
    ];
    meanings
}

#[test]
fn every_error_response_has_its_kind_remedy_and_url() {
    for (refusal, kind, message, remedy, url) in meanings() {
        let error = explained(refusal, AT_FAULT);
        assert_eq!(error.kind(), kind, "{refusal:?}");
        let text = error.to_string();
        assert!(text.contains(message), "{refusal:?}: {text}");
        let said = error.remedy();
        assert!(said.text.contains(remedy), "{refusal:?}: {said}");
        assert_eq!(said.url, url, "{refusal:?}");
        assert_eq!(error.principal(), Some(WHO), "{refusal:?}");
        assert!(
            matches!(error.project(), Some(PROJECT | AT_FAULT)),
            "{refusal:?}"
        );
    }
}

#[test]
fn restricted_api_key_is_a_credential_error() {
    for (status, reason) in [
        (400, "API_KEY_INVALID"),
        (403, "API_KEY_SERVICE_BLOCKED"),
        (403, "API_KEY_HTTP_REFERRER_BLOCKED"),
        (403, "API_KEY_IP_ADDRESS_BLOCKED"),
        (403, "API_KEY_ANDROID_APP_BLOCKED"),
        (403, "API_KEY_IOS_APP_BLOCKED"),
    ] {
        let body = serde_json::json!({"error": {"code": status, "message": "No.",
            "status": "PERMISSION_DENIED", "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
                "domain": "googleapis.com", "metadata": {"consumer": "projects/at-fault"}}]}});
        let error = explained_as(status, &body.to_string(), CALLER);
        assert_eq!(error.kind(), ErrorKind::CredentialsRejected, "{reason}");
        let remedy = error.remedy();
        assert!(remedy.text.contains("restrictions"), "{remedy}");
        let page = remedy.url.as_deref().unwrap();
        assert!(
            page.ends_with("apis/credentials?project=at-fault"),
            "{page}"
        );
    }
}

#[test]
fn known_cause_is_not_read_from_quotations_and_pages() {
    use ErrorKind as Kind;
    let json = |code: u16, status: &str, message: &str, reason: &str| {
        let details = serde_json::json!([{"@type": "x/google.rpc.ErrorInfo", "reason": reason}]);
        let error = serde_json::json!({"code": code, "status": status, "message": message, "details": details});
        serde_json::json!({ "error": error }).to_string()
    };
    for (status, body, kind, advice) in [
        (
            403,
            json(403, "PERMISSION_DENIED", "No.", "SECURITY_POLICY_VIOLATED"),
            Kind::PermissionDenied,
            "perimeter",
        ),
        (
            403,
            json(403, "PERMISSION_DENIED", "Enable billing.", "NEW"),
            Kind::PermissionDenied,
            "billing account",
        ),
        (
            400,
            json(400, "FAILED_PRECONDITION", "Enable billing.", ""),
            Kind::PermissionDenied,
            "billing account",
        ),
        (
            401,
            json(401, "UNAUTHENTICATED", "No.", "ACCOUNT_STATE_INVALID"),
            Kind::CredentialsRejected,
            "disabled",
        ),
        (
            401,
            json(401, "UNAUTHENTICATED", "No.", "NEW"),
            Kind::CredentialsRejected,
            "not known",
        ),
        (
            403,
            json(403, "PERMISSION_DENIED", "No.", "NEW"),
            Kind::PermissionDenied,
            "not known",
        ),
        (
            403,
            json(
                403,
                "PERMISSION_DENIED",
                "The caller does not have permission",
                "",
            ),
            Kind::PermissionDenied,
            "two roles",
        ),
        // Quotations of the request, and pages of proxies.
        (
            400,
            json(400, "INVALID_ARGUMENT", "No band 'billing account'.", ""),
            Kind::InvalidArgument,
            "Change the request",
        ),
        (
            403,
            "<title>Blocked by your administrator</title>".into(),
            Kind::NetworkBlocked,
            "HTTPS_PROXY",
        ),
        (
            429,
            json(
                429,
                "RESOURCE_EXHAUSTED",
                "Quota of the billing account.",
                "",
            ),
            Kind::QuotaExceeded,
            "temporary",
        ),
        (
            407,
            "<title>Proxy</title>".into(),
            Kind::NetworkBlocked,
            "HTTPS_PROXY",
        ),
        (
            511,
            "<title>Hotel</title>".into(),
            Kind::NetworkBlocked,
            "browser",
        ),
    ] {
        let error = explained_as(status, &body, CALLER);
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert!(
            error.remedy().text.contains(advice),
            "{body}: {}",
            error.remedy()
        );
    }
}

#[test]
fn origin_of_the_project_is_part_of_the_message() {
    let from = |name, is_typed| Caller {
        origin: Some(ProjectOrigin { name, is_typed }),
        ..CALLER
    };
    let denied = |project: &str, caller| {
        let error = GoogleError::UserProjectDenied;
        explained_as(error.status(), &error.body(project), caller)
    };
    for (project, caller, message, mentions_spelling) in [
        (PROJECT, CALLER, "project asked-for", true),
        (
            PROJECT,
            from("--project", true),
            "project asked-for (from --project)",
            true,
        ),
        (
            PROJECT,
            from("THE_VARIABLE", false),
            "project asked-for (from THE_VARIABLE)",
            false,
        ),
        (
            AT_FAULT,
            from("THE_VARIABLE", false),
            "project at-fault (requested: asked-for, from THE_VARIABLE)",
            false,
        ),
    ] {
        let error = denied(project, caller);
        assert!(error.to_string().ends_with(message), "{error}");
        assert_eq!(
            error.remedy().text.contains("spelling"),
            mentions_spelling,
            "{message}"
        );
    }
}

#[test]
fn every_emulated_error_is_covered() {
    let known: HashSet<_> = meanings().iter().map(|meaning| meaning.0).collect();
    for refusal in GoogleError::ALL {
        assert!(known.contains(refusal), "{refusal:?}");
    }
}

#[test]
fn server_message_is_always_kept() {
    for refusal in GoogleError::ALL {
        let status = StatusCode::from_u16(refusal.status()).unwrap();
        let said = ApiError::from_response(status, refusal.body(AT_FAULT).as_bytes()).message;
        let error = explained(*refusal, AT_FAULT);
        assert_eq!(error.server_message(), Some(said.as_str()), "{refusal:?}");
    }
}

#[test]
fn only_temporary_errors_are_transient() {
    for (refusal, transient) in [
        (GoogleError::RateLimitExceeded, true),
        (GoogleError::Unavailable, true),
        (GoogleError::DailyQuotaExceeded, false),
        (GoogleError::UserMemoryLimitExceeded, false),
        (GoogleError::ForbiddenHtml, false),
        (GoogleError::ServiceDisabled, false),
        (GoogleError::ProjectNotFound, false),
    ] {
        let error = explained(refusal, AT_FAULT);
        assert_eq!(error.is_transient(), transient, "{refusal:?}");
        let api = error.api().unwrap();
        assert_eq!(api.is_transient(), transient, "{refusal:?}");
    }
}

#[test]
fn unexpected_status_is_an_invalid_response() {
    for status in [302, 501, 505] {
        let error = explained_as(status, "{}", CALLER);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{status}");
        assert!(
            !error.remedy().text.is_empty() && !error.is_transient(),
            "{status}"
        );
    }
}

#[test]
fn unchosen_project_means_no_project() {
    for project in ["earthengine-legacy", "517222506229", "764086051850"] {
        for refusal in [
            GoogleError::UserProjectDenied,
            GoogleError::ServiceDisabled,
            GoogleError::NotRegistered,
        ] {
            let error = explained(refusal, project);
            assert_eq!(error.kind(), ErrorKind::NoProject, "{refusal:?} {project}");
            let remedy = error.remedy();
            assert!(remedy.text.contains("create and register one"), "{remedy}");
            assert!(remedy.text.contains("eectl project list"), "{remedy}");
        }
    }
}

/// An error about `consumer`, whose message names no project.
fn about(consumer: &str, caller: Caller<'_>) -> Error {
    let body = serde_json::json!({"error": {"code": 403, "message": "No.", "details": [{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "USER_PROJECT_DENIED", "metadata": {"consumer": consumer}}]}});
    explained_as(403, &body.to_string(), caller)
}

#[test]
fn project_at_fault_may_be_a_number() {
    let error = about("projects/123456789012", CALLER);
    let remedy = error.remedy();
    assert!(remedy.url.as_ref().unwrap().ends_with("=123456789012"));
    assert!(remedy.command.as_ref().unwrap().contains(" 123456789012 "));
}

#[test]
fn shell_syntax_does_not_get_into_a_command() {
    for hostile in ["x; rm -rf ~", "$(id)", "`id`", "a\nb", "my-project&x=y"] {
        let error = about(&format!("projects/{hostile}"), CALLER);
        let remedy = error.remedy();
        assert!(!remedy.to_string().contains(hostile), "{remedy}");
        assert!(remedy.command.as_ref().unwrap().contains(" asked-for "));

        let principal = format!("{hostile}@example.com");
        let caller = Caller {
            principal: Some(&principal),
            ..CALLER
        };
        let error = about("projects/at-fault", caller);
        let command = error.remedy().command.clone().unwrap();
        assert!(command.contains("--member=user:EMAIL "), "{command}");
    }
}

#[test]
fn principal_is_written_as_gcloud_expects() {
    for (principal, expected) in [
        (WHO, format!("serviceAccount:{WHO}")),
        ("jane@example.com", "user:jane@example.com".into()),
        (
            "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s",
            "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s".into(),
        ),
        ("unknown", "user:EMAIL".into()),
    ] {
        let caller = Caller {
            principal: Some(principal),
            ..CALLER
        };
        assert_eq!(caller.member(), expected);
    }
    assert_eq!(Caller::default().member(), "user:EMAIL");
}
