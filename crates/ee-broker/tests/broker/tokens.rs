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
