//! Each refusal as the servers word it: the body goes in; the kind, what to do, the page and the
//! command come out.

use std::collections::HashSet;

use ee_emulator::GoogleError;
use http::StatusCode;

use super::*;

const PROJECT: &str = "asked-for";
/// The one that the server complains of, where it names one.
const AT_FAULT: &str = "at-fault";
const WHO: &str = "robot@asked-for.iam.gserviceaccount.com";

const IAM: &str = "https://console.cloud.google.com/iam-admin/iam?project=at-fault";
const REGISTER: &str = "https://console.cloud.google.com/earth-engine/configuration?project=";
const QUOTAS: &str =
    "https://console.cloud.google.com/apis/api/earthengine.googleapis.com/quotas?project=";

fn context() -> ErrorContext {
    ErrorContext {
        project: Some(PROJECT.into()),
        principal: Some(WHO.into()),
    }
}

fn refused(status: u16, body: &str) -> ee_rest::Error {
    let status = StatusCode::from_u16(status).unwrap();
    let api = ApiError::from_response(status, body.as_bytes());
    ee_rest::Error::new(ee_rest::ErrorKind::Api, "GET config was refused").with_source(api)
}

fn explained(refusal: GoogleError, project: &str) -> Error {
    explain(
        refused(refusal.status(), &refusal.body(project)),
        &context(),
    )
}

/// The kind, words of the sentence and of the remedy, the page, and whether it passes by itself.
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
        (GoogleError::Forbidden, Kind::NetworkBlocked, "a proxy, or Google itself", "HTTPS_PROXY", None),
        (GoogleError::ForbiddenHtml, Kind::NetworkBlocked, "Google refuses this network or region", "another network", None),
        (GoogleError::ScopeInsufficient, Kind::InsufficientScopes, "lacks a scope", "both scopes", None),
        (GoogleError::IamPermissionDenied, Kind::PermissionDenied, "lacks the permission earthengine.computations.create", "two roles", page(IAM)),
        (GoogleError::LocalDefaultCredentials, Kind::NoProject, "without a Cloud project", "make and register one", page(start)),
        (GoogleError::AccessTokenExpired, Kind::CredentialsRejected, "did not take the token", "Log in again", None),
        (GoogleError::CredentialsMissing, Kind::CredentialsRejected, "did not take the token", "Log in again", None),
        (GoogleError::TokenTypeUnsupported, Kind::CredentialsRejected, "did not take the token", "Log in again", None),
        (GoogleError::ApiKeyInvalid, Kind::CredentialsRejected, "API key not valid", "restricted to", page(keys)),
        (GoogleError::TooManyConcurrentAggregations, Kind::QuotaExceeded, "Too many concurrent", "passes by itself", at(QUOTAS, PROJECT)),
        (GoogleError::RateLimitExceeded, Kind::QuotaExceeded, "rate or concurrency limit", "passes by itself", at(QUOTAS, AT_FAULT)),
        (GoogleError::QuotaPerMinuteExceeded, Kind::QuotaExceeded, "per minute", "passes by itself", at(QUOTAS, AT_FAULT)),
        (GoogleError::DailyQuotaExceeded, Kind::DailyQuotaExceeded, "Quota exceeded", "tomorrow", at(QUOTAS, AT_FAULT)),
        (GoogleError::UserMemoryLimitExceeded, Kind::MemoryLimitExceeded, "memory limit", "tileScale", page(memory)),
        (GoogleError::Internal, Kind::ServerError, "refused the request", "in a moment", page(status)),
        (GoogleError::Unavailable, Kind::ServerError, "refused the request", "in a moment", page(status)),
    ];
    meanings
}

#[test]
fn every_refusal_has_its_kind_its_remedy_and_the_page_of_the_project_at_fault() {
    for (refusal, kind, message, remedy, url) in meanings() {
        let error = explained(refusal, AT_FAULT);
        assert_eq!(error.kind(), kind, "{refusal:?}");
        let text = error.to_string();
        assert!(text.contains(message), "{refusal:?}: {text}");
        let said = error.remedy().unwrap();
        assert!(said.text.contains(remedy), "{refusal:?}: {said}");
        assert_eq!(said.url, url, "{refusal:?}");
        assert_eq!(error.principal(), Some(WHO), "{refusal:?}");
    }
}

#[test]
fn an_api_key_that_is_restricted_is_refused_and_lacks_no_role() {
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
        let error = explain(refused(status, &body.to_string()), &context());
        assert_eq!(error.kind(), ErrorKind::CredentialsRejected, "{reason}");
        let remedy = error.remedy().unwrap();
        assert!(remedy.text.contains("restricted to"), "{remedy}");
        let page = remedy.url.as_deref().unwrap();
        assert!(
            page.ends_with("apis/credentials?project=at-fault"),
            "{page}"
        );
    }
}

