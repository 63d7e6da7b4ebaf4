use std::sync::atomic::{AtomicU32, Ordering};

use ee_emulator::{Emulator, EmulatorBuilder, Fault, GoogleError, Project};
use ee_token::Endpoints;
use serde_json::json;

use super::*;

const RESOURCE_MANAGER: &str = "cloudresourcemanager.googleapis.com";
const SERVICE_USAGE: &str = "serviceusage.googleapis.com";

async fn emulator(settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Emulator {
    settings(Emulator::builder()).start().await.unwrap()
}

/// Returns a builder with a login of Earth Engine's client and no other settings.
fn jane(emulator: &Emulator) -> EarthEngineBuilder {
    let jane = emulator.create_user("jane@example.com");
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials_json(jane.earthengine_file_json(None))
}

fn short(project: &ListedProject) -> (&str, &str, &str) {
    (
        &project.id,
        project.api.as_str(),
        project.registration.as_str(),
    )
}

#[tokio::test]
async fn usable_projects_are_listed_first_with_their_state() {
    let emulator = emulator(|b| {
        b.project(Project::new("a-disabled").api_enabled(false))
            .project(Project::new("b-unregistered").registration("NOT_REGISTERED"))
            .project(
                Project::new("c-says-unregistered")
                    .registration("NOT_REGISTERED")
                    .config_when_unregistered(true),
            )
            .project(Project::new("d-suspended").suspended(true))
            .project(Project::new("e-of-another-user").denied(true))
            .project(Project::new("f-commercial").registration("REGISTERED_COMMERCIALLY"))
            .project(
                Project::new("g-good")
                    .number(123_456_789_012)
                    .display_name("Jane’s forest"),
            )
    })
    .await;
    let projects = jane(&emulator).list_projects().await.unwrap();
    assert_eq!(
        projects.iter().map(short).collect::<Vec<_>>(),
        [
            ("f-commercial", "enabled", "REGISTERED_COMMERCIALLY"),
            ("g-good", "enabled", "REGISTERED_NOT_COMMERCIALLY"),
            ("a-disabled", "disabled", "REGISTRATION_STATE_UNSPECIFIED"),
            ("b-unregistered", "enabled", "NOT_REGISTERED"),
            ("c-says-unregistered", "enabled", "NOT_REGISTERED"),
            ("d-suspended", "unknown", "REGISTRATION_STATE_UNSPECIFIED"),
        ]
    );
    assert_eq!(projects[1].number, "123456789012");
    assert_eq!(projects[1].name, "Jane’s forest");
    assert!(projects[1].is_ready() && !projects[2].is_ready());
}

#[tokio::test]
async fn service_usage_reports_the_api_if_earth_engine_does_not() {
    let emulator = emulator(|b| {
        b.project(Project::new("no-role").fail_with(GoogleError::IamPermissionDenied))
            .project(
                Project::new("off-and-no-role")
                    .fail_with(GoogleError::IamPermissionDenied)
                    .api_enabled(false),
            )
    })
    .await;
    let projects = jane(&emulator).list_projects().await.unwrap();
    assert_eq!(
        projects.iter().map(short).collect::<Vec<_>>(),
        [
            ("no-role", "enabled", "REGISTRATION_STATE_UNSPECIFIED"),
            (
                "off-and-no-role",
                "disabled",
                "REGISTRATION_STATE_UNSPECIFIED"
            ),
        ]
    );
    assert_eq!(emulator.requests_to(SERVICE_USAGE).len(), 2);
}

#[tokio::test]
async fn reason_for_an_unknown_registration_is_kept() {
    let emulator = emulator(|b| {
        b.project(Project::new("a-good-one"))
            .project(Project::new("b-suspended").suspended(true))
            .project(Project::new("c-may-compute").without_permission("earthengine.config.get"))
            .project(Project::new("d-broken"))
    })
    .await;
    emulator.fault(
        "earthengine.googleapis.com",
        Fault::status(503)
            .on_path("/v1/projects/d-broken/config")
            .times(usize::MAX),
    );
    emulator.fault(SERVICE_USAGE, Fault::status(503).times(usize::MAX));
    let projects = jane(&emulator).list_projects().await.unwrap();
    let states: Vec<_> = projects
        .iter()
        .map(|p| (p.id.as_str(), p.api, p.error))
        .collect();
    assert_eq!(
        states,
        [
            ("a-good-one", ApiState::Enabled, None),
            (
                "b-suspended",
                ApiState::Unknown,
                Some(ErrorKind::ProjectSuspended)
            ),
            (
                "c-may-compute",
                ApiState::Enabled,
                Some(ErrorKind::PermissionDenied)
            ),
            ("d-broken", ApiState::Unknown, Some(ErrorKind::ServerError)),
        ]
    );
}

#[tokio::test]
async fn all_pages_are_read() {
    let emulator = emulator(|b| b).await;
    // The server decides how long its pages are.
    for (project, next) in [("forest-b", Some("17")), ("forest-a", None)] {
        let mut body = json!({"projects": [{
            "name": "projects/1", "projectId": project, "state": "ACTIVE", "displayName": ""}]});
        if let Some(next) = next {
            body["nextPageToken"] = json!(next);
        }
        emulator.fault(RESOURCE_MANAGER, Fault::status(200).json(&body));
    }
    let projects = jane(&emulator).list_projects().await.unwrap();
    let ids: Vec<_> = projects.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["forest-a", "forest-b"]);
    let pages = emulator.requests_to(RESOURCE_MANAGER);
    assert_eq!(pages.len(), 2);
    assert_eq!(pages[0].query_parameters().get("pageToken"), None);
    assert_eq!(pages[1].query_parameters()["pageToken"], "17");
}

