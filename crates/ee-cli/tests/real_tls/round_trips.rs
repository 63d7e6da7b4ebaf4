//! The round trips and connections from the start of the command to a verified client.

use earthengine::EarthEngine;
use ee_test_support::round_trips::Counts;
use ee_test_support::subprocess::enter_network as inside;
use serde_json::json;

use crate::every_host::{ALL, INIT, PROVIDER, external_account};
use crate::world::{PROJECT, ROBOT, World};

const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";

/// Checks what a command needs, twice, because the second time the tokens are on disk.
async fn check(world: &World, arguments: &[&str], first: Counts, second: Counts) {
    let relay = world.distance.as_ref().unwrap();
    for expected in [first, second] {
        let seen = world.seen().len();
        let ended = world.eectl(arguments).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        let counts = relay.take();
        let seen = &world.seen()[seen..];
        assert_eq!(counts, expected, "{arguments:?}: {seen:?}");
        let mut hosts: Vec<_> = seen.iter().map(|seen| &seen.sni).collect();
        hosts.sort();
        hosts.dedup();
        assert_eq!(
            hosts.len(),
            counts.connections,
            "a connection carries no request: {seen:?}"
        );
    }
}

fn counts(round_trips: f32, connections: usize) -> Counts {
    Counts {
        round_trips,
        connections,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_opened_while_tokens_are_fetched() {
    let test = "round_trips::connections_are_opened_while_tokens_are_fetched";
    if !inside(test, &ALL) {
        return;
    }
    let (cold, warm) = (counts(4.0, 2), counts(3.0, 1));
    let mut world = World::new(|builder| builder).await;
    world.serve_tls_at_a_distance(&ALL).await;
    world.emulator.create_service_account(TARGET, PROJECT);
    world.emulator.allow_impersonation(ROBOT, TARGET);
    let world = world.with_key();
    check(&world, &INIT, cold, warm).await;
    // Only the source's token is kept on disk.
    let arguments = [&INIT[..], &["--impersonate", TARGET]].concat();
    check(&world, &arguments, counts(5.0, 3), cold).await;

    let robot = world.emulator.create_service_account(ROBOT, PROJECT);
    let connect = EarthEngine::builder()
        .isolated()
        .credentials_json(robot.json_key())
        .project(PROJECT)
        .self_signed_jwt(true)
        .connect();
    connect.await.unwrap();
    assert_eq!(world.distance.as_ref().unwrap().take(), warm);

    let provider = world.emulator.create_oidc_provider(PROVIDER);
    let subject = world.file("subject-token", &provider.subject_token("me"));
    let source = json!({"file": subject});
    let account = external_account("jwt", "sts.googleapis.com", source);
    let world = world.with_credential(&account);
    check(&world, &INIT, cold, cold).await;

    let jane = world.emulator.create_user("jane@example.com");
    let world = world.with_credential(&jane.authorized_user_json_with_quota_project(PROJECT));
    check(&world, &INIT, cold, warm).await;
    // The token is on disk.
    let listing = counts(4.0, 2);
    check(&world, &["project", "list"], listing, listing).await;
}
