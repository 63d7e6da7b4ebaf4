//! The options of the builder.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use earthengine::token::{RetryPolicy, source_fn};
use earthengine::{AccessToken, ErrorKind, Scopes, VerifyLevel};

use super::*;

const BOTH: [&str; 2] = [
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
];

fn claims(emulator: &Emulator) -> Value {
    let request = emulator.requests_to("oauth2.googleapis.com").remove(0);
    let assertion = request.form()["assertion"].clone();
    let claims = URL_SAFE_NO_PAD
        .decode(assertion.split('.').nth(1).unwrap())
        .unwrap();
    serde_json::from_slice(&claims).unwrap()
}

#[tokio::test]
async fn two_requests_verify_and_the_third_computes() {
    let emulator = emulator().await;
    let ee = robot(&emulator).connect().await.unwrap();
    assert_eq!(ee.connect_stats().requests, 2);
    assert_eq!(ee.project().id, PROJECT);
    let value: i64 = ee.compute(&constant(7)).await.unwrap();
    assert_eq!(value, 7);
    let requests = emulator.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests[1..] {
        assert_eq!(request.headers["x-goog-user-project"], PROJECT);
        let client = request.headers["x-goog-api-client"].to_str().unwrap();
        assert!(
            client.starts_with("ee-rust/") && client.contains(" rust/"),
            "{client}"
        );
    }
}

#[tokio::test]
async fn invalid_options_fetch_no_token() {
    let emulator = emulator().await;
    let jane = emulator.create_user("jane@example.com");
    let error = isolated(&emulator)
        .credentials_json(jane.authorized_user_json())
        .project(PROJECT)
        .user_agent("two\nlines")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn missing_credentials_are_a_credential_error() {
    let emulator = emulator().await;
    let error = isolated(&emulator).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.kind().is_credential_error());
}

#[tokio::test]
async fn caller_supplied_token_is_used_unchanged() {
    let emulator = emulator().await;
    emulator.create_user("jane@example.com");
    let token = emulator.issue_token("jane@example.com", &BOTH, Duration::from_secs(600));
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let ee = isolated(&emulator)
        .credentials(credentials)
        .project(PROJECT)
        .connect()
        .await
        .unwrap();
    assert_eq!(ee.credentials().kind().as_str(), "access_token");
    assert_eq!(ee.connect_stats().requests, 1);
}

#[tokio::test]
async fn token_closure_is_called_when_a_token_is_needed() {
    let emulator = emulator().await;
    emulator.create_user("jane@example.com");
    let first = emulator.issue_token("jane@example.com", &BOTH, Duration::from_secs(600));
    let second = emulator.issue_token("jane@example.com", &BOTH, Duration::from_secs(600));
    let tokens = std::sync::Mutex::new(vec![second, first]);
    let source = source_fn(move || {
        let token = tokens.lock().unwrap().pop().expect("at most two calls");
        async move { AccessToken::new(&token) }
    });
    let ee = isolated(&emulator)
        .credentials(Credentials::from_token_source(source))
        .project(PROJECT)
        .connect()
        .await
        .unwrap();
    let _: i64 = ee.compute(&constant(1)).await.unwrap();
    ee.credentials()
        .token_cache()
        .unwrap()
        .invalidate(&ee.credentials().token().await.unwrap());
    let _: i64 = ee.compute(&constant(1)).await.unwrap();
}

#[tokio::test]
async fn api_key_is_sent_in_its_header_and_not_in_the_url() {
    let emulator = emulator_with(|b| b.api_key("AIza-canary", PROJECT)).await;
    let ee = isolated(&emulator)
        .api_key("AIza-canary")
        .project(PROJECT)
        .connect()
        .await
        .unwrap();
    assert_eq!(ee.credentials().kind().as_str(), "api_key");
    assert_eq!(ee.connect_stats().requests, 1);
    let request = emulator.requests().remove(0);
    assert_eq!(request.headers["x-goog-api-key"], "AIza-canary");
    assert!(!request.query.contains("canary"));
    assert!(!format!("{ee:?}").contains("canary"));
}

#[tokio::test]
async fn scopes_subject_and_user_agent_are_sent() {
    let emulator = emulator().await;
    emulator.create_service_account(ROBOT, PROJECT);
    emulator.allow_delegation(ROBOT, "boss@example.com");
    let ee = robot(&emulator)
        .scopes(Scopes::new(["earthengine"]))
        .subject("boss@example.com")
        .user_agent("my-program/1.0")
        .connect()
        .await;
    let claims = claims(&emulator);
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/earthengine"
    );
    assert_eq!(claims["sub"], "boss@example.com");
    ee.unwrap();
    let agent = emulator.requests()[1].headers["user-agent"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(agent.starts_with("my-program/1.0 "), "{agent}");
}

#[tokio::test]
async fn high_volume_endpoint_and_base_url_are_options() {
    let emulator = emulator().await;
    robot(&emulator).high_volume(true).connect().await.unwrap();
    assert_eq!(
        emulator
            .requests_to("earthengine-highvolume.googleapis.com")
            .len(),
        1
    );
    let url = emulator.url("earthengine.googleapis.com").parse().unwrap();
    robot(&emulator).base_url(url).connect().await.unwrap();
    assert_eq!(emulator.requests_to("earthengine.googleapis.com").len(), 1);
}

#[tokio::test]
async fn isolated_builder_reads_no_environment() {
    let emulator = emulator().await;
    let error = isolated(&emulator)
        .project(PROJECT)
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn two_users_in_one_process_keep_their_identities() {
    let emulator = emulator().await;
    let connect = |email: &'static str| {
        let login = emulator.create_user(email).authorized_user_json();
        isolated(&emulator)
            .credentials_json(login)
            .project(PROJECT)
            .connect()
    };
    let (jane, john) = tokio::join!(connect("jane@example.com"), connect("john@example.com"));
    let (jane, john) = (jane.unwrap(), john.unwrap());
    let token = |ee: EarthEngine| async move { ee.credentials().token().await.unwrap() };
    assert!(!token(jane).await.secret_eq(&token(john).await));
}

#[tokio::test]
async fn self_signed_jwt_needs_no_token_request() {
    let emulator = emulator().await;
    let ee = robot(&emulator)
        .self_signed_jwt(true)
        .verify(VerifyLevel::Skip)
        .connect()
        .await
        .unwrap();
    let token = ee.credentials().token().await.unwrap();
    assert_eq!(token.secret().split('.').count(), 3);
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn retry_policy_none_makes_one_attempt() {
    let emulator = emulator().await;
    let host = "earthengine.googleapis.com";
    emulator.fault(host, ee_emulator::Fault::status(503));
    let error = robot(&emulator)
        .retry_policy(RetryPolicy::none())
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerError);
    assert_eq!(emulator.requests_to(host).len(), 1);
}
