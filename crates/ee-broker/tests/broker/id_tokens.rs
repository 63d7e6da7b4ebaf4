//! ID tokens of every credential that is a service account.

use base64::Engine as _;
use ee_emulator::{Emulator, Project};
use serde_json::json;

use super::tokens::{IDENTITY, emulated, options};
use super::*;

const PROJECT: &str = "ee-demo-project";
const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
const AUDIENCE: &str = "https://service.example/path?a=b";
const QUERY: &str = "audience=https%3A%2F%2Fservice.example%2Fpath%3Fa%3Db&format=full";
const PROVIDER: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider";

async fn serve(credentials: Credentials) -> (Broker, SocketAddr) {
    let broker = Broker::builder(credentials).listen("127.0.0.1:0".parse().unwrap());
    let broker = broker.start().await.unwrap();
    let address = broker.addresses()[0];
    (broker, address)
}

/// Checks that clients get a token of this account, and share it. Returns the path of the last
/// request.
async fn assert_served(emulator: &Emulator, credentials: Credentials, email: &str) -> String {
    let (_broker, address) = serve(credentials).await;
    emulator.clear_requests();
    let first = get(address, &format!("{IDENTITY}?{QUERY}")).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.headers["content-type"], "application/text");
    let claims = first.body.split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(
        (&claims["aud"], &claims["email"]),
        (&json!(AUDIENCE), &json!(email))
    );
    let sent = emulator.requests();
    for _ in 0..3 {
        let again = get(address, &format!("{IDENTITY}?{QUERY}")).await;
        assert_eq!(again.body, first.body);
    }
    assert_eq!(emulator.requests().len(), sent.len(), "it is remembered");
    let status = get(address, "/broker/v1/status").await.json();
    assert_eq!(status["id_tokens"], 4);
    assert_eq!(status["recent"][0]["audience"], AUDIENCE);
    assert!(!status.to_string().contains(&first.body), "{status}");
    sent.last().unwrap().path.clone()
}

#[tokio::test]
async fn service_accounts_have_id_tokens_for_an_audience() {
    let emulator = Emulator::start().await.unwrap();
    let robot = emulator.create_service_account(ROBOT, PROJECT);
    emulator.create_service_account(TARGET, PROJECT);
    let robot = emulated(&emulator, &robot.json_key());
    let path = assert_served(&emulator, robot.clone(), ROBOT).await;
    assert_eq!(path, "/token");

    emulator.allow_impersonation(ROBOT, TARGET);
    let impersonated = robot.impersonate(TARGET).build(&options(&emulator));
    let path = assert_served(&emulator, impersonated.unwrap(), TARGET).await;
    assert!(path.ends_with(":generateIdToken"), "{path}");
}

#[tokio::test]
async fn federation_has_id_tokens_if_it_impersonates_an_account() {
    let emulator = Emulator::start().await.unwrap();
    let provider = emulator.create_oidc_provider(PROVIDER);
    emulator.create_service_account(TARGET, PROJECT);
    emulator.allow_impersonation(&provider.principal("me"), TARGET);
    let dir = tempfile::tempdir().unwrap();
    let subject = dir.path().join("subject-token");
    std::fs::write(&subject, provider.subject_token("me")).unwrap();
    let mut file = json!({
        "type": "external_account",
        "audience": PROVIDER,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": subject},
    });
    let (_broker, address) = serve(emulated(&emulator, &file.to_string())).await;
    let response = get(address, &format!("{IDENTITY}?{QUERY}")).await;
    assert_eq!(response.status, 404, "{response:?}");
    assert!(
        response.body.contains("identity federation"),
        "{response:?}"
    );

    file["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken"
    ));
    let credentials = emulated(&emulator, &file.to_string());
    let path = assert_served(&emulator, credentials, TARGET).await;
    assert!(path.ends_with(":generateIdToken"), "{path}");
}

#[tokio::test]
async fn metadata_server_has_id_tokens() {
    use ee_credentials::{Environment, Search};
    let scopes = ["https://www.googleapis.com/auth/cloud-platform"];
    let builder = Emulator::builder().project(Project::new(PROJECT));
    let emulator = builder.metadata_server(ROBOT, PROJECT, &scopes);
    let emulator = emulator.start().await.unwrap();
    let machine = Environment::empty().with_metadata_probe(true);
    let found = Search::new(machine, options(&emulator)).find().await;
    assert_served(&emulator, found.unwrap().credentials, ROBOT).await;
}

#[tokio::test]
async fn denied_id_token_names_the_role() {
    let emulator = Emulator::start().await.unwrap();
    let robot = emulator.create_service_account(ROBOT, PROJECT);
    emulator.create_service_account(TARGET, PROJECT);
    let robot = emulated(&emulator, &robot.json_key());
    let impersonated = robot.impersonate(TARGET).build(&options(&emulator));
    let (_broker, address) = serve(impersonated.unwrap()).await;
    let response = get(address, &format!("{IDENTITY}?{QUERY}")).await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.body.contains("Token Creator"), "{response:?}");
    emulator.allow_impersonation(ROBOT, TARGET);
    let response = get(address, &format!("{IDENTITY}?{QUERY}")).await;
    assert_eq!(response.status, 200, "{response:?}");
}
