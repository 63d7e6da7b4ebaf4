//! Every production host that a credential or a command uses, under its own name.

use earthengine::{EarthEngine, init};
use ee_emulator::{GoogleError, Project};
use ee_test_support::subprocess::enter_network as inside;
use serde_json::{Value, json};

use crate::world::{Ended, PROJECT, ROBOT, World};

pub(crate) const ALL: [&str; 8] = [
    "oauth2.googleapis.com",
    "earthengine.googleapis.com",
    "earthengine-highvolume.googleapis.com",
    "sts.googleapis.com",
    "sts.mtls.googleapis.com",
    "iamcredentials.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
];
pub(crate) const INIT: [&str; 4] = ["init", "--json", "--project", PROJECT];
pub(crate) const PROVIDER: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider";

/// Creates a network in which each host has its own certificate.
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

/// Checks that the command succeeded and sent requests to these hosts and paths, among others.
fn check_requests(world: &World, ended: &Ended, expected: &[(&str, &str)]) {
    assert_eq!(ended.status, 0, "{ended:?}");
    let seen = world.seen();
    for (host, path) in expected {
        let sent = seen.iter().any(|s| s.sni == *host && s.path.contains(path));
        assert!(sent, "no request to {host}{path}: {seen:?}");
    }
}

pub(crate) fn external_account(kind: &str, host: &str, source: Value) -> String {
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
async fn project_list_uses_resource_manager_and_service_usage() {
    let test = "every_host::project_list_uses_resource_manager_and_service_usage";
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
    check_requests(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn impersonated_tokens_come_from_iam_credentials() {
    let test = "every_host::impersonated_tokens_come_from_iam_credentials";
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
    check_requests(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn federated_tokens_come_from_sts() {
    let test = "every_host::federated_tokens_come_from_sts";
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
    check_requests(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn workload_certificate_is_presented_to_mtls_sts() {
    let test = "every_host::workload_certificate_is_presented_to_mtls_sts";
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
    check_requests(&world, &ended, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokeninfo_and_revocation_use_the_token_host() {
    let test = "every_host::tokeninfo_and_revocation_use_the_token_host";
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
    // Only tokeninfo knows the owner of the login.
    let ended = world.eectl(&["auth", "status"]).await;
    let expected = [
        ("oauth2.googleapis.com", "/token"),
        ("oauth2.googleapis.com", "/tokeninfo"),
    ];
    check_requests(&world, &ended, &expected);
    let ended = world.eectl(&["auth", "logout", "--revoke"]).await;
    check_requests(&world, &ended, &[("oauth2.googleapis.com", "/revoke")]);
}

/// No command uses that host, so that the library does in this process.
#[tokio::test(flavor = "multi_thread")]
async fn high_volume_requests_use_their_own_host() {
    let test = "every_host::high_volume_requests_use_their_own_host";
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
