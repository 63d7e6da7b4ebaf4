//! The JWT bearer grant of service accounts.

use std::time::Duration;

use ee_emulator::{Emulator, RsaKey, ServiceAccount};
use serde_json::{Value, json};

use crate::client::*;

async fn start() -> (Emulator, ServiceAccount) {
    let emulator = Emulator::start().await.unwrap();
    let account = emulator.create_service_account(ROBOT, PROJECT);
    (emulator, account)
}

/// Sends a JWT that is valid except for these claims. `null` removes a claim.
async fn with_claims(emulator: &Emulator, account: &ServiceAccount, other: Value) -> Response {
    let mut claims = claims(emulator);
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    assert_jwt(emulator, &sign(account, &header(account), &claims)).await
}

fn rejected(response: &Response, error: &str, sentence: &str) {
    let (actual, description) = response.oauth_error();
    assert_eq!(
        (response.status, actual.as_str()),
        (400, error),
        "{response:?}"
    );
    assert!(description.contains(sentence), "{description}");
}

#[tokio::test]
async fn valid_jwt_gets_bearer_token_without_scope() {
    let (emulator, account) = start().await;
    let response = with_claims(&emulator, &account, json!({})).await;
    let body = response.json();
    assert_eq!(response.status, 200);
    assert!(body["access_token"].as_str().unwrap().starts_with("ya29."));
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], Value::Null);
    assert!(
        response.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("no-store")
    );
}

#[tokio::test]
async fn date_header_follows_emulator_clock() {
    let (emulator, account) = start().await;
    emulator
        .clock()
        .set("2030-05-06T07:08:09Z".parse().unwrap());
    let response = with_claims(&emulator, &account, json!({})).await;
    assert_eq!(response.status, 200);
    let date = response.headers["date"].to_str().unwrap();
    assert!(date.starts_with("Mon, 06 May 2030 07:08:"), "{date}");
    assert!(date.ends_with(" GMT"), "{date}");
}

#[tokio::test]
async fn expires_in_is_configured_lifetime() {
    let emulator = Emulator::builder()
        .token_lifetime(Duration::from_secs(7))
        .start()
        .await
        .unwrap();
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let body = with_claims(&emulator, &account, json!({})).await.json();
    assert_eq!(body["expires_in"], 7);
    let bearer = body["access_token"].as_str().unwrap();
    assert_eq!(config(&emulator, PROJECT, bearer, None).await.status, 200);
    emulator.clock().advance(Duration::from_secs(8));
    let response = config(&emulator, PROJECT, bearer, None).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.reason().unwrap(), "ACCESS_TOKEN_EXPIRED");
}

#[tokio::test]
async fn audience_must_match_exactly() {
    let (emulator, account) = start().await;
    for audience in [
        json!(format!("{AUDIENCE}/")),
        json!("https://accounts.google.com/o/oauth2/token"),
        json!([AUDIENCE]),
        Value::Null,
    ] {
        let response = with_claims(&emulator, &account, json!({"aud": audience})).await;
        rejected(&response, "invalid_grant", "audience");
    }
}

#[tokio::test]
async fn invalid_iat_and_exp_are_rejected_with_googles_message() {
    let (emulator, account) = start().await;
    let now = emulator.clock().now().timestamp();
    for times in [
        json!({"iat": now, "exp": now + 3601}),
        json!({"iat": now + 400, "exp": now + 3600}),
        json!({"iat": now - 3600, "exp": now - 1}),
        json!({"iat": now, "exp": now}),
        json!({"iat": now + 10, "exp": now + 5}),
        json!({"iat": null}),
        json!({"exp": null}),
        json!({"iat": now.to_string()}),
    ] {
        let response = with_claims(&emulator, &account, times.clone()).await;
        rejected(
            &response,
            "invalid_grant",
            "must be a short-lived token (60 minutes)",
        );
    }
}

#[tokio::test]
async fn small_clock_skew_is_allowed() {
    let (emulator, account) = start().await;
    let now = emulator.clock().now().timestamp();
    let times = json!({"iat": now + 200, "exp": now + 3800});
    assert_eq!(with_claims(&emulator, &account, times).await.status, 200);
}

