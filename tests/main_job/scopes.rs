//! What a token is good for, before Earth Engine is asked anything.

use earthengine::credentials::ErrorKind as Found;
use earthengine::{Environment, ErrorKind, Scopes, VerifyLevel};

use super::*;

async fn machine(scopes: &[&str]) -> Emulator {
    emulator_with(|b| b.metadata_server(ROBOT, PROJECT, scopes)).await
}

fn on_machine(emulator: &Emulator) -> EarthEngineBuilder {
    isolated(emulator)
        .environment(Environment::empty().with_metadata_probe(true))
        .project(PROJECT)
}

#[tokio::test]
async fn a_machine_without_the_scopes_is_told_so_before_the_first_request() {
    let emulator = machine(&["devstorage.read_only", "logging.write"]).await;
    let error = on_machine(&emulator).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InsufficientScopes);
    assert_eq!(error.principal(), Some(ROBOT));
    assert!(error.to_string().contains("logging.write"), "{error}");
    let command = error.remedy().unwrap().command.clone().unwrap();
    assert!(command.contains("set-service-account"), "{command}");
    assert!(
        emulator
            .requests_to("earthengine.googleapis.com")
            .is_empty()
    );
}

#[tokio::test]
async fn a_machine_with_more_scopes_than_needed_is_a_warning_and_costs_one_request() {
    let emulator = machine(&["cloud-platform", "drive"]).await;
    let ee = on_machine(&emulator).connect().await.unwrap();
    let codes: Vec<_> = ee.credentials().warnings().iter().map(|w| w.code).collect();
    assert_eq!(codes, ["broad_scopes"]);
    assert_eq!(ee.credentials().principal(), Some(ROBOT));
    // The scopes, the token, the project's verification.
    assert_eq!(ee.connect_stats().requests, 3);

    let emulator = machine(&["cloud-platform"]).await;
    let ee = on_machine(&emulator).connect().await.unwrap();
    assert!(ee.credentials().warnings().is_empty());
}

#[tokio::test]
async fn a_login_that_was_granted_other_scopes_is_told_so_without_a_request_more() {
    let emulator = emulator().await;
    let jane = emulator.create_user_with_scopes("jane@example.com", &["drive"], &["drive"]);
    let error = isolated(&emulator)
        .credentials_json(jane.authorized_user_json())
        .project(PROJECT)
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InsufficientScopes);
    assert_eq!(emulator.requests().len(), 1);
}

#[tokio::test]
async fn scopes_that_cannot_do_are_told_before_any_request_and_reading_alone_can_do() {
    let emulator = emulator().await;
    let builder = |scope| robot(&emulator).scopes(Scopes::new([scope]));
    let error = builder("drive").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InsufficientScopes);
    assert!(emulator.requests().is_empty());
    builder("earthengine").connect().await.unwrap();
}

#[tokio::test]
async fn what_was_granted_is_asked_for_where_nobody_said() {
    let emulator = emulator().await;
    let jane = emulator.create_workforce_user("jane");
    let connected = isolated(&emulator)
        .credentials_json(jane.json())
        .project(PROJECT)
        .verify(VerifyLevel::Skip)
        .connect()
        .await
        .unwrap();
    // Their answers do not say it, and tokeninfo does.
    let granted = connected
        .credentials()
        .fetch_granted_scopes()
        .await
        .unwrap();
    assert_eq!(granted.unwrap(), Scopes::new(["cloud-platform"]));
    let asked = emulator.requests_to("oauth2.googleapis.com").remove(0);
    assert_eq!(asked.path, "/tokeninfo");
    assert!(asked.query.is_empty(), "a token stands in no URL");
}

#[tokio::test]
async fn the_builder_acts_as_an_account_through_what_it_finds() {
    let emulator = machine(&["cloud-platform"]).await;
    const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
    emulator.create_service_account(TARGET, PROJECT);
    let denied = on_machine(&emulator).impersonate(TARGET).connect().await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::CredentialsRejected);
    emulator.allow_impersonation(ROBOT, TARGET);
    let ee = on_machine(&emulator)
        .impersonate(TARGET)
        .connect()
        .await
        .unwrap();
    assert_eq!(ee.credentials().principal(), Some(TARGET));
    let wrong = on_machine(&emulator).impersonate("nobody");
    let error = wrong.find_credentials().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let source = std::error::Error::source(&error).unwrap();
    let found = source.downcast_ref::<earthengine::credentials::Error>();
    assert_eq!(found.unwrap().kind(), Found::InvalidOptions);
}