#[test]
fn no_refusal_is_left_out() {
    let known: HashSet<_> = meanings().iter().map(|meaning| meaning.0).collect();
    for refusal in GoogleError::ALL {
        assert!(known.contains(refusal), "{refusal:?}");
    }
}

#[test]
fn the_servers_own_sentence_is_always_kept() {
    for refusal in GoogleError::ALL {
        let status = StatusCode::from_u16(refusal.status()).unwrap();
        let said = ApiError::from_response(status, refusal.body(AT_FAULT).as_bytes()).message;
        let error = explained(*refusal, AT_FAULT);
        assert_eq!(error.server_message(), Some(said.as_str()), "{refusal:?}");
    }
}

#[test]
fn what_passes_by_itself_is_told_from_what_does_not() {
    for (refusal, transient, may_resolve_after_propagation) in [
        (GoogleError::RateLimitExceeded, true, false),
        (GoogleError::Unavailable, true, false),
        (GoogleError::DailyQuotaExceeded, false, false),
        (GoogleError::UserMemoryLimitExceeded, false, false),
        (GoogleError::ForbiddenHtml, false, false),
        (GoogleError::ServiceDisabled, false, true),
        (GoogleError::UserProjectDenied, false, true),
        (GoogleError::IamPermissionDenied, false, true),
        (GoogleError::NotRegistered, false, true),
        (GoogleError::ConsumerSuspended, false, false),
        (GoogleError::ProjectNotFound, false, false),
    ] {
        let error = explained(refusal, AT_FAULT);
        assert_eq!(error.is_transient(), transient, "{refusal:?}");
        assert_eq!(
            error.kind().may_resolve_after_propagation(),
            may_resolve_after_propagation,
            "{refusal:?}"
        );
    }
}

#[test]
fn a_project_that_nobody_chose_means_that_none_was_chosen() {
    for project in ["earthengine-legacy", "517222506229", "764086051850"] {
        for refusal in [
            GoogleError::UserProjectDenied,
            GoogleError::ServiceDisabled,
            GoogleError::NotRegistered,
        ] {
            let error = explained(refusal, project);
            assert_eq!(error.kind(), ErrorKind::NoProject, "{refusal:?} {project}");
            let remedy = error.remedy().unwrap();
            assert!(remedy.text.contains("make and register one"), "{remedy}");
            assert!(remedy.text.contains("eectl project list"), "{remedy}");
        }
    }
}

/// A refusal about `consumer`, with a sentence that names no project.
fn about(consumer: &str) -> ee_rest::Error {
    let body = serde_json::json!({"error": {"code": 403, "message": "No.", "details": [{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "USER_PROJECT_DENIED", "metadata": {"consumer": consumer}}]}});
    refused(403, &body.to_string())
}

#[test]
fn a_number_is_as_good_a_project_at_fault_as_an_id() {
    let error = explain(about("projects/123456789012"), &context());
    let remedy = error.remedy().unwrap();
    assert!(remedy.url.as_ref().unwrap().ends_with("=123456789012"));
    assert!(remedy.command.as_ref().unwrap().contains(" 123456789012 "));
}

#[test]
fn nothing_that_a_shell_would_run_gets_into_a_command() {
    for hostile in ["x; rm -rf ~", "$(id)", "`id`", "a\nb", "my-project&x=y"] {
        let error = explain(about(&format!("projects/{hostile}")), &context());
        let remedy = error.remedy().unwrap();
        assert!(!remedy.to_string().contains(hostile), "{remedy}");
        assert!(remedy.command.as_ref().unwrap().contains(" asked-for "));

        let principal = format!("{hostile}@example.com");
        let context = ErrorContext {
            principal: Some(principal.clone()),
            ..context()
        };
        let error = explain(about("projects/at-fault"), &context);
        let command = error.remedy().unwrap().command.clone().unwrap();
        assert!(command.contains("--member=user:EMAIL "), "{command}");
    }
}

#[test]
fn each_sort_of_account_is_named_as_gcloud_wants_it() {
    for (principal, expected) in [
        (WHO, format!("serviceAccount:{WHO}")),
        ("jane@example.com", "user:jane@example.com".into()),
        (
            "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s",
            "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s".into(),
        ),
        ("somebody", "user:EMAIL".into()),
    ] {
        let context = ErrorContext {
            principal: Some(principal.into()),
            ..context()
        };
        assert_eq!(member(&context), expected);
    }
    assert_eq!(member(&ErrorContext::default()), "user:EMAIL");
}
