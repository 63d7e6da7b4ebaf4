//! The metadata server's protocol, as clients use it.

use super::*;

#[tokio::test]
async fn values_have_the_formats_of_googles_server() {
    let (_broker, address) = start(|builder| builder).await;
    let account = "/computeMetadata/v1/instance/service-accounts/default";
    for (path, kind, body) in [
        ("/", "application/text", "computeMetadata/\n"),
        (
            "/computeMetadata/v1/",
            "application/text",
            "instance/\nproject/\nuniverse/\n",
        ),
        (
            "/computeMetadata/v1/instance",
            "application/text",
            "service-accounts/\nzone\n",
        ),
        (
            "/computeMetadata/v1/project/project-id",
            "application/text",
            "my-project",
        ),
        (
            "/computeMetadata/v1/project/project-id?alt=json",
            "application/json",
            "\"my-project\"",
        ),
        (
            "/computeMetadata/v1/universe/universe-domain",
            "application/text",
            "googleapis.com",
        ),
        (&format!("{account}/email"), "application/text", ROBOT),
        (
            &format!("{account}/aliases"),
            "application/text",
            "default\n",
        ),
    ] {
        let response = get(address, path).await;
        assert_eq!(response.status, 200, "{path}");
        assert!(response.has_flavor(), "{path}");
        assert_eq!(response.headers["content-type"], kind, "{path}");
        assert_eq!(response.body, body, "{path}");
    }
    let info = get(address, &format!("{account}/?recursive=true"))
        .await
        .json();
    assert_eq!(info["email"], ROBOT);
    assert_eq!(info["aliases"], serde_json::json!(["default"]));
    let by_email = format!("/computeMetadata/v1/instance/service-accounts/{ROBOT}/token");
    assert_eq!(get(address, &by_email).await.status, 200);
}

#[tokio::test]
async fn missing_values_are_not_found_as_on_googles_server() {
    let (_broker, address) = start(|builder| builder).await;
    for path in [
        "/computeMetadata/v1/instance/attributes/x",
        "/computeMetadata/v1/project/numeric-project-id",
        "/computeMetadata/v1/instance/service-accounts/other@example.com/token",
        "/computeMetadata/v1x",
        "/computeMetadata/v1beta1/instance/",
        "/favicon.ico",
    ] {
        let response = get(address, path).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(response.has_flavor(), "{path}");
        assert_eq!(response.headers["content-type"], "text/html; charset=UTF-8");
    }
}

#[tokio::test]
async fn token_is_a_google_token_response() {
    let (_broker, address) = start(|builder| builder).await;
    let response = get(address, TOKEN).await;
    assert!(response.has_flavor());
    assert_eq!(response.headers["cache-control"], "no-store");
    let token = response.json();
    assert_eq!(token["access_token"], "ya29.token-0");
    assert_eq!(token["token_type"], "Bearer");
    assert!(
        (3590..=3600).contains(&token["expires_in"].as_i64().unwrap()),
        "{token}"
    );
    assert_eq!(token.as_object().unwrap().len(), 3);
    // A client that asks for more gets the same token.
    let wider = format!("{TOKEN}?scopes=https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(
        get(address, &wider).await.json()["access_token"],
        "ya29.token-0"
    );
}

#[tokio::test]
async fn only_get_is_served() {
    let (_broker, address) = start(|builder| builder).await;
    let line = |method: &str| {
        format!(
            "{method} {TOKEN} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = send(address, &line(method)).await;
        assert_eq!(response.status, 405, "{method}");
        assert!(!response.body.contains("ya29"));
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_all_answered() {
    let (_broker, address) = start(|builder| builder).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for path in [TOKEN, "/computeMetadata/v1/project/project-id", "/x", TOKEN] {
        let line = request(path, &address.to_string(), "Metadata-Flavor: Google\r\n");
        let response = exchange(&mut stream, &line).await.unwrap();
        assert_eq!(response.status, if path == "/x" { 404 } else { 200 });
    }
}

#[tokio::test]
async fn unguessable_path_leads_to_the_same_values() {
    let (broker, address) = start(|builder| builder).await;
    let url = broker.token_url().unwrap();
    let path = url.strip_prefix(&format!("http://{address}")).unwrap();
    assert_eq!(get(address, path).await.json()["token_type"], "Bearer");
    let start = path.strip_suffix(TOKEN).unwrap();
    let project = format!("{start}/computeMetadata/v1/project/project-id");
    assert_eq!(get(address, &project).await.body, "my-project");
    assert_eq!(get(address, start).await.status, 200);
    assert!(!format!("{broker:?}").contains(start.trim_start_matches('/')));
}

#[tokio::test]
async fn broker_of_this_projects_client_is_a_metadata_server() {
    use ee_credentials::{CredentialOptions, CredentialSource, Environment, Search};
    let (broker, _) = start(|builder| builder).await;
    let environment = Environment::empty()
        .with_var("GCE_METADATA_HOST", broker.metadata_host().unwrap())
        .with_var("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server");
    let found = Search::new(environment, CredentialOptions::default())
        .find()
        .await
        .unwrap();
    let credentials = found.credentials;
    assert_eq!(credentials.source(), CredentialSource::MetadataServer);
    assert_eq!(credentials.token().await.unwrap().secret(), "ya29.token-0");
    assert_eq!(
        credentials.fetch_principal().await.unwrap().as_deref(),
        Some(ROBOT)
    );
    let project = credentials.fetch_metadata_project().await.unwrap();
    assert_eq!(project.as_deref(), Some("my-project"));
}

#[tokio::test]
async fn number_of_the_machines_own_project_is_known() {
    use ee_credentials::{CredentialOptions, Environment, Search};
    use ee_emulator::{Emulator, Project};
    use ee_token::{Endpoints, HttpClient};
    let emulator = Emulator::builder()
        .project(Project::new("my-project").number(123_456_789_012))
        .metadata_server(ROBOT, "my-project", &["earthengine"])
        .start()
        .await
        .unwrap();
    let endpoints = Endpoints::emulator(emulator.address()).unwrap();
    let options = CredentialOptions::new(HttpClient::new(endpoints));
    let environment = Environment::empty().with_metadata_probe(true);
    let found = Search::new(environment, options).find().await.unwrap();
    let path = "/computeMetadata/v1/project/numeric-project-id";
    for (project, number) in [
        ("my-project", Some("123456789012")),
        ("987654321", Some("987654321")),
        ("other-project", None),
    ] {
        let broker = Broker::builder(found.credentials.clone())
            .project(project)
            .listen("127.0.0.1:0".parse().unwrap())
            .start()
            .await
            .unwrap();
        let address = broker.addresses()[0];
        emulator.clear_requests();
        for _ in 0..2 {
            let response = get(address, path).await;
            let found = (response.status == 200).then_some(&*response.body);
            assert_eq!(found, number, "{project}");
        }
        assert!(emulator.requests().len() <= 2, "{project}");
    }
}

#[tokio::test]
async fn stopped_broker_serves_no_one() {
    let (broker, address) = start(|builder| builder).await;
    assert_eq!(get(address, TOKEN).await.status, 200);
    broker.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    let (broker, address) = start(|builder| builder).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let line = request(TOKEN, &address.to_string(), "Metadata-Flavor: Google\r\n");
    assert_eq!(exchange(&mut idle, &line).await.unwrap().status, 200);
    drop(broker);
    // An open connection is closed as well.
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(exchange(&mut idle, &line).await.is_none());
}
