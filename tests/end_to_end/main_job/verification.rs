//! The levels of verification, and the errors of a denied project.

use std::time::Duration;

use earthengine::{ErrorKind, Registration, VerifyLevel};
use ee_emulator::{Fault, GoogleError};

use super::*;

const READ_CONFIG: &str = "earthengine.config.get";
const COMPUTE: &str = "earthengine.computations.create";

async fn lacking(permissions: &[&str]) -> Emulator {
    let project = permissions
        .iter()
        .fold(Project::new(PROJECT), |project, permission| {
            project.without_permission(*permission)
        });
    Emulator::builder().project(project).start().await.unwrap()
}

/// Returns the paths of the requests to Earth Engine, without the project.
fn request_paths(emulator: &Emulator) -> Vec<String> {
    let requests = emulator.requests_to("earthengine.googleapis.com");
    requests
        .iter()
        .map(|request| request.path.rsplit('/').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_verify_level_sends_only_its_requests() {
    for (level, expected) in [
        (VerifyLevel::Skip, vec![]),
        (VerifyLevel::Config, vec!["config"]),
        (VerifyLevel::Compute, vec!["config", "value:compute"]),
    ] {
        let emulator = emulator().await;
        let ee = robot(&emulator).verify(level).connect().await.unwrap();
        assert_eq!(request_paths(&emulator), expected, "{level:?}");
        let known = *ee.registration() != Registration::Unverified;
        assert_eq!(known, level != VerifyLevel::Skip);
    }
}

#[tokio::test]
async fn compute_permission_without_config_permission_connects() {
    let emulator = lacking(&[READ_CONFIG]).await;
    let ee = robot(&emulator).connect().await.unwrap();
    assert_eq!(*ee.registration(), Registration::Unspecified);
    assert_eq!(request_paths(&emulator), ["config", "value:compute"]);
}

#[tokio::test]
async fn missing_compute_permission_names_both_roles() {
    for missing in [&[COMPUTE][..], &[READ_CONFIG, COMPUTE]] {
        let emulator = lacking(missing).await;
        let error = robot(&emulator).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(COMPUTE), "{error}");
        assert_eq!(error.principal(), Some(ROBOT));
        let remedy = error.remedy();
        for role in ["earthengine.viewer", "serviceusage.serviceUsageConsumer"] {
            assert!(remedy.text.contains(role), "{}", remedy.text);
        }
    }
}

#[tokio::test]
async fn propagation_of_api_enablement_is_awaited() {
    let off = || Project::new(PROJECT).api_enabled(false);
    let emulator = Emulator::builder().project(off()).start().await.unwrap();
    let error = robot(&emulator).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ApiDisabled);
    assert!(error.kind().may_resolve_after_propagation());

    let waiting = tokio::spawn(
        robot(&emulator)
            .wait_for_propagation(Duration::from_secs(60))
            .connect(),
    );
    while request_paths(&emulator).len() < 2 {
        tokio::task::yield_now().await;
    }
    emulator.add_project(Project::new(PROJECT));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn permanent_errors_are_not_awaited() {
    let emulator = emulator_with(|b| b.project(Project::new(PROJECT).suspended(true))).await;
    let error = robot(&emulator)
        .wait_for_propagation(Duration::from_secs(600))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectSuspended);
}

#[tokio::test]
async fn misspelled_project_gets_a_suggestion() {
    let emulator = emulator().await;
    let error = robot(&emulator)
        .project("ee-demo-porject")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    let remedy = error.remedy();
    assert!(
        remedy.text.starts_with("Did you mean ee-demo-project?"),
        "{}",
        remedy.text
    );

    // If the token may not list projects, the error has no suggestion.
    let error = robot(&emulator)
        .scopes(earthengine::Scopes::new(["earthengine"]))
        .project("ee-demo-porject")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    assert!(!error.remedy().text.contains("Did you mean"));
}

#[tokio::test]
async fn slow_project_list_does_not_delay_the_error() {
    let emulator = emulator().await;
    let for_ever = Fault::delay(Duration::from_secs(86_400)).times(100);
    emulator.fault("cloudresourcemanager.googleapis.com", for_ever);
    let refused = robot(&emulator).project("ee-demo-porject").connect();
    // Less than a single request for the list.
    let refused = tokio::time::timeout(Duration::from_secs(12), refused).await;
    let error = refused.expect("the list is not awaited").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    let remedy = error.remedy();
    assert!(
        remedy.text.starts_with("Check the project ID's spelling"),
        "{remedy}"
    );
}

#[tokio::test]
async fn denied_project_gets_no_suggestion() {
    let denied = Project::new(PROJECT).fail_with(GoogleError::UserProjectDenied);
    let near = Project::new("ee-demo-project-2");
    let emulator = emulator_with(|b| b.project(denied).project(near)).await;
    let error = robot(&emulator).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectDenied);
    let remedy = error.remedy();
    assert!(!remedy.text.contains("ee-demo-project-2"), "{remedy}");
}

#[tokio::test]
async fn concurrent_users_keep_their_own_project_and_token() {
    let emulator = emulator_with(|b| b.project(Project::new("other-project"))).await;
    let other = emulator
        .create_service_account(
            "other@other-project.iam.gserviceaccount.com",
            "other-project",
        )
        .json_key();
    let one = robot(&emulator).connect().await.unwrap();
    let two = isolated(&emulator)
        .credentials_json(other)
        .connect()
        .await
        .unwrap();
    emulator.clear_requests();
    let calls = (0..100).flat_map(|n| {
        [(one.clone(), n), (two.clone(), n + 1000)].map(|(ee, n)| {
            tokio::spawn(async move { (n, ee.compute::<i64>(&constant(n)).await.unwrap()) })
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (sent, got) = call.await.unwrap();
        assert_eq!(sent, got);
    }
    let mut pairs = std::collections::BTreeMap::new();
    for request in emulator.requests_to("earthengine.googleapis.com") {
        let token = request.headers["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        let payer = request.headers["x-goog-user-project"]
            .to_str()
            .unwrap()
            .to_owned();
        *pairs.entry((payer, token)).or_insert(0) += 1;
    }
    assert_eq!(pairs.values().copied().collect::<Vec<_>>(), [100, 100]);
}

#[tokio::test]
async fn project_notices_are_passed_on() {
    const NOTICE: &str = "Maintenance on Sunday.";
    let emulator = emulator_with(|b| b.project(Project::new(PROJECT).init_message(NOTICE))).await;
    let messages = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let events = messages.clone();
    let ee = robot(&emulator)
        .configure_client(move |requests| {
            let events = events.clone();
            requests.workload_tag("nightly").on_event(move |signal| {
                events.lock().unwrap().push(format!("{signal:?}"));
            })
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(ee.init_message(), Some(NOTICE));
    assert!(messages.lock().unwrap()[0].contains(NOTICE));
    assert_eq!(ee.compute::<i64>(&constant(1)).await.unwrap(), 1);
    let requests = emulator.requests_to("earthengine.googleapis.com");
    assert_eq!(requests.last().unwrap().json()["workloadTag"], "nightly");
}
