//! How often the credential's server is asked.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_askers_cost_one_token_request() {
    let (credentials, calls) = credentials();
    let broker = Broker::builder(credentials)
        .listen("127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    let address = broker.addresses()[0];
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let line = request(TOKEN, &address.to_string(), "Metadata-Flavor: Google\r\n");
            for _ in 0..100 {
                let response = exchange(&mut stream, &line).await.unwrap();
                assert!(response.body.contains("ya29.token-0"), "{response:?}");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let status = get(address, "/broker/v1/status").await.json();
    assert_eq!(status["tokens"], 10_000);
}

#[tokio::test]
async fn rejected_login_is_reported_with_its_reason() {
    let broker = Broker::builder(rejected()).listen("127.0.0.1:0".parse().unwrap());
    let broker = broker.start().await.unwrap();
    let address = broker.addresses()[0];
    let response = get(address, TOKEN).await;
    assert_eq!(response.status, 503);
    assert_eq!(
        response.body,
        "No token: the login was revoked\nhint: Log in again.\n"
    );
    let status = get(address, "/broker/v1/status").await.json();
    assert_eq!(
        (&status["failed"], &status["tokens"]),
        (&1.into(), &0.into())
    );
    // The rest is served.
    let email = "/computeMetadata/v1/instance/service-accounts/default/email";
    assert_eq!(get(address, email).await.body, "default");
}

#[tokio::test]
async fn a_new_login_file_ends_the_rejection() {
    use ee_credentials::CredentialOptions;
    use ee_emulator::Emulator;
    use ee_token::{Endpoints, HttpClient};
    let emulator = Emulator::start().await.unwrap();
    let jane = emulator.create_user("jane@example.com");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("login.json");
    std::fs::write(&path, jane.authorized_user_json()).unwrap();
    let endpoints = Endpoints::emulator(emulator.address()).unwrap();
    let options =
        CredentialOptions::new(HttpClient::new(endpoints)).scopes(Scopes::new(["earthengine"]));
    let credentials = Credentials::from_file(&path, &options).unwrap();
    let broker = Broker::builder(credentials).listen("127.0.0.1:0".parse().unwrap());
    let broker = broker.start().await.unwrap();
    let address = broker.addresses()[0];
    emulator.revoke(jane.refresh_token());
    let response = get(address, TOKEN).await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.body.contains("hint: "), "{}", response.body);
    assert!(!response.body.contains(jane.refresh_token()));
    let again = emulator.create_user("jane@example.com");
    std::fs::write(&path, again.authorized_user_json()).unwrap();
    let response = get(address, TOKEN).await;
    assert_eq!(response.status, 200, "{response:?}");
    // The request named the narrower scope.
    let form = emulator
        .requests_to("oauth2.googleapis.com")
        .pop()
        .unwrap()
        .form();
    assert_eq!(form["scope"], "https://www.googleapis.com/auth/earthengine");
}

pub(crate) fn options(emulator: &ee_emulator::Emulator) -> ee_credentials::CredentialOptions {
    use ee_token::{Endpoints, HttpClient};
    let endpoints = Endpoints::emulator(emulator.address()).unwrap();
    let options = ee_credentials::CredentialOptions::new(HttpClient::new(endpoints));
    options.scopes(Scopes::new(["earthengine"]))
}

/// Credentials of the emulator, from the text of a file.
pub(crate) fn emulated(emulator: &ee_emulator::Emulator, json: &str) -> Credentials {
    Credentials::from_json(json, &options(emulator)).unwrap()
}

pub(crate) const IDENTITY: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

#[tokio::test]
async fn logins_have_no_id_tokens_and_say_so() {
    let emulator = ee_emulator::Emulator::start().await.unwrap();
    let jane = emulator.create_user("jane@example.com");
    let credentials = emulated(&emulator, &jane.authorized_user_json());
    let broker = Broker::builder(credentials).listen("127.0.0.1:0".parse().unwrap());
    let broker = broker.start().await.unwrap();
    let address = broker.addresses()[0];
    let missing = get(address, IDENTITY).await;
    assert_eq!(missing.status, 400);
    assert_eq!(missing.body, "non-empty audience parameter required\n");
    let response = get(address, &format!("{IDENTITY}?audience=https://a.example")).await;
    assert_eq!(response.status, 404);
    assert!(response.body.contains("user login"), "{}", response.body);
    assert!(
        response.body.contains("hint: Use a service account"),
        "{}",
        response.body
    );
    assert_eq!(emulator.requests().len(), 0);
}

#[tokio::test]
async fn responses_repeat_no_secret_that_a_server_echoes() {
    let emulator = ee_emulator::Emulator::start().await.unwrap();
    let jane = emulator.create_user("jane@example.com");
    let secret = jane.refresh_token();
    for (status, body) in [
        (
            400,
            format!(r#"{{"error": "invalid_grant", "error_description": "no {secret}"}}"#),
        ),
        (500, format!("<html>{secret}</html>")),
        (
            403,
            format!(r#"{{"error": "{secret}", "error_description": "{secret}"}}"#),
        ),
        (
            200,
            format!(r#"{{"access_token": 7, "refresh_token": "{secret}"}}"#),
        ),
    ] {
        let credentials = emulated(&emulator, &jane.authorized_user_json());
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("ledger.jsonl");
        let builder = Broker::builder(credentials).ledger(&ledger);
        let broker = builder
            .listen("127.0.0.1:0".parse().unwrap())
            .start()
            .await
            .unwrap();
        let address = broker.addresses()[0];
        let fault = ee_emulator::Fault::respond(status, "application/json", body).times(20);
        emulator.fault("oauth2.googleapis.com", fault);
        let response = get(address, TOKEN).await;
        assert_eq!(response.status, 503, "{status}: {response:?}");
        assert!(
            response.body.contains("hint: "),
            "{status}: {}",
            response.body
        );
        let status = get(address, "/broker/v1/status").await.body;
        broker.shutdown().await;
        let ledger = std::fs::read_to_string(&ledger).unwrap();
        assert!(ledger.contains("\"event\":\"failed\""), "{ledger}");
        for text in [response.body, status, ledger] {
            assert!(!text.contains(secret), "{text}");
        }
        emulator.clear_faults();
    }
}