#[tokio::test]
async fn only_a_few_projects_are_checked_at_once() {
    let emulator =
        emulator(|b| (0..40).fold(b, |b, i| b.project(Project::new(format!("forest-{i:02}")))))
            .await;
    // While these requests wait, no other project is checked.
    emulator.fault(
        "earthengine.googleapis.com",
        Fault::delay(Duration::from_secs(3600)).times(MAX_CONCURRENT),
    );
    let listing = tokio::spawn(jane(&emulator).list_projects());
    while emulator.faults_left("earthengine.googleapis.com") > 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        emulator.requests_to("earthengine.googleapis.com").len(),
        MAX_CONCURRENT
    );
    listing.abort();
    assert_eq!(jane(&emulator).list_projects().await.unwrap().len(), 40);
}

#[tokio::test]
async fn endless_pages_are_read_up_to_a_limit() {
    let emulator = emulator(|b| b).await;
    let page = json!({"projects": [], "nextPageToken": "again"});
    emulator.fault(
        RESOURCE_MANAGER,
        Fault::status(200).json(&page).times(usize::MAX),
    );
    assert_eq!(jane(&emulator).list_projects().await.unwrap(), []);
    assert_eq!(emulator.requests_to(RESOURCE_MANAGER).len(), 20);
}

#[tokio::test]
async fn projects_being_deleted_are_not_listed() {
    let emulator = emulator(|b| b).await;
    let page = json!({"projects": [
        {"name": "projects/1", "projectId": "going-away", "state": "DELETE_REQUESTED"},
        {"name": "projects/2", "projectId": "still-here"}]});
    emulator.fault(RESOURCE_MANAGER, Fault::status(200).json(&page));
    let projects = jane(&emulator).list_projects().await.unwrap();
    assert_eq!(projects.len(), 1);
    assert_eq!(projects[0].id, "still-here");
}

#[tokio::test]
async fn rejected_payer_does_not_prevent_listing() {
    let emulator = emulator(|b| {
        b.project(Project::new("not-for-jane").denied(true))
            .project(Project::new("for-all-users"))
    })
    .await;
    let projects = jane(&emulator)
        .project("not-for-jane")
        .list_projects()
        .await
        .unwrap();
    assert_eq!(projects.len(), 1);
    let requests = emulator.requests_to(RESOURCE_MANAGER);
    assert_eq!(
        requests[0].header("x-goog-user-project"),
        Some("not-for-jane")
    );
    assert_eq!(requests[1].header("x-goog-user-project"), None);
}

#[tokio::test]
async fn denied_listing_has_a_reason_and_a_remedy() {
    let emulator = emulator(|b| b).await;
    for (reason, kind, names) in [
        (
            "IAM_PERMISSION_DENIED",
            ErrorKind::PermissionDenied,
            RESOURCE_MANAGER,
        ),
        ("SERVICE_DISABLED", ErrorKind::ApiDisabled, RESOURCE_MANAGER),
        (
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            ErrorKind::InsufficientScopes,
            "cloud-platform",
        ),
    ] {
        let body = json!({"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
                "metadata": {"consumer": "projects/pays-for-it"}}]}});
        emulator.fault(RESOURCE_MANAGER, Fault::status(403).json(&body));
        let error = jane(&emulator).list_projects().await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(names), "{error}");
        assert_eq!(error.server_message(), Some("No."));
        let remedy = error.remedy();
        assert!(remedy.text.contains("eectl project set"), "{remedy}");
        let command = match kind {
            ErrorKind::ApiDisabled => Some(
                "gcloud services enable cloudresourcemanager.googleapis.com --project=pays-for-it",
            ),
            ErrorKind::InsufficientScopes => {
                Some("eectl auth login --scopes earthengine,cloud-platform --force")
            }
            _ => None,
        };
        assert_eq!(remedy.command.as_deref(), command);
    }
}

