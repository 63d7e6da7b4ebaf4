//! Pooled connections that end before the next request.

use ee_emulator::{Emulator, Project};
use ee_test_support::relay::{End, Relay};

use crate::google_hosts::{PROJECT, ROBOT, constant, isolated};

#[tokio::test(flavor = "multi_thread")]
async fn stale_connection_loses_no_request() {
    let builder = Emulator::builder().project(Project::new(PROJECT));
    let emulator = builder.start().await.unwrap();
    let relay = Relay::start(emulator.address()).await.unwrap();
    let robot = emulator.create_service_account(ROBOT, PROJECT);
    let builder = isolated(relay.address()).credentials_json(robot.json_key());
    let ee = builder.connect().await.unwrap();
    assert_eq!(emulator.connections(), 1, "the connection is pooled");
    for (number, end) in (1..=20_i64).zip([End::Reset, End::Closed].into_iter().cycle()) {
        relay.end(end).await;
        emulator.clear_requests();
        let value: i64 = ee.compute(&constant(number)).await.unwrap();
        assert_eq!(value, number, "{end:?}");
        assert_eq!(emulator.requests().len(), 1, "{end:?}");
    }
    assert_eq!(emulator.connections(), 21);
}
