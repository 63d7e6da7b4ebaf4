//! Tokens that expire early, new logins, and wrong clocks.

use earthengine::{Environment, ErrorKind};
use ee_emulator::EmulatorClock;

use super::*;

#[tokio::test]
async fn hundred_calls_with_an_expired_token_refresh_it_once() {
    let emulator = emulator().await;
    let ee = robot(&emulator).connect().await.unwrap();
    emulator.expire_tokens();
    emulator.clear_requests();
    let calls = (0..100).map(|i| {
        let ee = ee.clone();
        tokio::spawn(async move { ee.compute::<i64>(&constant(i)).await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    for (i, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), i as i64);
    }
    assert_eq!(emulator.requests_to("oauth2.googleapis.com").len(), 1);
}

#[tokio::test]
async fn wrong_system_clock_does_not_prevent_connecting() {
    let clock = EmulatorClock::system();
    clock.advance(std::time::Duration::from_secs(2 * 3600));
    let emulator = emulator_with(|b| b.clock(clock)).await;
    let ee = robot(&emulator).connect().await.unwrap();
    assert_eq!(
        ee.connect_stats().requests,
        3,
        "rejected, corrected, verified"
    );
}

#[tokio::test]
async fn new_login_is_used_without_a_restart() {
    let emulator = emulator().await;
    let jane = emulator.create_user("jane@example.com");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/earthengine/credentials");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, jane.earthengine_file_json(Some(PROJECT))).unwrap();
    let ee = EarthEngine::builder()
        .environment(Environment::empty().with_home(home.path()))
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .connect()
        .await
        .unwrap();

    emulator.revoke(jane.earthengine_refresh_token());
    emulator.expire_tokens();
    let error = ee.compute::<i64>(&constant(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsRejected);

    let again = emulator.create_user("jane@example.com");
    std::fs::write(&file, again.earthengine_file_json(Some(PROJECT)) + "\n").unwrap();
    assert_eq!(ee.compute::<i64>(&constant(2)).await.unwrap(), 2);
}