#[tokio::test]
async fn two_hour_clock_skew_is_rejected() {
    let (emulator, account) = start().await;
    let claims = claims(&emulator);
    emulator.clock().advance(Duration::from_secs(7200));
    let response = assert_jwt(&emulator, &sign(&account, &header(&account), &claims)).await;
    rejected(&response, "invalid_grant", "reasonable timeframe");
}

#[tokio::test]
async fn missing_or_unknown_scope_is_rejected() {
    let (emulator, account) = start().await;
    for scope in [json!(null), json!(""), json!("  "), json!("earthengine")] {
        let response = with_claims(&emulator, &account, json!({"scope": scope})).await;
        rejected(&response, "invalid_scope", "Invalid OAuth scope");
    }
}

#[tokio::test]
async fn unknown_account_is_not_found() {
    let (emulator, account) = start().await;
    let response = with_claims(&emulator, &account, json!({"iss": "unknown@example.com"})).await;
    rejected(&response, "invalid_grant", "account not found");
    emulator.delete_service_account(ROBOT);
    let response = with_claims(&emulator, &account, json!({})).await;
    rejected(&response, "invalid_grant", "account not found");
}

#[tokio::test]
async fn deleted_key_is_rejected_and_others_stay_valid() {
    let (emulator, account) = start().await;
    let new = emulator.create_service_account(ROBOT, PROJECT);
    let body = with_claims(&emulator, &account, json!({})).await.json();
    emulator.delete_service_account_key(ROBOT, account.private_key_id());
    let response = with_claims(&emulator, &account, json!({})).await;
    rejected(&response, "invalid_grant", "Invalid JWT Signature.");
    let response = with_claims(&emulator, &new, json!({})).await;
    assert_eq!(response.status, 200);
    let bearer = body["access_token"].as_str().unwrap();
    let response = config(&emulator, PROJECT, bearer, None).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn wrong_signature_is_rejected() {
    let (emulator, account) = start().await;
    let other = emulator.create_service_account_with_key(
        "other@ee-demo-project.iam.gserviceaccount.com",
        PROJECT,
        RsaKey::generate(2048),
    );
    let forged = sign(&other, &header(&account), &claims(&emulator));
    let response = assert_jwt(&emulator, &forged).await;
    rejected(&response, "invalid_grant", "Invalid JWT Signature.");

    let good = sign(&account, &header(&account), &claims(&emulator));
    let mut more = claims(&emulator);
    more["scope"] = json!("https://www.googleapis.com/auth/cloud-platform");
    let altered = sign(&account, &header(&account), &more);
    let signature = good.rsplit_once('.').unwrap().1;
    let mixed = format!("{}.{signature}", altered.rsplit_once('.').unwrap().0);
    let response = assert_jwt(&emulator, &mixed).await;
    rejected(&response, "invalid_grant", "Invalid JWT Signature.");
}

#[tokio::test]
async fn header_must_name_rs256_and_known_key() {
    let (emulator, account) = start().await;
    let kid = account.private_key_id();
    for header in [
        json!({"alg": "none", "typ": "JWT", "kid": kid}),
        json!({"alg": "HS256", "typ": "JWT", "kid": kid}),
        json!({"typ": "JWT", "kid": kid}),
        json!({"alg": "RS256", "typ": "JWT", "kid": "unknown"}),
        json!({"alg": "RS256", "typ": "secevent", "kid": kid}),
    ] {
        let jwt = sign(&account, &header, &claims(&emulator));
        let response = assert_jwt(&emulator, &jwt).await;
        rejected(&response, "invalid_grant", "Invalid JWT Signature.");
    }
}

#[tokio::test]
async fn header_without_kid_matches_any_key() {
    let (emulator, account) = start().await;
    emulator.create_service_account_with_key(ROBOT, PROJECT, RsaKey::generate(2048));
    let jwt = sign(
        &account,
        &json!({"alg": "RS256", "typ": "JWT"}),
        &claims(&emulator),
    );
    assert_eq!(assert_jwt(&emulator, &jwt).await.status, 200);
}

#[tokio::test]
async fn malformed_jwt_is_rejected() {
    let (emulator, _) = start().await;
    for text in ["x", "a.b", "a.b.c", "..", "e30.e30.?", "é.é.é"] {
        let response = assert_jwt(&emulator, text).await;
        rejected(&response, "invalid_grant", "Invalid JWT");
    }
}

#[tokio::test]
async fn subject_requires_domain_wide_delegation() {
    let (emulator, account) = start().await;
    let subject = json!({"sub": "jane@example.com"});
    let response = with_claims(&emulator, &account, subject.clone()).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.oauth_error().0, "unauthorized_client");
    assert!(
        response
            .oauth_error()
            .1
            .starts_with("Client is unauthorized to retrieve")
    );

    emulator.allow_delegation(ROBOT, "jane@example.com");
    assert_eq!(with_claims(&emulator, &account, subject).await.status, 200);
    let response = with_claims(&emulator, &account, json!({"sub": "joe@example.com"})).await;
    assert_eq!(response.status, 401);
    let response = with_claims(&emulator, &account, json!({"sub": ROBOT})).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn token_request_must_be_form_without_repeated_parameters() {
    let (emulator, account) = start().await;
    let jwt = sign(&account, &header(&account), &claims(&emulator));
    let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let url = format!("{}/token", emulator.url(OAUTH2));
    let json = json!({"grant_type": grant_type, "assertion": jwt});
    rejected(
        &send(client().post(&url).json(&json)).await,
        "invalid_request",
        "x-www-form-urlencoded",
    );
    let repeated = [
        ("grant_type", grant_type),
        ("assertion", &jwt),
        ("assertion", &jwt),
    ];
    rejected(
        &token(&emulator, &repeated).await,
        "invalid_request",
        "single value",
    );
    let in_url = client()
        .post(&url)
        .query(&repeated[..2])
        .form(&repeated[..2]);
    rejected(&send(in_url).await, "invalid_request", "body");
    assert_eq!(get(url).await.status, 405);
}

#[tokio::test]
async fn unknown_grant_types_are_unsupported() {
    let (emulator, _) = start().await;
    rejected(
        &token(&emulator, &[("grant_type", "password")]).await,
        "unsupported_grant_type",
        "password",
    );
    rejected(&token(&emulator, &[]).await, "invalid_request", "");
}

#[tokio::test]
async fn legacy_token_endpoint_requires_its_own_audience() {
    let (emulator, account) = start().await;
    let url = format!("{}/oauth2/v4/token", emulator.url("www.googleapis.com"));
    let ask = async |audience: &str| {
        let mut claims = claims(&emulator);
        claims["aud"] = json!(audience);
        let jwt = sign(&account, &header(&account), &claims);
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &jwt),
        ];
        send(client().post(&url).form(&form)).await.status
    };
    assert_eq!(ask("https://www.googleapis.com/oauth2/v4/token").await, 200);
    assert_eq!(ask(AUDIENCE).await, 400);
}

