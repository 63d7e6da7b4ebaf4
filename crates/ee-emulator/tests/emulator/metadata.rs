//! The metadata server of a virtual machine.

use std::time::Duration;

use ee_emulator::{Emulator, Project};
use serde_json::Value;

use crate::client::*;

const HOST: &str = "metadata.google.internal";

async fn start() -> Emulator {
    Emulator::builder()
        .project(Project::new(PROJECT).number(123_456_789_012))
        .metadata_server(ROBOT, PROJECT, &["cloud-platform", "earthengine"])
        .start()
        .await
        .unwrap()
}

async fn ask(emulator: &Emulator, path: &str) -> Response {
    let url = format!("{}{path}", emulator.url(HOST));
    send(client().get(url).header("Metadata-Flavor", "Google")).await
}

#[tokio::test]
async fn disabled_metadata_server_closes_connections() {
    let emulator = Emulator::start().await.unwrap();
    for host in [HOST, "169.254.169.254"] {
        assert!(client().get(emulator.url(host)).send().await.is_err());
    }
}

#[tokio::test]
async fn metadata_flavor_header_is_required_and_sent() {
    let emulator = start().await;
    let path = "/computeMetadata/v1/project/project-id";
    let without = get(format!("{}{path}", emulator.url(HOST))).await;
    assert_eq!(without.status, 403);
    let with = ask(&emulator, path).await;
    assert_eq!((with.status, with.text.as_str()), (200, PROJECT));
    assert_eq!(with.headers["metadata-flavor"], "Google");
    let ping = get(emulator.url("169.254.169.254")).await;
    assert_eq!(ping.status, 200);
    assert_eq!(ping.headers["metadata-flavor"], "Google");
    let forwarded = client()
        .get(format!("{}{path}", emulator.url(HOST)))
        .header("Metadata-Flavor", "Google")
        .header("X-Forwarded-For", "1.2.3.4");
    assert_eq!(send(forwarded).await.status, 403);
}

#[tokio::test]
async fn metadata_describes_the_machine() {
    let emulator = start().await;
    let v1 = "/computeMetadata/v1";
    let account = format!("{v1}/instance/service-accounts/default");
    for (path, text) in [
        (format!("{v1}/project/numeric-project-id"), "123456789012"),
        (format!("{v1}/universe/universe-domain"), "googleapis.com"),
        (format!("{account}/email"), ROBOT),
        (
            format!("{account}/scopes"),
            "https://www.googleapis.com/auth/cloud-platform\n\
             https://www.googleapis.com/auth/earthengine\n",
        ),
    ] {
        assert_eq!(ask(&emulator, &path).await.text, text, "{path}");
    }
    for (path, text) in [
        (
            format!("{v1}/instance/zone"),
            "projects/123456789012/zones/us-central1-a",
        ),
        // The first request of Google's client for Node.js.
        (
            format!("{v1}/instance"),
            "attributes/\nhostname\nid\nname\nservice-accounts/\nzone\n",
        ),
        (
            format!("{v1}/project/"),
            "attributes/\nnumeric-project-id\nproject-id\n",
        ),
        (
            format!("{account}/"),
            "aliases\nemail\nidentity\nscopes\ntoken\n",
        ),
        (format!("{account}/aliases"), "default\n"),
        (
            format!("{v1}/project/numeric-project-id?alt=json"),
            "123456789012",
        ),
        (
            format!("{v1}/universe/universe-domain?alt=json"),
            "\"googleapis.com\"",
        ),
    ] {
        let response = ask(&emulator, &path).await;
        assert_eq!(
            (response.status, response.text.as_str()),
            (200, text),
            "{path}"
        );
    }
    let instance = ask(&emulator, &format!("{v1}/instance/?recursive=true")).await;
    let accounts = &instance.json()["serviceAccounts"];
    assert_eq!(accounts["default"], accounts[ROBOT]);
    assert_eq!(accounts["default"]["aliases"][0], "default");
    for path in [
        "instance/region",
        "instance/attributes/cluster-name",
        "oslogin",
    ] {
        assert_eq!(ask(&emulator, &format!("{v1}/{path}")).await.status, 404);
    }
    let all = ask(&emulator, &format!("{account}/?recursive=true"))
        .await
        .json();
    assert_eq!(all["email"], ROBOT);
    assert_eq!(all["scopes"][1], SCOPE);
    let other = format!("{v1}/instance/service-accounts/unknown@example.com/email");
    assert_eq!(ask(&emulator, &other).await.status, 404);
}

