//! Error responses of the servers: their codes, exit statuses and URLs.

use ee_emulator::{Fault, GoogleError};
use serde_json::json;

use super::*;

/// A 403 in the format of Google's newer services.
fn refusal(message: &str, reason: &str, violation: &str) -> Value {
    json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": message, "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
         "domain": "googleapis.com", "metadata": {"consumer": "projects/123456789012"}},
        {"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
         "violations": [{"type": violation, "subject": "x", "description": "y"}]},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [
            {"description": "more", "url": "https://support.google.com/earthengine/answer/1"}]},
    ]}})
}

/// Each host that refuses, with the same causes: what the remedy must contain.
#[tokio::test]
async fn known_causes_have_their_own_remedy() {
    let cases = [
        (
            refusal("Request is prohibited.", "SECURITY_POLICY_VIOLATED", ""),
            "perimeter",
        ),
        (refusal("No.", "", "VPC_SERVICE_CONTROLS"), "perimeter"),
        (
            refusal("No. vpcServiceControlsUniqueIdentifier: Xy-7", "", ""),
            "perimeter",
        ),
        (
            refusal("This API method requires billing to be enabled.", "", ""),
            "billing account",
        ),
        (refusal("No.", "BILLING_DISABLED", ""), "billing account"),
        (
            refusal("No.", "ORG_RESTRICTION_VIOLATION", ""),
            "organization policy",
        ),
        (
            refusal("No.", "", "constraints/gcp.restrictServiceUsage"),
            "organization policy",
        ),
        (
            refusal("Blocked by Context-Aware Access.", "", ""),
            "context-aware",
        ),
        (refusal("No.", "USER_BLOCKED_BY_ADMIN", ""), "administrator"),
        (refusal("No.", "ACCOUNT_STATE_INVALID", ""), "restore"),
        (
            refusal("The moon is in the wrong house.", "WRONG_HOUSE", ""),
            "not known",
        ),
    ];
    let host = "earthengine.googleapis.com";
    let machine = Machine::with_key(|b| b).await;
    for (body, advice) in cases {
        let fault = Fault::status(403).json(&body).times(usize::MAX);
        machine.emulator.fault(host, fault);
        let (status, error) = machine.failure(&["init"]).await;
        let remedy = remedy(&error);
        assert!(remedy.contains(advice), "{error}");
        assert!(!remedy.contains("roles/"), "{error}");
        assert!(matches!(status, 4 | 5), "{status}: {error}");
        let said = body["error"]["message"].as_str().unwrap();
        assert_eq!(error["server_message"], said, "{error}");
        assert!(message(&error).contains(said), "{error}");
        assert_eq!(
            error["url"],
            "https://support.google.com/earthengine/answer/1"
        );
        assert_eq!(error["command"], "init");
        assert_eq!(error["principal"], ROBOT);
        assert_eq!(error["project"], "123456789012");
        assert_eq!(error["project_source"], "credentials_project");
        machine.emulator.clear_faults();
    }
}

#[tokio::test]
async fn token_endpoint_causes_have_their_remedy() {
    let oauth =
        |code: &str, description: &str| json!({"error": code, "error_description": description});
    for (status, body, advice, absent) in [
        (
            400,
            oauth("invalid_grant", "Token has been expired or revoked."),
            "log in again",
            "not known",
        ),
        (
            400,
            oauth("invalid_grant", "Account has been deleted"),
            "another account",
            "was revoked",
        ),
        (
            400,
            oauth("access_denied", "Account restricted"),
            "context-aware",
            "was revoked",
        ),
        (
            400,
            oauth("admin_policy_enforced", ""),
            "administrator",
            "was revoked",
        ),
        (
            400,
            oauth("org_internal", ""),
            "own organization",
            "was revoked",
        ),
        (
            400,
            oauth("access_not_configured", ""),
            "administrator",
            "was revoked",
        ),
        (
            401,
            oauth("disabled_client", "The OAuth client was disabled."),
            "OAuth client",
            "was revoked",
        ),
        (
            400,
            oauth("access_denied", "Quokkas only."),
            "not known",
            "og in again",
        ),
        (
            400,
            oauth("invalid_grant", "Quokkas only."),
            "not known",
            "og in again",
        ),
        (
            403,
            refusal("No.", "SECURITY_POLICY_VIOLATED", ""),
            "perimeter",
            "og in again",
        ),
    ] {
        let mut machine = Machine::new().await;
        let jane = machine.emulator.create_user("jane@example.com");
        let file = machine.file("login.json", jane.authorized_user_json());
        machine.set("GOOGLE_APPLICATION_CREDENTIALS", &file);
        machine.set("GOOGLE_CLOUD_PROJECT", PROJECT);
        let fault = Fault::status(status).json(&body).times(usize::MAX);
        machine.emulator.fault("oauth2.googleapis.com", fault);
        let (status, error) = machine.failure(&["init"]).await;
        let remedy = remedy(&error);
        assert!(
            remedy.contains(advice) && !remedy.contains(absent),
            "{error}"
        );
        assert_eq!(status, 4, "{error}");
    }
}