#[tokio::test]
async fn unshared_keys_differ() {
    let emulator = Emulator::builder().share_keys(false).start().await.unwrap();
    let one = emulator.create_service_account("one@example.com", PROJECT);
    let two = emulator.create_service_account("two@example.com", PROJECT);
    assert_ne!(one.pkcs8_pem(), two.pkcs8_pem());
}

#[tokio::test]
async fn key_file_has_all_fields() {
    let (_emulator, account) = start().await;
    let file: Value = serde_json::from_str(&account.json_key()).unwrap();
    for field in [
        "type",
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
    ] {
        assert!(file[field].is_string(), "{field}");
    }
    assert_eq!(file["type"], "service_account");
    assert_eq!(file["token_uri"], AUDIENCE);
    assert!(!format!("{account:?}").contains("PRIVATE KEY"));
}

#[tokio::test]
async fn assertion_with_target_audience_gets_an_id_token() {
    let emulator = Emulator::start().await.unwrap();
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let mut claims = claims(&emulator);
    claims["target_audience"] = json!("https://me.example");
    let ask = async |claims: &Value| {
        let jwt = sign(&account, &header(&account), claims);
        assert_jwt(&emulator, &jwt).await.json()
    };
    // The scope precedes it.
    assert!(ask(&claims).await["id_token"].is_null());
    claims.as_object_mut().unwrap().remove("scope");
    let response = ask(&claims).await;
    assert!(response["access_token"].is_null());
    let issued = id_token_claims(&emulator, response["id_token"].as_str().unwrap()).await;
    assert_eq!(issued["aud"], "https://me.example");
    assert_eq!(issued["email"], ROBOT);
}
