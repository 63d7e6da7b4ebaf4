//! Impersonation, workforce users and service identities.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ee_emulator::Emulator;
use serde_json::{Value, json};

use crate::client::*;

const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
const JANE: &str = "jane@example.com";
const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";

async fn start() -> (Emulator, String) {
    let emulator = Emulator::start().await.unwrap();
    emulator.create_service_account(TARGET, PROJECT);
    emulator.create_user(JANE);
    let lifetime = std::time::Duration::from_secs(600);
    let bearer = emulator.issue_token(JANE, &[CLOUD], lifetime);
    (emulator, bearer)
}

async fn ask(emulator: &Emulator, email: &str, bearer: &str, body: &Value) -> Response {
    call(emulator, email, "generateAccessToken", bearer, body).await
}

async fn call(
    emulator: &Emulator,
    email: &str,
    method: &str,
    bearer: &str,
    body: &Value,
) -> Response {
    let host = emulator.url("iamcredentials.googleapis.com");
    let url = format!("{host}/v1/projects/-/serviceAccounts/{email}:{method}");
    send(client().post(url).bearer_auth(bearer).json(body)).await
}

#[tokio::test]
async fn impersonation_requires_token_creator_role() {
    let (emulator, bearer) = start().await;
    let body = json!({"scope": [CLOUD], "lifetime": "600s", "delegates": null});
    let denied = ask(&emulator, TARGET, &bearer, &body).await;
    assert_eq!(denied.status, 403);
    assert_eq!(denied.reason().as_deref(), Some("IAM_PERMISSION_DENIED"));
    emulator.allow_impersonation(JANE, TARGET);
    let granted = ask(&emulator, TARGET, &bearer, &body).await;
    assert_eq!(granted.status, 200, "{}", granted.text);
    let token = granted.json()["accessToken"].as_str().unwrap().to_owned();
    assert_eq!(config(&emulator, PROJECT, &token, None).await.status, 200);
}