#[tokio::test]
async fn refusal_names_the_source_of_the_project() {
    for (name, shown) in [
        ("EARTHENGINE_PROJECT", "EARTHENGINE_PROJECT"),
        ("EE_PROJECT_ID", "EE_PROJECT_ID"),
        ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT"),
        ("", "the project option"),
    ] {
        for refused in [
            GoogleError::UserProjectDenied,
            GoogleError::ServiceDisabled,
            GoogleError::NotRegistered,
            GoogleError::ConsumerSuspended,
            GoogleError::ProjectNotFound,
            GoogleError::IamPermissionDenied,
        ] {
            let mut machine =
                Machine::with_key(|b| b.project(Project::new("other-project").fail_with(refused)))
                    .await;
            let flag = ["init", "--project", "other-project"];
            let arguments = match name {
                "" => &flag[..],
                name => {
                    machine.set(name, "other-project");
                    &flag[..1]
                }
            };
            let (_, error) = machine.failure(arguments).await;
            let expected = format!("other-project (from {shown}");
            assert!(message(&error).contains(&expected), "{refused:?}: {error}");
            let (_, call) = machine
                .failure(&[&["api", "config"], &arguments[1..]].concat())
                .await;
            assert!(message(&call).contains(&expected), "{refused:?}: {call}");
            assert_eq!(call["project_source"], error["project_source"], "{call}");
            assert_eq!(call["command"], "api");
            let source = match name {
                "" => "flag".to_owned(),
                name => format!("env:{name}"),
            };
            assert_eq!(error["project_source"], source, "{error}");
            let remedy = remedy(&error);
            assert!(name.is_empty() || !remedy.contains("spelling"), "{error}");
        }
    }
}

#[tokio::test]
async fn project_errors_have_their_codes_and_exit_5() {
    use GoogleError as E;
    // The last is how a link to a page about the project begins its query, if there is a link.
    for (error, expected, link) in [
        (E::UserProjectDenied, "project_denied", "iam-admin/iam?"),
        (
            E::ServiceDisabled,
            "api_disabled",
            "earthengine.googleapis.com?",
        ),
        (E::NotRegistered, "not_registered", "configuration?"),
        (E::NotRegisteredConsole, "not_registered", "configuration?"),
        (E::NotSignedUp, "not_registered", "configuration?"),
        (E::ConsumerSuspended, "project_suspended", "?"),
        (E::SuspendedWithoutReason, "project_suspended", "?"),
        (E::NotFoundOrDeleted, "not_found", ""),
        (E::ProjectNotFound, "not_found", ""),
        (E::ConsumerInvalid, "not_found", ""),
        (E::LocalDefaultCredentials, "no_project", ""),
        (
            E::IamPermissionDenied,
            "permission_denied",
            "iam-admin/iam?",
        ),
    ] {
        let machine =
            Machine::with_key(|b| b.project(Project::new(PROJECT).fail_with(error))).await;
        let (status, error) = machine.failure(&["init"]).await;
        assert_eq!((status, code(&error)), (5, expected), "{error:?}: {error}");
        let url = error["url"].as_str().unwrap_or_default();
        let query = format!("{link}project={PROJECT}");
        assert!(link.is_empty() || url.contains(&query), "{error}");
        assert!(!remedy(&error).is_empty(), "{error:?}: {error}");
    }
}

#[tokio::test]
async fn server_message_and_account_are_shown() {
    let machine = Machine::with_key(|b| {
        b.project(Project::new(PROJECT).fail_with(GoogleError::UserProjectDenied))
    })
    .await;
    let (_, error) = machine.failure(&["init"]).await;
    assert!(
        message(&error).contains("Caller does not have required permission to use project"),
        "{error}"
    );
    assert!(message(&error).contains(ROBOT), "{error}");
    let result = machine.run(&["init"]).await;
    result.assert_stderr("the server said: Caller does not have");
    result.assert_stderr("hint:");
}