#[tokio::test]
async fn token_is_cached_until_shortly_before_expiry() {
    let emulator = start().await;
    let path = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=ignored";
    let token = async || -> Value { ask(&emulator, path).await.json() };
    let first = token().await;
    let bearer = first["access_token"].as_str().unwrap();
    assert_eq!(first["token_type"], "Bearer");
    assert_eq!(config(&emulator, PROJECT, bearer, None).await.status, 200);
    emulator.clock().advance(Duration::from_secs(3200));
    let second = token().await;
    assert_eq!(first["access_token"], second["access_token"]);
    assert!(second["expires_in"].as_i64().unwrap() <= 400);
    emulator.clock().advance(Duration::from_secs(150));
    let third = token().await;
    assert_ne!(first["access_token"], third["access_token"]);
    assert_eq!(third["expires_in"], 3600);
    let by_name = format!("/computeMetadata/v1/instance/service-accounts/{ROBOT}/token");
    let fourth = ask(&emulator, &by_name).await.json();
    assert_eq!(third["access_token"], fourth["access_token"]);
}

#[tokio::test]
async fn metadata_server_issues_id_tokens() {
    let emulator = start().await;
    let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
    let identity = async |query: &str| ask(&emulator, &format!("{path}{query}")).await;
    assert_eq!(identity("").await.status, 400);
    assert_eq!(identity("?audience=").await.status, 400);
    assert_eq!(identity("?audience=x&format=long").await.status, 400);
    let standard = identity("?audience=https://me.example").await;
    let claims = id_token_claims(&emulator, &standard.text).await;
    assert_eq!(claims["aud"], "https://me.example");
    assert_eq!(claims["email"], Value::Null);
    let full = identity("?audience=x&format=full&licenses=TRUE").await;
    let claims = id_token_claims(&emulator, &full.text).await;
    assert_eq!(claims["email"], ROBOT);
    let machine = &claims["google"]["compute_engine"];
    assert_eq!(machine["project_number"], 123_456_789_012_u64);
}

#[tokio::test]
async fn metadata_supports_several_accounts_and_scopes() {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .metadata_server(ROBOT, PROJECT, &["cloud-platform"])
        .metadata_account("other@p.example", &["earthengine"])
        .metadata_honors_scopes()
        .metadata_without_recursive()
        .start()
        .await
        .unwrap();
    let accounts = "/computeMetadata/v1/instance/service-accounts";
    let other = format!("{accounts}/other@p.example");
    assert_eq!(
        ask(&emulator, &format!("{other}/scopes")).await.text,
        "https://www.googleapis.com/auth/earthengine\n"
    );
    let recursive = ask(&emulator, &format!("{other}/?recursive=true")).await;
    assert_eq!(recursive.status, 404);
    let gone = ask(&emulator, &format!("{accounts}/gone@p.example/token")).await;
    assert_eq!(gone.status, 404);
    let token = async |path: String| {
        let response = ask(&emulator, &path).await.json();
        response["access_token"].as_str().unwrap().to_owned()
    };
    let scope = "https://www.googleapis.com/auth/drive";
    let narrow = token(format!("{accounts}/default/token?scopes={scope}")).await;
    let plain = token(format!("{accounts}/default/token")).await;
    assert_ne!(narrow, plain);
    let url = format!("{}/tokeninfo?access_token={narrow}", emulator.url(OAUTH2));
    assert_eq!(get(url).await.json()["scope"], scope);
}
