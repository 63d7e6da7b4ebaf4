//! Scope checks before the first request to Earth Engine.

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
async fn missing_vm_scopes_fail_before_the_first_request() {
    let emulator = machine(&["devstorage.read_only", "logging.write"]).await;
    let error = on_machine(&emulator).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InsufficientScopes);
    assert_eq!(error.principal(), Some(ROBOT));
    assert!(error.to_string().contains("logging.write"), "{error}");
    let command = error.remedy().command.clone().unwrap();
    assert!(command.contains("set-service-account"), "{command}");
    assert!(
        emulator
            .requests_to("earthengine.googleapis.com")
            .is_empty()
    );
}

#[tokio::test]
async fn broad_vm_scopes_are_a_warning_and_cost_one_request() {
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
async fn login_with_other_scopes_fails_without_extra_requests() {
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
async fn insufficient_scopes_fail_first_and_read_only_works() {
    let emulator = emulator().await;
    let builder = |scope| robot(&emulator).scopes(Scopes::new([scope]));
    let error = builder("drive").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InsufficientScopes);
    assert!(emulator.requests().is_empty());
    builder("earthengine").connect().await.unwrap();
}

#[tokio::test]
async fn granted_scopes_are_the_default() {
    let emulator = emulator().await;
    let jane = emulator.create_workforce_user("jane");
    let connected = isolated(&emulator)
        .credentials_json(jane.json())
        .project(PROJECT)
        .verify(VerifyLevel::Skip)
        .connect()
        .await
        .unwrap();
    // Token responses have no scopes, and tokeninfo does.
    let granted = connected
        .credentials()
        .fetch_granted_scopes()
        .await
        .unwrap();
    assert_eq!(granted.unwrap(), Scopes::new(["cloud-platform"]));
    let request = emulator.requests_to("oauth2.googleapis.com").remove(0);
    assert_eq!(request.path, "/tokeninfo");
    assert!(request.query.is_empty(), "no URL contains a token");
}

#[tokio::test]
async fn builder_impersonates_from_discovered_credentials() {
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
    let wrong = on_machine(&emulator).impersonate("unknown");
    let error = wrong.find_credentials().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let source = std::error::Error::source(&error).unwrap();
    let found = source.downcast_ref::<earthengine::credentials::Error>();
    assert_eq!(found.unwrap().kind(), Found::InvalidOptions);
}