#[tokio::test]
async fn other_server_errors_have_their_own_exit_statuses() {
    for (error, expected, status) in [
        (GoogleError::ScopeInsufficient, "insufficient_scopes", 4),
        (GoogleError::Forbidden, "network", 7),
        (GoogleError::ForbiddenHtml, "network", 7),
        (GoogleError::DailyQuotaExceeded, "quota_exceeded", 6),
        (GoogleError::UserMemoryLimitExceeded, "invalid_argument", 6),
        (GoogleError::AccessTokenExpired, "credentials_rejected", 4),
        (GoogleError::CredentialsMissing, "credentials_rejected", 4),
        (GoogleError::TokenTypeUnsupported, "credentials_rejected", 4),
        (GoogleError::ApiKeyInvalid, "credentials_rejected", 4),
    ] {
        let machine =
            Machine::with_key(|b| b.project(Project::new(PROJECT).fail_with(error))).await;
        let (result, error) = machine.failure(&["init"]).await;
        assert_eq!(
            (result, code(&error)),
            (status, expected),
            "{error:?}: {error}"
        );
    }
}

/// Runs in parallel, since each command retries five times before it fails.
#[tokio::test(flavor = "multi_thread")]
async fn errors_that_outlast_retries_are_reported() {
    let mut running = tokio::task::JoinSet::new();
    for (error, expected) in [
        (GoogleError::TooManyConcurrentAggregations, "quota_exceeded"),
        (GoogleError::RateLimitExceeded, "quota_exceeded"),
        (GoogleError::QuotaPerMinuteExceeded, "quota_exceeded"),
        (GoogleError::Internal, "server_error"),
        (GoogleError::Unavailable, "server_error"),
    ] {
        running.spawn(async move {
            let project = Project::new(PROJECT).fail_with(error);
            let machine = Machine::with_key(|b| b.project(project)).await;
            let (status, error) = machine.failure(&["init"]).await;
            assert_eq!((status, code(&error)), (6, expected), "{error:?}: {error}");
            assert!(!remedy(&error).is_empty(), "{error}");
        });
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn largest_wait_is_accepted() {
    let machine = Machine::with_key(|b| b).await;
    let most = u64::MAX.to_string();
    let result = machine.run(&["init", "--wait", &most, "--json"]).await;
    assert_eq!(result.json()["project"], PROJECT);
}

#[tokio::test]
async fn config_of_an_unregistered_project_is_an_error() {
    let machine = Machine::with_key(|b| {
        b.project(
            Project::new(PROJECT)
                .registration("NOT_REGISTERED")
                .config_when_unregistered(true),
        )
    })
    .await;
    let (status, error) = machine.failure(&["init"]).await;
    assert_eq!((status, code(&error)), (5, "not_registered"));
}

#[tokio::test]
async fn api_errors_exit_6() {
    let machine = Machine::with_key(|b| b).await;
    let body = machine.file(
        "body.json",
        r#"{"expression": {"result": "0", "values": {"0":
        {"functionInvocationValue": {"functionName": "No.such", "arguments": {}}}}}}"#,
    );
    let (status, error) = machine
        .failure(&["api", "value:compute", "--input", &body])
        .await;
    assert_eq!((status, code(&error)), (6, "invalid_argument"), "{error}");
    let (status, error) = machine.failure(&["api", "nothing-here"]).await;
    assert_eq!((status, code(&error)), (6, "not_found"), "{error}");
}

#[tokio::test]
async fn project_errors_of_a_call_exit_5() {
    let machine = Machine::with_key(|b| {
        b.project(Project::new(PROJECT).fail_with(GoogleError::ServiceDisabled))
    })
    .await;
    let (status, error) = machine.failure(&["api", "config"]).await;
    assert_eq!((status, code(&error)), (5, "api_disabled"));
}

#[tokio::test]
async fn revoked_login_exits_4() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    let file = machine.file("jane.json", jane.authorized_user_json());
    let arguments = ["init", "--project", PROJECT, "--credentials", &file];
    machine.emulator.require_reauth(jane.refresh_token());
    let (status, error) = machine.failure(&arguments).await;
    assert_eq!(
        (status, code(&error)),
        (4, "reauthentication_required"),
        "{error}"
    );
    machine.emulator.revoke(jane.refresh_token());
    let (status, error) = machine.failure(&arguments).await;
    assert_eq!(
        (status, code(&error)),
        (4, "credentials_rejected"),
        "{error}"
    );
    assert!(
        message(&error).contains("Token has been expired or revoked"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn init_can_wait_for_propagation() {
    let off = Project::new(PROJECT).api_enabled(false);
    let machine = Machine::with_key(|b| b.project(off)).await;
    let (status, error) = machine.failure(&["init"]).await;
    assert_eq!((status, code(&error)), (5, "api_disabled"));
    machine.emulator.clear_requests();
    let enabled = async {
        while machine
            .emulator
            .requests_to("earthengine.googleapis.com")
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        machine.emulator.add_project(Project::new(PROJECT));
    };
    let (result, ()) = tokio::join!(machine.run(&["init", "--wait", "60", "--json"]), enabled);
    assert_eq!(result.json()["project"], PROJECT);
}
