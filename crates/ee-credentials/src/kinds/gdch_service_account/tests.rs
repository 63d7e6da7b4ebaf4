use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_emulator::Emulator;
use ee_token::ErrorKind as Token;
use serde_json::{Value, json};

use super::*;
use crate::Credentials;
use crate::options::options;

const AUDIENCE: &str = "https://my-service.gdch.test";

async fn start() -> (Emulator, ee_emulator::ServiceIdentity, CredentialOptions) {
    let emulator = Emulator::start().await.unwrap();
    let identity = emulator.create_service_identity("my-project", "my-robot");
    let options = options(&emulator)
        .allow_host(identity.host())
        .gdch_audience(AUDIENCE);
    (emulator, identity, options)
}

#[tokio::test]
async fn es256_assertion_is_exchanged_as_json() {
    let (emulator, identity, options) = start().await;
    let credentials = Credentials::from_json(&identity.json(), &options).unwrap();
    assert_eq!(credentials.kind(), CredentialKind::GdchServiceAccount);
    assert_eq!(credentials.principal(), Some(identity.subject().as_str()));
    assert_eq!(credentials.project(), Some("my-project"));
    credentials.token().await.unwrap();
    let request = emulator.requests().remove(0);
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body = request.json();
    assert_eq!(body["audience"], AUDIENCE);
    assert_eq!(
        body["grant_type"],
        "urn:ietf:params:oauth:token-type:token-exchange"
    );
    let jwt = body["subject_token"].as_str().unwrap();
    let part = |i: usize| -> Value {
        let part = jwt.split('.').nth(i).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(part(0)["alg"], "ES256");
    assert_eq!(part(0)["kid"], identity.key_id());
    assert_eq!(part(1)["iss"], identity.subject());
    assert_eq!(part(1)["sub"], identity.subject());
    assert_eq!(
        part(1)["aud"],
        "https://service-identity.gdch.test/authenticate"
    );
    assert!(!format!("{credentials:?} {:?}", credentials.token_cache()).contains("PRIVATE"));
}

#[tokio::test]
async fn loopback_token_uri_needs_no_permission_or_ca() {
    let (emulator, identity, options) = start().await;
    let mut file: Value = serde_json::from_str(&identity.json()).unwrap();
    file["token_uri"] = json!(format!("{}/authenticate", emulator.url(identity.host())));
    file["ca_cert_path"] = json!("/nowhere/ca.pem");
    let options = CredentialOptions {
        allowed_hosts: Vec::new(),
        ..options
    };
    let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
    credentials.token().await.unwrap();
}

#[tokio::test]
async fn unknown_gdch_identity_is_named() {
    let (emulator, _, options) = start().await;
    let other = Emulator::start().await.unwrap();
    let unknown = other.create_service_identity("my-project", "unknown");
    let credentials = Credentials::from_json(&unknown.json(), &options).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    assert_eq!(error.principal(), Some(unknown.subject().as_str()));
    assert_eq!(emulator.requests().len(), 1);
}

#[tokio::test]
async fn invalid_gdch_fields_are_named_without_a_request() {
    let (emulator, identity, options) = start().await;
    let valid: Value = serde_json::from_str(&identity.json()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let not_pem = dir.path().join("ca.pem");
    std::fs::write(&not_pem, "not a certificate").unwrap();
    let broken = dir.path().join("broken.pem");
    std::fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let mut cases = Vec::new();
    for field in [
        "format_version",
        "project",
        "name",
        "private_key_id",
        "private_key",
        "token_uri",
    ] {
        for bad in [
            json!(null),
            json!(" "),
            json!(7),
            json!(["canary"]),
            json!({}),
        ] {
            cases.push((field, bad));
        }
    }
    cases.extend([
        ("format_version", json!("2")),
        ("private_key", json!("canary")),
        (
            "private_key",
            json!(ee_emulator::RsaKey::shared().pkcs8_pem()),
        ),
        (
            "private_key",
            json!(ee_emulator::RsaKey::shared().pkcs1_pem()),
        ),
        ("token_uri", json!("no url")),
        ("ca_cert_path", json!(["canary"])),
        ("ca_cert_path", json!("/nowhere/ca.pem")),
        ("ca_cert_path", json!(dir.path())),
        ("ca_cert_path", json!(not_pem)),
        ("ca_cert_path", json!(broken)),
    ]);
    for (field, bad) in cases {
        let mut file = valid.clone();
        file[field] = bad;
        let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{field}: {error}");
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        assert!(!error.remedy().text.is_empty(), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    let without_host = CredentialOptions {
        allowed_hosts: Vec::new(),
        ..options.clone()
    };
    let error = Credentials::from_json(&valid.to_string(), &without_host).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisallowedHost);
    assert!(error.remedy().to_string().contains("allow_host"));
    let without_audience = CredentialOptions {
        gdch_audience: None,
        ..options
    };
    let error = Credentials::from_json(&valid.to_string(), &without_audience).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    assert!(error.remedy().to_string().contains("gdch_audience"));
    assert!(emulator.requests().is_empty());
}
