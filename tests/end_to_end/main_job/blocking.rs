//! The blocking client and the shared client.

use earthengine::{ErrorKind, blocking};
use ee_emulator::Fault;

use super::*;

#[test]
fn blocking_client_works_without_async() {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .start_blocking()
        .unwrap();
    let ee = blocking::connect(robot(&emulator)).unwrap();
    assert_eq!(ee.compute::<i64>(&constant(3)).unwrap(), 3);
    assert!(ee.token().unwrap().expires_at().is_some());
    assert_eq!(ee.as_async().project().id, PROJECT);
}

#[test]
fn rejected_blocking_calls_renew_few_tokens() {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .start_blocking()
        .unwrap();
    let ee = blocking::connect(robot(&emulator)).unwrap();
    emulator.clear_requests();
    let unauthorized = Fault::status(401).times(usize::MAX);
    emulator.fault("earthengine.googleapis.com", unauthorized);
    for _ in 0..60 {
        let error = ee.compute::<i64>(&constant(3)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CredentialsRejected);
        assert!(!error.remedy().text.is_empty());
    }
    // At once, and after 1, 2, 4 … s, however long the calls take: five in half a minute.
    let renewals = emulator.requests_to("oauth2.googleapis.com").len();
    assert!((1..=5).contains(&renewals), "{renewals}");
}

#[tokio::test]
async fn blocking_inside_async_is_an_error_and_not_a_panic() {
    let emulator = emulator().await;
    let error = blocking::connect(robot(&emulator)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    // The remedy works.
    let remedy = error.remedy();
    assert!(remedy.text.contains("tokio::task::spawn_blocking"));
    let builder = robot(&emulator);
    let ee = tokio::task::spawn_blocking(|| blocking::connect(builder));
    assert_eq!(ee.await.unwrap().unwrap().as_async().project().id, PROJECT);
}

#[test]
fn block_on_works_before_connecting() {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .start_blocking()
        .unwrap();
    let listed = blocking::block_on(robot(&emulator).list_projects()).unwrap();
    assert_eq!(listed[0].id, PROJECT);
}

/// One test, because the shared client belongs to the process.
#[tokio::test]
async fn shared_client_is_created_once_and_replaced_on_demand() {
    let emulator = emulator_with(|b| b.project(Project::new("another-project"))).await;
    assert_eq!(earthengine::client().unwrap_err().kind(), ErrorKind::Usage);
    let first = earthengine::initialize(robot(&emulator)).await.unwrap();
    let requests = emulator.requests().len();
    let again = earthengine::shared().await.unwrap();
    assert_eq!(again.project(), first.project());
    assert_eq!(emulator.requests().len(), requests, "there was no request");

    let other = robot(&emulator).project("another-project");
    earthengine::initialize(other).await.unwrap();
    assert_eq!(
        earthengine::client().unwrap().project().id,
        "another-project"
    );

    // Another account, over the same connection.
    let jane = emulator.create_user("jane@example.com");
    let other = isolated(&emulator)
        .credentials_json(jane.authorized_user_json())
        .project("another-project");
    let user = earthengine::initialize(other).await.unwrap();
    assert_eq!(user.credentials().kind().as_str(), "authorized_user");
    assert_eq!(emulator.connections(), 1);

    let broken = robot(&emulator).project("no-such-project");
    earthengine::initialize(broken).await.unwrap_err();
    assert_eq!(
        earthengine::client().unwrap().project().id,
        "another-project"
    );

    earthengine::reset();
    assert_eq!(earthengine::client().unwrap_err().kind(), ErrorKind::Usage);
}
