//! The login page for notebooks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_emulator::Emulator;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::client::*;

const ID: &str = "request-id-of-exactly-forty-three-character";
const TOKEN_VERIFIER: &str = "token-verifier-of-at-least-forty-three-chars";
const CLIENT_VERIFIER: &str = "client-verifier-of-at-least-forty-three-char";

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

async fn open(emulator: &Emulator, id: &str, token_verifier: &str) -> Response {
    let url = format!(
        "{}/client-auth",
        emulator.url("code.earthengine.google.com")
    );
    let query = [
        ("scopes", SCOPE),
        ("request_id", id),
        ("tc", &challenge(token_verifier)),
        ("cc", &challenge(CLIENT_VERIFIER)),
    ];
    send(client().get(url).query(&query)).await
}

async fn fetch(emulator: &Emulator, body: &Value) -> Response {
    let url = format!(
        "{}/client-auth/fetch",
        emulator.url("code.earthengine.google.com")
    );
    send(client().post(url).json(body)).await
}

#[tokio::test]
async fn notebook_code_requires_token_verifier() {
    let emulator = Emulator::start().await.unwrap();
    emulator.auto_consent("jane@example.com");
    let response = open(&emulator, ID, TOKEN_VERIFIER).await;
    assert_eq!(response.status, 302, "{response:?}");
    let shown = send(client().get(response.headers["location"].to_str().unwrap())).await;
    let code = shown.text.split("<code id=\"code\">").nth(1).unwrap();
    let code = code.split('<').next().unwrap();

    let oauth_client = fetch(
        &emulator,
        &json!({"request_id": ID, "client_verifier": CLIENT_VERIFIER}),
    )
    .await
    .json();
    assert_eq!(oauth_client["scopes"], json!([SCOPE]));
    let text = |name: &str| oauth_client[name].as_str().unwrap();
    let form = |verifier| {
        [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", text("client_id")),
            ("client_secret", text("client_secret")),
            ("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
            ("code_verifier", verifier),
        ]
    };
    let response = token(&emulator, &form(CLIENT_VERIFIER)).await;
    assert_eq!(response.json()["error"], "invalid_grant");
    let response = token(&emulator, &form(TOKEN_VERIFIER)).await;
    assert!(response.json()["refresh_token"].is_string(), "{response:?}");
}

#[tokio::test]
async fn client_requires_client_verifier() {
    let emulator = Emulator::start().await.unwrap();
    open(&emulator, ID, TOKEN_VERIFIER).await;
    for (id, verifier) in [
        ("another", CLIENT_VERIFIER),
        (ID, TOKEN_VERIFIER),
        (ID, &challenge(CLIENT_VERIFIER)),
        (ID, ""),
    ] {
        let body = json!({"request_id": id, "client_verifier": verifier});
        let response = fetch(&emulator, &body).await;
        assert_eq!(response.status, 200);
        assert!(response.json()["error"].is_string(), "{response:?}");
        assert!(response.json().get("client_secret").is_none());
    }
    let short = fetch(&emulator, &json!({"request_id": ID})).await;
    assert_eq!(short.status, 400);
}

#[tokio::test]
async fn invalid_or_reused_request_id_is_rejected() {
    let emulator = Emulator::start().await.unwrap();
    assert_eq!(open(&emulator, "short", TOKEN_VERIFIER).await.status, 400);
    assert_eq!(open(&emulator, ID, TOKEN_VERIFIER).await.status, 302);
    assert_eq!(open(&emulator, ID, TOKEN_VERIFIER).await.status, 302);
    let other = open(&emulator, ID, CLIENT_VERIFIER).await;
    assert_eq!(other.status, 400);
    assert!(other.text.contains("request_id"), "{other:?}");
}