#[tokio::test]
async fn id_tokens_are_generated_for_an_audience() {
    let (emulator, bearer) = start().await;
    let generate =
        async |body: Value| call(&emulator, TARGET, "generateIdToken", &bearer, &body).await;
    let body = json!({"audience": "https://me.example"});
    let denied = generate(body.clone()).await;
    assert_eq!(denied.status, 403);
    assert!(denied.message().contains("getOpenIdToken"), "{denied:?}");
    emulator.allow_impersonation(JANE, TARGET);
    let granted = generate(body).await.json();
    let claims = id_token_claims(&emulator, granted["token"].as_str().unwrap()).await;
    assert_eq!(claims["aud"], "https://me.example");
    assert_eq!(claims["azp"], claims["sub"]);
    assert_eq!(claims["email"], Value::Null);
    // google-auth sends one of the booleans as a string.
    let body = json!({"audience": "x", "includeEmail": "true", "useEmailAzp": true});
    let granted = generate(body).await.json();
    let claims = id_token_claims(&emulator, granted["token"].as_str().unwrap()).await;
    assert_eq!(
        (&claims["email"], &claims["azp"]),
        (&json!(TARGET), &json!(TARGET))
    );
    for body in [
        json!({}),
        json!({"audience": ""}),
        json!({"audience": "x", "includeEmail": 1}),
        json!({"audience": "x", "scope": [CLOUD]}),
    ] {
        assert_eq!(generate(body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn blobs_are_signed_with_the_account_key() {
    let (emulator, bearer) = start().await;
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let sign = async |body: Value| call(&emulator, ROBOT, "signBlob", &bearer, &body).await;
    let body = json!({"payload": STANDARD.encode("a?>b")});
    let denied = sign(body.clone()).await;
    assert!(denied.message().contains("signBlob"), "{denied:?}");
    emulator.allow_impersonation(JANE, ROBOT);
    for payload in [STANDARD.encode("a?>b"), URL_SAFE.encode("a?>b")] {
        let signed = sign(json!({"payload": payload})).await.json();
        assert_eq!(signed["keyId"], account.private_key_id());
        let signature = STANDARD.decode(signed["signedBlob"].as_str().unwrap());
        assert!(account.key().verifies(b"a?>b", &signature.unwrap()));
    }
    for body in [json!({}), json!({"payload": "*"}), json!({"bytes": "YQ=="})] {
        assert_eq!(sign(body.clone()).await.status, 400, "{body}");
    }
    let unknown = call(&emulator, ROBOT, "signJwt", &bearer, &body).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn delegation_chain_requires_role_at_each_step() {
    let (emulator, bearer) = start().await;
    emulator.create_service_account(ROBOT, PROJECT);
    let body = json!({
        "scope": [CLOUD], "delegates": [format!("projects/-/serviceAccounts/{ROBOT}")],
    });
    emulator.allow_impersonation(JANE, ROBOT);
    assert_eq!(ask(&emulator, TARGET, &bearer, &body).await.status, 403);
    emulator.allow_impersonation(ROBOT, TARGET);
    assert_eq!(ask(&emulator, TARGET, &bearer, &body).await.status, 200);
}

#[tokio::test]
async fn invalid_impersonation_requests_are_rejected() {
    let (emulator, bearer) = start().await;
    emulator.allow_impersonation(JANE, TARGET);
    for (body, status) in [
        (json!({}), 400),
        (json!({"scope": []}), 400),
        (json!({"scope": ["earthengine"]}), 400),
        (json!({"scope": [CLOUD], "lifetime": "1h"}), 400),
        (json!({"scope": [CLOUD], "lifetime": "0s"}), 400),
        (json!({"scope": [CLOUD], "lifetime": "3601s"}), 400),
        (json!({"scope": [CLOUD], "surprise": 1}), 400),
    ] {
        let response = ask(&emulator, TARGET, &bearer, &body).await;
        assert_eq!(response.status, status, "{body}: {}", response.text);
    }
    let body = json!({"scope": [CLOUD]});
    let gone = ask(&emulator, "gone@p.example", &bearer, &body).await;
    assert_eq!(gone.status, 404);
    let lifetime = std::time::Duration::from_secs(600);
    let narrow = emulator.issue_token(JANE, &["earthengine"], lifetime);
    let rejected = ask(&emulator, TARGET, &narrow, &body).await;
    assert_eq!(
        rejected.reason().as_deref(),
        Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    );
    assert_eq!(ask(&emulator, TARGET, "made-up", &body).await.status, 401);
}

#[tokio::test]
async fn workforce_refresh_token_requires_client_and_rotates() {
    let emulator = Emulator::start().await.unwrap();
    let jane = emulator.create_workforce_user("jane");
    let file: Value = serde_json::from_str(&jane.json()).unwrap();
    let text = |name: &str| file[name].as_str().unwrap().to_owned();
    let url = format!("{}/v1/oauthtoken", emulator.url("sts.googleapis.com"));
    let refresh = async |token: &str, secret: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let request = client().post(&url).form(&form);
        send(request.basic_auth(text("client_id"), Some(secret))).await
    };
    let secret = text("client_secret");
    assert_eq!(refresh(jane.refresh_token(), "wrong").await.status, 401);
    assert_eq!(refresh("made-up", &secret).await.status, 400);
    let response = refresh(jane.refresh_token(), &secret).await;
    assert_eq!(response.status, 200, "{}", response.text);
    assert!(response.json().get("refresh_token").is_none());
    emulator.rotate_refresh_tokens(true);
    let rotated = refresh(jane.refresh_token(), &secret).await.json();
    let new = rotated["refresh_token"].as_str().unwrap();
    assert_eq!(refresh(jane.refresh_token(), &secret).await.status, 400);
    assert_eq!(refresh(new, &secret).await.status, 200);
}

#[tokio::test]
async fn gdch_token_server_requires_json_and_known_signer() {
    let emulator = Emulator::start().await.unwrap();
    let identity = emulator.create_service_identity("p", "n");
    let url = format!("{}/authenticate", emulator.url(identity.host()));
    let token_type = "urn:ietf:params:oauth:token-type";
    let body = json!({
        "grant_type": format!("{token_type}:token-exchange"),
        "requested_token_type": format!("{token_type}:access_token"),
        "audience": "https://x.example",
        "subject_token": "a.b.c",
        "subject_token_type": "urn:k8s:params:oauth:token-type:serviceaccount",
    });
    let response = send(client().post(&url).json(&body)).await;
    assert_eq!(response.oauth_error().0, "invalid_grant");
    let form = send(client().post(&url).form(&[("grant_type", "x")])).await;
    assert_eq!(form.oauth_error().0, "invalid_request");
    for field in ["grant_type", "requested_token_type", "subject_token_type"] {
        let mut wrong = body.clone();
        wrong[field] = json!("x");
        let response = send(client().post(&url).json(&wrong)).await;
        assert_eq!(response.oauth_error().0, "invalid_request", "{field}");
    }
}
