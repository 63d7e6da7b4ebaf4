//! How far a project is verified, and what is done about a refusal.

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

/// The paths of the requests to Earth Engine, without the project.
fn asked(emulator: &Emulator) -> Vec<String> {
    let requests = emulator.requests_to("earthengine.googleapis.com");
    requests
        .iter()
        .map(|request| request.path.rsplit('/').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_level_asks_what_it_says_and_no_more() {
    for (level, expected) in [
        (VerifyLevel::Skip, vec![]),
        (VerifyLevel::Config, vec!["config"]),
        (VerifyLevel::Compute, vec!["config", "value:compute"]),
    ] {
        let emulator = emulator().await;
        let ee = robot(&emulator).verify(level).connect().await.unwrap();
        assert_eq!(asked(&emulator), expected, "{level:?}");
        let known = *ee.registration() != Registration::Unverified;
        assert_eq!(known, level != VerifyLevel::Skip);
    }
}

#[tokio::test]
async fn whoever_may_compute_and_not_read_the_configuration_gets_in() {
    let emulator = lacking(&[READ_CONFIG]).await;
    let ee = robot(&emulator).connect().await.unwrap();
    assert_eq!(*ee.registration(), Registration::Unspecified);
    assert_eq!(asked(&emulator), ["config", "value:compute"]);
}

#[tokio::test]
async fn whoever_may_not_compute_is_told_both_roles() {
    for missing in [&[COMPUTE][..], &[READ_CONFIG, COMPUTE]] {
        let emulator = lacking(missing).await;
        let error = robot(&emulator).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(COMPUTE), "{error}");
        assert_eq!(error.principal(), Some(ROBOT));
        let remedy = error.remedy().unwrap();
        for role in ["earthengine.viewer", "serviceusage.serviceUsageConsumer"] {
            assert!(remedy.text.contains(role), "{}", remedy.text);
        }
    }
}

#[tokio::test]
async fn an_api_that_was_just_enabled_is_waited_for() {
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
    while asked(&emulator).len() < 2 {
        tokio::task::yield_now().await;
    }
    emulator.add_project(Project::new(PROJECT));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_pass_by_itself_is_not_waited_for() {
    let emulator = emulator_with(|b| b.project(Project::new(PROJECT).suspended(true))).await;
    let error = robot(&emulator)
        .wait_for_propagation(Duration::from_secs(600))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectSuspended);
}

#[tokio::test]
async fn a_slip_of_the_fingers_is_answered_with_the_name_that_was_meant() {
    let emulator = emulator().await;
    let error = robot(&emulator)
        .project("ee-demo-porject")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    let remedy = error.remedy().unwrap();
    assert!(
        remedy.text.starts_with("Did you mean ee-demo-project?"),
        "{}",
        remedy.text
    );

    // Where the token may not list projects, the refusal is told as it is.
    let error = robot(&emulator)
        .scopes(earthengine::Scopes::new(["earthengine"]))
        .project("ee-demo-porject")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    assert!(!error.remedy().unwrap().text.contains("Did you mean"));
}

#[tokio::test]
async fn a_list_of_projects_that_does_not_come_never_holds_the_refusal_back() {
    let emulator = emulator().await;
    let for_ever = Fault::delay(Duration::from_secs(86_400)).times(100);
    emulator.fault("cloudresourcemanager.googleapis.com", for_ever);
    let refused = robot(&emulator).project("ee-demo-porject").connect();
    // Less than a single request for the list may take.
    let refused = tokio::time::timeout(Duration::from_secs(12), refused).await;
    let error = refused.expect("nobody waits for the list").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectNotFound);
    let remedy = error.remedy().unwrap();
    assert!(
        remedy.text.starts_with("Check the project ID's spelling"),
        "{remedy}"
    );
}

#[tokio::test]
async fn a_project_that_is_spelt_right_and_denied_gets_no_other_name() {
    let denied = Project::new(PROJECT).fail_with(GoogleError::UserProjectDenied);
    let near = Project::new("ee-demo-project-2");
    let emulator = emulator_with(|b| b.project(denied).project(near)).await;
    let error = robot(&emulator).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectDenied);
    let remedy = error.remedy().unwrap();
    assert!(!remedy.text.contains("ee-demo-project-2"), "{remedy}");
}

#[tokio::test]
async fn two_people_at_once_never_pay_with_each_others_project_or_token() {
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
async fn what_earth_engine_says_at_the_start_is_passed_on() {
    const TOLD: &str = "Maintenance on Sunday.";
    let emulator = emulator_with(|b| b.project(Project::new(PROJECT).init_message(TOLD))).await;
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = told.clone();
    let ee = robot(&emulator)
        .configure_client(move |requests| {
            let heard = heard.clone();
            requests.workload_tag("nightly").on_event(move |signal| {
                heard.lock().unwrap().push(format!("{signal:?}"));
            })
        })
        .connect()
        .await
        .unwrap();
    assert_eq!(ee.init_message(), Some(TOLD));
    assert!(told.lock().unwrap()[0].contains(TOLD));
    assert_eq!(ee.compute::<i64>(&constant(1)).await.unwrap(), 1);
    let requests = emulator.requests_to("earthengine.googleapis.com");
    assert_eq!(requests.last().unwrap().json()["workloadTag"], "nightly");
}
