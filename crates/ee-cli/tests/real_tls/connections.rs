//! Connections that fall silent, and connections whose responses are not read.

use std::sync::Arc;
use std::time::Duration;

use earthengine::{EarthEngine, RetryPolicy};
use ee_emulator::Fault;
use ee_test_support::relay::{End, Relay};
use ee_test_support::subprocess::{enter_network as inside, enter_network_with};
use futures_util::{StreamExt as _, stream};
use hyper::Method;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{HOSTS, Mood, PROJECT, Proxy, ROBOT, World};

const EARTH_ENGINE: &str = HOSTS[1];

/// A client of this process.
async fn connected(world: &World) -> EarthEngine {
    let robot = world.emulator.create_service_account(ROBOT, PROJECT);
    let retry = RetryPolicy {
        initial_backoff: Duration::from_millis(10),
        ..RetryPolicy::default()
    };
    EarthEngine::builder()
        .isolated()
        .credentials_json(robot.json_key())
        .project(PROJECT)
        .retry_policy(retry)
        .connect()
        .await
        .unwrap()
}

async fn world(config: impl Fn(&World) -> Arc<ServerConfig>) -> (World, Relay) {
    let mut world = World::new(|builder| builder).await;
    let config = config(&world);
    let relay = world.serve_tls_behind_relay(config).await;
    (world, relay)
}

fn constant(value: i64) -> Value {
    json!({"result": "0", "values": {"0": {"constantValue": value}}})
}

/// Checks that Earth Engine responds in time.
async fn check_call(ee: &EarthEngine, seconds: u64) {
    let (seven, limit) = (constant(7), Duration::from_secs(seconds));
    let value = timeout(limit, ee.compute::<i64>(&seven)).await;
    assert_eq!(value.unwrap().unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_a_timeout_uses_another_http2_connection() {
    let test = "connections::retry_after_a_timeout_uses_another_http2_connection";
    if inside(test, &HOSTS) {
        check_retries(|world| world.authority.issue(&HOSTS).server_config()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_a_timeout_uses_another_http1_connection() {
    let test = "connections::retry_after_a_timeout_uses_another_http1_connection";
    if inside(test, &HOSTS) {
        check_retries(|world| world.authority.issue(&HOSTS).http1_config()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_a_timeout_uses_another_tunnel() {
    let test = "connections::retry_after_a_timeout_uses_another_tunnel";
    if !enter_network_with(test, &HOSTS, &[("HTTPS_PROXY", Proxy::URL)]) {
        return;
    }
    let proxy = Proxy::start(Mood::Tunnels).await;
    check_retries(|world| world.authority.issue(&HOSTS).server_config()).await;
    let asked = proxy.asked();
    let tunnels = asked.iter().filter(|line| line.contains(EARTH_ENGINE));
    assert!(tunnels.count() >= 5, "one per silent connection: {asked:?}");
}

async fn check_retries(config: impl Fn(&World) -> Arc<ServerConfig>) {
    let (world, relay) = world(config).await;
    let ee = connected(&world).await;
    let body = json!({"expression": constant(7)});
    let call = || {
        let request = ee.client().request(Method::POST, "value:compute");
        request.json(&body).timeout(Duration::from_secs(1)).send()
    };
    let mut silent_connections = 0;
    for _ in 0..20 {
        relay.end(End::Silent).await;
        let response = timeout(Duration::from_secs(5), call()).await;
        let response = response.unwrap().unwrap();
        assert_eq!(response.json::<Value>().unwrap(), json!({"result": 7}));
        match response.attempts() {
            // The silent connection was not back in the pool yet: the call opened another one.
            1 => {}
            2 => silent_connections += 1,
            attempts => panic!("a call was sent {attempts} times"),
        }
        if silent_connections == 3 {
            break;
        }
    }
    assert_eq!(silent_connections, 3, "silent connections that were used");
    for _ in 0..20 {
        world.emulator.expire_tokens();
        relay.end(End::Silent).await;
        // A token request has its own timeout of 10 seconds.
        let response = timeout(Duration::from_secs(20), call()).await;
        match response.unwrap().unwrap().attempts() {
            // As above.
            2 => {}
            // The silent connection, the expired token, and the response.
            3 => return,
            attempts => panic!("a call was sent {attempts} times"),
        }
    }
    panic!("no call used a silent connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_is_probed_and_replaced() {
    let test = "connections::silent_connection_is_probed_and_replaced";
    if !inside(test, &HOSTS) {
        return;
    }
    let (world, relay) = world(|world| world.authority.issue(&HOSTS).server_config()).await;
    let ee = connected(&world).await;
    relay.end(End::Silent).await;
    // Long before the timeout of 330 seconds.
    check_call(&ee, 60).await;
}

/// Changes are not repeatable, so that a request is resent only if the server certainly did not
/// process it.
#[tokio::test(flavor = "multi_thread")]
async fn retired_connection_loses_and_repeats_no_change() {
    const CHANGES: usize = 400;
    let test = "connections::retired_connection_loses_and_repeats_no_change";
    if !inside(test, &HOSTS) {
        return;
    }
    let (world, _relay) = world(|world| world.authority.issue(&HOSTS).server_config()).await;
    let ee = connected(&world).await;
    let body = json!({"type": "FOLDER"});
    let change = |number: usize| {
        let request = ee.client().request(Method::POST, "assets");
        let request = request.query("assetId", format!("folder-{number}"));
        request.json(&body).send()
    };
    let mut changes = stream::iter(0..CHANGES).map(change).buffer_unordered(30);
    let (mut changed, mut retired) = (0, 0);
    while let Some(result) = changes.next().await {
        result.unwrap();
        changed += 1;
        if changed % 20 == 0 {
            retired += world.retire_connections();
        }
    }
    assert!(retired >= 10, "{retired} connections");
    let received = world.emulator.requests_to(EARTH_ENGINE);
    let changes = received
        .iter()
        .filter(|request| request.path.ends_with("/assets"));
    assert_eq!(changes.count(), CHANGES);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_delay_no_other_request() {
    let test = "connections::slow_readers_delay_no_other_request";
    if !inside(test, &HOSTS) {
        return;
    }
    let (world, _relay) = world(|world| world.authority.issue(&HOSTS).server_config()).await;
    let ee = connected(&world).await;
    let mut readers = Vec::new();
    for _ in 0..8 {
        world
            .emulator
            .fault(EARTH_ENGINE, Fault::respond_stream(64 << 20));
        let reader = ee.client().request(Method::GET, "assets/big:getPixels");
        readers.push(reader.send_streaming().await.unwrap());
    }
    let before = world.seen().len();
    for _ in 0..20 {
        check_call(&ee, 5).await;
    }
    let seen = world.seen();
    assert!(
        seen[before..]
            .iter()
            .all(|seen| seen.version == hyper::Version::HTTP_2)
    );
    let streamed = seen
        .iter()
        .filter(|seen| seen.version == hyper::Version::HTTP_11);
    assert_eq!(streamed.count(), readers.len());
}