#[tokio::test]
async fn invalid_project_does_not_get_into_a_command() {
    let emulator = emulator(|b| b.project(Project::new("for-all-users"))).await;
    let body = json!({"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
            "metadata": {"consumer": "projects/x;id"}}]}});
    emulator.fault(RESOURCE_MANAGER, Fault::status(403).json(&body));
    let error = jane(&emulator).list_projects().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ApiDisabled);
    let command = error.remedy().command.as_deref().unwrap();
    assert!(command.ends_with("--project=PROJECT"), "{command}");
}

#[tokio::test]
async fn rejected_token_is_renewed_once_while_listing() {
    let emulator = emulator(|b| b.project(Project::new("for-all-users"))).await;
    emulator.fault(RESOURCE_MANAGER, Fault::status(401));
    emulator.fault(RESOURCE_MANAGER, Fault::status(503));
    assert_eq!(jane(&emulator).list_projects().await.unwrap().len(), 1);
    emulator.fault(RESOURCE_MANAGER, Fault::status(401).times(2));
    let error = jane(&emulator).list_projects().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsRejected);
}

#[tokio::test]
async fn response_that_is_not_a_list_is_an_error() {
    let emulator = emulator(|b| b).await;
    for body in ["", "7", "<html>", r#"{"projects": {"name": 7}}"#] {
        emulator.fault(
            RESOURCE_MANAGER,
            Fault::respond(200, "application/json", body).times(3),
        );
        let error = jane(&emulator).list_projects().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerError, "{body}");
        assert!(error.to_string().contains(RESOURCE_MANAGER), "{error}");
        emulator.clear_faults();
    }
}

#[tokio::test]
async fn projects_without_an_id_are_skipped() {
    let emulator = emulator(|b| b.project(Project::new("for-all-users"))).await;
    let body = json!({"projects": [
        {"name": 7},
        {"name": "projects/1"},
        null,
        {"name": "projects/2", "projectId": "for-all-users", "new": {}},
    ]});
    emulator.fault(RESOURCE_MANAGER, Fault::status(200).json(&body));
    let projects = jane(&emulator).list_projects().await.unwrap();
    assert_eq!(projects.len(), 1, "{projects:?}");
}

#[tokio::test]
async fn connected_client_bills_listing_to_its_project() {
    let emulator = emulator(|b| b.project(Project::new("for-all-users"))).await;
    let ee = jane(&emulator)
        .project("for-all-users")
        .connect()
        .await
        .unwrap();
    assert_eq!(ee.list_projects().await.unwrap().len(), 1);
    let requests = emulator.requests_to(RESOURCE_MANAGER);
    assert_eq!(
        requests[0].header("x-goog-user-project"),
        Some("for-all-users")
    );
}

#[tokio::test]
async fn token_echoed_as_a_project_name_is_not_shown() {
    let emulator = emulator(|b| b).await;
    let echo = "canary-token";
    let in_a_url = format!("https://elsewhere.example/?q=cannot%2520use%2520{echo}");
    let echo = json!({"projects": [
        {"projectId": "a-forest", "name": format!("projects/{echo}"), "displayName": format!("{echo}\u{1b}!")},
        {"projectId": "b-forest", "name": "projects/123", "displayName": in_a_url},
        {"projectId": "c-forest", "name": echo, "displayName": "Jane’s forest"},
        {"projectId": echo, "name": "projects/4"},
        {"projectId": in_a_url, "name": "projects/5"},
    ]});
    emulator.fault(RESOURCE_MANAGER, Fault::status(200).json(&echo));
    let token = ee_token::AccessToken::new("canary-token").unwrap();
    let builder = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials(Credentials::from_token(token));
    let projects = builder.list_projects().await.unwrap();
    let names = projects.iter().map(|p| (&*p.id, &*p.number, &*p.name));
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            ("a-forest", "", "[redacted]!"),
            ("b-forest", "123", ""),
            ("c-forest", "", "Jane’s forest"),
        ]
    );
}

#[tokio::test]
async fn echoed_expired_token_is_not_shown() {
    let emulator = emulator(|b| b).await;
    let echo = json!({"projects": [
        {"projectId": "a-forest", "name": "projects/1", "displayName": "a canary-1!"},
    ]});
    let late = Fault::status(200).json(&echo);
    emulator.fault(
        RESOURCE_MANAGER,
        late.delayed_by(Duration::from_millis(500)),
    );
    let minted = AtomicU32::new(0);
    let credentials = Credentials::from_fn(move || {
        let number = minted.fetch_add(1, Ordering::Relaxed) + 1;
        let lifetime = Duration::from_millis(if number == 1 { 250 } else { 3_600_000 });
        let token = ee_token::AccessToken::new(&format!("canary-{number}")).unwrap();
        std::future::ready(Ok(token.with_expiry(chrono::Utc::now() + lifetime)))
    });
    let builder = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials(credentials);
    let projects = builder.list_projects().await.unwrap();
    assert_eq!(projects[0].name, "a [redacted]!");
}
