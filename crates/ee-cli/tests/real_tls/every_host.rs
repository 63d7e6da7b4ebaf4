//! Every production host that a credential or a command leads to, under its own name.

use earthengine::{EarthEngine, init};
use ee_emulator::{GoogleError, Project};
use ee_test_support::subprocess::enter_network as inside;
use serde_json::{Value, json};

use crate::world::{Ended, PROJECT, ROBOT, World};

const ALL: [&str; 8] = [
    "oauth2.googleapis.com",
    "earthengine.googleapis.com",
    "earthengine-highvolume.googleapis.com",
    "sts.googleapis.com",
    "sts.mtls.googleapis.com",
    "iamcredentials.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
];
const INIT: [&str; 4] = ["init", "--json", "--project", PROJECT];
const PROVIDER: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider";

/// A world in which each host has a certificate of its own, for its name and no other.
async fn world() -> World {
    let closed = Project::new("ee-closed-project").fail_with(GoogleError::IamPermissionDenied);
    let world = World::new(|builder| builder.project(closed)).await;
    let configs = ALL.map(|name| (name, world.authority.issue(&[name]).server_config()));
    let choose = move |name: &str| {
        let known = configs.iter().find(|(host, _)| *host == name);
        known.unwrap_or(&configs[0]).1.clone()
    };
    world.serve_tls_by_name(choose).await;
    world
}

/// It ended well, and these hosts were asked for these paths, among others.
fn asked(world: &World, ended: &Ended, expected: &[(&str, &str)]) {
    assert_eq!(ended.status, 0, "{ended:?}");
    let seen = world.seen();
    for (host, path) in expected {
        let asked = seen.iter().any(|s| s.sni == *host && s.path.contains(path));
        assert!(asked, "{host}{path} was not asked: {seen:?}");
    }
}

fn external_account(kind: &str, host: &str, source: Value) -> String {
    json!({
        "type": "external_account",
        "audience": PROVIDER,
        "subject_token_type": format!("urn:ietf:params:oauth:token-type:{kind}"),
        "token_url": format!("https://{host}/v1/token"),
        "credential_source": source,
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_projects_asks_resource_manager_and_service_usage_by_name() {
    let test = "every_host::a_list_of_projects_asks_resource_manager_and_service_usage_by_name";
    if !inside(test, &ALL) {
        return;
    }
    let world = world().await;
    let jane = world.emulator.create_user("jane@example.com");
    let world = world.with_credential(&jane.authorized_user_json_with_quota_project(PROJECT));
    let ended = world.eectl(&["project", "list", "--json"]).await;
    let expected = [
        ("oauth2.googleapis.com", "/token"),
        ("cloudresourcemanager.googleapis.com", "/v3/projects:search"),
        ("serviceusage.googleapis.com", "/services/"),
        ("earthengine.googleapis.com", "/config"),
    ];
    asked(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impersonated_account_s_tokens_come_from_iam_by_name() {
    let test = "every_host::an_impersonated_account_s_tokens_come_from_iam_by_name";
    if !inside(test, &ALL) {
        return;
    }
    let world = world().await;
    let target = "target@ee-demo-project.iam.gserviceaccount.com";
    world.emulator.create_service_account(target, PROJECT);
    world.emulator.allow_impersonation(ROBOT, target);
    let world = world.with_key();
    let arguments = [&INIT[..], &["--impersonate", target]].concat();
    let ended = world.eectl(&arguments).await;
    let expected = [
        ("oauth2.googleapis.com", "/token"),
        ("iamcredentials.googleapis.com", ":generateAccessToken"),
        ("earthengine.googleapis.com", "/config"),
    ];
    asked(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_account_s_tokens_come_from_sts_by_name() {
    let test = "every_host::a_federated_account_s_tokens_come_from_sts_by_name";
    if !inside(test, &ALL) {
        return;
    }
    let world = world().await;
    let provider = world.emulator.create_oidc_provider(PROVIDER);
    let subject = world.file("subject-token", &provider.subject_token("me"));
    let source = json!({"file": subject});
    let account = external_account("jwt", "sts.googleapis.com", source);
    let world = world.with_credential(&account);
    let ended = world.eectl(&INIT).await;
    let expected = [
        ("sts.googleapis.com", "/v1/token"),
        ("earthengine.googleapis.com", "/config"),
    ];
    asked(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_s_certificate_is_shown_to_sts_for_mutual_tls_by_name() {
    let test = "every_host::a_workload_s_certificate_is_shown_to_sts_for_mutual_tls_by_name";
    if !inside(test, &ALL) {
        return;
    }
    let world = world().await;
    let provider = world.emulator.create_x509_provider(PROVIDER);
    let certificate = provider.certificate("workload.example");
    let workload = json!({
        "cert_path": world.file("leaf.pem", certificate.certificate_pem()),
        "key_path": world.file("key.pem", certificate.key_pem()),
    });
    let config = json!({"cert_configs": {"workload": workload}}).to_string();
    let config = world.file("certificate_config.json", &config);
    let source = json!({"certificate": {"certificate_config_location": config}});
    let account = external_account("mtls", "sts.mtls.googleapis.com", source);
    let world = world.with_credential(&account);
    let ended = world.eectl(&INIT).await;
    let expected = [
        ("sts.mtls.googleapis.com", "/v1/token"),
        ("earthengine.googleapis.com", "/config"),
    ];
    asked(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_looked_up_and_a_login_ended_at_the_token_host_by_name() {
    let test = "every_host::a_token_is_looked_up_and_a_login_ended_at_the_token_host_by_name";
    if !inside(test, &ALL) {
        return;
    }
    let world = world().await;
    let jane = world.emulator.create_user_with_scopes(
        "jane@example.com",
        &["userinfo.email"],
        &["earthengine", "userinfo.email"],
    );
    let login = jane.earthengine_file_json(Some(PROJECT));
    world.file(".config/earthengine/credentials", &login);
    // Whose login it is is known to the token's host alone.
    let ended = world.eectl(&["auth", "status"]).await;
    let expected = [
        ("oauth2.googleapis.com", "/token"),
        ("oauth2.googleapis.com", "/tokeninfo"),
    ];
    asked(&world, &ended, &expected);
    let ended = world.eectl(&["auth", "logout", "--revoke"]).await;
    asked(&world, &ended, &[("oauth2.googleapis.com", "/revoke")]);
}

/// No command asks that host: the library does, in this process.
#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_for_many_small_requests_is_asked_by_name() {
    let test = "every_host::the_endpoint_for_many_small_requests_is_asked_by_name";
    if !inside(test, &ALL) {
        return;
    }
    let world = world().await;
    let robot = world.emulator.create_service_account(ROBOT, PROJECT);
    let connect = EarthEngine::builder()
        .isolated()
        .credentials_json(robot.json_key())
        .project(PROJECT)
        .high_volume(true)
        .connect();
    let connected: Result<EarthEngine, init::Error> = connect.await;
    connected.unwrap();
    let names: Vec<_> = world.seen().into_iter().map(|seen| seen.sni).collect();
    let expected = [
        "oauth2.googleapis.com",
        "earthengine-highvolume.googleapis.com",
    ];
    assert_eq!(names, expected);
}
